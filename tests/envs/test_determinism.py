"""One seed, one course of events; observations that are fresh, finite and inside their space."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import Autoreset

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.models.world_model import WorldModel

STEPS = 10_000
LANES, LENGTH = 16, 90


def settings(name: str, candles: Candles, model: WorldModel | None) -> dict[str, Any]:
    if name == "WorldModelDream-v0":
        return {"world_model": model, "horizon": LENGTH}
    return {"candles": candles, "world_model": model, "episode_length": LENGTH}


def equal(one: Any, two: Any) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(equal, one, two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[k], two[k]) for k in one)
    return np.array_equal(one, two)


@pytest.mark.parametrize("mode", ["next_step", "same_step"])
@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_two_vector_environments_of_one_seed_never_part(
    name: str, mode: str, candles: Candles, market_model: WorldModel
) -> None:
    kwargs = settings(name, candles, market_model)
    one, two = (gym.make_vec(name, num_envs=LANES, autoreset_mode=mode, **kwargs) for _ in range(2))
    first, second = one.reset(seed=9), two.reset(seed=9)
    assert equal(first[0], second[0])
    rng = np.random.default_rng(1)
    low, high = one.single_observation_space.low, one.single_observation_space.high  # type: ignore[attr-defined]
    ended = 0
    for _ in range(STEPS // LANES):
        actions = rng.uniform(-1, 1, (LANES, 1)).astype(np.float32)
        left, right = one.step(actions), two.step(actions)
        for a, b in zip(left[:4], right[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(left[4]["equity"], right[4]["equity"])
        assert np.isfinite(left[0]).all()
        assert (low <= left[0]).all()
        assert (left[0] <= high).all()
        assert np.isfinite(left[1]).all()
        ended += int((left[2] | left[3]).sum())
    assert ended == LANES * (STEPS // LANES // (LENGTH + (mode == "next_step")))


@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_two_scalar_environments_of_one_seed_never_part(
    name: str, candles: Candles, market_model: WorldModel
) -> None:
    kwargs = settings(name, candles, market_model)
    one, two = (Autoreset(gym.make(name, **kwargs)) for _ in range(2))
    for env in (one, two):
        env.action_space.seed(3)
    first, second = one.reset(seed=7), two.reset(seed=7)
    assert equal(first, second)
    resets = 0
    for _ in range(STEPS):
        action = one.action_space.sample()
        left, right = one.step(action), two.step(action)
        assert equal(left, right)
        resets += left[3]
    assert resets == STEPS // (LENGTH + 1)  # the reset takes a step of its own


@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_other_seeds_give_other_episodes_and_the_second_episode_differs(
    name: str, candles: Candles, market_model: WorldModel
) -> None:
    env = gym.make(name, **settings(name, candles, market_model))
    first, _ = env.reset(seed=0)
    again, _ = env.reset()
    other, _ = env.reset(seed=1)
    assert not np.array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(env.reset(seed=0)[0], first)


@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_global_random_state_is_neither_read_nor_moved(
    name: str, candles: Candles, market_model: WorldModel
) -> None:
    import torch

    def course(disturb: int) -> list[Any]:
        np.random.seed(disturb)  # noqa: NPY002 - the global generator is what is tested
        torch.manual_seed(disturb)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        env = gym.make(name, **settings(name, candles, market_model))
        steps = [env.reset(seed=5)[0]]
        steps += [env.step(np.array([0.4], dtype=np.float32))[0] for _ in range(20)]
        np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[1])
        return steps

    np.testing.assert_array_equal(course(1), course(2))


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize("name", ["WorldModelDream-v0", "BybitReplay-v0"])
def test_observations_are_fresh_arrays(
    name: str, num_envs: int | None, candles: Candles, tiny_model: WorldModel
) -> None:
    kwargs = settings(name, candles, tiny_model)

    def course(spoil: bool) -> list[np.ndarray]:
        env: Any = (
            gym.make(name, **kwargs)
            if num_envs is None
            else gym.make_vec(name, num_envs=num_envs, **kwargs)
        )
        action = np.full(env.action_space.shape, 0.5, dtype=np.float32)
        observation, _ = env.reset(seed=2)
        kept = [observation.copy()]
        alive = [observation]
        for _ in range(12):
            if spoil:
                observation[...] = 123.0
            observation, rewards, *_ = env.step(action)
            assert not any(np.shares_memory(observation, old) for old in alive)
            if spoil and num_envs is not None:
                rewards[...] = -1.0
            kept.append(observation.copy())
            alive.append(observation)
        if not spoil:
            for copy, original in zip(kept, alive, strict=True):
                np.testing.assert_array_equal(copy, original)  # later steps left it alone
        return kept

    np.testing.assert_array_equal(course(spoil=False), course(spoil=True))


def test_infos_and_final_observations_of_lanes_are_fresh(candles: Candles) -> None:
    env = gym.make_vec(
        "BybitReplay-v0", num_envs=2, candles=candles, episode_length=3, autoreset_mode="same_step"
    )
    env.reset(seed=0)
    steps = [env.step(np.full((2, 1), 0.5, dtype=np.float32)) for _ in range(6)]
    equity = [info["equity"].copy() for *_, info in steps]
    final = steps[2][4]["final_info"]["equity"].copy()
    env.step(np.full((2, 1), -1.0, dtype=np.float32))
    for (*_, info), copy in zip(steps, equity, strict=True):
        np.testing.assert_array_equal(info["equity"], copy)
    np.testing.assert_array_equal(steps[2][4]["final_info"]["equity"], final)
