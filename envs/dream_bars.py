"""What a dream's bars do to an account: prices, highs and lows beside the returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..market.account.broker import dream_bars
from ..market.account.rules import BrokerConfig
from ..market.account.settlement import BAR_FIELDS, plain_bars
from ..market.candles import FloatArray
from .engine.engine import DreamEngine, DreamState


class DreamBars:
    """Turns the engine's steps into the bars that an account settles.

    Highs, lows and ranges are decoded from z only where the account's rules look at them: with
    leverage above 1, or slippage by range. Otherwise they are the further of the bar's two ends.

    Args:
        engine: Of the dream.
        num_lanes: N.
        broker: The account's rules.

    Attributes:
        price: Newest closes [N], quote currency.
        decodes: Whether highs, lows and ranges are decoded.
    """

    def __init__(self, engine: DreamEngine, num_lanes: int, broker: BrokerConfig) -> None:
        self._world_model = engine.world_model
        self.decodes = broker.margin.leverage > 1.0 or broker.costs.slippage_per_range > 0.0
        self._range_column = engine.config.features.names.index("range")
        self._fill_range: FloatArray = np.zeros(num_lanes)
        self.price: FloatArray = np.ones(num_lanes)

    def begin(self, state: DreamState, price: FloatArray, lanes: Any = slice(None)) -> None:
        """Lanes start from a state of all lanes, at given prices."""
        self.price[lanes] = price
        if self.decodes:
            self._fill_range[lanes] = self._ranges(state)[lanes]

    def live(self, state: DreamState, log_return: FloatArray) -> FloatArray:
        """The bars just lived [N, 7], columns `BAR_FIELDS`, after the engine's step."""
        if self.decodes:
            bars = self._with_extremes(state, log_return)
            self.price = self.price * (1.0 + bars[:, 0])
            return bars
        bars = np.empty((len(BAR_FIELDS), len(log_return))).T  # each field's lanes side by side
        plain_bars(log_return, self.price, bars)
        return bars

    def _with_extremes(self, state: DreamState, log_return: FloatArray) -> FloatArray:
        body = np.abs(log_return)
        ranges = np.maximum(self._ranges(state), body)
        beyond = 0.5 * (ranges - body)  # what the range exceeds the body by, split evenly
        bars = dream_bars(
            log_return,
            log_high=np.maximum(log_return, 0.0) + beyond,
            log_low=np.minimum(log_return, 0.0) - beyond,
            fill_range=self._fill_range,
            fill_price=self.price,
        )
        self._fill_range = ranges
        return bars

    def _ranges(self, state: DreamState) -> FloatArray:
        decoded = self._world_model.decode(state.z)
        return np.asarray(decoded[:, self._range_column].clip(min=0.0))
