"""One lane's plain dream, in one compiled call a bar.

Plain is what the defaults are: the ``market`` preset, [z, h] as observation, accounts that look at
nothing but closes, no funding and no meter. Everything else steps through `DreamLanes`, and the
tests hold both ways to the same bits.
"""

from __future__ import annotations

import math

import numpy as np

from ..market.account.settlement import plain_bar, settle_state
from ..market.arrays import Float32Array, FloatArray
from ..market.numerics.compiled import compiled
from .dream_lanes import DreamLanes
from .engine.one_lane import step_lane
from .one_account import FLOAT32, Lived, account_of


@compiled
def live_dreamed(
    account: FloatArray,
    action: float,
    wide: Float32Array,
    latent: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    noise: Float32Array,
    step: int,
    temperature: float,
    open_time_ms: int,
    price: float,
    memory: Float32Array,
    observation: Float32Array,
) -> tuple[Lived, float]:
    """Dream a bar of which only the return is known, settle it, and look at [z, h].

    Args:
        account: State of a `ScalarAccount`, updated.
        action: Target weight that is filled now.
        wide: And the three that follow: a `LaneModel`.
        latent: z's mixture.
        calendar: Of a week's bars.
        numbers: Sizes and scales.
        noise: Of S steps [3 + Z, S].
        step: Which of them.
        temperature: τ.
        open_time_ms: Of the bar that is dreamed.
        price: Close of the bar before.
        memory: The lane's, see `LaneModel`; updated.
        observation: [D], written.

    Returns:
        What is told of the account, and the bar's close.
    """
    log_return = step_lane(
        wide,
        latent,
        calendar,
        numbers,
        noise,
        step,
        np.float32(temperature),
        open_time_ms,
        memory,
    )
    simple = math.expm1(log_return)
    held = account[1]
    settled = settle_state(account, action, plain_bar(simple, price))
    latents, hidden = int(numbers[1]), int(numbers[2])
    h = memory[wide.shape[1] + latent.shape[1] + hidden :]
    z = h[hidden:]
    for d in range(latents):
        observation[d] = z[d]
    for j in range(hidden):
        observation[latents + j] = h[j]
    return account_of(account, held, simple, settled, observation), price * (1.0 + simple)


class ScalarDream:
    """A lane that leaves `DreamLanes` for as long as an episode lasts.

    Args:
        lanes: One lane, placed where the episode begins; what it draws from is shared.
        rng: The environment's own.
        size: D, numbers of an observation.

    Attributes:
        price: Newest close.
        time_ms: Open time of the bar that just closed [ms UTC].
    """

    def __init__(self, lanes: DreamLanes, rng: np.random.Generator, size: int) -> None:
        model, state = lanes.engine.lane_model, lanes.state
        self._wide, self._latent, self._calendar, self._numbers = model
        self._memory = model.memory()
        self._memory[model.z] = state.z[0]
        self._memory[model.h] = state.h[0]
        self._memory[model.cell] = state.c[0]
        self._noise, self._rng = lanes.noise, rng
        self._temperature = lanes.temperature
        self._interval_ms = lanes.engine.interval_ms
        self._size = size
        self.price, self.time_ms = lanes.price.item(0), lanes.time_ms.item(0)

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
