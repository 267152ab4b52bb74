"""What every engine can do: step lanes of a dream from injected noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.candles import Candles


class Noise(NamedTuple):
    """What chance decides in one step of N lanes.

    Attributes:
        table: Numbers of each lane [R, N], float32: rows of uniforms in [0, 1), which choose mixture
            components, then of normals, which say where inside them.
    """

    table: Float32Array


class Engine(ABC):
    """Steps lanes of a dream from injected noise.

    Attributes:
        world_model: The market that is dreamed.
        config: Its settings.
        interval_ms: Length of a bar [ms].
        warmup: Recorded bars that M hears before a dream begins.
    """

    world_model: Any
    config: Any
    interval_ms: int
    warmup: int

    @property
    @abstractmethod
    def num_segments(self) -> int:
        """How many recorded segments a dream can begin from."""

    @property
    @abstractmethod
    def noise_rows(self) -> int:
        """Random numbers of a lane's step."""

    def levels(self, segments: IntArray) -> tuple[FloatArray, FloatArray]:
        """Close and level of volume where segments of those indices end, each [N]."""
        bank = self.world_model.bank
        rows = np.asarray(segments) % len(bank)  # whichever of several members dreams
        return bank.close[rows], bank.volume_level[rows]

    @abstractmethod
    def start(self, segments: IntArray) -> Any:
        """The state after the warm-up segments of those indices [N]."""

    @abstractmethod
    def after(self, candles: Candles, rows: IntArray) -> Any:
        """The state of N lanes at the closes of recorded bars [N], their warm-ups before them."""

    @abstractmethod
    def draw_noise(self, rng: np.random.Generator, num_lanes: int) -> Noise:
        """One step's noise of N lanes."""

    @abstractmethod
    def draw_steps(self, rng: np.random.Generator, num_lanes: int, steps: int) -> list[Noise]:
        """The noise of several steps of N lanes."""

    @abstractmethod
    def step(
        self,
        state: Any,
        weights: FloatArray,
        noise: Noise,
        temperature: float = 1.0,
        forced: Any = None,
    ) -> FloatArray:
        """Dream one bar of every lane; returns its log returns [N].

        Args:
            state: Of N lanes, as `start` gives it; moved in place.
            weights: Targets [N], which the ``paper`` preset hears, and ``market`` ignores.
            noise: Of this step, as `draw_noise` gives it.
            temperature: τ: logits ÷ τ, noise × √τ; 0 is the mode.
            forced: Bars to live instead of drawing, as the engine takes them; None draws.
        """

    @abstractmethod
    def view(self, state: Any, out: Float32Array) -> None:
        """Write [z, h] into ``out`` [N, Z + H]."""
