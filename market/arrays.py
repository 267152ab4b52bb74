"""Names for the arrays that the house passes around, and rows spread over them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
"""Prices, accounts and statistics."""
Float32Array = NDArray[np.float32]
"""What networks read and write."""
IntArray = NDArray[np.int64]
"""Rows, lanes and times [ms]."""
BoolArray = NDArray[np.bool_]
"""Which of them."""


def thinned(chosen: BoolArray, most: int) -> BoolArray:
    """At most so many of the chosen rows [T], evenly spread."""
    rows = np.flatnonzero(chosen)
    kept = np.zeros_like(chosen)
    kept[rows[spread(min(most, len(rows)), len(rows))]] = True
    return kept


CHUNK_BARS = 65_536
"""Bars of a long record that are in memory at once, where they are taken in turn."""


def chunks(start: int, stop: int, size: int | None = None) -> Iterator[slice]:
    """Rows ``start`` to ``stop`` in slices of at most ``size``, by default `CHUNK_BARS`."""
    size = size or CHUNK_BARS
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))


def spread(count: int, length: int) -> IntArray:
    """``count`` indices spread evenly over ``length``; more than there are go round again."""
    if count >= length:
        return np.arange(count) % length
    return np.linspace(0, length - 1, count).round().astype(np.int64)
