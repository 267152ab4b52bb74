"""Native vector environments: lanes are scalar environments, and every autoreset mode."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers.vector import NormalizeObservation, RecordEpisodeStatistics

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.models.world_model import WorldModel

INFO_KEYS = (
    *("equity", "weight", "price", "market_return", "turnover"),
    *("cost", "slippage", "funding", "time_ms"),
)
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


def batch(rng: np.random.Generator, num_envs: int) -> np.ndarray:
    return rng.uniform(-1, 1, (num_envs, 1)).astype(np.float32)


def make(name: str, num_envs: int, candles: Candles, model: WorldModel, **kwargs: Any) -> Any:
    if name == "dream":
        return DreamVectorEnv(num_envs, model, horizon=6, **kwargs)
    return ReplayVectorEnv(num_envs, candles, episode_length=6, **kwargs)


@pytest.mark.parametrize("seen", ["features", "latent"])
@pytest.mark.parametrize(
    "account", [{}, {"leverage": 4.0, "fill_delay": 1, "slippage_per_range": 0.1}]
)
def test_replay_lanes_are_scalar_replays(
    seen: str, account: dict[str, Any], candles: Candles, tiny_model: WorldModel
) -> None:
    model = tiny_model if seen == "latent" else None
    lanes = ReplayVectorEnv(4, candles, model, episode_length=80, **account)
    observations, infos = lanes.reset(seed=2)
    alone = [BybitReplayEnv(candles, model, episode_length=80, **account) for _ in range(4)]
    for lane, env in enumerate(alone):
        observation, info = env.reset(options={"start": int(infos["time_ms"][lane])})
        np.testing.assert_array_equal(observation, observations[lane])
    rng = np.random.default_rng(0)
    for _ in range(80):
        actions = batch(rng, 4)
        observations, rewards, terminated, truncated, infos = lanes.step(actions)
        for lane, env in enumerate(alone):
            observation, reward, *ends, info = env.step(actions[lane])
            np.testing.assert_array_equal(observation, observations[lane])
            assert reward == rewards[lane]
            assert ends == [terminated[lane], truncated[lane]]
            assert info == {key: infos[key][lane] for key in INFO_KEYS}
    assert truncated.all()


@pytest.mark.parametrize("observation", ["latent", "features"])
def test_one_lane_of_dreams_is_the_scalar_dream(observation: Any, tiny_model: WorldModel) -> None:
    lane = DreamVectorEnv(
        1, tiny_model, horizon=30, observation=observation, autoreset_mode="disabled"
    )
    alone = DreamEnv(tiny_model, horizon=30, observation=observation)
    first, _ = lane.reset(seed=4)
    np.testing.assert_array_equal(first[0], alone.reset(seed=4)[0])
    rng = np.random.default_rng(1)
    for _ in range(30):
        actions = batch(rng, 1)
        seen, reward, *ends, info = alone.step(actions[0])
        observations, rewards, terminated, truncated, infos = lane.step(actions)
        np.testing.assert_array_equal(seen, observations[0])
        assert reward == rewards[0]
        assert ends == [terminated[0], truncated[0]]
        assert info["time_ms"] == infos["time_ms"][0]


def test_only_the_paper_market_hears_the_actions(
    market_model: WorldModel, paper_model: WorldModel
) -> None:
    def returns(model: WorldModel, weight: float) -> np.ndarray:
        engine = open_engine(model)
        state = engine.start(np.zeros(3, dtype=np.int64))
        rng = np.random.default_rng(0)
        weights = np.full(3, weight)
        return np.array([engine.step(state, weights, engine.draw_noise(rng, 3)) for _ in range(10)])

    np.testing.assert_array_equal(returns(market_model, 1.0), returns(market_model, -1.0))
    assert not np.array_equal(returns(paper_model, 1.0), returns(paper_model, -1.0))


def test_temperature_zero_dreams_the_same_whatever_the_noise(tiny_model: WorldModel) -> None:
    def course(seed: int, temperature: float) -> list[float]:
        env = DreamEnv(tiny_model, temperature=temperature, horizon=20)
        env.reset(seed=seed, options={"segment": 3})
        return [float(env.step(np.zeros(1))[4]["market_return"]) for _ in range(20)]

    assert course(0, 0.0) == course(1, 0.0)
    assert course(0, 1.0) != course(1, 1.0)
    spread = [np.std(course(5, temperature)) for temperature in (0.25, 1.0, 4.0)]
    assert spread == sorted(spread)  # √τ scales the noise


def test_a_segment_can_be_chosen(market_model: WorldModel) -> None:
    env = DreamEnv(market_model)
    bank = market_model.bank
    for segment in (0, 7, 15):
        observation, info = env.reset(seed=segment, options={"segment": segment})
        np.testing.assert_array_equal(observation[:3], bank.z[segment, -1])
        assert info["price"] == bank.close[segment]
        assert info["time_ms"] == bank.open_time_ms[segment]
        assert np.abs(observation[env.observation_layout["hidden"]]).max() > 0.0  # not zeros


@pytest.mark.parametrize("name", ["dream", "replay"])
@pytest.mark.parametrize("mode", MODES)
def test_metadata_names_the_mode_as_an_enum(
    name: str, mode: AutoresetMode, candles: Candles, market_model: WorldModel
) -> None:
    for given in (mode, mode.name, mode.name.lower(), mode.value):
        env = make(name, 2, candles, market_model, autoreset_mode=given)
        assert env.metadata["autoreset_mode"] is mode
    assert make(name, 2, candles, market_model).metadata["autoreset_mode"] is (
        AutoresetMode.NEXT_STEP
    )


@pytest.mark.parametrize("name", ["dream", "replay"])
class TestNextStep:
    def test_the_step_after_the_end_is_the_reset(
        self, name: str, candles: Candles, market_model: WorldModel
    ) -> None:
        env = make(name, 3, candles, market_model)
        env.reset(seed=1)
        rng = np.random.default_rng(2)
        for _ in range(5):
            _, _, terminated, truncated, _ = env.step(batch(rng, 3))
            assert not (terminated | truncated).any()
        *_, truncated, infos = env.step(batch(rng, 3))
        assert truncated.all()
        assert (infos["equity"] != 1.0).all()
        assert "final_obs" not in infos
        observations, rewards, terminated, truncated, infos = env.step(batch(rng, 3))
        assert (rewards == 0.0).all()
        assert not (terminated | truncated).any()
        assert (infos["equity"] == 1.0).all()
        assert (infos["cost"] == 0.0).all()
        assert (infos["market_return"] == 0.0).all()
        assert (observations[:, -1] == 0.0).all()
        _, rewards, *_, infos = env.step(np.ones((3, 1), dtype=np.float32))
        np.testing.assert_allclose(infos["cost"], 0.00075, rtol=1e-12)
        assert (rewards != 0.0).all()

    def test_lanes_end_and_restart_each_in_its_own_time(
        self, name: str, candles: Candles, market_model: WorldModel
    ) -> None:
        env = make(name, 3, candles, market_model)
        env.reset(seed=1)
        rng = np.random.default_rng(2)
        env.step(batch(rng, 3))
        env.step(batch(rng, 3))
        env.reset(options={"reset_mask": np.array([False, True, False])})
        ends = np.array([env.step(batch(rng, 3))[3] for _ in range(14)])
        np.testing.assert_array_equal(np.flatnonzero(ends[:, 0]), [3, 10])  # 6 steps and a reset
        np.testing.assert_array_equal(np.flatnonzero(ends[:, 1]), [5, 12])
        np.testing.assert_array_equal(ends[:, 0], ends[:, 2])


@pytest.mark.parametrize("name", ["dream", "replay"])
def test_same_step_hands_out_the_end_and_the_beginning(
    name: str, candles: Candles, market_model: WorldModel
) -> None:
    env = make(name, 3, candles, market_model, autoreset_mode="same_step")
    twin = make(name, 3, candles, market_model, autoreset_mode="disabled")
    env.reset(seed=1)
    twin.reset(seed=1)
    rng = np.random.default_rng(2)
    for step in range(6):
        actions = batch(rng, 3)
        observations, rewards, terminated, truncated, infos = env.step(actions)
        ended, same_rewards, *_, end_infos = twin.step(actions)
        np.testing.assert_array_equal(rewards, same_rewards)
        assert ("final_obs" in infos) == (step == 5)
    assert truncated.all()
    assert not terminated.any()
    assert infos["_final_obs"].all()
    assert infos["_final_info"].all()
    np.testing.assert_array_equal(np.stack(infos["final_obs"]), ended)
    for key in INFO_KEYS:
        np.testing.assert_array_equal(infos["final_info"][key], end_infos[key])
        assert infos["final_info"][f"_{key}"].all()
    assert (infos["equity"] == 1.0).all()
    assert (infos["weight"] == 0.0).all()
    assert (observations[:, -1] == 0.0).all()
    begun, begin_infos = twin.reset()  # twin's generator stands where env's stood
    np.testing.assert_array_equal(observations, begun)
    np.testing.assert_array_equal(infos["time_ms"], begin_infos["time_ms"])


def test_same_step_leaves_the_other_lanes_alone(candles: Candles, market_model: WorldModel) -> None:
    env = make("replay", 2, candles, market_model, autoreset_mode="same_step")
    env.reset(seed=1)
    rng = np.random.default_rng(2)
    for _ in range(3):
        env.step(batch(rng, 2))
    env.reset(options={"reset_mask": np.array([False, True])})
    for _ in range(3):
        observations, rewards, _, truncated, infos = env.step(batch(rng, 2))
    np.testing.assert_array_equal(truncated, [True, False])
    np.testing.assert_array_equal(infos["_final_obs"], [True, False])
    np.testing.assert_array_equal(infos["final_info"]["_equity"], [True, False])
    assert infos["final_obs"][1] is None
    assert infos["final_obs"][0].shape == observations[0].shape
    assert infos["equity"][0] == 1.0
    assert infos["equity"][1] != 1.0
    assert rewards[1] != 0.0
    assert infos["final_info"]["equity"][0] != 1.0


@pytest.mark.parametrize("name", ["dream", "replay"])
def test_disabled_waits_for_a_reset_mask(
    name: str, candles: Candles, market_model: WorldModel
) -> None:
    env = make(name, 3, candles, market_model, autoreset_mode="disabled")
    before, _ = env.reset(seed=1)
    rng = np.random.default_rng(2)
    for _ in range(2):
        before, *_, kept = env.step(batch(rng, 3))
    mask = np.array([True, False, True])
    after, infos = env.reset(options={"reset_mask": mask})
    np.testing.assert_array_equal(after[1], before[1])
    assert infos["equity"][1] == kept["equity"][1] != 1.0
    assert (infos["equity"][mask] == 1.0).all()
    np.testing.assert_array_equal(infos["_equity"], mask)
    assert not np.array_equal(after[0], before[0])
    for _ in range(4):
        *_, truncated, _ = env.step(batch(rng, 3))
    np.testing.assert_array_equal(truncated, ~mask)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(batch(rng, 3))
    env.reset(options={"reset_mask": truncated})
    env.step(batch(rng, 3))


def test_ruin_ends_one_lane_and_no_other(candles: Candles) -> None:
    env = ReplayVectorEnv(
        3, candles, episode_length=None, random_start=False, leverage=100.0,
        autoreset_mode="disabled",
    )  # fmt: skip
    alone = BybitReplayEnv(candles, episode_length=None, random_start=False, leverage=100.0)
    env.reset(seed=0)
    alone.reset(seed=0)
    actions = np.array([[1.0], [0.0], [0.001]])
    terminated = np.zeros(3, dtype=bool)
    bars = 0
    while not terminated.any():
        _, rewards, terminated, _, infos = env.step(actions)
        _, reward, dead, _, info = alone.step(actions[0])
        assert (reward, dead) == (rewards[0], terminated[0])
        bars += 1
    np.testing.assert_array_equal(terminated, [True, False, False])
    assert np.isfinite(rewards).all()
    assert infos["equity"][0] == info["equity"] < 1.0
    assert infos["equity"][1] == 1.0
    assert bars < 500


@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
@pytest.mark.parametrize("mode", ["next_step", "same_step"])
def test_gymnasium_wrappers_record_and_normalise(
    name: str, mode: str, candles: Candles, market_model: WorldModel
) -> None:
    kwargs: dict[str, Any] = (
        {"world_model": market_model, "horizon": 6}
        if name == "WorldModelDream-v0"
        else {"candles": candles, "episode_length": 6}
    )
    env: VectorEnv[Any, Any, Any] = gym.make_vec(name, num_envs=3, autoreset_mode=mode, **kwargs)
    env = RecordEpisodeStatistics(env)
    if mode == "next_step":
        env = NormalizeObservation(env)
    env.reset(seed=0)
    rng = np.random.default_rng(3)
    total = np.zeros(3)
    for _ in range(6):
        observations, rewards, *_, infos = env.step(batch(rng, 3))
        total += rewards
        assert np.isfinite(observations).all()
    episode = infos["episode"]
    equity = infos["equity"] if mode == "next_step" else infos["final_info"]["equity"]
    np.testing.assert_allclose(episode["r"], total, rtol=1e-6)
    np.testing.assert_allclose(episode["r"], np.log(equity), atol=1e-12)
    np.testing.assert_array_equal(episode["l"], 6)


def test_spaces_are_batched_single_spaces(candles: Candles, market_model: WorldModel) -> None:
    for name in ("dream", "replay"):
        env = make(name, 5, candles, market_model)
        observations, _ = env.reset(seed=0)
        assert env.observation_space.shape == (5, *env.single_observation_space.shape)
        assert env.observation_space.contains(observations)
        actions = env.action_space.sample()
        assert actions.shape == (5, 1)
        observations, rewards, terminated, truncated, _ = env.step(actions)
        assert env.observation_space.contains(observations)
        assert rewards.shape == terminated.shape == truncated.shape == (5,)
        assert terminated.dtype == truncated.dtype == np.bool_
    discrete = ReplayVectorEnv(5, candles, actions="discrete", episode_length=6)
    discrete.reset(seed=0)
    *_, infos = discrete.step(np.array([0, 1, 2, 1, 0]))
    np.testing.assert_allclose(infos["turnover"], [1, 0, 1, 0, 1])
