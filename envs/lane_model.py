"""A world model's weights as one lane reads them: whole cache lines, biases as further rows."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..market.candles import FloatArray
from ..models.config import WorldModelConfig
from .weights import DreamWeights

Float32Array = NDArray[np.float32]

_CACHE_LINE = 16  # numbers of float32 in 64 bytes


class LaneNumbers(NamedTuple):
    """What a lane's step needs besides arrays of float32.

    Attributes:
        components: K.
        latents: Z.
        interval_ms: Length of a bar.
        return_scale: Turns a standardised return into a log return.
        return_mean: See return_scale.
    """

    components: float
    latents: float
    interval_ms: float
    return_scale: float
    return_mean: float


class LaneModel(NamedTuple):
    """The ``market`` preset's weights for `lane_kernels.step_lane`.

    Columns are filled up with zeros to whole cache lines, and every row begins at one: a product by
    such a matrix takes 0.6 of the time of one that is in memory anyhow.

    Attributes:
        gates: [I + H + 1, 4 H], the last row the bias; see `DreamWeights`.
        head: [I + H + 2, 3 K + G or more]; after the weights the bias, and what asinh of the
            return adds.
        latent: [G + 2, K (1 + 2 D) or more]; after the weights the bias, and the persistence.
        calendar: Of the bars of a week [B, 4].
        numbers: `LaneNumbers`.
    """

    gates: Float32Array
    head: Float32Array
    latent: Float32Array
    calendar: Float32Array
    numbers: FloatArray

    @classmethod
    def of(
        cls,
        weights: DreamWeights,
        calendar: Float32Array,
        config: WorldModelConfig,
        interval_ms: int,
    ) -> Self:
        """Lay out weights."""
        carried = np.concatenate([np.zeros(3 * config.num_components), weights.carried])
        numbers = LaneNumbers(
            config.num_components,
            config.latent_size,
            interval_ms,
            weights.return_scale,
            weights.return_mean,
        )
        return cls(
            _rows(weights.gates.numpy(), weights.gates_bias),
            _rows(weights.head.numpy(), weights.head_bias, carried),
            _rows(weights.latent.numpy(), weights.latent_bias, weights.persistence),
            calendar,
            np.array(numbers, dtype=np.float64),
        )

    @property
    def workspace_size(self) -> int:
        """How many numbers the layers of a step are."""
        matrices = (self.gates, self.head, self.latent)
        size: int = sum(matrix.shape[1] for matrix in matrices) + len(self.latent)
        return size


def aligned(rows: int, columns: int) -> Float32Array:
    """Zeros [rows, columns] that begin at a cache line; numpy's own need not."""
    zeros: Float32Array = torch.zeros(rows, columns).numpy()
    return zeros


def _rows(kernel: Float32Array, *further: Float32Array | FloatArray) -> Float32Array:
    columns = -(-kernel.shape[1] // _CACHE_LINE) * _CACHE_LINE
    out = aligned(len(kernel) + len(further), columns)
    out[: len(kernel), : kernel.shape[1]] = kernel
    for row, values in zip(out[len(kernel) :], further, strict=True):
        row[: len(values)] = values
    return out
