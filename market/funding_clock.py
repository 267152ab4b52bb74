"""When funding is charged: a clock whose interval changes, and how to read it from a record.

An exchange charges at multiples of an interval, and changes the interval by symbol and by the hour:
from 8 h to 4 h, to 1 h where rates are extreme, and back. One grid laid over such a history sees
gaps where there were none. So the interval is read from the recorded instants, stretch by stretch.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import IntArray
from .intervals import INTERVALS_MS

FUNDING_INTERVAL_MS = 8 * 3_600_000
"""Bybit's usual distance between two funding instants [ms]: 00:00, 08:00 and 16:00 UTC."""

_DAY_MS = INTERVALS_MS["D"]
_MOST_GRIDS = 16  # an exchange knows a handful; more are stamps that keep no time
_ODD_STEP = 1  # decides only where an instant is on two grids: it belongs to that of its step
_HOLE = 1 << 40
_CHANGE = _HOLE + (1 << 20)  # of two readings that are as good, the one with fewer changes
_IMPOSSIBLE = 1 << 60


class FundingGrid(NamedTuple):
    """Instants ``phase_ms + n·interval_ms`` since 1970 UTC."""

    interval_ms: int
    phase_ms: int = 0


@dataclass(frozen=True, eq=False)
class FundingClock:
    """Funding instants, whose grid changes now and then.

    Stretch j holds the instants of ``grids[j]`` later than ``since_ms[j]``, up to and including
    ``since_ms[j + 1]``. The first reaches back to 1970, the last has no end.

    Attributes:
        since_ms: Where the stretches begin [S], increasing; the first is 0.
        grids: The instants of each [S].
    """

    since_ms: IntArray
    grids: tuple[FundingGrid, ...]

    @classmethod
    def every(cls, interval_ms: int) -> FundingClock:
        """One grid for all time: the multiples of an interval since 1970 UTC."""
        return cls(np.zeros(1, dtype=np.int64), (FundingGrid(interval_ms),))

    def then(self, since_ms: int, grid: FundingGrid) -> FundingClock:
        """The same up to an instant, another grid after it."""
        kept = int(np.searchsorted(self.since_ms, since_ms))
        since = np.append(self.since_ms[:kept], since_ms)
        return FundingClock(since, (*self.grids[:kept], grid))

    def counted(self, time_ms: ArrayLike) -> IntArray:
        """Instants since 1970 up to and including each time, any shape."""
        times = np.asarray(time_ms, dtype=np.int64)
        if len(self.grids) == 1:  # nearly always, and dreams ask at every bar
            interval, phase = self.grids[0]
            alone: IntArray = (times - phase) // interval + (phase > 0)
            return alone
        stretch = np.maximum(np.searchsorted(self.since_ms, times) - 1, 0)
        began = self.since_ms[stretch]
        counted: IntArray = self._passed[stretch] + self._ticks(stretch, began, times)
        return counted

    def stretch(self, number: ArrayLike) -> NDArray[np.intp]:
        """Which stretch holds the n-th instant since 1970, n from 1, any shape."""
        return np.searchsorted(self._passed, np.asarray(number)) - 1

    def instants(self, after_ms: int, until_ms: int) -> IntArray:
        """The instants later than one time, up to and including another [ms UTC]."""
        numbers = np.arange(int(self.counted(after_ms)) + 1, int(self.counted(until_ms)) + 1)
        stretch = self.stretch(numbers)
        # In its stretch the first instant is the first of the grid after the beginning.
        first = self._ticks_before(stretch, self.since_ms[stretch]) + 1
        tick = first + numbers - self._passed[stretch] - 1
        interval, phase = self._columns
        times: IntArray = phase[stretch] + tick * interval[stretch]
        return times

    @cached_property
    def _columns(self) -> tuple[IntArray, IntArray]:
        """Intervals and phases [S]."""
        table = np.array(self.grids, dtype=np.int64)
        return table[:, 0], table[:, 1]

    @cached_property
    def _passed(self) -> IntArray:
        """Instants before each stretch [S]."""
        stretch = np.arange(len(self.grids) - 1)
        lengths = self._ticks(stretch, self.since_ms[:-1], self.since_ms[1:])
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])

    def _ticks(self, stretch: NDArray[np.intp], after: IntArray, until: IntArray) -> IntArray:
        """Instants of a stretch's grid in (after, until]."""
        return self._ticks_before(stretch, until) - self._ticks_before(stretch, after)

    def _ticks_before(self, stretch: NDArray[np.intp], time: IntArray) -> IntArray:
        interval, phase = self._columns
        return (time - phase[stretch]) // interval[stretch]


def read_clock(time_ms: IntArray, default_ms: int = FUNDING_INTERVAL_MS) -> FundingClock:
    """The clock behind recorded instants [K], increasing.

    Every instant is explained by a grid that some two neighbours of the record span. Of all such
    explanations the one with the fewest holes and changes together is taken: a step that skips an
    instant is a hole if the grid goes on behind it, and a change if another one does. Where the two
    sides of a hole disagree, the longer interval is assumed in it: nothing counts as missing that
    may never have been due.

    Args:
        time_ms: The instants [ms UTC].
        default_ms: The interval where the record is too short to tell.
    """
    grids = _candidates(time_ms)
    on_grid = np.array([(time_ms - g.phase_ms) % g.interval_ms == 0 for g in grids]).T  # [K, G]
    if not len(grids) or not on_grid.any():
        return FundingClock.every(default_ms)
    kept = on_grid.any(axis=1)  # a stamp on no grid tells nothing about the clock
    times = time_ms[kept]
    return _stretches(times, [grids[i] for i in _explained(times, grids, on_grid[kept])])


def _candidates(times: IntArray) -> list[FundingGrid]:
    """Grids that two successive instants span, longest first: those whose day has whole steps."""
    steps = np.diff(times)
    whole = (steps > 0) & (_DAY_MS % np.maximum(steps, 1) == 0)
    pairs = np.stack([steps[whole], times[1:][whole] % steps[whole]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    common = np.argsort(-counts, kind="stable")[:_MOST_GRIDS]
    return sorted((FundingGrid(*map(int, found[i])) for i in common), reverse=True)


def _explained(times: IntArray, grids: list[FundingGrid], on_grid: NDArray[np.bool_]) -> list[int]:
    """Which grid each instant [K] belongs to, by dynamic programming over the record."""
    count = len(grids)
    if count == 1:
        return [0] * len(times)
    longer = np.minimum.outer(np.arange(count), np.arange(count))  # sorted: longest first
    steps = np.diff(times)
    holes = np.stack([_skips(times, grid) for grid in grids], axis=1) * _HOLE  # [K - 1, G]
    odd = np.stack([steps != grid.interval_ms for grid in grids], axis=1) * _ODD_STEP
    change = np.where(np.eye(count, dtype=bool), 0, _CHANGE)
    allowed = np.where(on_grid, 0, _IMPOSSIBLE)
    allowed[1:] += odd
    cost, came_from = allowed[0], []
    for step, refused in zip(holes, allowed[1:], strict=True):
        ways = cost[:, None] + change + step[longer]  # [G before, G now]
        came_from.append(ways.argmin(axis=0))
        cost = ways.min(axis=0) + refused
    path = [int(cost.argmin())]
    for origin in reversed(came_from):
        path.append(int(origin[path[-1]]))
    return path[::-1]


def _skips(times: IntArray, grid: FundingGrid) -> NDArray[np.bool_]:
    """Steps [K - 1] between successive instants that skip an instant of the grid."""
    before, last = (times[:-1] - grid.phase_ms), (times[1:] - 1 - grid.phase_ms)
    return np.asarray(last // grid.interval_ms > before // grid.interval_ms)


def _stretches(times: IntArray, grids: list[FundingGrid]) -> FundingClock:
    """Joins instants of one grid; a change lies where the longer interval may have ruled until."""
    clock = FundingClock(np.zeros(1, dtype=np.int64), (grids[0],))
    for row in np.flatnonzero([a != b for a, b in itertools.pairwise(grids)]):
        before, after = grids[row], grids[row + 1]
        since = int(times[row])
        if after.interval_ms < before.interval_ms:
            since = max(since, int(times[row + 1]) - after.interval_ms)
        clock = clock.then(since, after)
    return clock
