"""The dream of bars: lanes stepped through M, the features and V from injected noise.

One compiled function steps one lane or many (`models.bars.packed.dream_bars`); a lane has the same
bits alone, at any place among others, and among any number of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.settings import whole_number
from ...models.bar_world_model import (
    BarWorldModel,
    chosen,
    draw_bar_noise,
    lanes_after,
    noise_rows,
    side_by_side,
    start_lanes,
)
from ...models.bars.config import MarketConfig
from ...models.bars.dreaming import dream_bars, expect_returns
from ...models.bars.packed import NORMALS, UNIFORMS, BarLanes, BarNetwork
from .base import Engine, Noise

STILL = Noise(np.zeros((UNIFORMS + NORMALS, 0), dtype=np.float32))
"""Noise of lanes that follow bars that did happen: none."""


class BarState:
    """Where each of N lanes is; the engine moves it in place.

    Args:
        lanes: The lanes.
    """

    def __init__(self, lanes: BarLanes) -> None:
        self.lanes = lanes

    @property
    def z(self) -> Float32Array:
        """Latents [N, Z]."""
        return self.lanes.z

    @property
    def h(self) -> Float32Array:
        """Hidden state [N, H]; z has entered it."""
        return self.lanes.h

    @property
    def c(self) -> Float32Array:
        """Cell state [N, H]."""
        return self.lanes.c

    @property
    def open_time_ms(self) -> IntArray:
        """Open time of the bar that just closed [N]."""
        return self.lanes.open_time_ms

    @property
    def bars(self) -> FloatArray:
        """The newest bars [N, 4], columns `market.streams.BAR_NUMBERS`."""
        return self.lanes.drawn[:, :4]

    @property
    def features(self) -> FloatArray:
        """Of the newest bars, in their own units [N, F]."""
        return self.lanes.raw

    def put(self, lanes: BoolArray | IntArray, other: BarState) -> None:
        """Overwrite some lanes with another state's."""
        pairs: Any = zip(self.lanes, other.lanes, strict=True)
        for mine, theirs in pairs:
            mine[lanes] = theirs

    def taken(self, which: IntArray) -> BarState:
        """Copies of some lanes."""
        return BarState(chosen(self.lanes, which))

    def joined(self, others: Sequence[BarState]) -> BarState:
        """The lanes of this state and, behind them, of others."""
        return BarState(side_by_side([self.lanes, *(other.lanes for other in others)]))

    def repeated(self, count: int) -> BarState:
        """Every lane so often, side by side."""
        return self.taken(np.repeat(np.arange(len(self.z)), count))


class BarEngine(Engine):
    """Steps any number of lanes through a world model of bars; see `Engine`.

    Args:
        world_model: The market that is dreamed.
        warmup: Recorded bars that M hears before the dream begins; None takes all that the
            model's bank holds. The features remember what came before them besides.
    """

    world_model: BarWorldModel
    config: MarketConfig

    def __init__(self, world_model: BarWorldModel, warmup: int | None = None) -> None:
        self.world_model = world_model
        self.config = world_model.config
        self.interval_ms = world_model.provenance.interval_ms
        width = world_model.bank.z.shape[1]
        bars = width if warmup is None else whole_number(warmup)
        if bars is None or not 1 <= bars <= width:
            raise ConfigError(
                f"warmup is {warmup!r}; this world model's bank holds segments of {width} bars"
            )
        self.warmup = bars

    def __getstate__(self) -> dict[str, Any]:
        # What is computed from the world model is computed again.
        return {name: value for name, value in self.__dict__.items() if name != "_starts"}

    @property
    def network(self) -> BarNetwork:
        """V and M as compiled code."""
        return self.world_model.network

    @property
    def noise_rows(self) -> int:
        """Random numbers of a lane's step."""
        return noise_rows(self.config)

    @property
    def num_segments(self) -> int:
        """How many recorded segments a dream can begin from."""
        return self.world_model.num_segments

    @cached_property
    def _starts(self) -> BarLanes:
        return start_lanes(self.world_model, self.warmup)

    def start(self, segments: IntArray) -> BarState:
        """The states after the warm-up segments of those indices [N]."""
        return BarState(chosen(self._starts, segments))

    def after(self, candles: Candles, rows: IntArray) -> BarState:
        """The state of N lanes at the closes of recorded bars [N], their warm-ups before them."""
        return BarState(lanes_after(self.world_model, candles, rows, self.warmup))

    def draw_noise(self, rng: np.random.Generator, num_lanes: int) -> Noise:
        """One step's noise of N lanes: four uniforms and four normals, then those of columns."""
        return self.draw_steps(rng, num_lanes, 1)[0]

    def draw_steps(self, rng: np.random.Generator, num_lanes: int, steps: int) -> list[Noise]:
        """The noise of several steps of N lanes, the same as drawn step by step."""
        drawn = draw_bar_noise(rng, num_lanes, steps, self.noise_rows)
        return [Noise(table) for table in drawn]

    def step(
        self,
        state: BarState,
        weights: FloatArray,
        noise: Noise,
        temperature: float = 1.0,
        forced: FloatArray | None = None,
    ) -> FloatArray:
        """Dream one bar of every lane.

        Args:
            state: Moved in place.
            weights: Target weights [N], which do not move this market.
            noise: Of this step.
            temperature: τ: mixture logits are divided by it, noise is multiplied by √τ.
            forced: Instead of drawing: bars that did happen, with the candles' columns [N, 4 + D]; where
                only the bars are given [N, 4], the columns stay as they are.

        Returns:
            The bar's log returns [N], float64.
        """
        table = np.ascontiguousarray(noise.table)
        if forced is not None:
            state.lanes.drawn[:, : forced.shape[1]] = forced
            table = STILL.table
        tau = np.float32(temperature)
        dream_bars(*state.lanes, *self.network, table, 0, tau, forced is not None)
        return state.lanes.drawn[:, 0].copy()

    def view(self, state: BarState, out: Float32Array) -> None:
        """Write what a policy sees of the market, [z, h], into ``out`` [N, Z + H]."""
        size = state.z.shape[1]
        out[:, :size] = state.z
        out[:, size:] = state.h

    def expect(self, state: BarState) -> FloatArray:
        """Mean simple return of the bar to come, of each lane [N], at a temperature of 1."""
        return self.expected(state.lanes)

    def expected(self, lanes: BarLanes) -> FloatArray:
        """The same of lanes: E[eʳ] − 1 to the second moment of the log return r."""
        mean, deviation = np.empty((2, len(lanes.z)))
        seen = (lanes.z, lanes.h, lanes.features, lanes.open_time_ms)
        expect_returns(*seen, *self.network, mean, deviation)
        simple: FloatArray = mean + 0.5 * (mean**2 + deviation**2)
        return simple
