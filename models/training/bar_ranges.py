"""Ranges of bars as tensors: what the stages of training and fine-tuning read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...market.arrays import FloatArray, IntArray
from ...market.candles import Candles
from ...market.clock import CALENDAR_CELLS, calendar_cells
from ...market.features import Scaler
from ...market.streams import FEATURES, bar_numbers
from ..bars.networks import FEATURE_LIMIT
from ..feature_range import FeatureRange

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
        bars: Of bar t + 1, as `BarRNN.bar_log_prob` takes them [T, 4].
        outlook: Standardised targets of the auxiliary loss [T, 4]; NaN where the range ends before.
        rows: Rows t that count: complete features, and a bar without a gap after them [N].
        months: The month of each row [T].
        times: How often a month counts, by its number; None is once.
        source: The range.
    """

    features: Tensor
    cells: Tensor
    bars: Tensor
    outlook: Tensor
    rows: Tensor
    source: FeatureRange
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
    starts = np.cumsum([0, *(len(one.source) for one in ranges)])
    runs = [
        (a + start, b + start)
        for one, start in zip(ranges, starts, strict=False)
        for a, b in one.source.runs
    ]
    source = FeatureRange(
        np.concatenate([one.source.features for one in ranges]),
        np.concatenate([one.source.calendar_next for one in ranges]),
        tuple((int(a), int(b)) for a, b in runs),
    )
    return BarRange(
        torch.cat([one.features for one in ranges]),
        torch.cat([_marked(one.cells, number) for number, one in enumerate(ranges)]),
        torch.cat([one.bars for one in ranges]),
        torch.cat([one.outlook for one in ranges]),
        torch.cat([one.rows + int(start) for one, start in zip(ranges, starts, strict=False)]),
        source,
        np.concatenate([one.months for one in ranges]),
    )


def _marked(cells: Tensor, number: int) -> Tensor:
    mark = torch.full((len(cells), 1), CALENDAR_CELLS + number, dtype=cells.dtype)
    return torch.cat([cells, mark], dim=1)


def bar_range(
    candles: Candles,
    source: FeatureRange,
    scaler: Scaler,
    scale: float,
    withheld: Sequence[int] = (),
) -> BarRange:
    """A range of candles, standardised by the training range's scaler and scale of returns.

    Args:
        candles: The range.
        source: Its features.
        scaler: The training range's.
        scale: Deviation of the training range's log returns.
        withheld: Columns of the features that are 0 throughout.
    """
    features = np.nan_to_num(scaler.without(withheld).transform(source.features))
    features = np.clip(features, -FEATURE_LIMIT, FEATURE_LIMIT).astype(np.float32)
    bars = _next_bars(candles, source.features, scale)
    rows = _rows(source)
    times = candles.open_time_ms + candles.interval_ms
    return BarRange(
        torch.from_numpy(features),
        torch.from_numpy(calendar_cells(times, candles.interval)),
        torch.from_numpy(np.nan_to_num(bars).astype(np.float32)),
        torch.from_numpy(_outlooks(candles, source, scaler).astype(np.float32)),
        torch.from_numpy(rows),
        source,
        candles.open_time_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64),
    )


def _rows(source: FeatureRange) -> IntArray:
    ends = [np.arange(max(a, source.scored_from - 1), b - 1) for a, b in source.runs]
    return np.concatenate([*ends, np.empty(0, dtype=np.int64)])


def _next_bars(candles: Candles, features: FloatArray, scale: float) -> FloatArray:
    """What came after each bar [T, 4]; the last row is NaN."""
    numbers = bar_numbers(candles)
    numbers[:, :3] /= scale
    numbers[:, 3] = features[:, _column("volume")]
    return np.concatenate([numbers[1:], np.full((1, 4), np.nan)])


def _column(name: str) -> int:
    return [feature.name for feature in FEATURES].index(name)


def _outlooks(candles: Candles, source: FeatureRange, scaler: Scaler) -> FloatArray:
    """Log range of the next bar, log volatilities of the next ones, next volume, standardised [T, 4].

    All by the units of the features, which the training range gave.
    """
    features, count = source.features, len(candles)
    log_range = features[:, _column("range")] + features[:, _column("level")]
    volume = features[:, _column("volume")]
    squares = np.nan_to_num(bar_numbers(candles)[:, 0]) ** 2
    total = np.concatenate([[0.0], np.cumsum(squares)])
    columns = [np.append(log_range[1:], np.nan)]
    for bars in _OUTLOOK_BARS:
        ahead = np.full(count, np.nan)
        sums = total[bars + 1 :] - total[1:-bars]
        ahead[: len(sums)] = 0.5 * np.log(sums / bars + _VARIANCE_FLOOR)
        columns.append(ahead)
    columns.append(np.append(volume[1:], np.nan))
    level, size = scaler.mean[_column("level")], scaler.scale
    ranges = scaler.scale[_column("range")] + size[_column("level")]
    middle = level + scaler.mean[_column("range")]
    means = (middle, level, level, scaler.mean[_column("volume")])
    scales = (ranges, size[_column("level")] + 0.2, size[_column("level")] + 0.2)
    outlook = np.stack(columns, axis=1) - np.array(means)
    result: FloatArray = outlook / np.array([*scales, size[_column("volume")]])
    return result
