"""The picture's geometry: which bars are on show, where values and times lie, and their labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np

from ..market.arrays import FloatArray
from ..market.intervals import INTERVALS_MS
from .trace import PICTURE_SIZE, EpisodeTrace

LEFT, RIGHT = 16, PICTURE_SIZE[0] - 80
"""Edges of the panels [pixels]; right of them stand the labels of values."""
BAR = 6
"""Pixels from one bar to the next."""

_LEAVING = 30  # bars over which an old one loses its say in the limits
_LABEL_GAP = 84  # pixels between labels of time, at least
_MARGIN = 0.06  # of a panel's height, above the highest value and below the lowest
_HOUR_MS, _DAY_MS, _WEEK_MS = INTERVALS_MS["60"], INTERVALS_MS["D"], INTERVALS_MS["W"]
_MONDAY_MS = 4 * _DAY_MS  # 1970-01-05
_STEPS_MS = (
    *(minutes * 60_000 for minutes in (1, 5, 15, 30)),
    *(hours * _HOUR_MS for hours in (1, 2, 4, 6, 12)),
    *(_DAY_MS, 2 * _DAY_MS),
    *(weeks * _WEEK_MS for weeks in (1, 2, 4, 13, 26, 52, 104)),
)


class Panel(NamedTuple):
    """A strip of the picture with a vertical axis.

    Attributes:
        top: Its upper edge [pixels].
        height: Its height [pixels].
        low: Value at the lower edge.
        high: Value at the upper edge.
    """

    top: int
    height: int
    low: float
    high: float

    @classmethod
    def around(cls, top: int, height: int, limits: tuple[float, float]) -> Self:
        """A panel that shows values between limits with a margin, and is never of no height."""
        low, high = limits
        room = max(_MARGIN * (high - low), 1e-9 * max(abs(low), abs(high), 1e-3))
        return cls(top, height, low - room, high + room)

    def y(self, values: FloatArray | float) -> FloatArray:
        """Where values lie [pixels]; far outside, not far beyond the edges."""
        share = (self.high - np.asarray(values, dtype=np.float64)) / (self.high - self.low)
        return np.asarray(self.top + np.clip(share, -9.0, 9.0) * self.height)

    @property
    def bottom(self) -> int:
        """Its lower edge [pixels]."""
        return self.top + self.height

    def ticks(self, count: int) -> tuple[FloatArray, int]:
        """About ``count`` round values inside the panel, and how many decimals tell them apart."""
        rough = (self.high - self.low) / count
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = magnitude * next(n for n in (1, 2, 5, 10) if n * magnitude >= 0.7 * rough)
        values = step * np.arange(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return np.asarray(values, dtype=np.float64), max(0, -math.floor(math.log10(step) + 1e-9))


class Window(NamedTuple):
    """The bars on show, the newest always at the same place.

    Attributes:
        start: Row of the first of them.
        x: Their middles [pixels, B].
        begin: Which of them the episode starts at; negative where that is out of sight.
        say: How much each counts for the limits of prices, from 0 for one about to leave to 1 [B].
    """

    start: int
    x: FloatArray
    begin: int
    say: FloatArray

    @classmethod
    def of(cls, trace: EpisodeTrace, now: int) -> Self:
        """The newest bars, the newest of all at x = ``now``."""
        start = max(0, trace.newest - (now - LEFT - BAR // 2) // BAR)
        x = now - BAR * np.arange(trace.newest - start, -1, -1, dtype=np.float64)
        say = np.clip((x - LEFT) / (BAR * _LEAVING), 0.0, 1.0)
        return cls(start, x, trace.first - start, say)

    @property
    def episode(self) -> slice:
        """Those of the bars that belong to the episode."""
        return slice(max(self.begin, 0), None)

    def limits(self, low: FloatArray, high: FloatArray, middle: float) -> tuple[float, float]:
        """Lowest and highest of values [B] as far as they count, seen from the newest one."""
        down = float(((middle - low) * self.say[-len(low) :]).max(initial=0.0))
        up = float(((high - middle) * self.say[-len(high) :]).max(initial=0.0))
        return middle - down, middle + up


def time_ticks(trace: EpisodeTrace, now: int) -> Iterator[tuple[int, str]]:
    """Where round times lie [pixels] and their labels, from the right to the left edge.

    They belong to the clock and not to the picture: as bars move on, so do they.
    """
    step_ms = next(
        (s for s in _STEPS_MS if s * BAR >= _LABEL_GAP * trace.interval_ms), _STEPS_MS[-1]
    )
    origin_ms = _MONDAY_MS if step_ms >= _WEEK_MS else 0
    newest_ms = int(trace.time_ms[-1])
    right_ms = newest_ms + (RIGHT - now) * trace.interval_ms // BAR
    tick_ms = (right_ms - origin_ms) // step_ms * step_ms + origin_ms
    while True:
        x = now + (tick_ms - newest_ms) * BAR // trace.interval_ms
        if x < LEFT:
            return
        yield x, time_label(tick_ms, step_ms)
        tick_ms -= step_ms


def time_label(time_ms: int, step_ms: int) -> str:
    """A time in as few words as its neighbours need: ``14:00``, ``Tue 5 Mar``, ``5 Mar 2024``."""
    moment = np.datetime64(time_ms, "ms").astype(object)
    day = f"{moment.day} {_MONTHS[moment.month - 1]}"
    if step_ms < _DAY_MS and time_ms % _DAY_MS:
        return f"{moment:%H:%M}"
    if step_ms < _WEEK_MS:
        return f"{_WEEKDAYS[moment.weekday()]} {day}"
    return f"{day} {moment.year}"


_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")  # whatever the locale
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
