"""What a follower of live candles asks of a policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Discrete

from worldmodel_trading.agents.folder import Agent, AgentRecord
from worldmodel_trading.agents.live import LiveTrader
from worldmodel_trading.agents.rules import buy_and_hold, flat
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.rollout import play_through
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles, join_candles
from worldmodel_trading.market.funding import FundingRates
from worldmodel_trading.market.instruments import Instrument
from worldmodel_trading.models.world_model import WorldModel

RECORD = AgentRecord(
    algorithm="cma_es",
    settings={},
    seed=0,
    steps=1,
    env="dream",
    environment={},
    lanes=1,
    world_model="",
    symbol="BTCUSDT",
    interval="60",
    candles="",
    ranges={},
    account={},
    actions="continuous",
    bounds=(),
)

ROUNDED = {
    "capital_usdt": 5_000.0,
    "qty_step": 0.001,
    "tick_size": 0.1,
    "min_notional_usdt": 5.0,
}


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


class ByTheBar:
    """Another weight at every bar, whatever is seen: what differs then is the account alone."""

    def predict(self, observation: Any, state: Any = None, *_: Any, **__: Any) -> tuple[Any, int]:
        lived = 0 if state is None else state
        return np.array([np.sin(0.7 * lived)]), lived + 1


class ByTheMarket:
    """Long or short by what the world model makes of the bars, and by the account's own weight."""

    def predict(self, observation: Any, *_: Any, **__: Any) -> tuple[Any, None]:
        seen = 0.25 * np.sign(observation[0]) + 0.5 * np.sign(observation[1])
        return np.array([seen if observation[-1] < 0.6 else 0.0]), None


def with_a_gap(candles: Candles) -> Candles:
    """A record whose bars open elsewhere than at the close before, and of which three are missing."""
    opened = 0.5 * (candles.high + candles.low)
    elsewhere = replace(candles, open=opened)
    return join_candles([elsewhere.rows(0, 900), elsewhere.rows(903, 1_700)])


def rates_of(candles: Candles) -> FundingRates:
    """A rate every eight hours, some inside a bar, until the last third of the record."""
    first, last = (int(candles.open_time_ms[row]) for row in (0, -1))
    times = np.arange(first, first + 2 * (last - first) // 3, 8 * 3_600_000)
    times[::3] += 20 * 60_000
    return FundingRates(times, np.random.default_rng(0).normal(0.0, 1e-3, len(times)))


@pytest.mark.parametrize("policy", [ByTheBar(), ByTheMarket()], ids=["bar", "market"])
@pytest.mark.parametrize(
    "account",
    [{}, {"leverage": 40.0}, {"fill_delay": 1, **ROUNDED}],
    ids=["plain", "liquidated", "rounded"],
)
def test_it_ends_with_replays_equity_to_the_bit(
    policy: Any, account: dict[str, Any], tiny_model: WorldModel, candles: Candles
) -> None:
    """Bar by bar, with funding recorded and not, over a gap, and where the account is lost."""
    record = with_a_gap(candles)
    funding: Any = {"funding": rates_of(record), "unrecorded_funding_rate": 3e-4}
    env = BybitReplayEnv(
        record, tiny_model, episode_length=None, random_start=False, **funding, **account
    )
    played = play_through(env, policy, record.bars_per_year)
    (episode,) = played.records
    trader = LiveTrader(tiny_model, policy, BrokerConfig.from_settings(**account), **funding)
    decisions = [trader.update(record.rows(row, row + 1)) for row in range(len(record))]
    told = {one.open_time_ms: one for one in decisions if one is not None}
    assert episode.time_ms is not None
    for time_ms, equity, paid in zip(
        episode.time_ms[1:], episode.equity[1:], episode.funding, strict=True
    ):
        assert told[time_ms].equity == equity
        assert told[time_ms].funding == paid
    assert decisions[-1] is not None
    assert decisions[-1].equity == episode.equity[-1]
    assert np.count_nonzero(episode.funding) > 20
    assert played.records[0].terminated == ("leverage" in account)


def test_rates_come_with_the_bars_that_they_are_charged_on(
    market_model: WorldModel, candles: Candles
) -> None:
    known = rates_of(candles)
    begin = 400
    at_once = LiveTrader(market_model, buy_and_hold(), funding=known)
    as_known = LiveTrader(market_model, buy_and_hold())
    for trader in (at_once, as_known):
        trader.warm_up(candles.rows(0, begin))
    for row in range(begin, begin + 30):
        bar = candles.rows(row, row + 1)
        by_now = known.between(None, int(bar.open_time_ms[0]) + bar.interval_ms + 1)
        assert at_once.update(bar) == as_known.update(bar, by_now)
    last = at_once.update(candles.rows(begin + 30, begin + 40))
    assert last is not None
    assert last.equity != as_known.update(candles.rows(begin + 30, begin + 40), 0.0).equity  # type: ignore[union-attr]


def test_over_a_gap_it_stays_in_cash(market_model: WorldModel, candles: Candles) -> None:
    trader = LiveTrader(market_model, buy_and_hold())
    begin = trader.history_bars
    trader.warm_up(candles.rows(0, begin))
    held = trader.update(candles.rows(begin, begin + 10))
    assert held is not None
    assert held.weight > 0.9
    assert trader.warm_up(candles.rows(0, begin + 10)) == held  # nothing was missed
    later = trader.warm_up(candles.rows(0, begin + 50))
    assert (later.equity, later.weight) == (held.equity, 0.0)
    assert trader.update(candles.rows(begin + 60, begin + 61)) is None


def test_it_decides_again_by_itself_once_there_are_bars_enough(
    market_model: WorldModel, candles: Candles
) -> None:
    trader = LiveTrader(market_model, flat())
    decided = [
        row
        for row in range(trader.history_bars + 5)
        if trader.update(candles.rows(row, row + 1)) is not None
    ]
    assert decided == [trader.history_bars - 1 + more for more in range(6)]


def test_it_takes_the_rules_that_the_agent_was_trained_with(
    market_model: WorldModel, candles: Candles
) -> None:
    record = replace(RECORD, world_model=market_model.fingerprint, account={"leverage": 3.0})
    agent = Agent(buy_and_hold(), replace(record, bounds=()))
    trader = LiveTrader(market_model, agent)
    begin = trader.history_bars
    trader.warm_up(candles.rows(0, begin))
    lived = trader.update(candles.rows(begin, begin + 1))
    assert lived is not None
    assert lived.weight == pytest.approx(3.0, abs=0.2)
    alone = LiveTrader(market_model, agent, BrokerConfig())
    alone.warm_up(candles.rows(0, begin))
    assert alone.update(candles.rows(begin, begin + 1)).weight < 1.1  # type: ignore[union-attr]


def test_a_model_with_discrete_actions_need_not_say_so(
    market_model: WorldModel, candles: Candles
) -> None:
    class Short:
        action_space = Discrete(3)

        def predict(self, *_: Any, **__: Any) -> tuple[Any, None]:
            return np.array(0), None

    trader = LiveTrader(market_model, Short())
    assert trader.warm_up(candles.rows(0, trader.history_bars)).target == -1.0


def test_a_contract_that_ends_is_paid_out(market_model: WorldModel, candles: Candles) -> None:
    ended = int(candles.open_time_ms[420]) + 1
    record = replace(
        candles.rows(0, 421), instrument=Instrument(candles.symbol, delivery_time_ms=ended)
    )
    env = BybitReplayEnv(record, market_model, episode_length=None, random_start=False)
    episode = play_through(env, buy_and_hold(), record.bars_per_year).records[0]
    assert episode.terminated
    trader = LiveTrader(market_model, buy_and_hold())
    trader.warm_up(record.rows(0, 400))
    env.reset(options={"start": int(record.open_time_ms[399])})
    for row in range(400, 421):
        decision = trader.update(record.rows(row, row + 1))
        *_, info = env.step(1.0)
        assert decision is not None
        assert (decision.equity, decision.weight) == (info["equity"], info["weight"])
    assert decision is not None
    assert decision.weight == 0.0


def test_the_history_knows_when_funding_is_due(market_model: WorldModel, candles: Candles) -> None:
    """A feed's bars bring no instrument."""
    hourly = Instrument(candles.symbol, funding_interval_minutes=60)
    bare = replace(candles, instrument=None)
    trader = LiveTrader(market_model, buy_and_hold(), funding=0.001)
    begin = trader.history_bars
    trader.warm_up(replace(bare.rows(0, begin), instrument=hourly))
    paid = []
    for row in range(begin, begin + 8):
        decision = trader.update(bare.rows(row, row + 1))
        assert decision is not None
        paid.append(decision.funding)
    assert all(one > 0.0 for one in paid)
