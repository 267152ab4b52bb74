"""The dream's dynamics: lanes of (z, h, c) stepped through M from injected noise.

M's arithmetic is that of `models.mdn_rnn`, written for many small steps: the matrix products go to
a BLAS, everything between them is compiled. The tests hold it to the PyTorch module.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ...market.candles import INTERVALS_MS, FloatArray, IntArray
from ...market.errors import ConfigError
from ...market.features import calendar
from ...market.numerics.float32 import noise_from_bits
from ...market.settings import whole_number
from ...models.world_model import WorldModel
from . import many_lanes as kernels
from .lane_layout import LaneModel
from .layout import DreamWeights
from .one_lane import step_lanes

Float32Array = NDArray[np.float32]
_CACHE_LINE = 16  # numbers of float32
_FEW_LANES = 4  # up to here compiled loops beat the cost of calling a BLAS


@dataclass
class DreamState:
    """Where each of N lanes is; the engine moves it in place.

    Attributes:
        z: Latents [N, Z], float32.
        h: Hidden state [N, H], float32; with the ``market`` preset z has entered it.
        c: Cell state [N, H], float32.
        open_time_ms: Open time of the bar that just closed [N].
    """

    z: Float32Array
    h: Float32Array
    c: Float32Array
    open_time_ms: IntArray
    _buffers: _Buffers | None = field(default=None, repr=False)

    def put(self, lanes: NDArray[np.bool_] | IntArray, other: DreamState) -> None:
        """Overwrite some lanes with another state's."""
        for name in ("z", "h", "c", "open_time_ms"):
            getattr(self, name)[lanes] = getattr(other, name)
        if self._buffers is not None:
            self._buffers.load(self)

    def buffers(self, weights: DreamWeights, week: _Week) -> _Buffers:
        """The step's workspace, made once."""
        if self._buffers is None:
            self._buffers = _Buffers(weights, week, len(self.z))
            self._buffers.load(self)
        return self._buffers

    def forget_buffers(self) -> None:
        """The arrays were moved without the workspace."""
        self._buffers = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_buffers": None}


class Noise(NamedTuple):
    """What chance decides in one step of N lanes.

    Attributes:
        uniforms: [N, 2], float32 in [0, 1): which mixture components.
        normals: [N, 1 + Z], float32: where inside them.
    """

    uniforms: Float32Array
    normals: Float32Array


class _Week(NamedTuple):
    """The calendar of the bars of a week from 1970-01-01 on [B, 4], and a bar's length."""

    table: Float32Array
    interval_ms: int


class _Buffers:
    """A step's workspace for N lanes: the network's inputs and layers.

    Attributes:
        inputs: What M hears next, [z, (paper: action), calendar, h] in one row [N, I + H].
        heard: The same as a tensor [N, I + H], of which the next three are views.
        heard_z: z [N, Z].
        by_column: All of it, the other way round [I + H, N].
        h_by_column: h [H, N].
        z: The latents, by columns [Z, N].
        calendar_column: Where the calendar begins in the inputs.
        bar_of_week: Which row of the week's calendar that is [N].
        scaled: Standardised returns [N].
    """

    def __init__(self, weights: DreamWeights, week: _Week, num_lanes: int) -> None:
        size = weights.latent_size
        self.inputs, self.heard = _layer(num_lanes, weights.gates.shape[0])
        self.inputs[:] = 0.0
        self.heard_z, self.by_column = self.heard[:, :size], self.heard.T
        self.h_by_column = self.by_column[-weights.hidden_size :]
        self.z, _ = _layer(size, num_lanes)
        self.calendar_column = size + int(weights.paper)
        self.bar_of_week = np.zeros(num_lanes, dtype=np.int64)
        self.scaled = np.empty(num_lanes, dtype=np.float32)
        self._week = week
        rows = {name: (num_lanes, n) for name, n in weights.row_layers().items()}
        columns = {name: (n, num_lanes) for name, n in weights.column_layers().items()}
        # The gates lie where the other layers do, which are written when the gates have been read:
        # all of a step's memory is to stay in the second-level cache.
        self._layers = _layers([{"gates": rows.pop("gates")}, rows | columns])
        self._few = num_lanes <= _FEW_LANES

    def load(self, state: DreamState) -> None:
        """Take over a state that was written from outside."""
        table, interval_ms = self._week
        first = self.calendar_column
        self.inputs[:, : state.z.shape[1]] = state.z
        self.inputs[:, -state.h.shape[1] :] = state.h
        self.z[:] = state.z.T
        self.bar_of_week[:] = (state.open_time_ms // interval_ms + 1) % len(table)
        self.inputs[:, first : first + table.shape[1]] = table[self.bar_of_week]

    def multiply(self, left: torch.Tensor, weights: torch.Tensor, name: str) -> _Layer:
        """``left [N, I] @ weights [I, J]`` into a layer [N, J]."""
        layer = self._layers[name]
        if self._few:
            kernels.products(left.numpy(), weights.numpy(), layer.array)
        else:
            torch.mm(left, weights, out=layer.tensor)
        return layer

    def transposed(self, weights: torch.Tensor, right: torch.Tensor, name: str) -> Float32Array:
        """``weights [J, I] @ right [I, N]`` into a layer [J, N]."""
        layer = self._layers[name]
        if self._few:
            kernels.transposed_products(right.numpy(), weights.numpy().T, layer.array)
        else:
            torch.mm(weights, right, out=layer.tensor)
        return layer.array

    def inner(self) -> _Layer:
        """The hidden layer of z's head [G, N]."""
        return self._layers["inner"]


class _Layer(NamedTuple):
    """One piece of memory, as numpy and as PyTorch see it."""

    array: Float32Array
    tensor: torch.Tensor


def _layer(rows: int, columns: int) -> _Layer:
    tensor = torch.empty(rows, columns)  # PyTorch's begin at a cache line, numpy's need not
    return _Layer(tensor.numpy(), tensor)


def _layers(groups: list[dict[str, tuple[int, int]]]) -> dict[str, _Layer]:
    """Layers of those shapes, of which each group begins at the same memory."""
    sizes = [[_CACHE_LINE * -(-a * b // _CACHE_LINE) for a, b in g.values()] for g in groups]
    memory = torch.empty(max(map(sum, sizes)))
    layers = {}
    for group, lengths in zip(groups, sizes, strict=True):
        starts = itertools.accumulate(lengths, initial=0)
        for (name, shape), start in zip(group.items(), starts, strict=False):
            tensor = memory[start : start + math.prod(shape)].view(shape)
            layers[name] = _Layer(tensor.numpy(), tensor)
    return layers


class DreamEngine:
    """Steps any number of lanes through a world model.

    Args:
        world_model: The market that is dreamed.
        warmup: Recorded bars that M hears before the dream begins; None takes all that the
            model's bank holds.
    """

    def __init__(self, world_model: WorldModel, warmup: int | None = None) -> None:
        self.world_model = world_model
        self.config = world_model.config
        self.interval_ms = world_model.provenance.interval_ms
        bank = world_model.bank
        width = bank.z.shape[1]
        bars = width if warmup is None else whole_number(warmup)
        if bars is None or not 1 <= bars <= width:
            raise ConfigError(
                f"warmup is {warmup!r}; this world model's bank holds segments of {width} bars"
            )
        self.warmup = bars
        self._weights = DreamWeights.of(world_model)
        week = np.arange(0, max(INTERVALS_MS["W"], self.interval_ms), self.interval_ms)
        self._week = _Week(calendar(week), self.interval_ms)
        self._starts: DreamState | None = None

    @cached_property
    def lane_model(self) -> LaneModel:
        """The weights as a lane by itself reads them (``market``)."""
        return LaneModel.of(self._weights, self._week.table, self.config, self.interval_ms)

    @cached_property
    def _lane_memory(self) -> Float32Array:
        return self.lane_model.memory()

    @property
    def num_segments(self) -> int:
        """How many recorded segments a dream can begin from."""
        return len(self.world_model.bank.open_time_ms)

    def start(self, segments: IntArray) -> DreamState:
        """The states after the warm-up segments of those indices [N].

        M's state after a segment depends on nothing else, so each is computed once.
        """
        if self._starts is None:
            bank = self.world_model.bank
            latents = np.ascontiguousarray(bank.z[:, -self.warmup :])
            self._starts = self.warm_up(latents, bank.open_time_ms)
        starts = self._starts
        return DreamState(
            starts.z[segments],
            starts.h[segments],
            starts.c[segments],
            starts.open_time_ms[segments],
        )

    def warm_up(self, latents: Float32Array, last_open_time_ms: IntArray) -> DreamState:
        """The state after recorded latents [N, W, Z] whose last bars open then [N]."""
        state = self.world_model.warm_up(latents, last_open_time_ms)
        return DreamState(
            latents[:, -1].copy(),
            state.hidden.numpy().copy(),
            state.cell.numpy().copy(),
            np.array(last_open_time_ms, dtype=np.int64),
        )

    def draw_noise(self, rng: np.random.Generator, num_lanes: int) -> Noise:
        """One step's noise of N lanes."""
        return self.draw_steps(rng, num_lanes, 1)[0]

    def draw_steps(self, rng: np.random.Generator, num_lanes: int, steps: int) -> list[Noise]:
        """The noise of several steps of N lanes, the same as drawn step by step."""
        size = num_lanes * (1 + self.config.latent_size)
        pairs = (size + 1) // 2
        words = num_lanes + pairs  # of 64 bits: two uniforms a lane, and two for a pair of normals
        bits = rng.bit_generator.random_raw(steps * words).view(np.uint32).reshape(steps, -1)
        uniforms = np.empty((steps, 2 * num_lanes), dtype=np.float32)
        normals = np.empty((steps, 2 * pairs), dtype=np.float32)
        noise_from_bits(bits, uniforms, normals)
        # Row by row in memory, as the kernels read it, and lane by lane to the outside.
        return [
            Noise(uniform.reshape(2, num_lanes).T, normal[:size].reshape(-1, num_lanes).T)
            for uniform, normal in zip(uniforms, normals, strict=True)
        ]

    def step(
        self,
        state: DreamState,
        weights: FloatArray,
        noise: Noise,
        temperature: float = 1.0,
        forced: tuple[Float32Array, FloatArray] | None = None,
    ) -> FloatArray:
        """Dream one bar of every lane.

        Args:
            state: Moved in place.
            weights: Target weights [N]; only the ``paper`` preset's market hears them.
            noise: Of this step.
            temperature: τ: mixture logits are divided by it, noise is multiplied by √τ.
            forced: Instead of drawing: latents [N, Z] and log returns [N] that did happen.

        Returns:
            The bar's log returns [N], float64.
        """
        if forced is None and len(state.z) <= _FEW_LANES and not self._weights.paper:
            return self._step_few(state, noise, temperature)
        buffers = state.buffers(self._weights, self._week)
        if self._weights.paper:
            buffers.inputs[:, state.z.shape[1]] = weights
            self._advance(state, buffers)
        if forced is None:
            log_return = self._draw(state, buffers, noise, np.float32(temperature))
        else:
            state.z[:], log_return = forced
            state.open_time_ms += self.interval_ms
            buffers.load(state)
        if not self._weights.paper:
            self._advance(state, buffers)
        return log_return

    def _step_few(self, state: DreamState, noise: Noise, temperature: float) -> FloatArray:
        log_return = np.empty(len(state.z))
        step_lanes(
            *self.lane_model,
            np.concatenate([noise.uniforms.T, noise.normals.T]),
            np.float32(temperature),
            state.z,
            state.h,
            state.c,
            state.open_time_ms,
            self._lane_memory,
            log_return,
        )
        state.forget_buffers()
        return log_return

    def view(self, state: DreamState, out: Float32Array) -> None:
        """Write what a policy sees of the market, [z, h], into ``out`` [N, Z + H]."""
        size = state.z.shape[1]
        out[:, :size] = state.z
        out[:, size:] = state.h

    def _advance(self, state: DreamState, buffers: _Buffers) -> None:
        """The LSTM's step: z, the next bar's calendar and, in ``paper``, the action enter."""
        weights = self._weights
        gates = buffers.multiply(buffers.heard, weights.gates, "gates").array
        kernels.lstm_step(gates, weights.gates_bias, state.c, state.h, buffers.inputs)

    def _draw(
        self, state: DreamState, buffers: _Buffers, noise: Noise, temperature: np.float32
    ) -> FloatArray:
        weights, components = self._weights, self.config.num_components
        uniforms, normals = (np.ascontiguousarray(part.T) for part in noise)
        hidden = buffers.h_by_column  # the layer that z's head hears [H or G, N]
        if not weights.paper:
            hidden = buffers.inner().tensor
            kernels.draw_returns(
                buffers.transposed(weights.head_rows, buffers.by_column, "head"),
                weights.head_bias,
                weights.carried,
                components,
                uniforms,
                normals,
                temperature,
                buffers.scaled,
                buffers.z,
                buffers.inner().array,
            )
        kernels.draw_latents(
            buffers.transposed(weights.latent_rows, hidden, "latent"),
            weights.latent_bias,
            weights.persistence,
            weights.spread,
            components,
            uniforms,
            normals,
            temperature,
            int(not weights.paper),
            buffers.z,
        )
        kernels.close_bars(
            buffers.z,
            state.z,
            buffers.inputs,
            state.open_time_ms,
            self.interval_ms,
            buffers.bar_of_week,
            self._week.table,
            buffers.calendar_column,
        )
        if weights.paper:
            self._decode_return(buffers)
        log_return = np.empty(len(state.z))
        kernels.unscale(buffers.scaled, weights.return_scale, weights.return_mean, log_return)
        return log_return

    def _decode_return(self, buffers: _Buffers) -> None:
        """V's decoder, as far as the return needs it (``paper``)."""
        first, second, last = self._weights.decoder
        inner = buffers.multiply(buffers.heard_z, first.kernel, "decoder_0")
        kernels.silu(inner.array, first.bias)
        inner = buffers.multiply(inner.tensor, second.kernel, "decoder_1")
        kernels.silu_product(
            inner.array, second.bias, self._weights.to_return, last.bias[0], buffers.scaled
        )
