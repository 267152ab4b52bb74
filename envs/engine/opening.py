"""The engine that a world model's dreams need, and what every engine can do."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.candles import Candles
from ...models.bars.world_model import BarWorldModel
from ...models.world_model import WorldModel
from .bar_engine import BarEngine
from .engine import DreamEngine


class Engine(Protocol):
    """Steps lanes of a dream from injected noise.

    Attributes:
        world_model: The market that is dreamed.
        config: Its settings.
        interval_ms: Length of a bar [ms].
        warmup: Recorded bars that M hears before a dream begins.
    """

    world_model: WorldModel
    config: Any
    interval_ms: int
    warmup: int

    @property
    def num_segments(self) -> int:
        """How many recorded segments a dream can begin from."""

    @property
    def noise_rows(self) -> int:
        """Random numbers of a lane's step."""

    def start(self, segments: IntArray) -> Any:
        """The state after the warm-up segments of those indices [N]."""

    def after(self, candles: Candles, row: int) -> Any:
        """The state of one lane at the close of a recorded bar."""

    def draw_table(self, rng: np.random.Generator, num_lanes: int) -> Float32Array:
        """One step's random numbers of N lanes [R, N]."""

    def noise_of(self, table: Float32Array) -> Any:
        """A step's noise from a table [R, N]."""

    def draw_noise(self, rng: np.random.Generator, num_lanes: int) -> Any:
        """One step's noise of N lanes."""

    def draw_steps(self, rng: np.random.Generator, num_lanes: int, steps: int) -> list[Any]:
        """The noise of several steps of N lanes."""

    def step(
        self,
        state: Any,
        weights: FloatArray,
        noise: Any,
        temperature: float = 1.0,
        forced: Any = None,
    ) -> FloatArray:
        """Dream one bar of every lane; returns its log returns [N]."""

    def view(self, state: Any, out: Float32Array) -> None:
        """Write [z, h] into ``out`` [N, Z + H]."""


def open_engine(world_model: WorldModel, warmup: int | None = None) -> Engine:
    """A `BarEngine` for a world model that draws bars, else a `DreamEngine`.

    Args:
        world_model: The market that is dreamed.
        warmup: Recorded bars that M hears before the dream begins; None takes all.
    """
    if isinstance(world_model, BarWorldModel):
        return cast(Engine, BarEngine(world_model, warmup))
    return DreamEngine(world_model, warmup)
