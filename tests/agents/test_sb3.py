"""Stable-Baselines3 trains in the dream, and its model acts in replay unchanged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.policy import Policy
from worldmodel_trading.evaluation.rollout import evaluate_policy, run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.world_model import WorldModel


def test_ppo_trained_in_the_dream_acts_in_replay(
    candles: Candles, market_model: WorldModel, tmp_path: Path
) -> None:
    env = DummyVecEnv([lambda: DreamEnv(market_model, horizon=32) for _ in range(2)])
    agent = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=2, seed=0, device="cpu")
    before = [p.detach().clone() for p in agent.policy.parameters()]
    agent.learn(256)
    after = list(agent.policy.parameters())
    assert any(not np.array_equal(a, b.detach()) for a, b in zip(before, after, strict=True))
    replay = BybitReplayEnv(candles, market_model, start="2020-03-21", episode_length=100)
    policy: Policy = agent
    one = evaluate_policy(replay, policy, bars_per_year=8_760, episodes=2, seed=1)
    assert [len(record) for record in one.records] == [100, 100]
    assert np.isfinite(one.performance.log_return)
    agent.save(tmp_path / "agent.zip")
    loaded = PPO.load(tmp_path / "agent.zip", device="cpu")
    two = evaluate_policy(replay, loaded, bars_per_year=8_760, episodes=2, seed=1)
    np.testing.assert_array_equal(one.equity, two.equity)


def test_dqn_trains_on_discrete_actions(candles: Candles) -> None:
    env = gym.make("BybitReplay-v0", candles=candles, actions="discrete", episode_length=40)
    agent = DQN("MlpPolicy", env, learning_starts=20, buffer_size=200, seed=0, device="cpu")
    agent.learn(120)
    observation, _ = env.reset(seed=0)
    action, _ = agent.predict(observation, deterministic=True)
    assert int(action) in (0, 1, 2)
    assert np.isfinite(float(env.step(action)[1]))


@pytest.mark.parametrize("name", ["WorldModelDreamDiscrete-v0", "BybitReplayDiscrete-v0"])
def test_an_id_is_enough_for_an_algorithm_of_discrete_actions(name: str) -> None:
    agent = DQN("MlpPolicy", name, learning_starts=8, buffer_size=50, seed=0, device="cpu")
    agent.learn(24)
    assert agent.action_space == gym.spaces.Discrete(3)


def test_a_discrete_model_is_refused_where_weights_are_expected(candles: Candles) -> None:
    """Its 0, 1 and 2 would be taken for flat, long and long."""
    discrete = BybitReplayEnv(candles, actions="discrete", episode_length=20)
    agent = DQN("MlpPolicy", discrete, learning_starts=8, buffer_size=50, seed=0, device="cpu")
    assert len(run_episode(discrete, agent, seed=0)) == 20
    with pytest.raises(ConfigError, match="actions='discrete'"):
        run_episode(BybitReplayEnv(candles, episode_length=20), agent)


@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_one_seed_one_training(name: str, candles: Candles, market_model: WorldModel) -> None:
    def trained() -> np.ndarray:
        env = (
            DreamEnv(market_model, horizon=20)
            if name == "WorldModelDream-v0"
            else BybitReplayEnv(candles, market_model, episode_length=20)
        )
        agent = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=3, device="cpu")
        agent.learn(64)
        return np.concatenate([p.detach().numpy().ravel() for p in agent.policy.parameters()])

    np.testing.assert_array_equal(trained(), trained())


def test_an_agent_learns_in_one_thread_whatever_the_environment_says() -> None:
    code = (
        "import torch; torch.set_num_threads(2)\n"
        "from worldmodel_trading import make_sb3_agent, make_sb3_env\n"
        "make_sb3_agent('ppo', make_sb3_env('WorldModelDream-v0', 2, horizon=8))\n"
        "print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
