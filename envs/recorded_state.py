"""What M remembers along a record when it also hears the actions (the ``paper`` preset)."""

from __future__ import annotations

import numpy as np

from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ..models.paper_world_model import PaperWorldModel
from ..models.world_model import WorldModel
from .engine.paper_engine import PaperEngine
from .recorded import RecordedMarket
from .spaces import LATENT_BOUND


class RecordedState:
    """M's state of N lanes that replay a record, each with actions of its own.

    Args:
        world_model: Of the ``paper`` preset.
        recorded: What is replayed.
        num_lanes: N.
    """

    def __init__(self, world_model: WorldModel, recorded: RecordedMarket, num_lanes: int) -> None:
        assert isinstance(world_model, PaperWorldModel)
        self._engine = PaperEngine(world_model)
        record, self._first_row = recorded.record, recorded.first_row
        latents = world_model.encode(world_model.features(record))
        self._latents = np.clip(latents, -LATENT_BOUND, LATENT_BOUND)
        self._log_return = np.diff(np.log(record.close), prepend=np.nan)
        self._open_time_ms = record.open_time_ms
        self._state = self._engine.start(np.zeros(num_lanes, dtype=np.int64))
        self._silence = self._engine.draw_noise(np.random.default_rng(0), num_lanes)

    @property
    def hidden(self) -> Float32Array:
        """The hidden state [N, H], before the newest latent and the next action enter."""
        return self._state.h

    def begin(self, lanes: BoolArray, rows: IntArray) -> None:
        """Let the lanes [N] hear the recorded bars up to their rows [lanes.sum()], flat."""
        rows = rows + self._first_row
        window = np.arange(-self._engine.warmup + 1, 1)
        latents = np.ascontiguousarray(self._latents[rows[:, None] + window])
        self._state.put(lanes, self._engine.warm_up(latents, self._open_time_ms[rows]))

    def advance(self, targets: FloatArray, rows: IntArray) -> None:
        """The lanes chose ``targets`` [N] and have moved on to ``rows`` [N]."""
        there = rows + self._first_row
        forced = (self._latents[there], self._log_return[there])
        self._engine.step(self._state, targets, self._silence, forced=forced)
