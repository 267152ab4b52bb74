"""Rule-based baselines."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.agents.rules import ConstantWeight, Momentum, buy_and_hold, flat
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.policy import Policy
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.features import FeatureSpec
from worldmodel_trading.models.world_model import WorldModel


@pytest.mark.parametrize(
    ("policy", "weight"), [(buy_and_hold(), 1.0), (flat(), 0.0), (ConstantWeight(-0.25), -0.25)]
)
def test_a_constant_weight_is_constant(policy: Policy, weight: float) -> None:
    one, state = policy.predict(np.ones(5, dtype=np.float32))
    assert (one.shape, one.dtype, one[0], state) == ((1,), np.float32, np.float32(weight), None)
    many, _ = policy.predict(np.ones((4, 5), dtype=np.float32))
    np.testing.assert_array_equal(many, np.full((4, 1), weight, dtype=np.float32))


@pytest.mark.parametrize("weight", [1.1, -2.0, float("nan")])
def test_a_weight_outside_the_action_space_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"weight is .*expected a number in \[-1, 1\]"):
        ConstantWeight(weight)


def test_momentum_is_the_sign_of_its_feature() -> None:
    names = FeatureSpec().names
    for horizon in (6, 24, 168):
        observation = np.zeros((3, len(names) + 1), dtype=np.float32)
        observation[:, names.index(f"momentum_{horizon}")] = [0.3, -0.001, 0.0]
        actions, _ = Momentum(horizon).predict(observation)
        np.testing.assert_array_equal(actions, [[1.0], [-1.0], [0.0]])
        np.testing.assert_array_equal(Momentum(horizon).predict(observation[1])[0], [-1.0])


def test_an_unknown_horizon_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"over 7 bars; .*momentum_6.*momentum_168"):
        Momentum(7)
    assert Momentum(5, FeatureSpec((5, 9))).horizon == 5


def test_momentum_follows_the_recorded_trend(candles: Candles) -> None:
    env = BybitReplayEnv(candles, episode_length=300, random_start=False)
    record = run_episode(env, Momentum(24))
    assert record.time_ms is not None
    rows = np.searchsorted(candles.open_time_ms, record.time_ms[:-1])
    rise = np.log(candles.close[rows] / candles.close[rows - 24])
    np.testing.assert_array_equal(record.action, np.sign(rise))


def test_rules_trade_the_dream_too(market_model: WorldModel) -> None:
    env = DreamEnv(market_model, observation="features", horizon=60)
    record = run_episode(env, Momentum(168), seed=3)
    assert len(record) == 60
    assert set(np.unique(record.action)) <= {-1.0, 0.0, 1.0}
