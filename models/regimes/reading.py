"""The regimes' one coordinate: how large the newest bar is, as the last step of z tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.clock import CALENDAR_CELLS, calendar_cells
from ...market.numerics.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .observed import Stretch

_RIDGE = 1e-6  # of the mean variance: columns that never vary get no weight


@dataclass(frozen=True, eq=False)
class Reading:
    """Reads one number from the step z_{t-1} → z_t.

    z remembers weeks, so that z_t by itself tells where the market was; what it tells beyond z_{t-1} is
    the newest bar. Of a given regime such numbers follow each other almost independently, as a hidden
    Markov model assumes. What is usual for the bar's hour is taken out.

    Attributes:
        kernel: Weights [2 Z'] of what M heard of the bar and of the one before.
        hours: What is taken off, by the cells of the calendar [C].
        interval: Bybit's code of the bars.
    """

    kernel: FloatArray
    hours: FloatArray
    interval: str

    @classmethod
    def fit(cls, stretches: Sequence[Stretch], interval: str) -> Self:
        """By least squares: sizes of bars from steps, then the calendar from those; deviation 1."""
        steps = np.concatenate([_steps(stretch.heard) for stretch in stretches])
        sizes = np.concatenate([stretch.size[1:] for stretch in stretches])
        times = np.concatenate([stretch.open_time_ms[1:] for stretch in stretches])
        kernel = _least_squares(steps - steps.mean(axis=0), sizes - sizes.mean())
        read = steps @ kernel
        hours = _least_squares(_cells(times, interval), read)
        scale = (read - _cells(times, interval) @ hours).std()
        return cls(kernel / scale, hours / scale, interval)

    def read(self, heard: Float32Array, open_time_ms: IntArray) -> FloatArray:
        """The coordinate of bars in a row [T - 1], without the first: it has none before it."""
        cells = calendar_cells(open_time_ms, self.interval)
        out = np.empty(max(len(heard) - 1, 0))
        for t in range(len(out)):
            out[t] = read_step(heard[t], heard[t + 1], cells[t + 1], self.kernel, self.hours)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {"kernel": self.kernel.tolist(), "hours": self.hours.tolist()}


@compiled
def read_step(
    before: Float32Array,
    heard: Float32Array,
    cells: IntArray,
    kernel: FloatArray,
    hours: FloatArray,
) -> float:
    """The coordinate of one bar.

    Args:
        before: What M heard of the bar before it [Z'].
        heard: And of itself [Z'].
        cells: Of its calendar [2].
        kernel: [2 Z'].
        hours: [C].
    """
    size = heard.shape[0]
    total: float = -hours[cells[0]] - hours[cells[1]]
    for d in range(size):
        total += kernel[d] * float(heard[d])
    for d in range(size):
        total += kernel[size + d] * float(before[d])
    return total


def _steps(heard: Float32Array) -> FloatArray:
    """What M heard of each bar but the first, and of the one before it [T - 1, 2 Z']."""
    return np.concatenate([heard[1:], heard[:-1]], axis=1).astype(np.float64)


def _cells(open_time_ms: IntArray, interval: str) -> FloatArray:
    """Which cells of the calendar bars fall into [T, C], two each."""
    cells = calendar_cells(open_time_ms, interval)
    table = np.zeros((len(cells), CALENDAR_CELLS))
    rows = np.arange(len(cells))
    table[rows, cells[:, 0]] = table[rows, cells[:, 1]] = 1.0
    return table


def _least_squares(inputs: FloatArray, outputs: FloatArray) -> FloatArray:
    gram = inputs.T @ inputs
    ridge = _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    found: FloatArray = np.linalg.solve(gram + ridge, inputs.T @ outputs)
    return found
