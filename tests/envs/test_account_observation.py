"""Inputs of the policy beside the weight: the same in every environment, and in every rollout."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import worldmodel_trading  # noqa: F401 - registers the environments
from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.scoring import dream_paths, score_lanes, score_paths
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.account.inputs import INPUT_NAMES
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.world_model import WorldModel

ALL = ("unrealised_profit", "weight", "bars_on_side")


def test_the_default_observation_ends_with_the_weight_alone(market_model: WorldModel) -> None:
    env = DreamEnv(market_model)
    assert env.observation_layout["account"] == slice(9, 10)
    more = DreamEnv(market_model, account_observation=ALL)
    assert more.observation_layout["account"] == slice(9, 12)
    assert more.observation_space.high[9:].tolist() == [100.0, 100.0, 1.0]  # type: ignore[attr-defined]


def test_replay_shows_one_lane_what_it_shows_many(candles: Candles, tiny_model: WorldModel) -> None:
    settings = {"random_start": False, "episode_length": 60, "account_observation": ALL}
    one = BybitReplayEnv(candles, tiny_model, **settings)
    many = ReplayVectorEnv(3, candles, tiny_model, **settings)
    seen, _ = one.reset(seed=0)
    lanes, _ = many.reset(seed=0)
    rng = np.random.default_rng(1)
    for _ in range(50):
        np.testing.assert_array_equal(seen[-3:], lanes[1, -3:])
        action = np.round(rng.uniform(-1, 1, 1), 1).astype(np.float32)
        seen, *_ = one.step(action)
        lanes, *_ = many.step(np.repeat(action[None], 3, axis=0))
        assert one.observation_space.contains(seen)
    assert seen[-3] != 0.0
    assert 0.0 < seen[-1] < 1.0


def test_dreams_show_one_lane_what_they_show_many(market_model: WorldModel) -> None:
    one = DreamEnv(market_model, account_observation=ALL)
    many = DreamVectorEnv(1, market_model, account_observation=ALL)
    seen, _ = one.reset(seed=4)
    lanes, _ = many.reset(seed=4)
    for action in np.linspace(-1.0, 1.0, 21, dtype=np.float32):
        np.testing.assert_array_equal(seen[-3:], lanes[0, -3:])
        seen, *_ = one.step(np.array([action]))
        lanes, *_ = many.step(np.array([[action]]))


def test_controllers_that_see_more_are_scored_as_they_trade(
    candles: Candles, market_model: WorldModel
) -> None:
    broker = BrokerConfig.from_settings(account_observation=ALL)
    size = market_model.config.latent_size + market_model.config.hidden_size + len(ALL)
    parameters = np.random.default_rng(2).normal(0.0, 0.6, (4, size + 1))
    engine, segments = open_engine(market_model), np.array([1, 4, 7])
    paths = dream_paths(engine, segments, 80, np.random.default_rng(7), broker=broker)
    shared = score_paths(paths, parameters, broker)
    own = score_lanes(engine, parameters, segments, 80, np.random.default_rng(7), broker)
    np.testing.assert_allclose(shared.log_return, own.log_return, atol=2e-5)
    weights = BrokerConfig()
    fewer = score_paths(paths, np.delete(parameters, [9, 11], axis=1), weights)
    assert not np.allclose(fewer.log_return, shared.log_return, atol=1e-3), "the inputs matter"
    env = BybitReplayEnv(
        candles, market_model, "2020-03-01", "2020-03-20", None, False, account_observation=ALL
    )
    record = run_episode(env, LinearController(parameters[0]))
    assert len(record) > 100


def test_a_job_counts_the_inputs(market_model: WorldModel) -> None:
    size = market_model.config.latent_size + market_model.config.hidden_size + 2
    broker = BrokerConfig.from_settings(account_observation=ALL)
    workers, dreams = DreamWorkers(market_model, 0), Dreams(np.zeros(2, dtype=int), 5, 0)
    with pytest.raises(ConfigError, match=rf"reads {size + 1} numbers takes {size + 2}"):
        workers.score(np.zeros((2, size)), dreams, broker)


def test_gymnasium_takes_the_names_and_refuses_others() -> None:
    env = gym.make("WorldModelDream-v0", account_observation=list(INPUT_NAMES))
    assert env.observation_space.contains(env.reset(seed=0)[0])
    with pytest.raises(ConfigError, match="account_observation names 'profit'"):
        gym.make("WorldModelDream-v0", account_observation=["profit"])
