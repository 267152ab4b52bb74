"""What a picture is drawn of: the episode so far, and the bars before it."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from ..market.arrays import FloatArray, IntArray
from ..market.candles import Candles

PICTURE_SIZE = (960, 640)
"""Width and height [pixels]; even, as video encoders want them."""
PAST_BARS = 160
"""Bars before an episode that a picture has room for, at most."""
FIELDS = ("open", "high", "low", "close", "equity", "weight", "costs")


class PastBars(NamedTuple):
    """Bars up to the one that an episode starts after.

    Attributes:
        interval_ms: Length of a bar.
        time_ms: Open times [B], ms UTC, oldest first.
        bars: Open, high, low and close [B, 4].
    """

    interval_ms: int
    time_ms: IntArray
    bars: FloatArray

    @classmethod
    def of(cls, candles: Candles, row: int) -> Self:
        """The candles up to a row, from the last gap on."""
        first = max(start for start, _ in candles.segments() if start <= row)
        some = candles.rows(max(first, row + 1 - PAST_BARS), row + 1)
        bars = np.stack([getattr(some, name) for name in FIELDS[:4]], axis=1)
        return cls(candles.interval_ms, some.open_time_ms, bars)


class EpisodeTrace:
    """The episode so far, one row for each observation, after the bars that came before it.

    Args:
        title: Of the market.
        past: Bars up to the first observation's.
        num_steps: Bars of the episode.

    Attributes:
        interval_ms: Length of a bar.
        first: Row of the episode's first observation.
        last: Row of its last one, if nothing ends it before.
        newest: Row of the newest one.
    """

    def __init__(self, title: str, past: PastBars, num_steps: int) -> None:
        self.title = title
        self.interval_ms = past.interval_ms
        self.first = self.newest = len(past.time_ms) - 1
        self.last = self.first + num_steps
        self._table = np.zeros((self.last + 1, len(FIELDS)))
        self._table[: self.first + 1, :4] = past.bars
        self._table[: self.first + 1, FIELDS.index("equity")] = 1.0
        self._time_ms: IntArray = np.zeros(self.last + 1, dtype=np.int64)
        self._time_ms[: self.first + 1] = past.time_ms

    def append(
        self,
        time_ms: int,
        bar: tuple[float, float, float, float],
        equity: float,
        weight: float,
        cost: float,
    ) -> None:
        """Add the state after a bar.

        Args:
            time_ms: Open time of the bar.
            bar: Open, high, low and close.
            equity: After it.
            weight: After it.
            cost: Paid at its beginning, fraction of the equity before.
        """
        *_, before, _, paid = self._table[self.newest]
        self.newest += 1
        self._time_ms[self.newest] = time_ms
        self._table[self.newest] = (*bar, equity, weight, paid + cost * before)

    def column(self, name: str, start: int = 0) -> FloatArray:
        """One of `FIELDS` from a row on to the newest; costs are summed, in units of equity."""
        values: FloatArray = self._table[start : self.newest + 1, FIELDS.index(name)]
        return values

    @property
    def newest_close(self) -> float:
        """Close of the newest bar."""
        return float(self._table[self.newest, FIELDS.index("close")])

    @property
    def time_ms(self) -> IntArray:
        """Open times of all bars so far."""
        return self._time_ms[: self.newest + 1]
