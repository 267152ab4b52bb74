"""The weights of a world model that draws latents as one lane reads them: whole cache lines."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from ...market.arrays import Float32Array, FloatArray
from ...market.numerics.products import CACHE_LINE, aligned
from ...models.config import PaperConfig
from ...models.forward import at_a_line
from .layout import PaperWeights


class LaneNumbers(NamedTuple):
    """What a lane's step needs besides arrays of float32.

    Attributes:
        components: K.
        latents: Z.
        hidden: H.
        interval_ms: Length of a bar.
        return_scale: Turns a standardised return into a log return.
        return_mean: See return_scale.
        state: Where c begins in the memory.
    """

    components: float
    latents: float
    hidden: float
    interval_ms: float
    return_scale: float
    return_mean: float
    state: float


class LaneModel(NamedTuple):
    """A world model's weights for `one_lane.dream_lane`.

    Rows are filled up with zeros to whole cache lines, and begin at one: a product by such a matrix
    takes 0.6 of the time of one that lies anyhow. Biases are further rows.

    What a lane remembers is one array, its `memory`: room for a row of ``gates`` and one of
    ``latent``, then c [H], and h, z, action and calendar as M hears them [H + I].

    Attributes:
        gates: What h, z, action and calendar feed [H + I + 1, 4 H or more]; the bias last.
        latent: z's mixture [H + 2, K (1 + 2 Z) or more]; after the weights the bias and the spread.
        calendar: Of the bars of a week [B, 4].
        numbers: `LaneNumbers`.
    """

    gates: Float32Array
    latent: Float32Array
    calendar: Float32Array
    numbers: FloatArray

    @classmethod
    def of(
        cls,
        weights: PaperWeights,
        calendar: Float32Array,
        config: PaperConfig,
        interval_ms: int,
    ) -> Self:
        """Lay out weights."""
        gates = _rows(weights.memory.gates, weights.memory.bias)
        latent = _rows(weights.latent, weights.latent_bias, weights.spread)
        numbers = LaneNumbers(
            config.num_components,
            config.latent_size,
            config.hidden_size,
            interval_ms,
            weights.return_scale,
            weights.return_mean,
            gates.shape[1] + latent.shape[1],
        )
        return cls(gates, latent, calendar, np.array(numbers, dtype=np.float64))

    def memory(self) -> Float32Array:
        """A lane's memory, zeros."""
        return aligned(self.cell.stop + len(self.gates) - 1)

    @property
    def cell(self) -> slice:
        """Where c is in the memory."""
        first = int(self.numbers[6])
        return slice(first, first + int(self.numbers[2]))

    @property
    def h(self) -> slice:
        """Where h is in the memory."""
        return slice(self.cell.stop, self.cell.stop + int(self.numbers[2]))

    @property
    def z(self) -> slice:
        """Where z is in the memory."""
        return slice(self.h.stop, self.h.stop + int(self.numbers[1]))


def _rows(kernel: Float32Array, *further: Float32Array) -> Float32Array:
    """A kernel [I, J] and further rows below it, each filled up with zeros to whole cache lines."""
    inputs, outputs = kernel.shape
    out = np.zeros((inputs + len(further), CACHE_LINE * -(-outputs // CACHE_LINE)), np.float32)
    out[:inputs, :outputs] = kernel
    for row, values in zip(out[inputs:], further, strict=True):
        row[: len(values)] = values
    return at_a_line(out)
