"""The dream of latents: lanes of (z, h, c) stepped through M from injected noise (``paper``).

M's arithmetic is that of `models.mdn_rnn`, compiled and written for many small steps. The tests hold
it to the PyTorch module. A lane has the same bits alone, at any place among others, and among any
number of them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ...market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.features import calendar
from ...market.intervals import INTERVALS_MS
from ...market.numerics.float32 import noise_from_bits
from ...market.numerics.products import CACHE_LINE, aligned, product
from ...market.settings import whole_number
from ...models.config import PaperConfig
from ...models.forward import silu
from ...models.paper_world_model import PaperWorldModel
from ...models.vae import LATENT_LIMIT
from . import many_lanes as kernels
from .base import Engine, Noise
from .lane_layout import LaneModel
from .layout import PaperWeights


@dataclass
class PaperState:
    """Where each of N lanes is; the engine moves it in place.

    Attributes:
        z: Latents [N, Z], float32.
        h: Hidden state [N, H], float32, before z and an action enter.
        c: Cell state [N, H], float32.
        open_time_ms: Open time of the bar that just closed [N].
    """

    z: Float32Array
    h: Float32Array
    c: Float32Array
    open_time_ms: IntArray
    _buffers: _Buffers | None = field(default=None, repr=False)

    def put(self, lanes: BoolArray | IntArray, other: PaperState) -> None:
        """Overwrite some lanes with another state's."""
        for name in ("z", "h", "c", "open_time_ms"):
            getattr(self, name)[lanes] = getattr(other, name)
        if self._buffers is not None:
            self._buffers.load(self)

    def repeated(self, count: int) -> PaperState:
        """Every lane so often, side by side."""
        z, h, c = (np.repeat(part, count, axis=0) for part in (self.z, self.h, self.c))
        return PaperState(z, h, c, np.repeat(self.open_time_ms, count))

    def buffers(self, weights: PaperWeights, week: _Week) -> _Buffers:
        """The step's workspace, made once."""
        if self._buffers is None:
            self._buffers = _Buffers(weights, week, len(self.z))
            self._buffers.load(self)
        return self._buffers

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_buffers": None}


LaneDecoder = tuple[Float32Array, Float32Array, Float32Array, Float32Array, Float32Array]


class _Week(NamedTuple):
    """The calendar of the bars of a week [B, 4], and a bar's length."""

    table: Float32Array
    interval_ms: int


class _Buffers:
    """A step's workspace for N lanes: the network's inputs and layers.

    Arrays that hold a lane in a column have whole cache lines of them; columns beyond the lanes hold
    numbers that nobody reads.

    Attributes:
        inputs: What M hears next, [h, z, action, calendar] in one row [N, H + I].
        columns: h and z the other way round [H + Z, N or more].
        h: The first of those [H, N or more].
        z: The last of those [Z, N or more].
        calendar_column: Where the calendar begins in the inputs.
        bar_of_week: Which row of the week's calendar that is [N].
        scaled: Standardised returns [N].
    """

    def __init__(self, weights: PaperWeights, week: _Week, num_lanes: int) -> None:
        hidden, latents = weights.hidden_size, weights.latent_size
        # An odd number of cache lines: were rows a power of two apart, a column would fall on few
        # places of the cache, and push itself out.
        wide = CACHE_LINE * (-(-num_lanes // CACHE_LINE) | 1)
        self.inputs = aligned(num_lanes, len(weights.memory.gates))
        self.columns = aligned(hidden + latents, wide)
        self.h, self.z = self.columns[:hidden], self.columns[hidden:]
        self.calendar_column = hidden + latents + 1
        self.bar_of_week = np.zeros(num_lanes, dtype=np.int64)
        self.scaled = np.empty(num_lanes, dtype=np.float32)
        self._week = week
        rows = {name: (num_lanes, n) for name, n in weights.row_layers().items()}
        columns = {name: (n, wide) for name, n in weights.column_layers().items()}
        # The gates lie where the other layers do, which are written when the gates have been read:
        # all of a step's memory is to stay in the second-level cache.
        self._layers = _layers([{"gates": rows.pop("gates")}, rows | columns])

    def load(self, state: PaperState) -> None:
        """Take over a state that was written from outside."""
        table, interval_ms = self._week
        count, hidden = state.h.shape
        first = self.calendar_column
        self.inputs[:, :hidden] = state.h
        self.inputs[:, hidden : hidden + state.z.shape[1]] = state.z
        self.h[:, :count] = state.h.T
        self.z[:, :count] = state.z.T
        self.bar_of_week[:] = (state.open_time_ms // interval_ms + 1) % len(table)
        self.inputs[:, first : first + table.shape[1]] = table[self.bar_of_week]

    def product(self, left: Float32Array, right: Float32Array, name: str) -> Float32Array:
        """``left @ right``, written into a layer."""
        out = self._layers[name]
        product(left, right, out)
        return out


def _layers(groups: list[dict[str, tuple[int, int]]]) -> dict[str, Float32Array]:
    """Layers of those shapes, of which each group begins at the same memory."""
    sizes = [[CACHE_LINE * -(-a * b // CACHE_LINE) for a, b in g.values()] for g in groups]
    memory = aligned(max(map(sum, sizes)))
    layers = {}
    for group, lengths in zip(groups, sizes, strict=True):
        starts = itertools.accumulate(lengths, initial=0)
        for (name, shape), start in zip(group.items(), starts, strict=False):
            layers[name] = memory[start : start + math.prod(shape)].reshape(shape)
    return layers


class PaperEngine(Engine):
    """Steps any number of lanes through a world model that draws latents; see `Engine`.

    Args:
        world_model: The market that is dreamed.
        warmup: Recorded bars that M hears before the dream begins; None takes all that the
            model's bank holds.
    """

    world_model: PaperWorldModel
    config: PaperConfig

    def __init__(self, world_model: PaperWorldModel, warmup: int | None = None) -> None:
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
        self._week = _Week(self.week_calendar(), self.interval_ms)
        self._starts: PaperState | None = None

    def __getstate__(self) -> dict[str, Any]:
        # What is laid out from the world model is laid out again, where a copy's memory lies.
        derived = ("_weights", "lane_model", "lane_decoder")
        return {name: value for name, value in self.__dict__.items() if name not in derived}

    @cached_property
    def _weights(self) -> PaperWeights:
        return PaperWeights.of(self.world_model)

    @cached_property
    def lane_model(self) -> LaneModel:
        """The weights as a lane by itself reads them."""
        return LaneModel.of(self._weights, self._week.table, self.config, self.interval_ms)

    @cached_property
    def lane_decoder(self) -> LaneDecoder:
        """V's decoder as far as a lane's return needs it: see `one_lane.dream_lane`."""
        first, second, last = self._weights.decoder
        to_return = np.append(self._weights.to_return, last.bias[0])
        to_return = np.ascontiguousarray(to_return, dtype=np.float32)
        return first.kernel, first.bias, second.kernel, second.bias, to_return

    def week_calendar(self) -> Float32Array:
        """The calendar of the bars of a week [B, 4]: row b % B is that of bar b since 1970."""
        bars = np.arange(0, max(INTERVALS_MS["W"], self.interval_ms), self.interval_ms)
        phase = self.world_model.bank.open_time_ms[0] % self.interval_ms  # weeks begin on Mondays
        return calendar(bars + phase)

    @property
    def num_segments(self) -> int:
        """How many recorded segments a dream can begin from."""
        return len(self.world_model.bank.open_time_ms)

    def start(self, segments: IntArray) -> PaperState:
        """The states after the warm-up segments of those indices [N].

        M's state after a segment depends on nothing else, so each is computed once.
        """
        if self._starts is None:
            bank = self.world_model.bank
            latents = np.ascontiguousarray(bank.z[:, -self.warmup :])
            self._starts = self.warm_up(latents, bank.open_time_ms)
        starts = self._starts
        return PaperState(
            starts.z[segments],
            starts.h[segments],
            starts.c[segments],
            starts.open_time_ms[segments],
        )

    def warm_up(self, latents: Float32Array, last_open_time_ms: IntArray) -> PaperState:
        """The state after recorded latents [N, W, Z] whose last bars open then [N]."""
        hidden, cell = self.world_model.warmed(latents, last_open_time_ms)
        last_ms = np.array(last_open_time_ms, dtype=np.int64)
        return PaperState(latents[:, -1].copy(), hidden, cell, last_ms)

    def after(self, candles: Candles, rows: IntArray) -> PaperState:
        """The state of N lanes at the closes of recorded bars [N], their warm-ups before them."""
        windows = rows[:, np.newaxis] + np.arange(1 - self.warmup, 1)
        features = self.world_model.features(candles)[windows]
        latents = np.clip(self.world_model.encode(features), -LATENT_LIMIT, LATENT_LIMIT)
        return self.warm_up(latents, candles.open_time_ms[rows])

    @property
    def noise_rows(self) -> int:
        """Random numbers of a lane's step: two uniforms, 1 + Z normals; the first of each rests."""
        return 3 + self.config.latent_size

    def draw_noise(self, rng: np.random.Generator, num_lanes: int) -> Noise:
        """One step's noise of N lanes."""
        return self.draw_steps(rng, num_lanes, 1)[0]

    def draw_steps(self, rng: np.random.Generator, num_lanes: int, steps: int) -> list[Noise]:
        """The noise of several steps of N lanes, the same as drawn step by step."""
        first, size = 2 * num_lanes, num_lanes * self.noise_rows
        words = (size + 1) // 2  # of 64 bits: two uniforms, or a pair of normals
        bits = rng.bit_generator.random_raw(steps * words).view(np.uint32).reshape(steps, -1)
        numbers = np.empty((steps, 2 * words), dtype=np.float32)
        noise_from_bits(bits, numbers[:, :first], numbers[:, first:])
        return [Noise(row[:size].reshape(self.noise_rows, num_lanes)) for row in numbers]

    def step(
        self,
        state: PaperState,
        weights: FloatArray,
        noise: Noise,
        temperature: float = 1.0,
        forced: tuple[Float32Array, FloatArray] | None = None,
    ) -> FloatArray:
        """Dream one bar of every lane.

        Args:
            state: Moved in place.
            weights: Target weights [N], which this market hears.
            noise: Of this step.
            temperature: τ: mixture logits are divided by it, noise is multiplied by √τ.
            forced: Instead of drawing: latents [N, Z] and log returns [N] that did happen.

        Returns:
            The bar's log returns [N], float64.
        """
        buffers = state.buffers(self._weights, self._week)
        buffers.inputs[:, buffers.calendar_column - 1] = weights
        self._advance(state, buffers)
        if forced is None:
            return self._draw(state, buffers, noise, np.float32(temperature))
        state.z[:], log_return = forced
        state.open_time_ms += self.interval_ms
        buffers.load(state)
        return log_return

    def view(self, state: PaperState, out: Float32Array) -> None:
        """Write what a policy sees of the market, [z, h], into ``out`` [N, Z + H]."""
        size = state.z.shape[1]
        out[:, :size] = state.z
        out[:, size:] = state.h

    def _advance(self, state: PaperState, buffers: _Buffers) -> None:
        """The LSTM's step: z, the action and the next bar's calendar enter."""
        weights = self._weights
        gates = buffers.product(buffers.inputs, weights.memory.gates, "gates")
        kernels.lstm_step(
            gates, weights.memory.bias, state.c, state.h, buffers.inputs, buffers.columns
        )

    def _draw(
        self, state: PaperState, buffers: _Buffers, noise: Noise, temperature: np.float32
    ) -> FloatArray:
        weights = self._weights
        kernels.draw_latents(
            buffers.product(weights.latent_rows, buffers.h, "latent"),
            weights.latent_bias,
            weights.spread,
            self.config.num_components,
            np.ascontiguousarray(noise.table),
            temperature,
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
            weights.hidden_size,
            buffers.calendar_column,
        )
        self._decode_return(state, buffers)
        log_return = np.empty(len(state.z))
        kernels.unscale(buffers.scaled, weights.return_scale, weights.return_mean, log_return)
        return log_return

    def _decode_return(self, state: PaperState, buffers: _Buffers) -> None:
        """V's decoder, as far as the return needs it."""
        first, second, last = self._weights.decoder
        inner = buffers.product(state.z, first.kernel, "decoder_0")
        silu(inner, first.bias)
        inner = buffers.product(inner, second.kernel, "decoder_1")
        kernels.silu_product(
            inner, second.bias, self._weights.to_return, last.bias[0], buffers.scaled
        )
