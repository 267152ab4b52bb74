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
from .lane_model import aligned
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
        config, model = lanes.engine.config, lanes.engine.lane_model
        self._gates, self._head, self._latent, self._calendar, self._numbers = model
        inputs = len(self._gates) - 1
        self._hidden_from = inputs - config.hidden_size
        self._cell_from, self._layers_from = inputs, inputs + config.hidden_size
        size = self._layers_from + model.workspace_size
        self._memory: Float32Array = aligned(1, size)[0]
        self._noise = lanes.noise
        self._temperature = lanes.temperature
        self._interval_ms = lanes.engine.interval_ms
        self._size = config.latent_size + config.hidden_size + 1
        self.price, self.time_ms = 0.0, 0

    def begin(self, lanes: DreamLanes) -> None:
        """Go on from where the lane is."""
        state = lanes.state
        self._memory[: state.z.shape[1]] = state.z[0]
        self._memory[self._hidden_from : self._cell_from] = state.h[0]
        self._memory[self._cell_from : self._layers_from] = state.c[0]
        self.price, self.time_ms = lanes.price.item(0), lanes.time_ms.item(0)

    def live(
        self, account: FloatArray, due: float, rng: np.random.Generator
    ) -> tuple[Float32Array, float, int, Lived]:
        """Dream a bar and settle it; see `TradingEnv._live`.

        Args:
            account: State of a `ScalarAccount`, updated.
            due: What it fills now.
            rng: The environment's own.
        """
        observation: Float32Array = np.empty(self._size, FLOAT32)
        self.time_ms = time_ms = self.time_ms + self._interval_ms
        lived, self.price = live_dreamed(
            account,
            due,
            self._gates,
            self._head,
            self._latent,
            self._calendar,
            self._numbers,
            self._noise.table,
            self._noise.next(rng),
            self._temperature,
            time_ms,
            self.price,
            self._memory,
            observation,
        )
        return observation, self.price, time_ms, lived
