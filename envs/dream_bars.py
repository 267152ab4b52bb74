"""What a dream's bars do to an account: prices, highs, lows and turnover beside the returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..market.account.broker import dream_bars
from ..market.account.rules import BrokerConfig
from ..market.account.settlement import BAR_FIELDS, plain_bars
from ..market.arrays import FloatArray
from .engine.engine import DreamEngine, DreamState


class DreamBars:
    """Turns the engine's steps into the bars that an account settles.

    Ranges and volumes are decoded from z only where the account's rules look inside bars. Otherwise
    high and low are the further of the bar's two ends.

    Args:
        engine: Of the dream.
        num_lanes: N.
        broker: The account's rules.

    Attributes:
        price: Newest closes [N], quote currency.
        decodes: Whether ranges and volumes are decoded.
    """

    def __init__(self, engine: DreamEngine, num_lanes: int, broker: BrokerConfig) -> None:
        self._world_model = engine.world_model
        self.decodes = broker.looks_inside_bars
        names = engine.config.features.names
        self._columns = [names.index("range"), names.index("log_volume")]
        self._fill_range: FloatArray = np.zeros(num_lanes)
        self._fill_volume: FloatArray = np.zeros(num_lanes)
        self._volume_level: FloatArray = np.ones(num_lanes)
        self.price: FloatArray = np.ones(num_lanes)

    def begin(
        self,
        state: DreamState,
        price: FloatArray,
        volume_level: FloatArray,
        lanes: Any = slice(None),
    ) -> None:
        """Lanes start from a state of all lanes, at given prices and levels of volume."""
        self.price[lanes], self._volume_level[lanes] = price, volume_level
        if self.decodes:
            ranges, volume = self._inside(state)
            self._fill_range[lanes], self._fill_volume[lanes] = ranges[lanes], volume[lanes]

    def live(self, state: DreamState, log_return: FloatArray) -> FloatArray:
        """The bars just lived [N, 8], columns `BAR_FIELDS`, after the engine's step."""
        if self.decodes:
            bars = self._with_insides(state, log_return)
            self.price = self.price * (1.0 + bars[:, 0])
            return bars
        bars = np.empty((len(BAR_FIELDS), len(log_return))).T  # each field's lanes side by side
        plain_bars(log_return, self.price, bars)
        return bars

    def _with_insides(self, state: DreamState, log_return: FloatArray) -> FloatArray:
        body = np.abs(log_return)
        ranges, volume = self._inside(state)
        ranges = np.maximum(ranges, body)
        beyond = 0.5 * (ranges - body)  # what the range exceeds the body by, split evenly
        bars = dream_bars(
            log_return,
            log_high=np.maximum(log_return, 0.0) + beyond,
            log_low=np.minimum(log_return, 0.0) - beyond,
            fill_range=self._fill_range,
            fill_price=self.price,
            fill_turnover=self._fill_volume * self.price,
        )
        self._fill_range, self._fill_volume = ranges, volume
        return bars

    def _inside(self, state: DreamState) -> tuple[FloatArray, FloatArray]:
        """Decoded log(high / low) and volumes [N]."""
        ranges, log_volume = self._world_model.decode(state.z)[:, self._columns].T
        volume = self._volume_level * np.exp(log_volume) - 1.0
        return ranges.clip(min=0.0), volume.clip(min=0.0)
