"""The market's clock: markets are livelier at some hours of the day and on some days of the week."""

from __future__ import annotations

import numpy as np

from ...market.arrays import FloatArray, IntArray
from ...market.intervals import INTERVALS_MS

CLASSES = 48
"""Hours of the day, on weekdays and at weekends."""
WEEKDAYS = 7

_HOUR_MS, _DAY_MS, _WEEK_MS = (INTERVALS_MS[code] for code in ("60", "D", "W"))
_MONDAY_MS = 4 * _DAY_MS  # 1970-01-05 was a Monday
_FEW = 20.0  # bars of the average hour that stand beside those of each


def hour_classes(open_time_ms: IntArray) -> IntArray:
    """UTC hour of bars that open then, plus 24 at weekends, [T]; daily bars have hour 0."""
    hour = open_time_ms % _DAY_MS // _HOUR_MS
    return np.asarray(hour + 24 * (weekdays(open_time_ms) >= 5), dtype=np.int64)


def weekdays(open_time_ms: IntArray) -> IntArray:
    """Day of the week [T]: 0 is Monday."""
    return np.asarray((open_time_ms - _MONDAY_MS) % _WEEK_MS // _DAY_MS, dtype=np.int64)


def week_slots(open_time_ms: IntArray, interval_ms: int) -> IntArray:
    """Number of each bar [T] in its week, which begins on Monday."""
    return np.asarray((open_time_ms - _MONDAY_MS) % _WEEK_MS // interval_ms, dtype=np.int64)


def clock_indicators(open_time_ms: IntArray) -> FloatArray:
    """Hour × weekend and day of the week, as ones and zeros [T, 55]."""
    hours = np.eye(CLASSES)[hour_classes(open_time_ms)]
    return np.concatenate([hours, np.eye(WEEKDAYS)[weekdays(open_time_ms)]], axis=1)


def season_of(returns: FloatArray, open_time_ms: IntArray) -> FloatArray:
    """Mean absolute return of each hour × weekend ÷ the overall one, [48].

    Classes with few bars are drawn towards 1, those without any are 1.
    """
    known = np.isfinite(returns)
    classes, size = hour_classes(open_time_ms)[known], np.abs(returns[known])
    counts = np.bincount(classes, minlength=CLASSES)
    totals = np.bincount(classes, weights=size / size.mean(), minlength=CLASSES)
    season: FloatArray = (totals + _FEW) / (counts + _FEW)
    return season
