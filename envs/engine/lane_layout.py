"""A world model's weights as one lane reads them: whole cache lines, biases as further rows."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from ...market.arrays import Float32Array, FloatArray
from ...market.numerics.products import CACHE_LINE, aligned
from ...models.config import PaperConfig
from ...models.forward import at_a_line
from .layout import DreamWeights


class LaneNumbers(NamedTuple):
    """What a lane's step needs besides arrays of float32.

    Attributes:
        components: K.
        latents: Z.
        hidden: H.
        interval_ms: Length of a bar.
        return_scale: Turns a standardised return into a log return.
        return_mean: See return_scale.
        paper: 1 where the market hears the action, else 0.
        state: Where c begins in the memory.
    """

    components: float
    latents: float
    hidden: float
    interval_ms: float
    return_scale: float
    return_mean: float
    paper: float
    state: float


class LaneModel(NamedTuple):
    """A world model's weights for `one_lane.dream_lane` and `one_lane.dream_heard_lane`.

    Rows are filled up with zeros to whole cache lines, and begin at one: a product by such a matrix
    takes 0.6 of the time of one that lies anyhow.

    What a lane remembers is one array, its `memory`: room for a row of ``wide`` and one of
    ``latent``, then c [H], h, z, (``paper``: action) and calendar [H + I] as M hears them, and room
    for the layer before z's mixture [G].

    Attributes:
        wide: What h, z, action and calendar feed [H + I + 2, 3 K + G + 4 H or more]: the head
            (``market``) in the first columns, the gates in the last. After the weights the bias,
            and what asinh of the return adds to the head.
        latent: z's mixture [G + 3, K (1 + 2 D) or more]; after the weights the bias, the
            persistence, and the spread.
        calendar: Of the bars of a week [B, 4].
        numbers: `LaneNumbers`.
    """

    wide: Float32Array
    latent: Float32Array
    calendar: Float32Array
    numbers: FloatArray

    @classmethod
    def of(
        cls,
        weights: DreamWeights,
        calendar: Float32Array,
        config: PaperConfig,
        interval_ms: int,
    ) -> Self:
        """Lay out weights."""
        gates = _rows(weights.memory.gates, weights.memory.bias, np.zeros(0))
        head = gates[:, :0]
        if not weights.paper:  # the calendar feeds the gates alone
            carried = np.concatenate([np.zeros(3 * config.num_components), weights.carried])
            unheard = np.zeros((calendar.shape[1], weights.head.shape[1]), dtype=np.float32)
            head = _rows(np.concatenate([weights.head, unheard]), weights.head_bias, carried)
        latent = _rows(weights.latent, weights.latent_bias, weights.persistence, weights.spread)
        wide, latent = _whole_lines(head, gates), _whole_lines(latent, latent[:, :0])
        numbers = LaneNumbers(
            config.num_components,
            config.latent_size,
            config.hidden_size,
            interval_ms,
            weights.return_scale,
            weights.return_mean,
            float(weights.paper),
            wide.shape[1] + latent.shape[1],
        )
        return cls(wide, latent, calendar, np.array(numbers, dtype=np.float64))

    def memory(self) -> Float32Array:
        """A lane's memory, zeros."""
        inputs, inner = len(self.wide) - 2, len(self.latent) - 3
        return aligned(self.cell.stop + inputs + inner)

    @property
    def cell(self) -> slice:
        """Where c is in the memory."""
        first = int(self.numbers[7])
        return slice(first, first + int(self.numbers[2]))

    @property
    def h(self) -> slice:
        """Where h is in the memory."""
        return slice(self.cell.stop, self.cell.stop + int(self.numbers[2]))

    @property
    def z(self) -> slice:
        """Where z is in the memory."""
        return slice(self.h.stop, self.h.stop + int(self.numbers[1]))


def _rows(kernel: Float32Array, *further: Float32Array | FloatArray) -> Float32Array:
    """A kernel [I, J] and further rows below it, each filled up with zeros."""
    out = np.zeros((len(kernel) + len(further), kernel.shape[1]), dtype=np.float32)
    out[: len(kernel)] = kernel
    for row, values in zip(out[len(kernel) :], further, strict=True):
        row[: len(values)] = values
    return out


def _whole_lines(left: Float32Array, right: Float32Array) -> Float32Array:
    """Both side by side, with zeros between them so that rows are whole cache lines."""
    between = -(left.shape[1] + right.shape[1]) % CACHE_LINE
    zeros = np.zeros((len(left), between), dtype=np.float32)
    return at_a_line(np.concatenate([left, zeros, right], axis=1))
