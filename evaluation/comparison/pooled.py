"""Correlations of several units, such as world models or windows, as one with its range."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from scipy.stats import t as student

from ..significance import Interval

_CONFIDENCE = 0.95
_MOST = 1.0 - 1e-9  # beyond, Fisher's z has no number


@dataclass(frozen=True)
class Pooled:
    """A correlation measured in each of k units.

    Attributes:
        units: k.
        median: Of the units.
        low: The lowest.
        high: The highest.
        interval: Of the mean over units that might have been, around the mean: Student's of Fisher's z
            with k - 1 degrees of freedom; None of a single unit.
    """

    units: int
    median: float
    low: float
    high: float
    interval: Interval | None

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Of each unit's correlation, of at least one unit."""
        known = np.array(list(values), dtype=np.float64)
        median, low, high = (float(f(known)) for f in (np.median, np.min, np.max))
        return cls(len(known), median, low, high, _interval(known))

    def to_dict(self) -> dict[str, object]:
        """Plain values that JSON can carry."""
        return asdict(self)


def _interval(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Interval | None:
    count = len(values)
    if count < 2:
        return None
    z = np.arctanh(np.clip(values, -_MOST, _MOST))
    middle, spread = float(z.mean()), float(z.std(ddof=1))
    reach = float(student.ppf(0.5 + 0.5 * _CONFIDENCE, count - 1)) * spread / math.sqrt(count)
    return Interval(math.tanh(middle), math.tanh(middle - reach), math.tanh(middle + reach))
