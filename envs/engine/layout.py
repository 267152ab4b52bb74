"""A world model's weights, laid out for the dream's step."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np

from ...market.arrays import Float32Array
from ...models.forward import CompiledLSTM, Layer, at_a_line, mlp_layers
from ...models.mdn_rnn import MDNRNN
from ...models.paper_world_model import PaperWorldModel


def _nothing(*shape: int) -> Float32Array:
    return np.zeros(shape, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class DreamWeights:
    """What M hears is [h, z, (paper: action), calendar] in one row of H + I numbers.

    Attributes:
        paper: Whether the preset is ``paper``.
        memory: The LSTM.
        head: [H + Z, 3 K + G]: the return's mixture and the layer before z's (``market``).
        head_bias: [3 K + G].
        carried: What asinh of the drawn return adds to that layer [G] (``market``).
        latent: [G or H, K (1 + 2 D)]: z's mixture.
        latent_bias: [K (1 + 2 D)].
        persistence: [D]; zeros in ``paper``.
        spread: What the noise of each drawn dimension is multiplied by [D]: 0 where it is held at
            0, whose column of means is zeros too, else 1.
        decoder: V's decoder, its last layer cut down to the return (``paper``); what goes into a
            SiLU is halved.
        return_scale: Turns a standardised return into a log return.
        return_mean: See return_scale.
    """

    paper: bool
    memory: CompiledLSTM
    latent: Float32Array
    latent_bias: Float32Array
    persistence: Float32Array
    spread: Float32Array
    return_scale: float
    return_mean: float
    head: Float32Array = field(default_factory=lambda: _nothing(0, 0))
    head_bias: Float32Array = field(default_factory=lambda: _nothing(0))
    carried: Float32Array = field(default_factory=lambda: _nothing(0))
    decoder: tuple[Layer, ...] = ()

    @classmethod
    def of(cls, world_model: PaperWorldModel) -> Self:
        """Lay out a world model's weights."""
        rnn = world_model.mdn_rnn
        latent, spread = _latent_head(rnn)
        scaler = world_model.scaler
        *inner, last = mlp_layers(world_model.vae.decoder)
        return cls(
            paper=True,
            memory=CompiledLSTM.of(rnn),
            latent=latent.kernel,
            latent_bias=latent.bias,
            persistence=_nothing(rnn.latent_size),
            spread=spread,
            return_scale=float(scaler.scale[0]),
            return_mean=float(scaler.mean[0]),
            decoder=(*inner, last.outputs(slice(1))),
        )

    @cached_property
    def head_rows(self) -> Float32Array:
        """``head`` the other way round in memory [3 K + G, H + Z], for many lanes."""
        return at_a_line(self.head.T)

    @cached_property
    def latent_rows(self) -> Float32Array:
        """``latent`` likewise [K (1 + 2 D), G or H]."""
        return at_a_line(self.latent.T)

    @cached_property
    def to_return(self) -> Float32Array:
        """The kernel of the decoder's last layer [V] (``paper``)."""
        return np.ascontiguousarray(self.decoder[-1].kernel[:, 0])

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.memory.hidden_size

    @property
    def latent_size(self) -> int:
        """Z."""
        return self.persistence.size + int(not self.paper)

    def row_layers(self) -> dict[str, int]:
        """Widths of the intermediate results that hold a lane in a row."""
        decoder = {f"decoder_{i}": layer.bias.size for i, layer in enumerate(self.decoder[:2])}
        return {"gates": self.memory.bias.size} | decoder

    def column_layers(self) -> dict[str, int]:
        """Heights of those that hold a lane in a column."""
        latent = {"latent": self.latent.shape[1]}
        if self.paper:
            return latent
        return latent | {"head": self.head.shape[1], "inner": self.latent.shape[0]}


def _latent_head(rnn: MDNRNN) -> tuple[Layer, Float32Array]:
    """The head of z's mixture, and the spread [D] of what it draws."""
    k, d = rnn.num_components, rnn.latent_size
    spread = np.ones(d, dtype=np.float32)
    spread[[dimension - rnn.latent_size for dimension in rnn.held]] = 0.0
    layer = Layer.of(rnn.latent_head)
    means = np.concatenate([np.ones(k), np.tile(spread, k), np.ones(k * d)]).astype(np.float32)
    return Layer(at_a_line(layer.kernel * means), layer.bias * means), spread
