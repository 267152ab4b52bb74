"""Gymnasium's protocol to the letter: seeds, options, lengths of episodes, and the end."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeAwareObservation

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.world_model import WorldModel

MARKETS = ["dream", "replay"]


def one(market: str, candles: Candles, model: WorldModel, **kwargs: Any) -> Any:
    if market == "dream":
        return DreamEnv(model, **{"horizon": 6, **kwargs})
    return BybitReplayEnv(candles, **{"episode_length": 6, **kwargs})


def many(market: str, count: int, candles: Candles, model: WorldModel, **kwargs: Any) -> Any:
    if market == "dream":
        return DreamVectorEnv(count, model, **{"horizon": 6, **kwargs})
    return ReplayVectorEnv(count, candles, **{"episode_length": 6, **kwargs})


@pytest.mark.parametrize("market", MARKETS)
class TestOneLane:
    @pytest.fixture
    def env(self, market: str, candles: Candles, market_model: WorldModel) -> Any:
        return one(market, candles, market_model)

    def test_nothing_goes_on_after_the_end(self, env: Any) -> None:
        env.reset(seed=0)
        env.step(0.5)
        env.close()
        env.close()  # a second time changes nothing
        with pytest.raises(ClosedEnvironmentError, match=r"the environment is closed"):
            env.step(0.5)
        with pytest.raises(ClosedEnvironmentError, match=r"the environment is closed"):
            env.reset()

    def test_a_seed_is_a_whole_number(self, env: Any) -> None:
        first, _ = env.reset(seed=3)
        np.testing.assert_array_equal(first, env.reset(seed=np.int64(3))[0])
        for wrong in (-1, 1.5, "3", True, [3]):
            with pytest.raises(ConfigError, match=r"seed is .*expected a whole number"):
                env.reset(seed=wrong)

    def test_a_refused_option_begins_no_episode(self, env: Any) -> None:
        env.reset(seed=0)
        with pytest.raises(ConfigError, match=r"'starts' is unknown; did you mean 'start'\?"):
            env.reset(options={"starts": "2020-02-01"})
        with pytest.raises(ConfigError, match=r"expected a mapping"):
            env.reset(options=["start"])
        with pytest.raises(ResetNeeded):
            env.step(0.5)
        env.reset(options={"start": None})  # says nothing
        env.step(0.5)

    def test_the_specification_tells_the_length(self, env: Any) -> None:
        assert env.spec is None
        env.spec = given = gym.spec("CartPole-v1")
        assert env.spec.max_episode_steps == 6
        assert given.max_episode_steps == 500  # somebody else's


def test_a_dream_refuses_options_that_it_would_ignore(
    candles: Candles, market_model: WorldModel
) -> None:
    env = DreamEnv(market_model, horizon=6)
    with pytest.raises(ConfigError, match=r"'start' says where in 'candles' to begin"):
        env.reset(options={"start": "2020-02-01"})
    with pytest.raises(ConfigError, match=r"'candles' and 'segment' exclude each other"):
        env.reset(options={"candles": candles, "segment": 3})
    env.reset(options={"candles": candles, "start": "2020-02-01", "segment": None})


@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_gymnasium_s_wrappers_find_the_length(name: str) -> None:
    length = {"horizon" if "Dream" in name else "episode_length": 7}
    made = gym.make(name, **length)
    assert made.spec is not None
    assert made.spec.max_episode_steps == 7
    env = TimeAwareObservation(made)
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    for step in range(1, 8):
        observation, *_, truncated, _ = env.step(np.zeros(1, dtype=np.float32))
        assert observation[-1] == step
        assert truncated == (step == 7)
    again = gym.make(made.spec)
    assert again.spec == made.spec
    shorter = gym.make(name, max_episode_steps=3, **length)
    assert shorter.spec is not None
    assert shorter.spec.max_episode_steps == 3


@pytest.mark.parametrize("vectorized", [False, True])
def test_a_specification_with_numpy_s_numbers_survives_json(vectorized: bool) -> None:
    given = {
        "episode_length": np.int64(9),
        "taker_fee": np.float32(0.0625),
        "random_start": np.True_,
    }
    kwargs: dict[str, Any] = {**given, "start": np.datetime64("2020-03-01")}
    env: Any = (
        gym.make_vec("BybitReplay-v0", 2, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)
        if vectorized
        else gym.make("BybitReplay-v0", **kwargs)
    )
    restored = EnvSpec.from_json(env.spec.to_json())
    assert restored.kwargs["episode_length"] == restored.max_episode_steps == 9
    assert restored.kwargs["taker_fee"] == 0.0625
    assert restored.kwargs["random_start"] is True
    if vectorized:
        again = gym.make_vec(restored)
        assert again.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert restored.kwargs["start"] == "2020-03-01T00:00:00+00:00"


def test_a_whole_range_is_as_long_as_its_longest_stretch(candles: Candles) -> None:
    env = gym.make("BybitReplay-v0", candles=candles, episode_length=None, random_start=False)
    assert env.spec is not None
    env.reset()
    longest, truncated = env.spec.max_episode_steps, False
    steps = 0
    while not truncated:
        *_, truncated, _ = env.step(np.zeros(1, dtype=np.float32))
        steps += 1
    assert steps == longest == 2_600 - 1 - 168


@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
@pytest.mark.parametrize(("limit", "length"), [(3, 3), (50, 5), (-1, 5), (None, 5)])
def test_lanes_keep_the_limit_of_make_vec(name: str, limit: int | None, length: int) -> None:
    asked: dict[str, Any] = {"horizon" if "Dream" in name else "episode_length": 5}
    envs = gym.make_vec(name, num_envs=2, max_episode_steps=limit, **asked)
    copies = gym.make_vec(
        name, num_envs=2, max_episode_steps=limit, vectorization_mode="sync", **asked
    )
    assert envs.spec is not None
    assert envs.spec.max_episode_steps == length
    envs.reset(seed=0)
    copies.reset(seed=0)
    actions = np.zeros((2, 1), dtype=np.float32)
    for step in range(1, 8):
        truncated = envs.step(actions)[3]
        np.testing.assert_array_equal(truncated, copies.step(actions)[3])
        assert truncated.all() == (step % (length + 1) == length)  # and a reset is a step
    copies.close()


@pytest.mark.parametrize("limit", [0, -2, 1.5, "long", True])
def test_a_limit_is_a_number_of_steps(candles: Candles, limit: Any) -> None:
    with pytest.raises(ConfigError, match=r"max_episode_steps is .*expected a number of steps"):
        ReplayVectorEnv(2, candles, max_episode_steps=limit)


class TestLanes:
    """Many lanes: a list of seeds makes them scalar environments side by side."""

    @pytest.mark.parametrize("market", MARKETS)
    @pytest.mark.parametrize("mode", ["next_step", "same_step"])
    @pytest.mark.parametrize("funding", [None, 0.0001])
    def test_a_lane_with_a_seed_is_the_environment_with_that_seed(
        self, market: str, mode: str, funding: Any, candles: Candles, market_model: WorldModel
    ) -> None:
        """Through several episodes, one of them longer than the noise that is drawn at once."""
        seeds = [8, 3, 11, 3, 5]
        length = {"horizon" if market == "dream" else "episode_length": 64}
        settings = {**length, "funding": funding, "leverage": 1.0}
        lanes = many(market, 5, candles, market_model, autoreset_mode=mode, **settings)
        alone = [one(market, candles, market_model, **settings) for _ in seeds]
        observations, infos = lanes.reset(seed=seeds)
        begun = [env.reset(seed=seed) for env, seed in zip(alone, seeds, strict=True)]
        ended = np.zeros(5, dtype=bool)
        rng = np.random.default_rng(0)
        for _ in range(150):
            for lane, (observation, info) in enumerate(begun):
                np.testing.assert_array_equal(observation, observations[lane])
                assert info["time_ms"] == infos["time_ms"][lane]
                assert info["equity"] == infos["equity"][lane]
            actions = rng.uniform(-1, 1, (5, 1)).astype(np.float32)
            observations, _, terminated, truncated, infos = lanes.step(actions)
            for lane, env in enumerate(alone):
                if ended[lane] and mode == "next_step":
                    begun[lane] = env.reset()
                    continue
                observation, _, *ends, info = env.step(actions[lane])
                assert ends == [terminated[lane], truncated[lane]]
                begun[lane] = env.reset() if any(ends) and mode == "same_step" else (
                    observation, info
                )  # fmt: skip
            ended = terminated | truncated

    @pytest.mark.parametrize("market", MARKETS)
    def test_a_lane_s_own_seed_moves_no_other_lane(
        self, market: str, candles: Candles, market_model: WorldModel
    ) -> None:
        def course(seeds: Any) -> np.ndarray:
            lanes = many(market, 3, candles, market_model)
            lanes.reset(seed=seeds)
            actions = np.full((3, 1), 0.3)
            return np.array([lanes.step(actions)[4]["price"] for _ in range(20)])

        first, second = course([1, 2, 3]), course((1, np.int64(7), 3))
        np.testing.assert_array_equal(first[:, [0, 2]], second[:, [0, 2]])
        assert not np.array_equal(first[:, 1], second[:, 1])
        np.testing.assert_array_equal(first, course(np.array([1, 2, 3])))
        shared = course(1)
        np.testing.assert_array_equal(shared, course(np.int64(1)))
        assert not np.array_equal(shared, first)

    @pytest.mark.parametrize("market", MARKETS)
    def test_seeds_and_a_mask(
        self, market: str, candles: Candles, market_model: WorldModel
    ) -> None:
        lanes = many(market, 3, candles, market_model, autoreset_mode="disabled")
        twin = many(market, 3, candles, market_model, autoreset_mode="disabled")
        first, _ = lanes.reset(seed=[1, 2, 3])
        twin.reset(seed=[1, 2, 3])
        lanes.step(np.zeros((3, 1)))
        before, *_ = twin.step(np.zeros((3, 1)))
        mask = np.array([False, True, False])
        after, _ = lanes.reset(seed=[4, 2, 4], options={"reset_mask": mask})
        np.testing.assert_array_equal(after[1], first[1])
        np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
        onward, *_ = lanes.step(np.zeros((3, 1)))
        np.testing.assert_array_equal(onward[[0, 2]], twin.step(np.zeros((3, 1)))[0][[0, 2]])
        kept = many(market, 3, candles, market_model)
        kept.reset(seed=5)
        kept.reset(seed=[None, 2, None])  # no seed: the lane draws on from a child of the old one
        assert np.isfinite(kept.step(np.zeros((3, 1)))[0]).all()

    def test_wrong_seeds(self, candles: Candles) -> None:
        lanes = ReplayVectorEnv(3, candles)
        with pytest.raises(ConfigError, match=r"seed has 2 entries; expected.* 3 lanes"):
            lanes.reset(seed=[1, 2])
        for wrong in (-1, "3", [1, -1, 2], [1, 2.5, 3], 0.5):
            with pytest.raises(ConfigError, match=r"seed is .*expected a whole number"):
                lanes.reset(seed=wrong)  # type: ignore[arg-type]
        with pytest.raises(ResetNeeded):
            lanes.step(np.zeros((3, 1)))

    def test_lanes_begin_where_they_are_told(
        self, candles: Candles, market_model: WorldModel
    ) -> None:
        replay, times = ReplayVectorEnv(3, candles, episode_length=6), candles.open_time_ms
        _, infos = replay.reset(seed=1, options={"start": int(times[500])})
        np.testing.assert_array_equal(infos["time_ms"], times[500])
        starts = [np.datetime64(int(times[700]), "ms"), None, int(times[200]) // 1000]
        _, infos = replay.reset(options={"start": starts})
        assert infos["time_ms"][0] == times[700]
        assert infos["time_ms"][2] == times[200]
        mask = np.array([False, False, True])
        _, infos = replay.reset(options={"start": times[[1, 2, 300]], "reset_mask": mask})
        np.testing.assert_array_equal(infos["time_ms"][[0, 2]], times[[700, 300]])
        dream, bank = DreamVectorEnv(3, market_model, horizon=6), market_model.bank
        _, infos = dream.reset(seed=1, options={"segment": 7})
        np.testing.assert_array_equal(infos["price"], bank.close[7])
        observations, infos = dream.reset(options={"segment": [2, None, np.int64(9)]})
        np.testing.assert_array_equal(infos["price"][[0, 2]], bank.close[[2, 9]])
        np.testing.assert_array_equal(observations[0, :3], bank.z[2, -1])

    def test_a_place_that_does_not_exist_begins_nothing(
        self, candles: Candles, market_model: WorldModel
    ) -> None:
        replay, dream = ReplayVectorEnv(3, candles), DreamVectorEnv(3, market_model)
        with pytest.raises(ConfigError, match=r"no episode fits at or after 2031-01-01 00:00 UTC"):
            replay.reset(options={"start": "2031-01-01"})
        with pytest.raises(ConfigError, match=r"start has 2 entries; expected one value.*3 lanes"):
            replay.reset(options={"start": ["2020-02-01"] * 2})
        with pytest.raises(ConfigError, match=r"segment is 99; expected the index of one of the"):
            dream.reset(options={"segment": [0, 99, 0]})
        with pytest.raises(ConfigError, match=r"'start' is unknown; expected.*segment"):
            dream.reset(options={"start": "2020-02-01"})
        for lanes in (replay, dream):
            with pytest.raises(ResetNeeded):
                lanes.step(np.zeros((3, 1)))

    @pytest.mark.parametrize("market", MARKETS)
    def test_nothing_goes_on_after_the_end(
        self, market: str, candles: Candles, market_model: WorldModel
    ) -> None:
        lanes = many(market, 2, candles, market_model)
        lanes.reset(seed=0)
        lanes.close()
        lanes.close()
        with pytest.raises(ClosedEnvironmentError, match=r"the environment is closed"):
            lanes.step(np.zeros((2, 1)))
        with pytest.raises(ClosedEnvironmentError, match=r"the environment is closed"):
            lanes.reset()

    def test_lanes_answer_calls_once_a_lane(self, candles: Candles) -> None:
        lanes = ReplayVectorEnv(3, candles)
        assert lanes.render() is None
        assert lanes.call("render") == (None,) * 3
        assert lanes.call("num_envs") == (3, 3, 3)
