"""V and M's memory as compiled code: what runs wherever a world model is used, not trained.

V and M are those of Ha & Schmidhuber 2018 ("World models", sections 2.1 and 2.2).

The arithmetic is that of the PyTorch modules, which the tests hold it to. Here every bar and every
lane has the same bits in whatever company it is computed, and no thread pool is entered, so that a
process may fork before or after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
from torch import Tensor, nn

from ..market.arrays import Float32Array, FloatArray
from ..market.features import Scaler
from ..market.numerics.compiled import compiled, compiled_fused
from ..market.numerics.float32_tanh import tanh_parts
from ..market.numerics.products import aligned, product
from .vae import LATENT_LIMIT, VAE

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_LIMIT = np.float32(LATENT_LIMIT)
_ROWS_AT_ONCE = 256  # rows of an inner layer that stay in the second-level cache


class Layer(NamedTuple):
    """A linear layer: kernel [inputs, outputs] and bias [outputs]."""

    kernel: Float32Array
    bias: Float32Array

    @classmethod
    def of(cls, linear: nn.Linear, scale: float = 1.0) -> Self:
        """From PyTorch's, whose kernel is the other way round; both are multiplied by the scale."""
        factor = np.float32(scale)
        kernel, bias = array(linear.weight), array(linear.bias)
        return cls(at_a_line(factor * kernel.T), factor * bias)

    def outputs(self, chosen: slice) -> Layer:
        """Some of its outputs alone."""
        return Layer(at_a_line(self.kernel[:, chosen]), self.bias[chosen].copy())


def array(values: Tensor) -> Float32Array:
    """A parameter's numbers."""
    numbers: Float32Array = values.detach().cpu().numpy().astype(np.float32, copy=False)
    return numbers


def at_a_line(values: Float32Array) -> Float32Array:
    """The same numbers from a cache line on."""
    copy = aligned(*values.shape)
    copy[:] = values
    return copy


def mlp_layers(network: nn.Sequential) -> tuple[Layer, ...]:
    """Its linear layers; what goes into a SiLU is halved, which is exact: see `silu`."""
    *inner, last = [module for module in network if isinstance(module, nn.Linear)]
    return *(Layer.of(layer, 0.5) for layer in inner), Layer.of(last)


@dataclass(frozen=True, eq=False)
class CompiledVAE:
    """V, without its deviations.

    Attributes:
        encoder: Three layers, the last cut down to the means.
        decoder: Three layers.
    """

    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]

    @classmethod
    def of(cls, vae: VAE) -> Self:
        """From the module, as it is now."""
        *inner, last = mlp_layers(vae.encoder)
        encoder = (*inner, last.outputs(slice(vae.latent_size)))
        return cls(encoder, mlp_layers(vae.decoder))

    def encode(self, scaled: Float32Array) -> Float32Array:
        """Posterior means [N, Z] of standardised features [N, F]; see `VAE.encode`."""
        squashed, means = np.empty_like(scaled), self._room(scaled, self.encoder)
        squash(scaled, squashed)
        perceive(squashed, means, *self._parts(self.encoder))
        return np.clip(means, -_LIMIT, _LIMIT, out=means)

    def decode(self, latent: Float32Array) -> Float32Array:
        """Expected standardised features [N, F] of latents [N, Z]; see `VAE.decode`."""
        decoded = self._room(latent, self.decoder)
        perceive(latent, decoded, *self._parts(self.decoder))
        return decoded

    def _room(self, rows: Float32Array, layers: tuple[Layer, ...]) -> Float32Array:
        return np.empty((len(rows), layers[-1].bias.size), dtype=np.float32)

    @staticmethod
    def _parts(layers: tuple[Layer, ...]) -> list[Float32Array]:
        return [part for layer in layers for part in layer]


class RowDecoder:
    """V's decoder of one latent at a time, in compiled code alone; the bits of `CompiledVAE.decode`.

    Args:
        vae: Decodes.
        scaler: Of the features.
    """

    def __init__(self, vae: CompiledVAE, scaler: Scaler) -> None:
        self._layers = [part for layer in vae.decoder for part in layer]
        self._scale, self._mean = scaler.scale, scaler.mean
        self._scaled = np.empty((1, len(scaler.mean)), dtype=np.float32)

    def __call__(self, latent: Float32Array, features: FloatArray) -> None:
        """Write the raw features [F], float64, of a latent [Z]."""
        decode_row(latent, self._scaled, *self._layers)
        unscale_row(self._scaled, self._scale, self._mean, features)


class Remembers(Protocol):
    """M of either preset, as far as its memory goes."""

    lstm: nn.LSTM
    hidden_size: int


@dataclass(frozen=True, eq=False)
class CompiledLSTM:
    """M's memory. Its inputs are [h, z, (``paper``: action), calendar] in one row of H + I numbers.

    Attributes:
        gates: [H + I, 4 H], input and hidden weights in one; those of the gates i, f and o are
            halved: sigmoid(x) = ½ + ½ tanh(x/2).
        bias: [4 H], likewise.
    """

    gates: Float32Array
    bias: Float32Array

    @classmethod
    def of(cls, rnn: Remembers) -> Self:
        """From the module, as it is now."""
        of_inputs, of_hidden, input_bias, hidden_bias = map(array, rnn.lstm.all_weights[0])
        halves = np.ones((4, rnn.hidden_size), dtype=np.float32)
        halves[[0, 1, 3]] = _HALF
        kernel = np.concatenate([of_hidden, of_inputs], axis=1).T
        return cls(at_a_line(kernel * halves.ravel()), (input_bias + hidden_bias) * halves.ravel())

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.bias.size // 4

    def final(
        self, latents: Float32Array, calendar_next: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        """The states h and c [N, H] after latents [N, T, Z] and calendars [N, T, 4].

        Before them the state is zeros, and actions are zero.
        """
        return self._hear(latents, calendar_next, 0)[:2]

    def run(self, latents: Float32Array, calendar_next: Float32Array) -> Float32Array:
        """The state h after each bar [N, T, H]; see `final`."""
        return self._hear(latents, calendar_next, latents.shape[1])[2]

    def _hear(
        self, latents: Float32Array, calendar_next: Float32Array, kept: int
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        count, size = len(latents), self.hidden_size
        hidden, cell = (np.zeros((count, size), dtype=np.float32) for _ in range(2))
        course = np.empty((count, kept, size), dtype=np.float32)
        for first in range(0, count, _ROWS_AT_ONCE):
            some = slice(first, first + _ROWS_AT_ONCE)
            hear(
                np.ascontiguousarray(latents[some]),
                np.ascontiguousarray(calendar_next[some]),
                self.gates,
                self.bias,
                hidden[some],
                cell[some],
                course[some],
            )
        return hidden, cell, course


@compiled_fused
def squash(values: Float32Array, out: Float32Array) -> None:
    """The inverse hyperbolic sine of each number [N, F], rounded once."""
    # In double, then rounded once: what C libraries differ in lies far below float32's last bit.
    for n in range(values.shape[0]):
        for f in range(values.shape[1]):
            out[n, f] = math.asinh(float(values[n, f]))


@compiled_fused
def perceive(
    inputs: Float32Array,
    out: Float32Array,
    kernel_0: Float32Array,
    bias_0: Float32Array,
    kernel_1: Float32Array,
    bias_1: Float32Array,
    kernel_2: Float32Array,
    bias_2: Float32Array,
) -> None:
    """Two SiLU layers of G units, halved, and a linear one: [N, I] to ``out`` [N, O]."""
    # All three layers of some rows before the next rows: what is between them never leaves the cache.
    count, units = inputs.shape[0], bias_0.shape[0]
    most = min(count, _ROWS_AT_ONCE)
    first_layer = np.empty((most, units), np.float32)
    second_layer = np.empty((most, units), np.float32)
    last_layer = np.empty((most, bias_2.shape[0]), np.float32)
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = min(count - start, _ROWS_AT_ONCE)
        one, two, last = first_layer[:rows], second_layer[:rows], last_layer[:rows]
        product(inputs[start : start + rows], kernel_0, one)
        silu(one, bias_0)
        product(one, kernel_1, two)
        silu(two, bias_1)
        product(two, kernel_2, last)
        for n in range(rows):
            for j in range(bias_2.shape[0]):
                out[start + n, j] = last[n, j] + bias_2[j]


@compiled_fused
def decode_row(
    latent: Float32Array,
    scaled: Float32Array,
    kernel_0: Float32Array,
    bias_0: Float32Array,
    kernel_1: Float32Array,
    bias_1: Float32Array,
    kernel_2: Float32Array,
    bias_2: Float32Array,
) -> None:
    """Standardised features [1, F] of a latent [Z]; see `CompiledVAE.decode`."""
    row = latent.reshape((1, latent.shape[0]))
    perceive(row, scaled, kernel_0, bias_0, kernel_1, bias_1, kernel_2, bias_2)


@compiled
def unscale_row(scaled: Float32Array, scale: FloatArray, mean: FloatArray, out: FloatArray) -> None:
    """Features [F] in their own units from standardised ones [1, F]."""
    for f in range(out.shape[0]):
        out[f] = float(scaled[0, f]) * scale[f] + mean[f]


@compiled_fused
def silu(values: Float32Array, bias: Float32Array) -> None:
    """X · sigmoid(x) of x/2 = values + bias [N, G], in place."""
    for n in range(values.shape[0]):
        for j in range(values.shape[1]):
            x = values[n, j] + bias[j]
            t_n, t_d = tanh_parts(x)  # X sigmoid(X) = x (1 + tanh x), tanh x = n/d
            values[n, j] = x * (t_d + t_n) / t_d


@compiled_fused
def hear(
    latents: Float32Array,
    calendars: Float32Array,
    gates: Float32Array,
    bias: Float32Array,
    hidden: Float32Array,
    cell: Float32Array,
    course: Float32Array,
) -> None:
    """Let N lanes hear T bars, one after the other.

    Args:
        latents: [N, T, Z].
        calendars: Of the bars after them [N, T, 4].
        gates: [H + I, 4 H].
        bias: [4 H].
        hidden: h [N, H], updated.
        cell: c [N, H], updated.
        course: h after each bar [N, T, H], written; or [N, 0, H], and nothing is.
    """
    (count, bars, drawn), size = latents.shape, hidden.shape[1]
    first = gates.shape[0] - calendars.shape[2]  # of the calendar; an action before it stays 0
    inputs = np.zeros((count, gates.shape[0]), np.float32)
    raw = np.empty((count, gates.shape[1]), np.float32)
    for t in range(bars):  # a bar's state needs the one before; within it, lanes share a product
        for n in range(count):
            for j in range(size):
                inputs[n, j] = hidden[n, j]
            for j in range(drawn):
                inputs[n, size + j] = latents[n, t, j]
            for j in range(calendars.shape[2]):
                inputs[n, first + j] = calendars[n, t, j]
        product(inputs, gates, raw)
        lstm_cell(raw, bias, cell, hidden)
        if course.shape[1]:
            for n in range(count):
                for j in range(size):
                    course[n, t, j] = hidden[n, j]


@compiled_fused
def lstm_cell(
    gates: Float32Array, bias: Float32Array, cell: Float32Array, hidden: Float32Array
) -> None:
    """The LSTM's update (Hochreiter & Schmidhuber 1997; gate order i, f, g, o as in PyTorch).

    Args:
        gates: Matrix products of the inputs [N, 4 H], halved for the sigmoids i, f and o.
        bias: [4 H], likewise.
        cell: c [N, H], updated.
        hidden: h [N, H], written.
    """
    count, size = cell.shape
    for n in range(count):
        # c' = f c + i g and h = o tanh(c'), with i, f, o = sigmoid(x) and g = tanh(x).
        # sigmoid(x) = (d + n)/2d with tanh(x/2) = n/d: over a common denominator c and h are each
        # divided once, not five times.
        for j in range(size):
            i_n, i_d = tanh_parts(gates[n, j] + bias[j])
            f_n, f_d = tanh_parts(gates[n, size + j] + bias[size + j])
            g_n, g_d = tanh_parts(gates[n, 2 * size + j] + bias[2 * size + j])
            new = (i_d + i_n) * g_n
            d = i_d * g_d
            cell[n, j] = _HALF * ((f_d + f_n) * cell[n, j] * d + new * f_d) / (f_d * d)
        for j in range(size):
            o_n, o_d = tanh_parts(gates[n, 3 * size + j] + bias[3 * size + j])
            c_n, c_d = tanh_parts(cell[n, j])
            h = _HALF * (o_d + o_n) * c_n / (o_d * c_d)
            # rounding may carry it over 1, which is the bound of an observation
            h = _ONE if h > _ONE else h
            hidden[n, j] = -_ONE if h < -_ONE else h
