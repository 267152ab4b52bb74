"""An agent's rewards keep their unit in whatever environment it learns on."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from worldmodel_trading.agents.folder import load_agent
from worldmodel_trading.agents.sb3 import NativeVecEnv, make_sb3_env
from worldmodel_trading.agents.sb3_models import make_sb3_agent
from worldmodel_trading.agents.training import Ground, TrainConfig, train_in_folder
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.world_model import WorldModel

SMALL: dict[str, Any] = {"n_steps": 8, "batch_size": 16, "net_arch": [4]}


def dreams(world_model: WorldModel, lanes: int = 2) -> NativeVecEnv:
    return make_sb3_env("WorldModelDream-v0", lanes, world_model=world_model, horizon=16)


def rewards(env: Any, seed: int = 5) -> np.ndarray:
    """What lanes pay for staying long."""
    env.seed(seed)
    env.reset()
    longs = np.ones((env.num_envs, 1), dtype=np.float32)
    return np.stack([env.step(longs)[1] for _ in range(12)])


def parameters(model: Any) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()])


@pytest.fixture
def agent(market_model: WorldModel) -> Any:
    return make_sb3_agent("ppo", dreams(market_model), **SMALL)


def test_lanes_that_are_set_later_pay_in_the_same_unit(
    agent: Any, market_model: WorldModel
) -> None:
    unit = agent.reward_unit
    assert 1e-4 < unit < 0.1
    plain = rewards(dreams(market_model))
    at_first = rewards(agent.get_env())
    np.testing.assert_array_equal(at_first, plain * np.float32(1 / unit))
    for lanes in (dreams(market_model), VecMonitor(dreams(market_model))):
        agent.set_env(lanes)
        np.testing.assert_array_equal(rewards(agent.get_env()), at_first)
    agent.learn(16)
    assert agent.num_timesteps == 16


def test_so_do_environments_of_gymnasium(agent: Any, market_model: WorldModel) -> None:
    def env() -> gym.Env[Any, Any]:
        return DreamEnv(market_model, horizon=16)

    plain = rewards(DummyVecEnv([env, env]))
    agent.set_env(DummyVecEnv([env, env]))
    scaled = rewards(agent.get_env())
    np.testing.assert_allclose(scaled, plain / agent.reward_unit, rtol=1e-6)
    one = make_sb3_agent("ppo", dreams(market_model, 1), **{**SMALL, "batch_size": 8})
    one.set_env(env())
    paid = rewards(one.get_env())[:, 0] * one.reward_unit
    np.testing.assert_allclose(paid, plain[:, 0], rtol=1e-5)


def test_a_saved_agent_goes_on_in_the_same_unit(
    agent: Any, market_model: WorldModel, tmp_path: Path
) -> None:
    agent.learn(16)
    expected = rewards(agent.get_env())
    agent.save(tmp_path / "agent.zip")
    for kept in (
        type(agent).load(tmp_path / "agent.zip", env=dreams(market_model, 2), device="cpu"),
        load_agent(tmp_path / "agent.zip", trust=True).policy,
    ):
        kept.set_env(dreams(market_model))
        np.testing.assert_array_equal(rewards(kept.get_env()), expected)
        kept.learn(16)
    more = type(agent).load(tmp_path / "agent.zip", env=dreams(market_model, 4), device="cpu")
    assert rewards(more.get_env()).shape == (12, 4)
    assert np.abs(rewards(more.get_env())).mean() > 0.2
    plain = PPO.load(tmp_path / "agent.zip", device="cpu")  # by its own class it acts
    seen = agent.get_env().reset()
    np.testing.assert_array_equal(
        plain.predict(seen, deterministic=True)[0], agent.predict(seen, deterministic=True)[0]
    )


def test_lanes_that_are_to_scale_are_not_scaled_twice(agent: Any, market_model: WorldModel) -> None:
    other = make_sb3_agent("ppo", dreams(market_model), seed=1, **SMALL)
    expected = rewards(other.get_env())
    agent.set_env(other.get_env())
    np.testing.assert_array_equal(rewards(agent.get_env()), expected)


def test_what_learned_from_plain_rewards_goes_on_so(
    market_model: WorldModel, tmp_path: Path
) -> None:
    PPO("MlpPolicy", dreams(market_model), n_steps=8, batch_size=16, device="cpu").save(
        tmp_path / "plain.zip"
    )
    kept: Any = load_agent(tmp_path / "plain.zip", trust=True).policy
    kept.set_env(dreams(market_model))
    np.testing.assert_array_equal(rewards(kept.get_env()), rewards(dreams(market_model)))


def test_what_cannot_be_wrapped_is_refused(agent: Any, market_model: WorldModel) -> None:
    normalised = VecNormalize(dreams(market_model))
    for give in (agent.set_env, lambda env: make_sb3_agent("ppo", env, **SMALL)):
        with pytest.raises(ConfigError, match="VecNormalize"):
            give(normalised)
    native = dreams(market_model).native
    for give in (agent.set_env, lambda env: agent.load("none.zip", env=env)):
        with pytest.raises(ConfigError, match="make_sb3_env"):
            give(native)


def test_the_agents_seed_holds_for_lanes_that_nobody_seeded(market_model: WorldModel) -> None:
    def learned(seed: int | None = None) -> np.ndarray:
        agent = make_sb3_agent("ppo", dreams(market_model), seed=3, **SMALL).learn(16)
        lanes = dreams(market_model)
        if seed is not None:
            lanes.seed(seed)
        agent.set_env(lanes)
        return parameters(agent.learn(32))

    np.testing.assert_array_equal(learned(), learned())
    np.testing.assert_array_equal(learned(8), learned(8))
    assert (learned(8) != learned()).any()


def test_an_agent_from_a_folder_acts_and_its_parameters_go_on(
    market_model: WorldModel, tmp_path: Path
) -> None:
    config = TrainConfig(agent="ppo", steps=16, lanes=2, horizon=16, settings=SMALL)
    trained: Any = train_in_folder(config, Ground(market_model), tmp_path)
    with pytest.raises(ConfigError, match="set_parameters"):
        trained.policy.set_env(dreams(market_model, 1))
    agent = make_sb3_agent("ppo", dreams(market_model), seed=7, **SMALL)
    agent.set_parameters(tmp_path / "agent.zip", device="cpu")
    np.testing.assert_array_equal(parameters(agent), parameters(trained.policy))
    mean = agent.policy.features_extractor.mean
    np.testing.assert_array_equal(mean, trained.policy.policy.features_extractor.mean)
    assert np.abs(rewards(agent.get_env())).mean() > 0.2


def test_an_agent_can_be_copied_and_pickled(agent: Any) -> None:
    agent.env = None  # lanes with a world model of Python objects are no part of it
    for same in (copy.deepcopy(agent), pickle.loads(pickle.dumps(agent))):
        assert type(same) is type(agent)
        assert isinstance(same, PPO)
        np.testing.assert_array_equal(parameters(same), parameters(agent))
