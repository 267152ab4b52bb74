"""Policies that are asked for their actions score as controllers and environments do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.rules.constant import ConstantWeight
from worldmodel_trading.agents.rules.trend import Momentum
from worldmodel_trading.agents.rules.volatility import VolatilityTarget
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.population.given import score_policies
from worldmodel_trading.envs.population.scoring import (
    MarketPaths,
    dream_paths,
    replay_paths,
    score_paths,
)
from worldmodel_trading.envs.recorded import as_seen, feature_record
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.models.bar_world_model import BarWorldModel


@pytest.fixture(scope="module")
def paths(market_model: BarWorldModel) -> MarketPaths:
    engine = open_engine(market_model)
    return dream_paths(engine, np.array([0, 3, 9]), 60, np.random.default_rng(1), in_full=True)


class AskedEachBar:
    """The same policy, whose account and state may matter."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self.begun: list[bool] = []

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, **_: Any
    ) -> tuple[Any, int]:
        self.begun.append(bool(episode_start.all()))
        assert (state is None) == self.begun[-1]
        return self._policy.predict(observation)[0], len(self.begun)


def test_linear_controllers_score_as_in_a_population(
    market_model: BarWorldModel, paths: MarketPaths
) -> None:
    size = market_model.config.latent_size + market_model.config.hidden_size + 2
    parameters = 0.5 * np.random.default_rng(0).standard_normal((4, size))
    broker = BrokerConfig()
    asked = score_policies(paths, [LinearController(row) for row in parameters], broker)
    for one, other in zip(asked, score_paths(paths, parameters, broker), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def test_asking_once_for_all_bars_is_asking_each_bar(
    market_model: BarWorldModel, paths: MarketPaths
) -> None:
    features = market_model.config.features
    rules = [ConstantWeight(0.5), Momentum(features=features), VolatilityTarget(features=features)]
    asked = [AskedEachBar(rule) for rule in rules]
    broker = BrokerConfig()
    once = score_policies(paths, rules, broker, sees_features=True)
    mixed = score_policies(paths, [asked[0], rules[1], asked[2]], broker, sees_features=True)
    for one, other in zip(once, mixed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert asked[0].begun == [True, *[False] * 59]


def test_a_rule_in_replay_scores_as_in_the_environment(
    market_model: BarWorldModel, candles: Candles
) -> None:
    features = market_model.config.features
    recorded = feature_record(candles, features)
    rule = Momentum(features=features, size=0.25)
    (whole,) = replay_paths(recorded, features=recorded.view)
    scores = score_policies(whole, [rule], BrokerConfig(), sees_features=True)
    env = BybitReplayEnv(
        candles, market_model, observation="features", episode_length=None, random_start=False
    )
    record = run_episode(env, rule)
    assert scores.steps[0, 0] == len(record)
    assert scores.log_return[0, 0] == pytest.approx(np.log(record.equity[-1]), abs=1e-9)


def test_dreams_tell_features_and_expected_returns(
    market_model: BarWorldModel, paths: MarketPaths
) -> None:
    assert paths.features is not None
    assert paths.expected is not None
    engine, segments = open_engine(market_model), np.array([0, 3, 9])
    np.testing.assert_array_equal(paths.features[:, 0], as_seen(engine.start(segments).features))
    # the mean of many draws of the first bar
    state = engine.start(np.zeros(20_000, dtype=np.int64))
    drawn = engine.step(
        state, np.zeros(20_000), engine.draw_noise(np.random.default_rng(0), 20_000)
    )
    simple = np.expm1(drawn)
    error = simple.std() / np.sqrt(len(simple))
    assert paths.expected[0, 0] == pytest.approx(simple.mean(), abs=4 * error)


def test_members_expect_what_the_one_that_draws_does(family: BarWorldModel) -> None:
    engine = open_engine(family)
    rows = np.array([0, len(family.bank), 2 * len(family.bank)])  # the same bars, by each member
    expected = engine.expect(engine.start(rows))  # type: ignore[attr-defined]
    alone = [open_engine(one) for one in family.others]
    each = [one.expect(one.start(np.array([0])))[0] for one in alone]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(expected[1:], each)
    assert len(set(expected.tolist())) == 3
