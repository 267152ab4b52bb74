"""Ranges of candles as V and M see them: features and calendar, in runs that cross no gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ..market.candles import Candles, join_candles
from ..market.errors import TrainingError
from ..market.features import Features, calendar, complete_bars, compute_features

Run = tuple[int, int]


@dataclass(frozen=True, eq=False)
class CompleteRows:
    """Which rows of a range have complete features, and which of them count.

    Attributes:
        runs: Row ranges of complete features in which time never jumps.
        scored_from: First row that counts; the rows before it are context.
    """

    runs: tuple[Run, ...]
    scored_from: int = 0

    @property
    def complete_rows(self) -> IntArray:
        """Rows with complete features that count, in order."""
        rows = [np.arange(max(start, self.scored_from), stop) for start, stop in self.runs]
        return np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)

    @property
    def longest_run(self) -> int:
        """Bars in the longest run."""
        return max((stop - start for start, stop in self.runs), default=0)


@dataclass(frozen=True, eq=False)
class FeatureRange:
    """A range of candles as V and M see it.

    Attributes:
        candles: T bars, the context's first.
        spec: Which features of them.
        complete: Which of them are complete, and count.
    """

    candles: Candles
    spec: Features
    complete: CompleteRows

    def __len__(self) -> int:
        return len(self.candles)

    @property
    def features(self) -> FloatArray:
        """Raw features [T, F], NaN where incomplete; all of them in memory."""
        return compute_features(self.candles, self.spec)

    @property
    def calendar_next(self) -> Float32Array:
        """Calendar of the bar after each row [T, 4]."""
        return calendar(self.candles.open_time_ms + self.candles.interval_ms)


def feature_range(
    candles: Candles, spec: Features, context: Candles | None = None, context_bars: int = 0
) -> FeatureRange:
    """Features and calendar of candles.

    Args:
        candles: The bars that count.
        spec: Which features.
        context: Bars before them, used where they end at most where ``candles`` begin.
        context_bars: How many settled context rows to keep before the first bar that counts.
    """
    before = 0
    if context is not None and context.open_time_ms[-1] < candles.open_time_ms[0]:
        before = min(len(context), context_bars + spec.settled)
    if context is not None and before:
        candles = _join(context.rows(len(context) - before, len(context)), candles)
    runs = complete_runs(complete_bars(candles, spec), candles)
    return FeatureRange(candles, spec, CompleteRows(runs, before))


def complete_runs(complete: BoolArray, candles: Candles) -> tuple[Run, ...]:
    """Row ranges [start, stop) of complete rows [T], without a jump in time inside."""
    runs: list[Run] = []
    for first, last in candles.segments():
        valid = np.concatenate([[False], complete[first:last], [False]])
        edges = np.flatnonzero(valid[1:] != valid[:-1]) + first
        runs += [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return tuple(runs)


def _join(context: Candles, candles: Candles) -> Candles:
    if (context.symbol, context.interval) != (candles.symbol, candles.interval):
        raise TrainingError(
            f"context is {context.symbol} {context.interval}, "
            f"the candles are {candles.symbol} {candles.interval}; expected the same"
        )
    return join_candles([context, candles])
