"""The market's clock as baselines use it: the season of a place in the day, and places in the week."""

from __future__ import annotations

import numpy as np

from ...market.arrays import FloatArray, IntArray
from ...market.clock import PLACES, calendar_cells
from ...market.intervals import INTERVALS_MS

_DAYS = 7
_DAY_MS, _WEEK_MS = INTERVALS_MS["D"], INTERVALS_MS["W"]
_MONDAY_MS = 4 * _DAY_MS  # 1970-01-05 was a Monday
_FEW = 20.0  # bars of the average place that stand beside those of each


def places(open_time_ms: IntArray, interval: str) -> IntArray:
    """UTC hour, plus 24 at weekends, of bars that open then [...]; the weekday of daily bars."""
    return np.asarray(calendar_cells(open_time_ms, interval)[..., 0])


def week_slots(open_time_ms: IntArray, interval_ms: int) -> IntArray:
    """Number of each bar [T] in its week, which begins on Monday."""
    return np.asarray((open_time_ms - _MONDAY_MS) % _WEEK_MS // interval_ms, dtype=np.int64)


def clock_indicators(open_time_ms: IntArray, interval: str) -> FloatArray:
    """`places` and day of the week, as ones and zeros [T, 55]."""
    days = np.eye(_DAYS)[week_slots(open_time_ms, _DAY_MS)]
    return np.concatenate([np.eye(PLACES)[places(open_time_ms, interval)], days], axis=1)


def clock_sum(coefficients: FloatArray, open_time_ms: IntArray, interval: str) -> FloatArray:
    """What bars that open then [...] have of the coefficients [55] of `clock_indicators` [...]."""
    of_place, of_day = np.split(coefficients, [PLACES])
    days = week_slots(open_time_ms, _DAY_MS)
    return np.asarray(of_place[places(open_time_ms, interval)] + of_day[days])


def season_of(returns: FloatArray, open_time_ms: IntArray, interval: str) -> FloatArray:
    """Mean absolute return of each of `places` ÷ the overall one, [48].

    Places with few bars are drawn towards 1, those without any are 1.
    """
    known = np.isfinite(returns)
    place, size = places(open_time_ms[known], interval), np.abs(returns[known])
    counts = np.bincount(place, minlength=PLACES)
    totals = np.bincount(place, weights=size / size.mean(), minlength=PLACES)
    season: FloatArray = (totals + _FEW) / (counts + _FEW)
    return season
