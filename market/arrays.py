"""Names for the arrays that the house passes around, and rows spread over them."""

from __future__ import annotations

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


def spread(count: int, length: int) -> IntArray:
    """``count`` indices spread evenly over ``length``; more than there are go round again."""
    if count >= length:
        return np.arange(count) % length
    return np.linspace(0, length - 1, count).round().astype(np.int64)
