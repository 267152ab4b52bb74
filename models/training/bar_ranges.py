"""Ranges of bars as tensors: what the stages of training and fine-tuning read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.clock import CALENDAR_CELLS, calendar_cells
from ...market.features import Scaler, feature_chunks
from ...market.streamed_bars import bar_numbers
from ...market.streams import FEATURES
from ..bars.networks import FEATURE_LIMIT
from ..feature_range import CompleteRows, FeatureRange, Run

OUTLOOK = (0.3, 0.15, 0.15, 0.1)
"""Weights of the auxiliary loss: next range, volatility of 6 and 24 bars, next volume."""

_OUTLOOK_BARS = (6, 24)
_VARIANCE_FLOOR = 1e-10  # of mean squared returns


@dataclass(frozen=True, eq=False)
class BarRange:
    """A range of bars as tensors; row t looks from the close of bar t at bar t + 1.

    Attributes:
        features: Standardised and clipped [T, F], 0 where incomplete.
        cells: Of the calendar of bar t + 1 [T, 2]; of joined ranges also of the symbol [T, 3].
        bars: Of bar t + 1, as `BarRNN.column_log_prob` takes them [T, 4 + J].
        outlook: Standardised targets of the auxiliary loss [T, 4]; NaN where the range ends before.
        rows: Rows t that count: complete features, and a bar without a gap after them [N].
        months: The month of each row [T].
        times: How often a month counts, by its number; None is once.
        runs: Row ranges of complete features in which time never jumps.
    """

    features: Tensor
    cells: Tensor
    bars: Tensor
    outlook: Tensor
    rows: Tensor
    runs: tuple[Run, ...]
    months: IntArray
    times: IntArray | None = None

    def resampled(self, rng: np.random.Generator) -> BarRange:
        """The same with as many of its months, drawn with replacement (Breiman 1996)."""
        known = np.unique(self.months)
        times = np.bincount(rng.choice(known, len(known)), minlength=int(known[-1]) + 1)
        rows = self.rows.numpy()
        repeated = np.repeat(rows, times[self.months[rows]])
        return replace(self, rows=torch.from_numpy(repeated), times=times)

    def counted(self, starts: IntArray, scored: int) -> IntArray:
        """First rows of chunks, each as often as the month of its first scored row counts."""
        if self.times is None:
            return starts
        return np.repeat(starts, self.times[self.months[starts + scored]])

    def to(self, device: torch.device) -> BarRange:
        """The same on another device."""
        parts = ("features", "cells", "bars", "outlook", "rows")
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in parts}
        return replace(self, **moved)


def joined(ranges: Sequence[BarRange]) -> BarRange:
    """Ranges of several symbols one after the other, of which none is another's past.

    The calendar of range s has a third cell, the row `CALENDAR_CELLS` + s of M's table.
    """
    starts = np.cumsum([0, *(len(one.features) for one in ranges)])
    runs = [
        (a + start, b + start)
        for one, start in zip(ranges, starts, strict=False)
        for a, b in one.runs
    ]
    return BarRange(
        torch.cat([one.features for one in ranges]),
        torch.cat([_marked(one.cells, number) for number, one in enumerate(ranges)]),
        torch.cat([one.bars for one in ranges]),
        torch.cat([one.outlook for one in ranges]),
        torch.cat([one.rows + int(start) for one, start in zip(ranges, starts, strict=False)]),
        tuple((int(a), int(b)) for a, b in runs),
        np.concatenate([one.months for one in ranges]),
    )


def _marked(cells: Tensor, number: int) -> Tensor:
    mark = torch.full((len(cells), 1), CALENDAR_CELLS + number, dtype=cells.dtype)
    return torch.cat([cells, mark], dim=1)


def bar_range(
    source: FeatureRange,
    scaler: Scaler,
    scale: float,
    withheld: Sequence[int] = (),
    dreamed: Sequence[int] = (),
    column_scale: FloatArray | None = None,
) -> BarRange:
    """A range of candles, standardised by the training range's scaler and scale of returns.

    Args:
        source: The range.
        scaler: The training range's.
        scale: Deviation of the training range's log returns.
        withheld: Columns of the features that are 0 throughout.
        dreamed: Columns of the features that M draws [J].
        column_scale: Deviation of their changes, standardised [J].
    """
    candles, shown, kept = source.candles, scaler.without(withheld), [*_TOLD, *dreamed]
    features = np.empty((len(source), len(source.spec.names)), dtype=np.float32)
    told = np.empty((len(source), len(kept)))
    for first, raw in feature_chunks(candles, source.spec):
        rows = slice(first, first + len(raw))
        seen = np.nan_to_num(shown.transform(raw))
        features[rows] = np.clip(seen, -FEATURE_LIMIT, FEATURE_LIMIT)
        told[rows] = raw[:, kept]
    numbers, (log_range, level, volume) = bar_numbers(candles), told.T[: len(_TOLD)]
    outlook = _outlooks(numbers[:, 0], log_range + level, volume, scaler)
    bars = _next_bars(numbers, volume, scale)
    if column_scale is not None:
        units = scaler.scale[list(dreamed)] * column_scale
        changes = np.nan_to_num(column_changes(told[:, len(_TOLD) :], units))
        bars = np.concatenate([bars, changes.astype(np.float32)], axis=1)
    times = candles.open_time_ms + candles.interval_ms
    return BarRange(
        torch.from_numpy(features),
        torch.from_numpy(calendar_cells(times, candles.interval)),
        torch.from_numpy(bars),
        torch.from_numpy(outlook),
        torch.from_numpy(_rows(source.complete)),
        source.complete.runs,
        candles.open_time_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64),
    )


def _rows(complete: CompleteRows) -> IntArray:
    ends = [np.arange(max(a, complete.scored_from - 1), b - 1) for a, b in complete.runs]
    return np.concatenate([*ends, np.empty(0, dtype=np.int64)])


def _next_bars(numbers: FloatArray, volume: FloatArray, scale: float) -> Float32Array:
    """What came after each bar [T, 4], in M's units; the last row is 0.

    Args:
        numbers: Of every bar [T, 4], see `bar_numbers`.
        volume: Relative log volumes [T].
        scale: Unit of returns and wicks.
    """
    bars = np.zeros(numbers.shape, dtype=np.float32)
    bars[:-1, :3] = np.nan_to_num(numbers[1:, :3] / scale)
    bars[:-1, 3] = np.nan_to_num(volume[1:])
    return bars


def column_changes(values: FloatArray, units: FloatArray) -> FloatArray:
    """How columns [T, J] change until the next bar, in units [J]; the last row is NaN."""
    changes: FloatArray = np.diff(values, axis=0, append=np.nan)
    return changes / units


def _column(name: str) -> int:
    return [feature.name for feature in FEATURES].index(name)


_TOLD = [_column(name) for name in ("range", "level", "volume")]


def _outlooks(
    returns: FloatArray, log_range: FloatArray, volume: FloatArray, scaler: Scaler
) -> Float32Array:
    """Log range of the next bar, log volatilities of the next ones, next volume, standardised [T, 4].

    All by the units of the features, which the training range gave.

    Args:
        returns: Log returns [T].
        log_range: Logarithms of ranges [T].
        volume: Relative log volumes [T].
        scaler: Of the features.
    """
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(returns) ** 2)])
    asked = [np.append(log_range[1:], np.nan)]
    for bars in _OUTLOOK_BARS:
        ahead = np.full(len(returns), np.nan)
        sums = total[bars + 1 :] - total[1:-bars]
        ahead[: len(sums)] = 0.5 * np.log(sums / bars + _VARIANCE_FLOOR)
        asked.append(ahead)
    asked.append(np.append(volume[1:], np.nan))
    (range_mean, level, volume_mean), scales = scaler.mean[_TOLD], scaler.scale[_TOLD]
    spread = scales[1] + 0.2
    means = (level + range_mean, level, level, volume_mean)
    units = (scales[0] + scales[1], spread, spread, scales[2])
    outlook = np.empty((len(returns), len(asked)), dtype=np.float32)
    for column, (values, mean, unit) in enumerate(zip(asked, means, units, strict=True)):
        outlook[:, column] = (values - mean) / unit
    return outlook
