"""Names for the arrays that the house passes around."""

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
