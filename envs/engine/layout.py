"""A world model's weights, laid out for the dream's step."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...models.mdn_rnn import CALENDAR_SIZE, MDNRNN
from ...models.world_model import WorldModel

Float32Array = NDArray[np.float32]


class Layer(NamedTuple):
    """A linear layer: kernel [inputs, outputs] and bias [outputs]."""

    kernel: Tensor
    bias: Float32Array

    @classmethod
    def of(cls, linear: nn.Linear) -> Self:
        """From PyTorch's, whose kernel is the other way round."""
        return cls(_kernel(linear.weight), _array(linear.bias))


@dataclass(frozen=True, eq=False)
class DreamWeights:
    """The network's input is [z, (paper: action), calendar, h] in one row of I + H numbers.

    Attributes:
        paper: Whether the preset is ``paper``.
        gates: [I + H, 4 H], input and hidden weights of the LSTM in one; those of the gates i, f
            and o are halved: sigmoid(x) = ½ + ½ tanh(x/2).
        gates_bias: [4 H], likewise.
        head: [I + H, 3 K + G]: the return's mixture and the layer before z's (``market``).
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
    gates: Tensor
    gates_bias: Float32Array
    latent: Tensor
    latent_bias: Float32Array
    persistence: Float32Array
    spread: Float32Array
    return_scale: float
    return_mean: float
    head: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    head_bias: Float32Array = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    carried: Float32Array = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    decoder: tuple[Layer, ...] = ()

    @classmethod
    def of(cls, world_model: WorldModel) -> Self:
        """Lay out a world model's weights."""
        rnn = world_model.mdn_rnn
        input_weight, hidden_weight, input_bias, hidden_bias = rnn.lstm.all_weights[0]
        latent, spread = _latent_head(rnn)
        scaler = world_model.scaler
        common: dict[str, Any] = {
            "paper": rnn.preset == "paper",
            "gates": _halved_gates(_kernel(torch.cat([input_weight, hidden_weight], dim=1))),
            "gates_bias": _array(_halved_gates(input_bias + hidden_bias)),
            "latent": latent.kernel,
            "latent_bias": latent.bias,
            "spread": spread,
            "return_scale": float(scaler.scale[0]),
            "return_mean": float(scaler.mean[0]),
        }
        if rnn.preset == "paper":
            zeros = np.zeros(rnn.latent_size, dtype=np.float32)
            return cls(**common, persistence=zeros, decoder=_decoder(world_model))
        head, bias, carried = _market_head(rnn)
        return cls(
            **common,
            persistence=spread * _array(rnn.persistence),
            head=head,
            head_bias=bias,
            carried=carried,
        )

    @cached_property
    def head_rows(self) -> Tensor:
        """``head`` the other way round in memory [3 K + G, I + H], for many lanes."""
        return self.head.T.contiguous()

    @cached_property
    def latent_rows(self) -> Tensor:
        """``latent`` likewise [K (1 + 2 D), G or H]."""
        return self.latent.T.contiguous()

    @cached_property
    def to_return(self) -> Float32Array:
        """The kernel of the decoder's last layer [V] (``paper``)."""
        return np.ascontiguousarray(self.decoder[-1].kernel.numpy()[:, 0])

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.gates.shape[1] // 4

    @property
    def latent_size(self) -> int:
        """Z."""
        return self.persistence.size + int(not self.paper)

    def row_layers(self) -> dict[str, int]:
        """Widths of the intermediate results that hold a lane in a row."""
        decoder = {f"decoder_{i}": layer.bias.size for i, layer in enumerate(self.decoder[:2])}
        return {"gates": self.gates.shape[1]} | decoder

    def column_layers(self) -> dict[str, int]:
        """Heights of those that hold a lane in a column."""
        latent = {"latent": self.latent.shape[1]}
        if self.paper:
            return latent
        return latent | {"head": self.head.shape[1], "inner": self.latent.shape[0]}


def _latent_head(rnn: MDNRNN) -> tuple[Layer, Float32Array]:
    """The head of z's mixture, and the spread [D] of what it draws."""
    k, d = rnn.num_components, rnn.latent_size - int(rnn.preset == "market")
    spread = np.ones(d, dtype=np.float32)
    spread[[dimension - rnn.latent_size for dimension in rnn.held]] = 0.0
    layer = Layer.of(rnn.latent_head)
    means = np.concatenate([np.ones(k), np.tile(spread, k), np.ones(k * d)]).astype(np.float32)
    return Layer(layer.kernel * torch.from_numpy(means), layer.bias * means), spread


def _halved_gates(values: Tensor) -> Tensor:
    """The gates' numbers [..., 4 H] with those of i, f and o halved, which is exact."""
    i, f, g, o = values.detach().chunk(4, dim=-1)
    return torch.cat([0.5 * i, 0.5 * f, g, 0.5 * o], dim=-1).contiguous()


def _market_head(rnn: MDNRNN) -> tuple[Tensor, Float32Array, Float32Array]:
    """Everything that h and z feed at once: [z, calendar, h] to [return mixture, hidden layer]."""
    z, h = rnn.latent_size, rnn.hidden_size
    mixture, layer = rnn.return_head, rnn.latent_hidden
    outputs = mixture.out_features
    kernel = torch.zeros(z + CALENDAR_SIZE + h, outputs + layer.out_features)
    kernel[z + CALENDAR_SIZE :, :outputs] = mixture.weight.T
    kernel[z + CALENDAR_SIZE :, outputs:] = layer.weight[:, :h].T
    kernel[:z, outputs:] = layer.weight[:, h : h + z].T
    bias = _array(torch.cat([mixture.bias, layer.bias]))
    return kernel.contiguous(), bias, _array(layer.weight[:, h + z])


def _decoder(world_model: WorldModel) -> tuple[Layer, ...]:
    layers = [Layer.of(m) for m in world_model.vae.decoder if isinstance(m, nn.Linear)]
    *inner, last = layers
    halved = [Layer(0.5 * kernel, np.float32(0.5) * bias) for kernel, bias in inner]
    return *halved, Layer(last.kernel[:, :1].contiguous(), last.bias[:1].copy())


def _kernel(weight: Tensor) -> Tensor:
    return weight.detach().to(torch.float32).T.contiguous().clone()


def _array(values: Tensor) -> Float32Array:
    array: Float32Array = values.detach().to(torch.float32).numpy().copy()
    return array
