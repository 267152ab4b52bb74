"""Ranges of candles as V and M see them: features and calendar, in runs that cross no gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..market.arrays import Float32Array, FloatArray, IntArray
from ..market.candles import Candles, join_candles
from ..market.errors import TrainingError
from ..market.features import Features, calendar, compute_features, valid_rows

Run = tuple[int, int]


@dataclass(frozen=True, eq=False)
class FeatureRange:
    """A range of candles as V and M see it.

    Attributes:
        features: Raw features [T, F], NaN where incomplete.
        calendar_next: Calendar of the bar after each row [T, 4].
        runs: Row ranges of complete features in which time never jumps.
        scored_from: First row that counts; the rows before it are context.
    """

    features: FloatArray
    calendar_next: Float32Array
    runs: tuple[Run, ...]
    scored_from: int = 0

    def __len__(self) -> int:
        return len(self.features)

    @property
    def complete_rows(self) -> IntArray:
        """Rows with complete features that count, in order."""
        rows = [np.arange(max(start, self.scored_from), stop) for start, stop in self.runs]
        return np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)

    @property
    def longest_run(self) -> int:
        """Bars in the longest run."""
        return max((stop - start for start, stop in self.runs), default=0)


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
        candles = _joined(candles, context, before)
    features = compute_features(candles, spec)
    return FeatureRange(
        features=features,
        calendar_next=calendar(candles.open_time_ms + candles.interval_ms),
        runs=complete_runs(features, candles),
        scored_from=before,
    )


def with_context(candles: Candles, context: Candles, source: FeatureRange) -> Candles:
    """The candles that a range's rows are of, context included."""
    return _joined(candles, context, source.scored_from)


def _joined(candles: Candles, context: Candles, before: int) -> Candles:
    return _join(context.rows(len(context) - before, len(context)), candles) if before else candles


def complete_runs(features: FloatArray, candles: Candles) -> tuple[Run, ...]:
    """Row ranges [start, stop) of complete features, without a jump in time inside."""
    runs: list[Run] = []
    for first, last in candles.segments():
        valid = np.concatenate([[False], valid_rows(features[first:last]), [False]])
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
