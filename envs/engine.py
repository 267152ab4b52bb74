"""The dream's dynamics: lanes of (z, h, c) stepped through M from injected noise.

M's arithmetic is that of `models.mdn_rnn`, written for many small steps: the matrix products go to
a BLAS, everything between them is compiled. The tests hold it to the PyTorch module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..market.candles import INTERVALS_MS, FloatArray, IntArray
from ..market.errors import ConfigError
from ..market.features import calendar
from ..models.world_model import WorldModel
from . import kernels
from .elementary import noise_from_bits
from .lane_kernels import step_lanes
from .lane_model import LaneModel
from .weights import DreamWeights

Float32Array = NDArray[np.float32]
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

    def buffers(self, weights: DreamWeights) -> _Buffers:
        """The step's workspace, made once."""
        if self._buffers is None:
            self._buffers = _Buffers(weights, len(self.z))
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


class _Buffers:
    """A step's workspace for N lanes: the network's inputs and layers.

    Attributes:
        inputs: What M hears next, [z, (paper: action), calendar, h] in one row [N, I + H].
        z: The state's latents, by columns [Z, N].
        scaled: Standardised returns [N].
    """

    def __init__(self, weights: DreamWeights, num_lanes: int) -> None:
        self.inputs = np.zeros((num_lanes, weights.gates.shape[0]), dtype=np.float32)
        self.z = np.empty((weights.latent_size, num_lanes), dtype=np.float32)
        self.scaled = np.empty(num_lanes, dtype=np.float32)
        self._rows = _layers(weights.row_layers(), lambda size: (num_lanes, size))
        self._columns = _layers(weights.column_layers(), lambda size: (size, num_lanes))
        self._few = num_lanes <= _FEW_LANES

    def load(self, state: DreamState) -> None:
        """Take over a state that was written from outside."""
        self.inputs[:, : state.z.shape[1]] = state.z
        self.inputs[:, -state.h.shape[1] :] = state.h
        self.z[:] = state.z.T

    def multiply(self, left: Float32Array, weights: torch.Tensor, name: str) -> Float32Array:
        """``left [N, I] @ weights [I, J]`` into a layer [N, J]."""
        out, tensor = self._rows[name]
        if self._few:
            kernels.products(left, weights.numpy(), out)
        else:
            torch.mm(torch.from_numpy(left), weights, out=tensor)
        return out

    def transposed(self, left: Float32Array, weights: torch.Tensor, name: str) -> Float32Array:
        """``(left [I, N].T @ weights [I, J]).T`` into a layer [J, N]."""
        out, tensor = self._columns[name]
        if self._few:
            kernels.transposed_products(left, weights.numpy(), out)
        else:
            torch.mm(weights.T, torch.from_numpy(left), out=tensor)
        return out

    def inner(self) -> Float32Array:
        """The hidden layer of z's head [G, N]."""
        return self._columns["inner"][0]


def _layers(
    sizes: dict[str, int], shape: Callable[[int], tuple[int, int]]
) -> dict[str, tuple[Float32Array, torch.Tensor]]:
    arrays = {name: np.empty(shape(size), dtype=np.float32) for name, size in sizes.items()}
    return {name: (array, torch.from_numpy(array)) for name, array in arrays.items()}


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
        if warmup is not None and not 1 <= warmup <= width:
            raise ConfigError(
                f"warmup is {warmup}; this world model's bank holds segments of {width} bars"
            )
        self.warmup = warmup or width
        self._weights = DreamWeights.of(world_model)
        week = np.arange(0, max(INTERVALS_MS["W"], self.interval_ms), self.interval_ms)
        self._calendar = calendar(week)
        self._starts: DreamState | None = None

    @cached_property
    def lane_model(self) -> LaneModel:
        """The weights as a lane by itself reads them (``market``)."""
        return LaneModel.of(self._weights, self._calendar, self.config, self.interval_ms)

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
        size = num_lanes * (1 + self.config.latent_size)
        pairs = (size + 1) // 2
        words = num_lanes + pairs  # of 64 bits: two uniforms a lane, and two for a pair of normals
        bits = rng.bit_generator.random_raw(words).view(np.uint32)
        uniforms = np.empty(2 * num_lanes, dtype=np.float32)
        normals = np.empty(2 * pairs, dtype=np.float32)
        noise_from_bits(bits, uniforms, normals)
        # Row by row in memory, as the kernels read it, and lane by lane to the outside.
        return Noise(uniforms.reshape(2, num_lanes).T, normals[:size].reshape(-1, num_lanes).T)

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
        buffers = state.buffers(self._weights)
        if self._weights.paper:
            buffers.inputs[:, state.z.shape[1]] = weights
            self._advance(state, buffers)
        if forced is None:
            log_return = self._draw(state, buffers, noise, np.float32(temperature))
        else:
            state.z[:], log_return = forced
            buffers.load(state)
        state.open_time_ms += self.interval_ms
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
        first = state.z.shape[1] + int(weights.paper)
        kernels.put_calendar(
            state.open_time_ms, self.interval_ms, self._calendar, buffers.inputs, first
        )
        gates = buffers.multiply(buffers.inputs, weights.gates, "gates")
        kernels.lstm_cell(gates, weights.gates_bias, state.c, state.h)
        buffers.inputs[:, -state.h.shape[1] :] = state.h

    def _draw(
        self, state: DreamState, buffers: _Buffers, noise: Noise, temperature: np.float32
    ) -> FloatArray:
        weights, components = self._weights, self.config.num_components
        uniforms, normals = (np.ascontiguousarray(part.T) for part in noise)
        if weights.paper:
            inner = state.h.T
        else:
            head = buffers.transposed(buffers.inputs.T, weights.head, "head")
            inner = buffers.inner()
            kernels.draw_returns(
                head,
                weights.head_bias,
                weights.carried,
                components,
                uniforms,
                normals,
                temperature,
                buffers.scaled,
                buffers.z,
                inner,
            )
        kernels.draw_latents(
            buffers.transposed(inner, weights.latent, "latent"),
            weights.latent_bias,
            weights.persistence,
            components,
            uniforms,
            normals,
            temperature,
            int(not weights.paper),
            buffers.z,
        )
        kernels.spread(buffers.z, state.z, buffers.inputs)
        if weights.paper:
            self._decode_return(state, buffers)
        log_return = np.empty(len(state.z))
        kernels.unscale(buffers.scaled, weights.return_scale, weights.return_mean, log_return)
        return log_return

    def _decode_return(self, state: DreamState, buffers: _Buffers) -> None:
        """V's decoder, as far as the return needs it (``paper``)."""
        first, second, last = self._weights.decoder
        inner = buffers.multiply(state.z, first.kernel, "decoder_0")
        kernels.silu(inner, first.bias)
        inner = buffers.multiply(inner, second.kernel, "decoder_1")
        kernels.silu(inner, second.bias)
        np.dot(inner, last.kernel.numpy()[:, 0], out=buffers.scaled)
        buffers.scaled += last.bias[0]
