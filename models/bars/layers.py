"""What the layers of V and M have in common: memory, inputs and activations of lanes, compiled."""

from __future__ import annotations

import numpy as np

from ...market.arrays import Float32Array, IntArray
from ...market.clock import calendar_cell
from ...market.numerics.compiled import compiled, compiled_fused
from ...market.numerics.float32_tanh import tanh_parts
from ...market.numerics.panels import padded
from ...market.numerics.products import CACHE_LINE
from .networks import LOWER_PARTS
from .packed import COLUMNS, C, F, T

LANES_AT_ONCE = 48
"""Lanes that are stepped together, so that what lies between the layers stays in the nearest caches."""


@compiled_fused
def workspace(numbers: int) -> Float32Array:
    """Memory for so many numbers, from a cache line on."""
    free = np.empty(numbers + CACHE_LINE, np.float32)
    first = -(free.ctypes.data // free.itemsize) % CACHE_LINE
    return free[first : first + numbers]


@compiled_fused
def carved(free: Float32Array, count: int, width: int) -> tuple[Float32Array, Float32Array]:
    """Rows [count, width] at the beginning of free memory, and what is left of it."""
    size = count * width
    return free[:size].reshape((count, width)), free[padded(size) :]


@compiled
def seen_width(sizes: IntArray) -> int:
    """Numbers of a lane's row that the heads see parts of.

    The trunk, then what was drawn of the bar, then the features and the calendar; and where the candles
    have columns, the volume that was drawn, and what was drawn of them.
    """
    more = 1 + sizes[COLUMNS] if sizes[COLUMNS] else 0
    return padded(sizes[T] + LOWER_PARTS + sizes[F] + sizes[C] + more)


@compiled_fused
def tell(
    calendar: Float32Array,
    bar_ms: int,
    last_open_time_ms: IntArray,
    z: Float32Array,
    h: Float32Array,
    known: int,
    out: Float32Array,
) -> None:
    """Write what M hears of lanes [N, H + Z' + C]: h, the first of z, the coming bar's calendar."""
    hidden = h.shape[1]
    first = max(hidden + known, 0)  # never negative: says so to the compiler
    for n in range(h.shape[0]):
        for j in range(hidden):
            out[n, j] = h[n, j]
        for j in range(known):
            out[n, hidden + j] = z[n, j]
        one, two = calendar_cell(last_open_time_ms[n] + bar_ms, bar_ms)
        for j in range(calendar.shape[1]):
            out[n, first + j] = calendar[one, j] + calendar[two, j]


@compiled_fused
def activate(values: Float32Array, units: int) -> None:
    """X · sigmoid(X) of x = X/2, the first of each row [N, …], in place: see `models.forward.silu`."""
    for n in range(values.shape[0]):
        for j in range(units):
            x = values[n, j]
            t_n, t_d = tanh_parts(x)
            values[n, j] = x * (t_d + t_n) / t_d
