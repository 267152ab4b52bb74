"""What policies are paid, in replay or in dreams, and what they pay and hold for it."""

from __future__ import annotations

from typing import NamedTuple, Self

from ...envs.population.scoring import Scores, score_replay
from ...envs.recorded import RecordedMarket
from ...envs.recorded_state import RecordedState
from ...market.account.rules import BrokerConfig
from ...market.arrays import FloatArray
from ...models.world_model import WorldModel


class Pay(NamedTuple):
    """Of P policies, per bar lived, all paths pooled; arrays [P].

    Attributes:
        net: Mean log return.
        gross: Mean simple return with the costs given back.
        cost: Mean cost, a fraction of equity.
        exposure: Mean weight held.
    """

    net: FloatArray
    gross: FloatArray
    cost: FloatArray
    exposure: FloatArray

    @classmethod
    def of(cls, scores: Scores) -> Self:
        """From the sums over bars of scores [P, N]."""
        steps = scores.steps.sum(axis=1)
        cost = scores.cost.sum(axis=1) / steps
        return cls(
            scores.log_return.sum(axis=1) / steps,
            scores.return_sum.sum(axis=1) / steps + cost,
            cost,
            scores.exposure.sum(axis=1) / steps,
        )


def replay_pay(
    world_model: WorldModel, recorded: RecordedMarket, parameters: FloatArray, broker: BrokerConfig
) -> Pay:
    """What a recorded range pays linear policies [P, D + 1]."""
    paper = world_model.config.preset == "paper"
    state = RecordedState(world_model, recorded, len(parameters)) if paper else None
    return Pay.of(score_replay(recorded, parameters, broker, state))
