"""Markets that can be split: dreams of a world model, and the synthetic market whose law is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...envs.engine.bar_engine import STILL, BarEngine, BarState
from ...envs.engine.opening import open_engine
from ...market.arrays import FloatArray, IntArray
from ...market.errors import ConfigError
from ...market.intervals import INTERVALS_MS
from ...market.streams import AVERAGE_VOLUME
from ...market.synthetic import REGIMES, SyntheticMarket
from ...models.bar_world_model import BarWorldModel
from ...models.bars.packed import UNIFORMS
from ...models.world_model import WorldModel
from .guide import wider


class DreamStepper:
    """Dreams of a world model of bars, begun at random segments of its bank.

    Args:
        world_model: What dreams.
        temperature: τ.

    Raises:
        ConfigError: The world model draws no bars.
    """

    def __init__(self, world_model: WorldModel, temperature: float = 1.0) -> None:
        if not isinstance(world_model, BarWorldModel):
            raise ConfigError(
                "scenarios are dreams of bars: take a world model of the preset market; this one is of the "
                f"preset {world_model.config.preset}"
            )
        engine = open_engine(world_model)
        assert isinstance(engine, BarEngine)
        self.engine = engine
        self._temperature = temperature
        self._told = world_model.config.forecast_size

    def start(self, count: int, rng: np.random.Generator) -> BarState:
        """See `Stepper`."""
        return self.engine.start(rng.integers(self.engine.num_segments, size=count))

    def step(self, state: BarState, rng: np.random.Generator) -> FloatArray:
        """See `Stepper`."""
        self.advance(state, rng)
        return state.bars

    def leap(self, state: BarState, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """See `Stepper`: the shocks are those of the returns, inside the mixture's components."""
        count = len(state.z)
        noise = self.engine.draw_noise(rng, count)
        shocks, log_weight = wider(noise.table[UNIFORMS].astype(np.float64), rng)
        noise.table[UNIFORMS] = shocks
        self.engine.step(state, np.zeros(count), noise, self._temperature)
        return state.bars, log_weight

    def advance(
        self, state: BarState, rng: np.random.Generator, given: FloatArray | None = None
    ) -> FloatArray:
        """Live a bar of every lane in place, those given [N, 4] or dreamed ones; log returns [N]."""
        count = len(state.z)
        noise = STILL if given is not None else self.engine.draw_noise(rng, count)
        return self.engine.step(state, np.zeros(count), noise, self._temperature, given)

    def copy(self, state: BarState, which: IntArray) -> BarState:
        """See `Stepper`."""
        return state.taken(which)

    def join(self, states: Sequence[BarState]) -> BarState:
        """See `Stepper`."""
        first, *others = states
        return first.joined(others)

    def outlook(self, state: BarState) -> FloatArray:
        """The part of z that was trained for what comes next."""
        return state.z[:, : self._told].astype(np.float64)

    def usual_volume(self, state: BarState) -> FloatArray:
        """The average that relative volumes are measured against."""
        average: FloatArray = state.lanes.memory[:, AVERAGE_VOLUME]
        return average


class RegimeState(NamedTuple):
    """Where each of N lanes of the synthetic market is.

    Attributes:
        regime: Of the bar that just closed [N].
        open_time_ms: Its open time [N].
    """

    regime: IntArray
    open_time_ms: IntArray


class SyntheticStepper:
    """The synthetic market itself, begun in its long-run state at any bar of the week.

    Args:
        market: Which.
    """

    def __init__(self, market: SyntheticMarket) -> None:
        self._market = market

    def start(self, count: int, rng: np.random.Generator) -> RegimeState:
        """See `Stepper`."""
        market, week = self._market, INTERVALS_MS["W"]
        regimes = rng.choice(len(REGIMES), size=count, p=market.stationary)
        bars = rng.integers(week // market.interval_ms, size=count)
        return RegimeState(regimes, bars * market.interval_ms)

    def step(self, state: RegimeState, rng: np.random.Generator) -> FloatArray:
        """See `Stepper`."""
        self._advance(state, rng)
        return self._market.draw_bars(state.regime, state.open_time_ms, rng)

    def leap(self, state: RegimeState, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """See `Stepper`."""
        self._advance(state, rng)
        shocks, log_weight = wider(rng.standard_normal(len(state.regime)), rng)
        return self._market.draw_bars(state.regime, state.open_time_ms, rng, shocks), log_weight

    def _advance(self, state: RegimeState, rng: np.random.Generator) -> None:
        state.regime[:] = self._market.next_regimes(state.regime, rng)
        state.open_time_ms[:] += self._market.interval_ms

    def copy(self, state: RegimeState, which: IntArray) -> RegimeState:
        """See `Stepper`."""
        return RegimeState(state.regime[which], state.open_time_ms[which])

    def join(self, states: Sequence[RegimeState]) -> RegimeState:
        """See `Stepper`."""
        return RegimeState(*(np.concatenate(part) for part in zip(*states, strict=True)))

    def outlook(self, state: RegimeState) -> FloatArray:
        """Which regime it is."""
        return np.eye(len(REGIMES))[state.regime]

    def usual_volume(self, state: RegimeState) -> FloatArray:
        """The mean of all bars."""
        return np.full(len(state.regime), self._market.mean_volume)
