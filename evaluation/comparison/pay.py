"""What policies are paid, in replay or in dreams, and what they pay and hold for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np

from ...envs.population.scoring import Scores, score_replay
from ...envs.recorded import RecordedMarket, restrict
from ...envs.recorded_state import RecordedState
from ...market.account.rules import BrokerConfig
from ...market.arrays import FloatArray
from ...models.world_model import WorldModel

_LAST = 0.25  # of the training range: the quarter of it that is nearest to what comes


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


def rows_of(recorded: RecordedMarket, rows: tuple[int, int]) -> RecordedMarket:
    """The bars of some rows."""
    times = recorded.candles.open_time_ms
    end = None if rows[1] >= len(times) else int(times[rows[1]])
    return restrict(recorded, int(times[rows[0]]), end)


def blind_floors(
    world_model: WorldModel, recorded: RecordedMarket, parameters: FloatArray, broker: BrokerConfig
) -> Mapping[str, Pay]:
    """Rankings that need no dream: what the training range paid and cost the same policies.

    ``minus cost`` promises each policy what it does not spend, ``mean exposure`` what it holds; the
    training range, and the last quarter of it, what they paid. Empty where the candles do not reach
    back into the training range.
    """
    provenance, times = world_model.provenance, recorded.candles.open_time_ms
    first, last = np.searchsorted(times, [provenance.train_start_ms, provenance.train_end_ms])
    known = int(first), int(last)
    quarter = int(last - _LAST * (last - first)), int(last)
    if not _tradable(recorded, quarter):
        return {}
    whole, late = (
        replay_pay(world_model, rows_of(recorded, rows), parameters, broker)
        for rows in (known, quarter)
    )
    return {
        "minus cost": whole._replace(net=-whole.cost, gross=-whole.cost),
        "mean exposure": whole._replace(net=whole.exposure, gross=whole.exposure),
        "recorded training range": whole,
        "its last quarter": late,
    }


def _tradable(recorded: RecordedMarket, rows: tuple[int, int]) -> int:
    """How many of some rows an episode can start at."""
    return int(np.count_nonzero(recorded.steps_left[slice(*rows)] >= 1))
