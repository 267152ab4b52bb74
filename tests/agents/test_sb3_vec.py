"""Stable-Baselines3 on native lanes: its contract, and its algorithms unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import TQC, TRPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from worldmodel_trading.agents.sb3 import NativeVecEnv, make_sb3_env
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import ReplayVectorEnv
from worldmodel_trading.evaluation.rollout import evaluate_policy
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ActionError, ConfigError
from worldmodel_trading.models.world_model import WorldModel

WORLDS = ("WorldModelDream-v0", "BybitReplay-v0")
ON_POLICY = {
    "PPO": (PPO, {"n_steps": 8, "batch_size": 16, "n_epochs": 1}),
    "A2C": (A2C, {"n_steps": 4}),
    "TRPO": (TRPO, {"n_steps": 8, "batch_size": 16}),
    "RecurrentPPO": (
        RecurrentPPO,
        {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "policy_kwargs": {"lstm_hidden_size": 8}},
    ),
}
OFF_POLICY = {"SAC": SAC, "TD3": TD3, "DDPG": DDPG, "TQC": TQC, "DQN": DQN}
EARLY = {"learning_starts": 12, "batch_size": 8, "buffer_size": 300, "train_freq": 4}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(world: str, candles: Candles, market_model: WorldModel) -> dict[str, Any]:
    """Episodes of 7 bars."""
    if world == "WorldModelDream-v0":
        return {"world_model": market_model, "horizon": 7}
    return {"candles": candles, "world_model": market_model, "episode_length": 7}


def rollout(env: NativeVecEnv, steps: int, seed: int = 0) -> list[np.ndarray]:
    env.seed(seed)
    rng = np.random.default_rng(1)
    seen = [env.reset()]
    for _ in range(steps):
        actions = rng.uniform(-1, 1, (env.num_envs, 1)).astype(np.float32)
        seen += env.step(actions)[:3]
    return seen


@pytest.mark.parametrize("name", [*ON_POLICY, *OFF_POLICY])
def test_every_algorithm_trains_unchanged(name: str, world: str, settings: dict[str, Any]) -> None:
    if name == "DQN":
        settings["actions"] = "discrete"
    env = VecMonitor(make_sb3_env(world, 4, **settings))
    if name in ON_POLICY:
        algorithm, extra = ON_POLICY[name]
        policy = "MlpLstmPolicy" if name == "RecurrentPPO" else "MlpPolicy"
    else:
        algorithm, extra, policy = OFF_POLICY[name], EARLY, "MlpPolicy"
    agent = algorithm(policy, env, seed=0, device="cpu", **extra)
    before = [p.detach().clone() for p in agent.policy.parameters()]
    agent.learn(64)
    assert agent.num_timesteps == 64
    assert any((a != b).any() for a, b in zip(before, agent.policy.parameters(), strict=True))
    assert all(torch.isfinite(p).all() for p in agent.policy.parameters())
    # 16 steps of 4 lanes, whose episodes end every 7.
    lengths = [episode["l"] for episode in agent.ep_info_buffer]
    assert len(lengths) == 8
    assert set(lengths) == {7}


def test_an_agent_of_the_lanes_acts_in_a_scalar_replay(
    candles: Candles, market_model: WorldModel
) -> None:
    env = make_sb3_env("WorldModelDream-v0", 4, world_model=market_model, horizon=16)
    agent = PPO("MlpPolicy", env, n_steps=16, batch_size=32, n_epochs=1, device="cpu", seed=0)
    agent.learn(64)
    replay = BybitReplayEnv(candles, market_model, start="2020-03-21", episode_length=50)
    result = evaluate_policy(replay, agent, bars_per_year=8_760, episodes=1, seed=1)
    assert len(result.records[0]) == 50


def scalar_twin(world: str, settings: dict[str, Any]) -> Any:
    return (DreamEnv if world == "WorldModelDream-v0" else BybitReplayEnv)(**settings)


def test_the_terminal_observation_is_the_scalar_environments_last(
    world: str, settings: dict[str, Any]
) -> None:
    env, alone = make_sb3_env(world, 1, **settings), scalar_twin(world, settings)
    env.seed(5)
    np.testing.assert_array_equal(env.reset()[0], alone.reset(seed=5)[0])
    rng = np.random.default_rng(2)
    for step in range(21):
        action = rng.uniform(-1, 1, 1).astype(np.float32)
        observations, rewards, dones, infos = env.step(action[np.newaxis])
        last, reward, terminated, truncated, info = alone.step(action)
        assert rewards.dtype == np.float32
        assert rewards[0] == np.float32(reward)
        assert dones[0] == (terminated or truncated) == (step % 7 == 6)
        if not dones[0]:
            assert infos == [{}]
            np.testing.assert_array_equal(observations[0], last)
            continue
        np.testing.assert_array_equal(infos[0]["terminal_observation"], last)
        assert infos[0]["TimeLimit.truncated"] is True
        assert {key: infos[0][key] for key in info} == info
        begun, begin_info = alone.reset()
        np.testing.assert_array_equal(observations[0], begun)
        assert env.reset_infos[0] == begin_info


def test_running_out_of_bars_is_a_truncation_and_ruin_is_none(candles: Candles) -> None:
    settings: dict[str, Any] = {
        "candles": candles,
        "episode_length": 400,
        "random_start": False,
        "leverage": 100.0,
    }
    env, alone = make_sb3_env("BybitReplay-v0", 2, **settings), BybitReplayEnv(**settings)
    env.reset()
    alone.reset()
    ruins = 0
    for step in range(400):
        _, _, dones, infos = env.step(np.array([[1.0], [0.0]], dtype=np.float32))
        last, _, ruined, *_ = alone.step(np.ones(1, dtype=np.float32))
        assert dones[0] == ruined
        assert dones[1] == (step == 399)
        if ruined:
            ruins += 1
            assert infos[0]["TimeLimit.truncated"] is False
            assert infos[0]["equity"] < 1.0
            np.testing.assert_array_equal(infos[0]["terminal_observation"], last)
            alone.reset()
    assert ruins > 0
    assert infos[1]["TimeLimit.truncated"] is True
    assert infos[1]["equity"] == 1.0


def test_one_seed_one_rollout(world: str, settings: dict[str, Any]) -> None:
    one, two, other = (rollout(make_sb3_env(world, 3, **settings), 20, seed) for seed in (4, 4, 5))
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(one[0], other[0])


def test_a_seed_counts_once_and_none_is_drawn(world: str, settings: dict[str, Any]) -> None:
    env = make_sb3_env(world, 3, **settings)
    assert env.seed(8) == [8, 8, 8]
    first = env.reset()
    assert not np.array_equal(env.reset(), first)
    drawn, again = env.seed(), env.seed()
    assert len(set(drawn)) == 1
    assert drawn != again


def test_steps_hand_out_fresh_arrays_and_infos(world: str, settings: dict[str, Any]) -> None:
    env = make_sb3_env(world, 2, **settings)
    env.reset()
    actions = np.zeros((2, 1), dtype=np.float32)
    observations, rewards, dones, infos = env.step(actions)
    copies = observations.copy(), rewards.copy(), dones.copy()
    infos[0]["mine"] = 1
    *_, later = env.step(actions)
    assert later == [{}, {}]
    assert infos[1] == {}
    for kept, copy in zip((observations, rewards, dones), copies, strict=True):
        np.testing.assert_array_equal(kept, copy)
    assert env.last_info["equity"].shape == (2,)


def test_vec_monitor_records_returns_and_keywords(world: str, settings: dict[str, Any]) -> None:
    env = VecMonitor(make_sb3_env(world, 3, **settings), info_keywords=("equity",))
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(7):
        _, _, dones, infos = env.step(rng.uniform(-1, 1, (3, 1)).astype(np.float32))
    assert dones.all()
    for info in infos:
        assert info["episode"]["l"] == 7
        assert info["episode"]["r"] == pytest.approx(np.log(info["equity"]), abs=1e-6)
        assert info["episode"]["equity"] == info["equity"]


def test_vec_normalize_normalises_and_remembers(world: str, settings: dict[str, Any]) -> None:
    env = VecNormalize(make_sb3_env(world, 8, **settings), gamma=0.9)
    env.reset()
    rng = np.random.default_rng(0)
    for step in range(40):
        observations, _, dones, infos = env.step(rng.uniform(-1, 1, (8, 1)).astype(np.float32))
        assert np.isfinite(observations).all()
        if step % 7 == 6:
            assert dones.all()
            ends = np.stack([info["terminal_observation"] for info in infos])
            assert np.abs(ends).max() <= env.clip_obs
    assert env.obs_rms.count > 300
    assert env.get_original_obs().shape == observations.shape


def test_attributes_are_shared_and_lanes_have_no_methods(candles: Candles) -> None:
    env = make_sb3_env("BybitReplay-v0", 3, candles=candles, episode_length=5)
    assert env.get_attr("observation_space") == [env.observation_space] * 3
    assert env.get_attr("action_space", [0, 2]) == [env.action_space] * 2
    assert env.get_attr("render_mode", 1) == [None]
    assert env.env_is_wrapped(Monitor) == [False] * 3
    env.set_attr("colour", "blue")
    assert env.get_attr("colour", 2) == ["blue"]
    with pytest.raises(ConfigError, match="shared by all 3 lanes"):
        env.set_attr("colour", "red", indices=[0])
    assert not env.has_attr("flavour")
    with pytest.raises(AttributeError, match="no method 'action_masks'"):
        env.env_method("action_masks")
    assert env.get_images() == [None] * 3
    env.close()


def test_options_reach_the_next_reset_and_no_other(
    candles: Candles, market_model: WorldModel
) -> None:
    env = make_sb3_env("BybitReplay-v0", 3, candles=candles, episode_length=5)
    time = int(candles.open_time_ms[400])
    env.seed(1)
    env.set_options({"start": time})
    env.reset()
    assert [info["time_ms"] for info in env.reset_infos] == [time] * 3
    env.reset()
    assert len({info["time_ms"] for info in env.reset_infos}) > 1
    dreams = make_sb3_env("WorldModelDream-v0", 3, world_model=market_model)
    dreams.set_options([{"segment": 4}, {}, {"segment": 9}])
    dreams.reset()
    prices = market_model.bank.close
    assert dreams.reset_infos[0]["price"] == prices[4]
    assert dreams.reset_infos[2]["price"] == prices[9]
    env.set_options({})
    for wrong, said in (
        ({"segment": 0}, "'segment' is unknown"),
        ({"reset_mask": np.ones(3, dtype=bool)}, "'reset_mask' is unknown"),
        ([{"start": time}], "1 mappings"),
        (["start", "start", "start"], "expected"),
    ):
        with pytest.raises(ConfigError, match=said):
            env.set_options(wrong)  # type: ignore[arg-type]


def test_wrong_use_is_refused(candles: Candles) -> None:
    with pytest.raises(ConfigError, match="autoreset_mode is NEXT_STEP"):
        NativeVecEnv(ReplayVectorEnv(2, candles))
    env = make_sb3_env("BybitReplay-v0", 2, candles=candles)
    env.reset()
    with pytest.raises(ActionError, match="step_async"):
        env.step_wait()
    with pytest.raises(ActionError, match="shape"):
        env.step(np.zeros(2, dtype=np.float32))
    with pytest.raises(ConfigError, match="CartPole-v1 has no native lanes"):
        make_sb3_env("CartPole-v1", 2)
