"""Does the dream repeat what it was trained on, window for window?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from ...market.arrays import FloatArray
from ...market.errors import ConfigError
from ..density import WORLD_MODEL
from ..significance import Interval, share_interval
from .goals import Goal, Part
from .subject import Subject
from .windows import Windows

_LEVEL = 0.01  # of held-out windows lie nearer to training than the limit
_AT_MOST = 0.03


@dataclass(frozen=True)
class Copies(Part):
    """Distances of windows of 48 returns, each ÷ its own deviation, to the nearest trained-on one.

    Attributes:
        share: Share of windows that lie nearer to a training window than 99% of held-out ones do, by
            generator; a market's own later windows have 0.01.
        distance: Median distance ÷ that of held-out windows, by generator; a copy has 0.
    """

    share: dict[str, Interval]
    distance: dict[str, float]

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Look for the nearest training window of each; without held-out windows nothing is said."""
        trained = _shapes(Windows.recorded(subject.train))
        parts = []
        for rows in subject.ranges.held_out.values():
            try:
                parts.append(_shapes(Windows.recorded(subject.candles.rows(*rows))))
            except ConfigError:  # shorter than a window
                continue
        if not parts:
            return cls({}, {})
        unseen = nearest(np.concatenate(parts), trained)
        limit, middle = float(np.quantile(unseen, _LEVEL)), float(np.median(unseen))
        share, distance = {}, {}
        for name, paths in subject.dreams.items():
            assert paths.whole is not None  # every generator tells its bars' times
            windows = Windows.of(paths.whole, subject.candles.interval_ms)
            away = nearest(_shapes(windows), trained)
            share[name] = share_interval(float((away < limit).mean()), len(away))
            distance[name] = float(np.median(away)) / middle
        return cls(share, distance)

    def goals(self) -> list[Goal]:
        """The world model's dreams are no copies."""
        if WORLD_MODEL not in self.share:
            return []
        name = "dreamed windows nearer to training than 99% of held-out ones"
        return [Goal.of(name, self.share[WORLD_MODEL], None, _AT_MOST, f"{_LEVEL:g}")]

    def to_dict(self) -> Mapping[str, object]:
        """All of it under ``copies``."""
        return {"copies": vars(self)}


def nearest(windows: FloatArray, others: FloatArray) -> FloatArray:
    """Euclidean distance of each window [n, W] to the nearest of others [m, W]."""
    squares = (others**2).sum(axis=1)
    products = windows @ others.T
    apart = (windows**2).sum(axis=1) + (squares - 2 * products).min(axis=1)
    away: FloatArray = np.sqrt(np.maximum(apart, 0.0))
    return away


def _shapes(windows: Windows) -> FloatArray:
    deviation = windows.log_return.std(axis=1, keepdims=True)
    shapes: FloatArray = windows.log_return / np.maximum(deviation, 1e-12)
    return shapes
