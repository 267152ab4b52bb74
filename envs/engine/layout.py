"""The weights of a world model that draws latents, laid out for the dream's step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from ...market.arrays import Float32Array
from ...models.forward import CompiledLSTM, Layer, at_a_line, mlp_layers
from ...models.mdn_rnn import MDNRNN
from ...models.paper_world_model import PaperWorldModel


@dataclass(frozen=True, eq=False)
class PaperWeights:
    """What M hears is [h, z, action, calendar] in one row of H + I numbers.

    Attributes:
        memory: The LSTM.
        latent: [H, K (1 + 2 Z)]: z's mixture.
        latent_bias: [K (1 + 2 Z)].
        spread: What the noise of each dimension is multiplied by [Z]: 0 where it is held at 0, whose
            column of means is zeros too, else 1.
        decoder: V's decoder, its last layer cut down to the return; what goes into a SiLU is halved.
        return_scale: Turns a standardised return into a log return.
        return_mean: See return_scale.
    """

    memory: CompiledLSTM
    latent: Float32Array
    latent_bias: Float32Array
    spread: Float32Array
    decoder: tuple[Layer, ...]
    return_scale: float
    return_mean: float

    @classmethod
    def of(cls, world_model: PaperWorldModel) -> Self:
        """Lay out a world model's weights."""
        latent, spread = _latent_head(world_model.mdn_rnn)
        scale, mean = world_model.return_scaling
        *inner, last = mlp_layers(world_model.vae.decoder)
        return cls(
            memory=CompiledLSTM.of(world_model.mdn_rnn),
            latent=latent.kernel,
            latent_bias=latent.bias,
            spread=spread,
            decoder=(*inner, last.outputs(slice(1))),
            return_scale=scale,
            return_mean=mean,
        )

    @cached_property
    def latent_rows(self) -> Float32Array:
        """``latent`` the other way round in memory [K (1 + 2 Z), H], for many lanes."""
        return at_a_line(self.latent.T)

    @cached_property
    def to_return(self) -> Float32Array:
        """The kernel of the decoder's last layer [V]."""
        return np.ascontiguousarray(self.decoder[-1].kernel[:, 0])

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.memory.hidden_size

    @property
    def latent_size(self) -> int:
        """Z."""
        return self.spread.size

    def row_layers(self) -> dict[str, int]:
        """Widths of the intermediate results that hold a lane in a row."""
        decoder = {f"decoder_{i}": layer.bias.size for i, layer in enumerate(self.decoder[:2])}
        return {"gates": self.memory.bias.size} | decoder

    def column_layers(self) -> dict[str, int]:
        """Heights of those that hold a lane in a column."""
        return {"latent": self.latent.shape[1]}


def _latent_head(rnn: MDNRNN) -> tuple[Layer, Float32Array]:
    """The head of z's mixture, and the spread [Z] of what it draws."""
    k, d = rnn.num_components, rnn.latent_size
    spread = np.ones(d, dtype=np.float32)
    spread[list(rnn.held)] = 0.0
    layer = Layer.of(rnn.latent_head)
    means = np.concatenate([np.ones(k), np.tile(spread, k), np.ones(k * d)]).astype(np.float32)
    return Layer(at_a_line(layer.kernel * means), layer.bias * means), spread
