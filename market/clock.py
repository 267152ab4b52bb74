"""The calendar of a bar, which is known in advance, also in a dream: what hour it is, and where.

Markets keep the hours of those who trade them: the hour of the day and whether it is the weekend
(UTC), and the hour in New York, whose summer time moves it by one.
"""

from __future__ import annotations

import datetime

import numpy as np

from .arrays import IntArray
from .intervals import INTERVALS_MS, interval_ms
from .numerics.compiled import compiled

CALENDAR_CELLS = 72
"""Hour × weekend (48; bars of a day: the weekday), then the hour in New York (24)."""
PLACES = 48
"""The first of them."""

_HOUR_MS, _DAY_MS = INTERVALS_MS["60"], INTERVALS_MS["D"]
_YEAR_MS = 31_556_952_000  # on average
_STANDARD_HOURS = 5  # New York is behind UTC in winter
_YEARS = range(2007, 2101)  # since 2007 by the rule of today


def _sunday(year: int, month: int, number: int) -> datetime.date:
    first = datetime.date(year, month, 1)
    return first + datetime.timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))


def _change_ms(day: datetime.date, hour: int) -> int:
    midnight = datetime.datetime(day.year, day.month, day.day, hour, tzinfo=datetime.UTC)
    return int(midnight.timestamp()) * 1000


SUMMER_TIME: IntArray = np.array(
    [
        _change_ms(*change)
        for year in _YEARS
        for change in ((_sunday(year, 3, 2), 7), (_sunday(year, 11, 1), 6))
    ]
)
"""When New York's summer time begins and ends [ms UTC], by turns: at two o'clock there, on the second
Sunday of March and the first of November."""


@compiled
def calendar_cell(open_time_ms: int, bar_ms: int) -> tuple[int, int]:
    """The two cells of `CALENDAR_CELLS` that a bar of a length [ms] which opens then falls into."""
    day = open_time_ms // _DAY_MS
    weekday = (day + 3) % 7  # the first of January 1970 was a Thursday; 0 is Monday
    if bar_ms > _DAY_MS:
        return 0, PLACES
    if bar_ms == _DAY_MS:
        return weekday, PLACES
    hour = (open_time_ms // _HOUR_MS) % 24
    place = hour + 24 if weekday >= 5 else hour
    return place, PLACES + (hour - _STANDARD_HOURS + _summer(open_time_ms)) % 24


@compiled
def _summer(time_ms: int) -> int:
    """Hours that New York's clocks are moved then: how many changes lie behind is odd, or even."""
    changes = SUMMER_TIME.shape[0]
    # about two changes a year: guessed so, found nearby
    guess = 2 * ((time_ms - SUMMER_TIME[0]) // _YEAR_MS)
    behind = min(max(guess, 0), changes)
    while behind < changes and SUMMER_TIME[behind] <= time_ms:
        behind += 1
    while behind > 0 and SUMMER_TIME[behind - 1] > time_ms:
        behind -= 1
    moved: int = behind % 2
    return moved


def calendar_cells(open_time_ms: IntArray, interval: str) -> IntArray:
    """The cells of bars of an interval that open then [...]: [..., 2]."""
    times = np.asarray(open_time_ms, dtype=np.int64)
    cells = np.empty((times.size, 2), dtype=np.int64)
    _fill(times.ravel(), interval_ms(interval), cells)
    return cells.reshape(*times.shape, 2)


@compiled
def _fill(times: IntArray, bar_ms: int, cells: IntArray) -> None:
    for i in range(times.shape[0]):
        cells[i, 0], cells[i, 1] = calendar_cell(times[i], bar_ms)
