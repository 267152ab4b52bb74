"""Pessimism: a position is paid less where the members disagree about what it will earn.

MOPO (Yu et al. 2020) takes λ times a model's uncertainty from the reward, so that an agent is not
drawn to where the model errs in its favour. Here a position w loses λ · |w| · d at a bar, with
d = √(Var μ + Var σ) over the members' mean and deviation μ, σ of the bar's log return, each from its
own state along the dreamed path: the root mean square 2-Wasserstein distance of their Gaussians from
the barycentre.
"""

from __future__ import annotations

import math

import numpy as np

from ...market.arrays import FloatArray
from ...market.errors import ConfigError
from ...market.numerics.compiled import compiled
from ...market.settings import real_number
from ...models.bar_world_model import BarWorldModel
from ...models.bars.dreaming import expect_returns
from ...models.bars.packed import BarLanes, BarNetwork
from ...models.world_model import WorldModel
from .base import Engine
from .member_engine import MemberEngine, MemberState

MOST = 1e6


class Pessimism:
    """What dreams of several members take from the reward of a position.

    Args:
        engine: Dreams.
        factor: λ, more than 0.

    Raises:
        ConfigError: See `check_pessimism`.
    """

    def __init__(self, engine: Engine, factor: float) -> None:
        self._factor = check_pessimism(factor, engine.world_model)
        assert isinstance(engine, MemberEngine)
        self._engine = engine
        self._networks = [engine.network, *(other.network for other in engine.others)]

    @classmethod
    def of(cls, engine: Engine, factor: float) -> Pessimism | None:
        """One, or None where the factor is 0."""
        return cls(engine, factor) if check_pessimism(factor, engine.world_model) else None

    def doubt(self, state: MemberState) -> FloatArray:
        """λ · d of the bar that comes, of each lane [N]: what it costs to hold a weight of 1."""
        moments = np.empty((2, len(self._networks), len(state.member)))
        views = zip(self._networks, (state.lanes, *state.others), *moments, strict=True)
        for network, lanes, mean, deviation in views:
            _expect(network, lanes, mean, deviation)
        out = np.empty(len(state.member))
        disagreement(moments[0], moments[1], self._factor, out)
        return out

    def follow(self, state: MemberState) -> None:
        """Let all members live the bar that one of them has just drawn."""
        self._engine.follow(state)


def check_pessimism(factor: float, world_model: WorldModel) -> float:
    """The factor λ, if dreams of this world model can have it.

    Raises:
        ConfigError: It is no number from 0 to a million; or it is more than 0, and there are no members to
            disagree.
    """
    number = real_number(factor)
    if number is None or not 0.0 <= number <= MOST:
        raise ConfigError(f"pessimism is {factor!r}; expected a number from 0 to {MOST:g}")
    members = world_model.members if isinstance(world_model, BarWorldModel) else (world_model,)
    if number > 0.0 and len(members) < 2:
        raise ConfigError(
            f"pessimism is {number:g}, and this world model has one member, which nobody disagrees "
            "with: train one of several (MarketConfig(members=3)), or leave pessimism at 0"
        )
    return float(number)


def _expect(network: BarNetwork, lanes: BarLanes, mean: FloatArray, deviation: FloatArray) -> None:
    expect_returns(lanes.z, lanes.h, lanes.features, lanes.open_time_ms, *network, mean, deviation)


@compiled
def disagreement(means: FloatArray, deviations: FloatArray, factor: float, out: FloatArray) -> None:
    """λ · √(Var μ + Var σ) over K members, of each lane [N].

    Args:
        means: μ [K, N].
        deviations: σ [K, N].
        factor: λ.
        out: [N], written.
    """
    members = means.shape[0]
    for n in range(out.shape[0]):
        mean, deviation = 0.0, 0.0
        for k in range(members):
            mean += means[k, n]
            deviation += deviations[k, n]
        mean /= members
        deviation /= members
        square = 0.0
        for k in range(members):
            square += (means[k, n] - mean) ** 2 + (deviations[k, n] - deviation) ** 2
        out[n] = factor * math.sqrt(square / members)
