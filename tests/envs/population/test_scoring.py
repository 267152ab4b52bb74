"""Scores of whole populations equal what scalar environments say of each candidate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from account_paths import account_path
from rule_cases import BTCUSDT, CASES

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.dream_lanes import DreamLanes
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.population.policies import policy_size
from worldmodel_trading.envs.population.scoring import (
    MarketPaths,
    Scores,
    dream_paths,
    score_lanes,
    score_paths,
    score_replay,
)
from worldmodel_trading.envs.recorded import RecordedMarket, latent_record, restrict
from worldmodel_trading.envs.recorded_state import RecordedState
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.performance import max_drawdown, simple_returns
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.models.world_model import WorldModel

BROKERS = {
    "plain": BrokerConfig(),
    "leverage": BrokerConfig.from_settings(leverage=3.0, fill_delay=1),
    "limits": BrokerConfig.from_settings(no_trade_band=0.05, max_turnover=0.3),
    "impact": BrokerConfig.from_settings(impact=1.0, impact_capital_usdt=1e5),
}


@pytest.fixture(params=list(BROKERS))
def broker(request: pytest.FixtureRequest) -> BrokerConfig:
    return BROKERS[request.param]


@pytest.fixture(params=[0, 3], ids=["linear", "hidden"])
def hidden(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def policies(model: WorldModel, hidden: int) -> np.ndarray:
    size = model.config.latent_size + model.config.hidden_size + 1
    return np.random.default_rng(4).normal(0.0, 0.4, (5, policy_size(size, hidden)))


@pytest.fixture
def population(market_model: WorldModel) -> np.ndarray:
    return policies(market_model, 0)


def recorded_of(candles: Candles, model: WorldModel) -> RecordedMarket:
    return restrict(latent_record(candles, model), "2020-03-01", "2020-03-20")


def state_of(model: WorldModel, recorded: RecordedMarket, lanes: int) -> RecordedState | None:
    return RecordedState(model, recorded, lanes) if model.config.preset == "paper" else None


def assert_close(one: Scores, two: Scores, rtol: float = 1e-4) -> None:
    for name in Scores._fields:
        np.testing.assert_allclose(
            getattr(one, name), getattr(two, name), rtol=rtol, atol=1e-6, err_msg=name
        )


def test_replay_scores_are_those_of_the_environment(
    broker: BrokerConfig, candles: Candles, tiny_model: WorldModel, hidden: int
) -> None:
    population = policies(tiny_model, hidden)
    recorded = recorded_of(candles, tiny_model)
    scores = score_replay(
        recorded, population, broker, state_of(tiny_model, recorded, len(population))
    )
    settings: dict[str, Any] = {
        "leverage": broker.margin.leverage,
        "fill_delay": broker.execution.fill_delay,
        "no_trade_band": broker.execution.no_trade_band,
        "max_turnover": broker.execution.max_turnover,
        **broker.costs[-1].to_dict(),
    }
    env = BybitReplayEnv(
        candles, tiny_model, "2020-03-01", "2020-03-20", None, random_start=False, **settings
    )
    for lane, parameters in enumerate(population):
        record = run_episode(env, LinearController(parameters, hidden_size=hidden))
        assert scores.log_return[lane, 0] == np.log(record.equity[-1])  # to the bit
        gains = simple_returns(record.equity)
        assert scores.return_sum[lane, 0] == pytest.approx(gains.sum(), rel=1e-9)
        assert scores.square_sum[lane, 0] == pytest.approx((gains**2).sum(), rel=1e-9)
        assert scores.turnover[lane, 0] == pytest.approx(record.turnover.sum(), rel=1e-9)
        assert scores.cost[lane, 0] == pytest.approx(record.cost.sum(), rel=1e-9)
        assert scores.steps[lane, 0] == len(record)
        losses = np.minimum(gains, 0.0)
        assert scores.loss_square_sum[lane, 0] == pytest.approx((losses**2).sum(), rel=1e-9)
        assert scores.max_drawdown[lane, 0] == pytest.approx(max_drawdown(record.equity), rel=1e-9)
        if not record.terminated:  # a position grows as the market does, beside the account
            grown = (1.0 + gains) / (1.0 - record.cost)
            held = record.weight[1:] * grown / (1.0 + record.market_return)
            assert scores.exposure[lane, 0] == pytest.approx(held.sum(), rel=1e-6)


def test_shared_dreams_score_as_a_loop_over_their_bars(
    broker: BrokerConfig, market_model: WorldModel, hidden: int
) -> None:
    population = policies(market_model, hidden)
    engine = open_engine(market_model)
    paths = dream_paths(engine, np.array([0, 3, 3]), 50, np.random.default_rng(1))
    scores = score_paths(paths, population, broker)
    for candidate, parameters in enumerate(population):
        policy = LinearController(parameters, hidden_size=hidden)
        for path in range(3):
            targets = np.zeros(50)
            for t in range(50):  # what came before decides the weight that the policy sees
                held = account_path(
                    targets[:t] * broker.margin.leverage, paths.bars[path, :t], broker
                ).weight[-1]
                seen = np.append(paths.view[path, t], np.float32(held))
                targets[t] = policy.predict(seen)[0][0]
            account = account_path(targets * broker.margin.leverage, paths.bars[path], broker)
            expected = np.log(account.equity[-1])
            assert scores.log_return[candidate, path] == expected  # to the bit
            assert scores.cost[candidate, path] == pytest.approx(account.cost.sum(), rel=1e-9)


def test_paths_and_lanes_agree_where_the_market_is_deaf(
    broker: BrokerConfig, market_model: WorldModel, hidden: int
) -> None:
    population = policies(market_model, hidden)
    engine = open_engine(market_model)
    segments = np.array([1, 5, 9, 9])
    shared = score_paths(
        dream_paths(engine, segments, 60, np.random.default_rng(7), broker=broker),
        population,
        broker,
    )
    own = score_lanes(engine, population, segments, 60, np.random.default_rng(7), broker)
    np.testing.assert_array_equal(shared.log_return, own.log_return)
    assert_close(shared, own, rtol=1e-9)


def test_candidates_do_not_influence_each_other(
    candles: Candles, tiny_model: WorldModel, population: np.ndarray
) -> None:
    engine, broker = open_engine(tiny_model), BrokerConfig()
    recorded, segments = recorded_of(candles, tiny_model), np.array([0, 2])

    def all_of(candidates: np.ndarray) -> list[Scores]:
        found = [
            score_lanes(engine, candidates, segments, 30, np.random.default_rng(3), broker),
            score_replay(
                recorded, candidates, broker, state_of(tiny_model, recorded, len(candidates))
            ),
        ]
        if tiny_model.config.preset == "market":
            paths = dream_paths(engine, segments, 30, np.random.default_rng(3))
            found.append(score_paths(paths, candidates, broker))
        return found

    together = all_of(population)
    wild = population.copy()
    wild[0] = 50.0  # a neighbour that trades like mad
    for one, two in zip(together, all_of(wild), strict=True):
        assert not np.allclose(one.log_return[0], two.log_return[0])
        assert_close(Scores(*(c[1:] for c in one)), Scores(*(c[1:] for c in two)))
    for one, alone in zip(together, all_of(population[2:3]), strict=True):
        assert_close(Scores(*(c[2:3] for c in one)), alone)


def test_idle_candidates_score_nothing(market_model: WorldModel, population: np.ndarray) -> None:
    engine = open_engine(market_model)
    paths = dream_paths(engine, np.array([0, 1]), 25, np.random.default_rng(0))
    scores = score_paths(paths, np.zeros_like(population), BrokerConfig())
    for name in set(Scores._fields) - {"steps"}:
        assert (getattr(scores, name) == 0.0).all()
    assert (scores.steps == 25).all()


def test_scores_of_a_path_by_hand() -> None:
    """Two bars, +10 % and −10 %, held at a weight of tanh(1) from a bias alone."""
    from worldmodel_trading.market.account.broker import dream_bars

    view = np.zeros((1, 2, 3), dtype=np.float32)
    paths = MarketPaths(view, dream_bars(np.log([[1.1, 0.9]])))
    scores = score_paths(paths, np.array([[0.0, 0.0, 0.0, 0.0, 1.0]]), BrokerConfig())
    a, c = math.tanh(1.0), 0.00075
    first = (1 - c * a) * (1 + 0.1 * a)
    drifted = a * 1.1 / (1 + 0.1 * a)
    second = (1 - c * (drifted - a)) * (1 - 0.1 * a)
    assert scores.log_return[0, 0] == pytest.approx(np.log(first * second), abs=1e-9)
    assert scores.turnover[0, 0] == pytest.approx(a + drifted - a, abs=1e-7)
    assert scores.cost[0, 0] == pytest.approx(c * drifted, abs=1e-9)
    assert scores.return_sum[0, 0] == pytest.approx(first + second - 2, abs=1e-9)
    assert scores.square_sum[0, 0] == pytest.approx((first - 1) ** 2 + (second - 1) ** 2, abs=1e-9)
    assert scores.loss_square_sum[0, 0] == pytest.approx((second - 1) ** 2, abs=1e-9)
    assert scores.max_drawdown[0, 0] == pytest.approx(1 - second, abs=1e-8)
    assert scores.exposure[0, 0] == pytest.approx(2 * a, abs=1e-7)


def test_a_ruined_candidate_stays_ruined(candles: Candles, market_model: WorldModel) -> None:
    broker = BrokerConfig.from_settings(leverage=100.0)
    recorded = latent_record(candles, market_model)
    size = recorded.view.shape[1] + 1
    parameters = np.zeros((2, size + 1))
    parameters[0, -1] = 5.0  # all in
    scores = score_replay(recorded, parameters, broker)
    assert scores.steps[0, 0] < scores.steps[1, 0] == recorded.steps_left.max()
    assert np.isfinite(scores.log_return).all()
    assert scores.log_return[0, 0] < -2.0
    assert scores.log_return[1, 0] == 0.0


def test_stretches_between_gaps_are_paths(candles: Candles, market_model: WorldModel) -> None:
    rows = np.r_[0:800, 900:1_500]
    names = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    holed = Candles(**{n: getattr(candles, n)[rows] for n in names}, symbol=candles.symbol)
    recorded = latent_record(holed, market_model)
    size = recorded.view.shape[1] + 1
    parameters = np.random.default_rng(1).normal(0, 0.3, (3, size + 1))
    scores = score_replay(recorded, parameters, BrokerConfig())
    assert scores.log_return.shape == (3, 2)
    config = market_model.config
    warm = config.features.warmup + config.warmup_bars - 1
    np.testing.assert_array_equal(scores.steps[0], [799 - warm, 599 - warm])


@pytest.mark.parametrize(
    "settings",
    [{k: v for k, v in case.items() if k != "fill_delay"} for case in CASES.values()],
    ids=CASES,
)
def test_shared_dreams_are_the_environments_bars(
    market_model: WorldModel, settings: dict[str, float]
) -> None:
    """A population is scored on the bars, prices and extremes that the environment would live."""
    broker = BrokerConfig.from_settings(**settings)
    engine = open_engine(market_model)
    segments = np.array([3, 0, 7, 1, 2, 5])
    paths = dream_paths(engine, segments, 12, np.random.default_rng(4), 1.0, None, broker)
    off = DreamFunding(None, market_model)
    lanes = DreamLanes(engine, 6, "latent", 1.0, 12, off, None, broker)
    bank = market_model.bank
    prices, levels = bank.close[segments], bank.volume_level[segments]
    lanes.place(np.ones(6, dtype=np.bool_), engine.start(segments), prices, levels)
    rng = np.random.default_rng(4)
    for t in range(12):
        np.testing.assert_array_equal(
            lanes.advance(np.zeros(6), rng, np.zeros(6, dtype=bool)), paths.bars[:, t]
        )


def test_small_accounts_trade_in_scored_dreams(market_model: WorldModel) -> None:
    """Order rounding needs the dream's prices: a population must be able to meet the minimum."""
    broker = BrokerConfig.from_settings(capital_usdt=1_000.0, **BTCUSDT)
    engine = open_engine(market_model)
    long = np.zeros((1, market_model.config.latent_size + market_model.config.hidden_size + 2))
    long[:, -1] = 10.0
    paths = dream_paths(engine, np.arange(4), 24, np.random.default_rng(0), 1.0, None, broker)
    scores = score_paths(paths, long, broker)
    assert (scores.cost > 0.0005).all()
    lanes = score_lanes(engine, long, np.arange(4), 24, np.random.default_rng(0), broker)
    np.testing.assert_allclose(lanes.log_return, scores.log_return, atol=1e-6)
