"""The dream's dynamics: lanes of (z, h, c) stepped through M from injected noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..market.candles import FloatArray, IntArray
from ..market.errors import ConfigError
from ..market.features import calendar
from ..models.mdn_rnn import State
from ..models.world_model import WorldModel
from .spaces import LATENT_BOUND

Float32Array = NDArray[np.float32]


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

    def put(self, lanes: NDArray[np.bool_] | IntArray, other: DreamState) -> None:
        """Overwrite some lanes with another state's."""
        for name in ("z", "h", "c", "open_time_ms"):
            getattr(self, name)[lanes] = getattr(other, name)


class Noise(NamedTuple):
    """What chance decides in one step of N lanes.

    Attributes:
        uniforms: [N, 2], float32 in [0, 1): which mixture components.
        normals: [N, 1 + Z], float32: where inside them.
    """

    uniforms: Float32Array
    normals: Float32Array


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
        self._starts: DreamState | None = None

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
        """One step's noise."""
        return Noise(
            rng.random((num_lanes, 2), dtype=np.float32),
            rng.standard_normal((num_lanes, 1 + self.config.latent_size), dtype=np.float32),
        )

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
        model = self.world_model
        paper = self.config.preset == "paper"
        memory = State(*(torch.from_numpy(a) for a in (state.h, state.c, state.z)))
        if paper:
            actions = torch.from_numpy(weights[:, None].astype(np.float32))
            memory = self._advance(state.z, state.open_time_ms, actions, memory)
        if forced is None:
            uniforms, normals = (torch.from_numpy(a) for a in noise)
            drawn, latent = model.sample_next(memory, uniforms, normals, temperature)
            log_return, z = drawn.numpy(), latent.numpy()
        else:
            z, log_return = forced
        state.open_time_ms += self.interval_ms
        if not paper:
            memory = self._advance(z, state.open_time_ms, None, memory)
        state.z, state.h, state.c = z, memory.hidden.numpy(), memory.cell.numpy()
        return log_return

    def view(self, state: DreamState, out: Float32Array) -> None:
        """Write what a policy sees of the market, [z, h], into ``out`` [N, Z + H]."""
        size = state.z.shape[1]
        np.clip(state.z, -LATENT_BOUND, LATENT_BOUND, out=out[:, :size])
        out[:, size:] = state.h

    def _advance(
        self,
        z: Float32Array,
        open_time_ms: IntArray,
        actions: torch.Tensor | None,
        memory: State,
    ) -> State:
        waves = torch.from_numpy(calendar(open_time_ms + self.interval_ms))
        with torch.no_grad():
            return self.world_model.mdn_rnn.advance(torch.from_numpy(z), waves, actions, memory)
