"""Whole bars as numbers relative to the close before them: what is drawn, and candles made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...market.arrays import BoolArray, FloatArray, IntArray
from ...market.candles import Candles
from ...market.drawn import drawn_candles
from ...market.streamed_bars import bar_numbers

_ROUNDING = 1e-9
_ALIKE = 50  # bars on either side that are as large as one


@dataclass(frozen=True, eq=False)
class Bars:
    """N paths of T bars, each relative to the close of the bar before it.

    Attributes:
        open_time_ms: Open times [N, T], ms UTC.
        log_return: Log returns close to close [N, T], fractions.
        upper: log(high ÷ the higher of close and the close before) [N, T]; below 0 in a bar that
            cannot be; None where nothing draws them.
        lower: log(the lower of close and the close before ÷ low) [N, T], likewise.
        volume: Volumes [N, T], base currency, or in any unit; None likewise.
        expected: Mean simple return of each bar, as it was known before it was drawn [N, T]; None
            where nobody knows.
        note: What there is to say about how they were made; mostly nothing.
    """

    open_time_ms: IntArray
    log_return: FloatArray
    upper: FloatArray | None = None
    lower: FloatArray | None = None
    volume: FloatArray | None = None
    expected: FloatArray | None = None
    note: str = ""

    def __len__(self) -> int:
        return len(self.log_return)

    @classmethod
    def of(cls, candles: Candles) -> Bars:
        """One path: the recorded bars but the first; NaN where a gap leaves no close before a bar."""
        numbers = bar_numbers(candles)[1:].T[:, None]  # [4, 1, T - 1]
        return cls(candles.open_time_ms[None, 1:], *numbers)

    def cut(self, paths: IntArray | slice, bars: slice) -> Bars:
        """Some bars of some of the paths."""

        def some(part: FloatArray | None) -> FloatArray | None:
            return None if part is None else part[paths][:, bars]

        return Bars(
            self.open_time_ms[paths][:, bars],
            self.log_return[paths][:, bars],
            some(self.upper),
            some(self.lower),
            some(self.volume),
            some(self.expected),
            self.note,
        )

    @property
    def impossible(self) -> float | None:
        """Share of bars whose high or low lies inside their body; None without wicks."""
        if self.upper is None or self.lower is None:
            return None
        return float(((self.upper < -_ROUNDING) | (self.lower < -_ROUNDING)).mean())

    def shifted(self, log_return: float) -> Bars:
        """The same bars, each of which earns so much more."""
        expected = None if self.expected is None else self.expected + log_return
        return replace(self, log_return=self.log_return + log_return, expected=expected)

    def with_relative_volume(self, bars: int) -> Bars:
        """The same, each volume ÷ the mean of so many up to it: recorded ones grow over the years."""
        if self.volume is None:
            return self
        whole = np.cumsum(self.volume, axis=1)
        before = np.pad(whole, ((0, 0), (bars, 0)))[:, : -bars or None]
        lengths = np.minimum(np.arange(1, whole.shape[1] + 1), bars)
        usual = np.maximum((whole - before) / lengths, 1e-12)
        return replace(self, volume=self.volume / usual)

    def with_volume_of(self, candles: Candles, rows: IntArray, bars: int) -> Bars:
        """The same, relative volumes times the mean of so many recorded bars up to each path's row."""
        if self.volume is None:
            return self
        window = np.maximum(rows[:, None] + np.arange(1 - bars, 1), 0)
        return replace(self, volume=self.volume * candles.volume[window].mean(axis=1)[:, None])

    def dressed_as(self, record: Bars, rng: np.random.Generator) -> Bars:
        """The same returns, each with wicks and volume of a recorded bar that moved as much.

        Args:
            record: One path with wicks and volumes.
            rng: Chooses among the 50 bars on either side in size.
        """
        assert record.upper is not None
        assert record.lower is not None
        assert record.volume is not None
        known = np.flatnonzero(np.isfinite(record.log_return[0]))
        order = known[np.argsort(np.abs(record.log_return[0, known]), kind="stable")]
        sizes = np.abs(record.log_return[0, order])
        place = np.searchsorted(sizes, np.abs(self.log_return))
        place = place + rng.integers(-_ALIKE, _ALIKE + 1, size=place.shape)
        rows = order[np.clip(place, 0, len(order) - 1)]
        return replace(
            self,
            upper=record.upper[0][rows],
            lower=record.lower[0][rows],
            volume=record.volume[0][rows],
        )

    def candles(self, path: int, start_price: float, like: Candles) -> Candles:
        """One path as candles whose first bar opens at this price.

        Args:
            path: Which one.
            start_price: The close before its first bar.
            like: Gives symbol and interval.
        """
        nothing = np.zeros(self.log_return.shape[1])
        upper, lower, volume = (
            default if part is None else part[path]
            for part, default in (
                (self.upper, nothing),
                (self.lower, nothing),
                (self.volume, nothing + 1.0),
            )
        )
        return drawn_candles(
            self.open_time_ms[path],
            np.stack([self.log_return[path], upper, lower, volume], axis=1),
            start_price,
            symbol=like.symbol,
            interval=like.interval,
        )


def follows(candles: Candles) -> BoolArray:
    """Which bars [T] follow the one before without a gap."""
    steps = np.diff(candles.open_time_ms) == candles.interval_ms
    return np.append(False, steps)
