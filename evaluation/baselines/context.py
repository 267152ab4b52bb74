"""What a network without memory sees: averages of ranges, volume and momentum, and the clock.

Exponential averages and averages by hour, each of bars up to and including t, [T, F]; and the
calendar of the next bar, as indicators [T, C].
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.candles import Candles
from ...market.intervals import INTERVALS_MS
from .clock import clock_indicators

_SPANS = (1, 2, 3, 6, 12, 24, 48, 168, 336)
_LEAST = 1e-8  # added to variances, fractions²: a ten-thousandth a bar
_LAGS = 3
WARMUP_BARS = 336


class Context(Protocol):
    """Where a network without memory gets its inputs from."""

    def __call__(self, candles: Candles) -> tuple[Float32Array, Float32Array]:
        """Inputs [T, F] from bars up to t (NaN where there are none) and calendar of t + 1 [T, C]."""


def bar_context(candles: Candles) -> tuple[Float32Array, Float32Array]:
    """Inputs [T, F] of each bar, NaN in the first 336 after a gap, and the next bar's calendar."""
    columns = []
    for start, stop in candles.segments():
        part = _segment(candles.rows(start, stop))
        part[:WARMUP_BARS] = np.nan
        columns.append(part)
    after = candles.open_time_ms + candles.interval_ms
    return np.concatenate(columns).astype(np.float32), calendar_of(after)


def calendar_of(open_time_ms: IntArray) -> Float32Array:
    """UTC hour × weekend, weekday and the New York hour as indicators [T, 79]."""
    times = pd.DatetimeIndex(open_time_ms.astype("datetime64[ms]")).tz_localize("UTC")
    new_york = np.eye(24)[times.tz_convert("America/New_York").hour.to_numpy()]
    return np.concatenate([clock_indicators(open_time_ms), new_york], axis=1).astype(np.float32)


def _segment(candles: Candles) -> FloatArray:
    """Inputs of bars without a gap [T, F]."""
    log_close = np.log(candles.close)
    returns = np.diff(log_close, prepend=log_close[0])
    spread = np.log(candles.high / candles.low)
    parkinson = spread**2 / (4 * np.log(2))
    body = np.log(candles.close / candles.open)
    klass = np.maximum(0.5 * spread**2 - (2 * np.log(2) - 1) * body**2, 0.0)
    volume = np.log1p(candles.volume)
    slow = np.sqrt(_average(parkinson, 168) + _LEAST)
    size = 0.5 * np.log(parkinson + _LEAST)
    day = max(1, INTERVALS_MS["D"] // candles.interval_ms)
    columns = [
        0.5 * np.log(_average(variance, span) + _LEAST)
        for variance in (klass, parkinson, returns**2)
        for span in _SPANS
    ]
    columns += [_same_place(size, day, 7), _same_place(size, day, 28)]
    columns += [_same_place(size, 7 * day, 4)]
    level = _average(volume, 168)
    columns += [volume - level, *(_average(volume, span) - level for span in (6, 24))]
    columns += [np.sqrt(span) * _average(returns, span) / slow for span in (6, 24, 168)]
    columns += [np.log(_decaying_maximum(spread, span) + 1e-4) for span in (6, 24, 168)]
    high_wick = np.log(candles.high / np.maximum(candles.open, candles.close))
    low_wick = np.log(np.minimum(candles.open, candles.close) / candles.low)
    tilt = (high_wick - low_wick) / (spread + 1e-6)
    columns += [_average(tilt, span) for span in (1, 6, 24)]
    for lag in range(_LAGS):
        shift = [np.roll(values, lag) for values in (size, returns / slow, volume - level)]
        columns += [shift[0], np.clip(shift[1], -8, 8), shift[2]]
    return np.stack(columns, axis=1)


def _average(values: FloatArray, span: int) -> FloatArray:
    """Exponential average [T] with weight 2/(span + 1) on the newest bar."""
    weight = 2 / (span + 1)
    first = [(1 - weight) * values[0]]
    averaged: FloatArray = lfilter([weight], [1, weight - 1], values, zi=first)[0]
    return averaged


def _same_place(values: FloatArray, period: int, span: int) -> FloatArray:
    """Exponential average over bars that lie whole periods before the next bar [T]."""
    averaged = np.empty_like(values)
    for phase in range(min(period, len(values))):
        averaged[phase::period] = _average(values[phase::period], span)
    known = averaged[: max(0, len(values) - period + 1)]
    return np.concatenate([np.full(len(values) - len(known), averaged[0]), known])


def _decaying_maximum(values: FloatArray, span: int) -> FloatArray:
    """The largest of values that fade by (span − 1)/(span + 1) a bar [T]."""
    logs = np.log(np.maximum(values, 1e-12)) - np.arange(len(values)) * np.log1p(-2 / (span + 1))
    fade = np.arange(len(values)) * np.log1p(-2 / (span + 1))
    largest: FloatArray = np.exp(np.maximum.accumulate(logs) + fade)
    return largest
