"""Scenarios: paths with weights, as accounts trade them; dreamed, or windows of the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...envs.dream_bars import lived_bars
from ...envs.dream_funding import DreamFunding
from ...envs.engine.bar_engine import BarState
from ...envs.given_lanes import GivenPaths
from ...envs.recorded import RecordedMarket, as_seen
from ...envs.spaces import ObservationKind
from ...market.account.rules import BrokerConfig
from ...market.account.settlement import BAR_FIELDS
from ...market.arrays import Float32Array, FloatArray, IntArray
from .conditions import Condition
from .splitting import GROUPS, Sampled
from .steppers import DreamStepper


@dataclass(frozen=True, eq=False)
class Scenario:
    """Paths that agents are put through.

    Attributes:
        name: ``dreams``, that of an event, or the condition.
        condition: That is met on all of them; None where nothing is asked.
        weights: Of each path [N], sum 1.
        group: Which of the independent repetitions each is of [N].
        latents: As policies see them that look at [z, h].
        features: As those see them that look at features.
    """

    name: str
    condition: Condition | None
    weights: FloatArray
    group: IntArray
    latents: GivenPaths
    features: GivenPaths

    def seen(self, observation: ObservationKind) -> GivenPaths:
        """The paths as a policy sees them."""
        return self.features if observation == "features" else self.latents

    @property
    def closes(self) -> FloatArray:
        """Close ÷ the close before the first bar [N, T + 1]."""
        grown = np.cumprod(1.0 + self.latents.bars[..., 0], axis=1)
        return np.concatenate([np.ones((len(grown), 1)), grown], axis=1)


def plain_scenario(
    stepper: DreamStepper, paths: int, bars: int, rng: np.random.Generator, funding: DreamFunding
) -> Scenario:
    """Dreams as they come."""
    begun = stepper.start(paths, rng)
    views = _live(stepper, begun, np.empty((paths, 0, 4)), bars, rng, funding)
    group = np.arange(paths) * GROUPS // paths
    return Scenario("dreams", None, np.full(paths, 1.0 / paths), group, *views)


def sampled_scenario(
    stepper: DreamStepper,
    name: str,
    sampled: Sampled,
    bars: int,
    rng: np.random.Generator,
    funding: DreamFunding,
) -> Scenario:
    """Paths that meet a condition, which may go on after its window."""
    begun = stepper.copy(sampled.begun, np.arange(len(sampled.weights)))
    views = _live(stepper, begun, sampled.bars, bars, rng, funding)
    return Scenario(name, sampled.condition, sampled.weights, sampled.group, *views)


def recorded_paths(recorded: RecordedMarket, row: int, bars: int) -> GivenPaths:
    """The window of so many bars after a row of the record, as one path."""
    seen, lived = slice(row, row + bars), slice(row + 1, row + bars + 1)
    times = recorded.candles.open_time_ms[row : row + bars + 1]
    return GivenPaths(
        recorded.view[None, seen], recorded.bars[None, lived], times[None], _sizes(recorded)
    )


def _sizes(recorded: RecordedMarket) -> dict[str, int]:
    return {name: part.stop - part.start for name, part in recorded.layout.items()}


def _live(
    stepper: DreamStepper,
    state: BarState,
    drawn: FloatArray,
    bars: int,
    rng: np.random.Generator,
    funding: DreamFunding,
) -> tuple[GivenPaths, GivenPaths]:
    """Live drawn bars [N, t, 4] once more, and dream on up to so many, noting what policies see."""
    engine, count = stepper.engine, len(state.z)
    size = state.z.shape[1] + state.h.shape[1]
    latents: Float32Array = np.empty((count, bars, size), dtype=np.float32)
    features: FloatArray = np.empty((count, bars, state.features.shape[1]))
    lived = np.empty((count, bars, len(BAR_FIELDS)))
    times = state.open_time_ms[:, None] + engine.interval_ms * np.arange(bars + 1)
    account: Any = lived_bars(engine, count, BrokerConfig())
    account.begin(state, state.lanes.close, np.ones(count))
    for t in range(bars):
        engine.view(state, latents[:, t])
        features[:, t] = state.features
        given = drawn[:, t] if t < drawn.shape[1] else None
        lived[:, t] = account.step(state, stepper.advance(state, rng, given))
    lived[..., 4] = funding.charge(times[:, 1:], rng)
    sizes = {"latent": state.z.shape[1], "hidden": state.h.shape[1]}
    return (
        GivenPaths(latents, lived, times, sizes),
        GivenPaths(as_seen(features), lived, times, {"features": features.shape[2]}),
    )
