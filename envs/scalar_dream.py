"""One lane's plain dream, in one compiled call a bar.

Plain is what the defaults are: the ``market`` preset, [z, h] as observation, accounts that look at
nothing but closes, no funding and no meter. Everything else steps through `DreamLanes`, and the
tests hold both ways to the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..market.candles import FloatArray
from .dream_lanes import DreamLanes
from .scalar_kernels import FLOAT32, Lived, live_dreamed

Float32Array = NDArray[np.float32]


class ScalarDream:
    """A lane that left `DreamLanes` for as long as an episode lasts.

    Args:
        lanes: One lane; what it draws from is shared.

    Attributes:
        price: Newest close.
        time_ms: Open time of the bar that just closed [ms UTC].
    """

    def __init__(self, lanes: DreamLanes) -> None:
        self._model = lanes.engine.lane_model
        self._wide, self._latent, self._calendar, self._numbers = self._model
        self._memory = self._model.memory()
        self._noise = lanes.noise
        self._temperature = lanes.temperature
        self._interval_ms = lanes.engine.interval_ms
        self._size = lanes.layout["account"].stop
        self._rng = np.random.default_rng(0)
        self.price, self.time_ms = 0.0, 0

    def begin(self, lanes: DreamLanes, rng: np.random.Generator) -> None:
        """Go on from where the lane is, and draw from the environment's own generator."""
        state, model = lanes.state, self._model
        self._memory[model.z] = state.z[0]
        self._memory[model.h] = state.h[0]
        self._memory[model.cell] = state.c[0]
        self.price, self.time_ms = lanes.price.item(0), lanes.time_ms.item(0)
        self._rng = rng

    def live(self, account: FloatArray, due: float) -> tuple[Float32Array, float, int, Lived]:
        """Dream a bar and settle it; see `TradingEnv._live`.

        Args:
            account: State of a `ScalarAccount`, updated.
            due: What it fills now.
        """
        observation: Float32Array = np.empty(self._size, FLOAT32)
        self.time_ms = time_ms = self.time_ms + self._interval_ms
        lived, self.price = live_dreamed(
            account,
            due,
            self._wide,
            self._latent,
            self._calendar,
            self._numbers,
            self._noise.table,
            self._noise.next(self._rng),
            self._temperature,
            time_ms,
            self.price,
            self._memory,
            observation,
        )
        return observation, self.price, time_ms, lived
