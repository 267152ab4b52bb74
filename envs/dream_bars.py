"""What a dream's bars do to an account: prices, highs, lows and turnover beside the returns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..market.account.rules import BrokerConfig
from ..market.account.settlement import BAR_FIELDS, exact_bar, inside_bar, plain_bars, put_bar
from ..market.arrays import FloatArray
from ..market.numerics.compiled import compiled
from .engine.bar_engine import BarEngine, BarState
from .engine.paper_engine import PaperEngine, PaperState


class DecodedBars:
    """Turns the steps of an engine that draws latents into the bars that an account settles.

    Ranges and volumes are decoded from z only where the account's rules look inside bars. Otherwise
    high and low are the further of the bar's two ends.

    Args:
        engine: Of the dream.
        num_lanes: N.
        broker: The account's rules.

    Attributes:
        price: Newest closes [N], quote currency.
        decodes: Whether ranges and volumes are decoded.
        columns: Of the range and the log volume among the features; (−1, −1) where they are not.
    """

    def __init__(self, engine: PaperEngine, num_lanes: int, broker: BrokerConfig) -> None:
        self._world_model = engine.world_model
        self.decodes = broker.looks_inside_bars
        names = engine.config.features.names
        self._range, self._log_volume = names.index("range"), names.index("log_volume")
        self.columns = (self._range, self._log_volume) if self.decodes else (-1, -1)
        self._fill_range: FloatArray = np.zeros(num_lanes)
        self._fill_volume: FloatArray = np.zeros(num_lanes)
        self._volume_level: FloatArray = np.ones(num_lanes)
        self.price: FloatArray = np.ones(num_lanes)

    def begin(
        self,
        state: PaperState,
        price: FloatArray,
        volume_level: FloatArray,
        lanes: Any = slice(None),
    ) -> None:
        """Lanes start from a state of all lanes, at given prices and levels of volume."""
        self.price[lanes], self._volume_level[lanes] = price, volume_level
        if self.decodes:
            ranges, volume = self._inside(state)
            self._fill_range[lanes], self._fill_volume[lanes] = ranges[lanes], volume[lanes]

    def levels(self, lane: int) -> tuple[float, float, float, float]:
        """A lane's newest close, its bar's range and volume, and what volume is measured against."""
        parts = (self.price, self._fill_range, self._fill_volume, self._volume_level)
        one, two, three, four = (part.item(lane) for part in parts)
        return one, two, three, four

    def step(self, state: PaperState, log_return: FloatArray) -> FloatArray:
        """The bars just lived [N, 8], columns `BAR_FIELDS`, after the engine's step."""
        if self.decodes:
            bars = self._with_insides(state, log_return)
            self.price = self.price * (1.0 + bars[:, 0])
            return bars
        bars = np.empty((len(BAR_FIELDS), len(log_return))).T  # each field's lanes side by side
        plain_bars(log_return, self.price, bars)
        return bars

    def features(self, state: PaperState) -> FloatArray:
        """What a policy that sees features is shown [N, F]: decoded from z."""
        return self._world_model.decode(state.z)

    def _with_insides(self, state: PaperState, log_return: FloatArray) -> FloatArray:
        ranges, volume = self._inside(state)
        bars = np.empty((len(log_return), len(BAR_FIELDS)))
        before = (self._fill_range, self._fill_volume, self.price)
        inside_bars(log_return, ranges, *before, bars)
        self._fill_range, self._fill_volume = np.maximum(ranges, np.abs(log_return)), volume
        return bars

    def _inside(self, state: PaperState) -> tuple[FloatArray, FloatArray]:
        """Decoded log(high / low) and volumes [N]."""
        decoded = self._world_model.decode(state.z)
        ranges, volume = np.empty((2, len(decoded)))
        look_inside(decoded, self._range, self._log_volume, self._volume_level, ranges, volume)
        return ranges, volume


class ExactBars:
    """The same for dreams of bars, whose highs, lows and volumes are drawn: nothing is decoded.

    Args:
        engine: Of the dream.
        num_lanes: N.

    Attributes:
        price: Newest closes [N], quote currency.
    """

    def __init__(self, engine: BarEngine, num_lanes: int) -> None:
        self._before: FloatArray = np.zeros((num_lanes, 4))  # bars at whose close orders fill
        self.price: FloatArray = np.ones(num_lanes)

    def begin(
        self,
        state: BarState,
        price: FloatArray,
        volume_level: FloatArray,
        lanes: Any = slice(None),
    ) -> None:
        """Lanes start from a state of all lanes, at given prices; volume knows its level itself."""
        self.price[lanes] = price
        self._before[lanes] = state.bars[lanes]

    def step(self, state: BarState, log_return: FloatArray) -> FloatArray:
        """The bars just lived [N, 8], columns `BAR_FIELDS`, after the engine's step."""
        bars = np.empty((len(log_return), len(BAR_FIELDS)))
        exact_bars(state.bars, self._before, self.price, bars)
        self.price = self.price * (1.0 + bars[:, 0])
        self._before[:] = state.bars
        return bars

    def features(self, state: BarState) -> FloatArray:
        """What a policy that sees features is shown [N, F]: those of the bars."""
        return state.features


def lived_bars(engine: Any, num_lanes: int, broker: BrokerConfig) -> Any:
    """What an engine's steps do to accounts: `ExactBars` where it draws bars, else `DecodedBars`."""
    if isinstance(engine, BarEngine):
        return ExactBars(engine, num_lanes)
    return DecodedBars(engine, num_lanes, broker)


@compiled
def exact_bars(drawn: FloatArray, before: FloatArray, price: FloatArray, bars: FloatArray) -> None:
    """`exact_bar` of N lanes [N, 8], from the bars drawn and those before [N, 4]."""
    for n in range(len(price)):
        bar = exact_bar(
            drawn[n, 0],
            drawn[n, 1],
            drawn[n, 2],
            price[n],
            abs(before[n, 0]) + before[n, 1] + before[n, 2],
            before[n, 3],
            0.0,
        )
        put_bar(bar, bars, n)


@compiled
def inside(
    features: FloatArray, bar_range: int, log_volume: int, volume_level: float
) -> tuple[float, float]:
    """Range and volume that decoded features [F] tell of, from the columns of both."""
    volume = volume_level * math.exp(features[log_volume]) - 1.0
    return max(features[bar_range], 0.0), max(volume, 0.0)


@compiled
def look_inside(
    features: FloatArray,
    bar_range: int,
    log_volume: int,
    volume_level: FloatArray,
    ranges: FloatArray,
    volume: FloatArray,
) -> None:
    """`inside` of N lanes: features [N, F] to ranges and volumes [N]."""
    for n in range(len(ranges)):
        ranges[n], volume[n] = inside(features[n], bar_range, log_volume, volume_level[n])


@compiled
def inside_bars(
    log_return: FloatArray,
    ranges: FloatArray,
    fill_range: FloatArray,
    fill_volume: FloatArray,
    price: FloatArray,
    bars: FloatArray,
) -> None:
    """`inside_bar` of N lanes [N, 8]."""
    for n in range(len(log_return)):
        bar = inside_bar(log_return[n], ranges[n], price[n], fill_range[n], fill_volume[n], 0.0)
        put_bar(bar, bars, n)
