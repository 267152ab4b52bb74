"""Windows of bars in step with the clock: what judges compare begins at the same hours of the week.

A record cut into windows from its first bar begins them all at one hour, dreams begin anywhere; a
judge then measures the clock. So both are cut where the week says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ...market.arrays import BoolArray, FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.intervals import INTERVALS_MS
from ..baselines.bars import Bars
from ..baselines.clock import week_slots

WINDOW_BARS = 48
_VOLUME_FLOOR = 1e-3  # of a window's mean volume: keeps the logarithm of none finite


@dataclass(frozen=True, eq=False)
class Windows:
    """n windows of W bars that do not overlap, in time order.

    Attributes:
        log_return: Log returns [n, W], fractions.
        upper: Upper wicks [n, W], see `Bars`; None where nothing drew them.
        lower: Lower wicks [n, W], likewise.
        log_volume: Log volume less that of the window's mean [n, W]; None likewise.
        open_time_ms: Open times of their first bars [n].
        path: Which path each was cut from [n].
        start: At which of its bars [n].
    """

    log_return: FloatArray
    upper: FloatArray | None
    lower: FloatArray | None
    log_volume: FloatArray | None
    open_time_ms: IntArray
    path: IntArray
    start: IntArray

    def __len__(self) -> int:
        return len(self.log_return)

    @property
    def whole(self) -> bool:
        """Whether they hold wicks and volume beside returns."""
        return self.upper is not None and self.log_volume is not None

    @classmethod
    def of(cls, bars: Bars, interval_ms: int, window: int = WINDOW_BARS) -> Self:
        """Cut paths [N, T] wherever the week says that a window begins.

        Args:
            bars: The paths.
            interval_ms: Length of a bar.
            window: W.

        Raises:
            ConfigError: The paths hold no such window.
        """
        path, start = aligned_starts(bars.open_time_ms, interval_ms, window)
        if not len(path):
            raise ConfigError(
                f"paths of {bars.log_return.shape[1]} bars hold no window of {window} bars that "
                "begins where the week says; give longer ones"
            )
        at = (path[:, None], start[:, None] + np.arange(window))

        def cut(values: FloatArray | None) -> FloatArray | None:
            return None if values is None else values[at]

        volume = cut(bars.volume)
        returns = cut(bars.log_return)
        assert returns is not None
        return cls(
            returns,
            cut(bars.upper),
            cut(bars.lower),
            None if volume is None else _relative(volume),
            bars.open_time_ms[path, start],
            path,
            start,
        )

    @classmethod
    def recorded(cls, candles: Candles, window: int = WINDOW_BARS) -> Self:
        """Windows of a record, none of them across a gap.

        Raises:
            ConfigError: There is none.
        """
        parts = []
        for first, last in candles.segments():
            if last - first > window + 1:
                piece = Bars.of(candles.rows(first, last))
                if len(aligned_starts(piece.open_time_ms, candles.interval_ms, window)[0]):
                    found = cls.of(piece, candles.interval_ms, window)
                    parts.append((found, first + 1))
        if not parts:
            raise ConfigError(
                f"no window of {window} bars that begins where the week says fits into "
                f"{len(candles)} candles; give a longer range"
            )
        names = ("log_return", "upper", "lower", "log_volume", "open_time_ms", "path")
        columns = {
            name: np.concatenate([getattr(part, name) for part, _ in parts]) for name in names
        }
        return cls(**columns, start=np.concatenate([part.start + first for part, first in parts]))

    def chosen(self, rows: IntArray | BoolArray) -> Self:
        """Some of the windows."""

        def some(values: FloatArray | None) -> FloatArray | None:
            return None if values is None else values[rows]

        return type(self)(
            self.log_return[rows],
            some(self.upper),
            some(self.lower),
            some(self.log_volume),
            self.open_time_ms[rows],
            self.path[rows],
            self.start[rows],
        )

    def returns_alone(self) -> Self:
        """The same without wicks and volume."""
        return type(self)(
            self.log_return, None, None, None, self.open_time_ms, self.path, self.start
        )

    @property
    def odd_month(self) -> BoolArray:
        """Which windows [n] begin in January, March and so on."""
        months = self.open_time_ms.astype("datetime64[ms]").astype("datetime64[M]")
        return np.asarray(months.astype(np.int64) % 2 == 0)  # 1970-01 is month 0


def aligned_starts(
    open_time_ms: IntArray, interval_ms: int, window: int
) -> tuple[IntArray, IntArray]:
    """Path and first bar of every window that begins where the week says, in order.

    A week holds as many windows as fit, from Monday on; where it holds none, a window begins on a
    Monday and the next on the first Monday after its end.

    Args:
        open_time_ms: Open times of paths [N, T].
        interval_ms: Length of a bar.
        window: Bars in a window.
    """
    bars_per_week = INTERVALS_MS["W"] // interval_ms
    slots = week_slots(open_time_ms, interval_ms)
    begins = (slots % window == 0) & (slots + window <= max(bars_per_week, window))
    begins[:, max(0, open_time_ms.shape[1] - window + 1) :] = False
    path, start = np.nonzero(begins)
    if bars_per_week < window:
        weeks = -(-window // bars_per_week)
        number = open_time_ms[path, start] // INTERVALS_MS["W"]
        kept = number % weeks == 0
        path, start = path[kept], start[kept]
    return path, start


def _relative(volume: FloatArray) -> FloatArray:
    mean = np.maximum(volume.mean(axis=1, keepdims=True), 1e-12)
    relative: FloatArray = np.log(volume / mean + _VOLUME_FLOOR)
    return relative
