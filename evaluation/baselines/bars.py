"""Whole bars as numbers relative to the close before them: what is drawn, and candles made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...market.arrays import BoolArray, FloatArray, IntArray
from ...market.candles import Candles
from ...market.streams import bar_numbers

_ROUNDING = 1e-9
_MOST = 700.0  # a log price beyond has no float64


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
        note: What there is to say about how they were made; mostly nothing.
    """

    open_time_ms: IntArray
    log_return: FloatArray
    upper: FloatArray | None = None
    lower: FloatArray | None = None
    volume: FloatArray | None = None
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
            self.note,
        )

    @property
    def impossible(self) -> float | None:
        """Share of bars whose high or low lies inside their body; None without wicks."""
        if self.upper is None or self.lower is None:
            return None
        return float(((self.upper < -_ROUNDING) | (self.lower < -_ROUNDING)).mean())

    def candles(self, path: int, start_price: float, like: Candles) -> Candles:
        """One path as candles whose first bar opens at this price.

        Args:
            path: Which one.
            start_price: The close before its first bar.
            like: Gives symbol and interval.
        """
        level = np.log(start_price) + np.cumsum(np.append(0.0, self.log_return[path]))
        prices = np.exp(np.clip(level, -_MOST, _MOST))
        opening, close = prices[:-1], prices[1:]
        high, low = np.maximum(opening, close), np.minimum(opening, close)
        if self.upper is not None and self.lower is not None:
            high, low = high * np.exp(self.upper[path]), low * np.exp(-self.lower[path])
        volume = np.ones(len(close)) if self.volume is None else self.volume[path]
        return Candles(
            open_time_ms=self.open_time_ms[path],
            open=opening,
            high=high,
            low=low,
            close=close,
            volume=volume,
            turnover=volume * close,
            symbol=like.symbol,
            interval=like.interval,
        )


def follows(candles: Candles) -> BoolArray:
    """Which bars [T] follow the one before without a gap."""
    steps = np.diff(candles.open_time_ms) == candles.interval_ms
    return np.append(False, steps)
