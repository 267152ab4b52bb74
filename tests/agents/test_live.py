"""What a follower of live candles asks of a policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.live import LiveTrader
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.models.world_model import WorldModel


class Counting:
    """Remembers how often it was asked; long at every third bar, as a discrete action."""

    actions = "discrete"

    def __init__(self) -> None:
        self.began: list[bool] = []

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        assert deterministic
        self.began.append(bool(episode_start[0]))
        asked = 0 if state is None else state
        return np.array(asked % 3), asked + 1


def test_it_hands_back_what_the_policy_remembers_and_reads_discrete_actions(
    market_model: WorldModel, candles: Candles
) -> None:
    policy = Counting()
    trader = LiveTrader(market_model, policy)
    begin = trader.history_bars
    targets = [trader.warm_up(candles.rows(0, begin)).target]
    for row in range(begin, begin + 4):
        decision = trader.update(candles.rows(row, row + 1))
        assert decision is not None
        targets.append(decision.target)
    assert targets == [-1.0, 0.0, 1.0, -1.0, 0.0]  # short, flat, long, and anew
    assert policy.began == [True, False, False, False, False]
    assert trader.warm_up(candles.rows(0, begin)).target == -1.0
    assert policy.began[-1]


@pytest.mark.parametrize("said", [0.5, [0.5], [[0.5]]])
def test_a_number_by_itself_is_as_good_as_an_array(
    said: Any, market_model: WorldModel, candles: Candles
) -> None:
    began = []

    class Half:
        def predict(self, observation: Any, state: Any, start: Any, **_: Any) -> tuple[Any, None]:
            began.append(bool(start[0]))  # a policy that hands back nothing is told so too
            return np.array(said), None

    trader = LiveTrader(market_model, Half())
    begin = trader.history_bars
    assert trader.warm_up(candles.rows(0, begin)).target == 0.5
    trader.update(candles.rows(begin, begin + 1))
    assert began == [True, False]
