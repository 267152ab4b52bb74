"""Every registered id of ours, walked: checkers, rendering, pickling, specs, vector makers."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import worldmodel_trading

IDS = sorted(
    spec.id for spec in gym.registry.values() if "worldmodel_trading" in str(spec.entry_point)
)
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "BybitReplay-v0": [
        {},
        {"world_model": "default"},
        {"actions": "discrete"},
        {"leverage": 3.0, "slippage_per_range": 0.05, "episode_length": 50},
        {"fill_delay": 2, "episode_length": 30},
        {"reward": "differential_sharpe", "funding": 0.0001, "capital_usdt": 50_000.0},
        {"start": "2022-01-01", "end": "2022-03-01", "episode_length": None, "random_start": False},
    ],
    "WorldModelDream-v0": [
        {},
        {"observation": "features"},
        {"actions": "discrete", "temperature": 0.0},
        {"leverage": 5.0, "slippage_per_range": 0.05, "horizon": 40},
        {"warmup": 24, "temperature": 1.5, "horizon": 30},
        {"reward": "simple_return", "funding": -0.0002, "capital_usdt": 50_000.0},
    ],
    "BybitReplayDiscrete-v0": [{}, {"world_model": "default", "episode_length": 40}],
    "WorldModelDreamDiscrete-v0": [{}],
}
CASES = [
    pytest.param(name, kwargs, id=f"{name}-{'-'.join(kwargs) or 'plain'}")
    for name in IDS
    for kwargs in VARIANTS[name]
]


def test_the_registry_holds_exactly_our_ids() -> None:
    assert sorted(VARIANTS) == IDS


def an_action(env: Any, weight: float) -> Any:
    """The action that asks for a weight: itself, or the discrete one of its sign."""
    if isinstance(env.action_space, gym.spaces.Discrete):
        return int(np.sign(weight)) + 1
    return np.array([weight], dtype=np.float32)


def test_registering_twice_changes_nothing() -> None:
    before = {name: gym.spec(name) for name in IDS}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Gymnasium warns of an id that is overridden
        worldmodel_trading.register_environments()
    assert all(gym.spec(name) is before[name] for name in IDS)


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_gymnasium_accepts_it(name: str, kwargs: dict[str, Any]) -> None:
    env = gym.make(name, **kwargs)
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_stable_baselines3_accepts_it(name: str, kwargs: dict[str, Any]) -> None:
    env = gym.make(name, **kwargs)
    check_env_sb3(env.unwrapped)
    env.close()


@pytest.mark.parametrize("name", IDS)
def test_every_render_mode_shows_something(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gym.make(name)
    modes = env.metadata["render_modes"]
    assert set(modes) == {"ansi", "rgb_array", "human"}
    for mode in modes:
        env = gym.make(name, render_mode=mode)
        env.reset(seed=1)
        env.step(an_action(env, 0.5))
        shown = env.render()
        if mode == "ansi":
            assert isinstance(shown, str)
            assert "bar 1" in shown
            assert "price" in shown
        elif mode == "human":
            assert shown is None  # it is in a window
        else:
            assert isinstance(shown, np.ndarray)
            assert shown.dtype == np.uint8
            assert shown.shape == (640, 960, 3)
            assert shown.min() < shown.max()  # not an empty canvas
        env.close()


@pytest.mark.parametrize("name", IDS)
def test_rendering_changes_nothing(name: str) -> None:
    plain, shown = gym.make(name), gym.make(name, render_mode="rgb_array")
    first, _ = plain.reset(seed=4)
    second, _ = shown.reset(seed=4)
    np.testing.assert_array_equal(first, second)
    for weight in (0.3, -0.8, 0.0):
        action = an_action(plain, weight)
        shown.render()
        assert_same_step(plain.step(action), shown.step(action))


@pytest.mark.parametrize("name", IDS)
def test_rendering_without_a_mode_warns_and_before_reset_refuses(name: str) -> None:
    env = gym.make(name).unwrapped
    with pytest.warns(UserWarning, match=r"render_mode"):
        assert env.render() is None
    with pytest.raises(gym.error.ResetNeeded, match=r"reset"):
        gym.make(name, render_mode="ansi").unwrapped.render()


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_a_pickled_copy_steps_on_identically(name: str, kwargs: dict[str, Any]) -> None:
    env = gym.make(name, **kwargs).unwrapped
    env.reset(seed=11)
    env.action_space.seed(11)
    for _ in range(5):
        env.step(env.action_space.sample())
    copies = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env)]
    for _ in range(40):
        action = env.action_space.sample()
        one, others = env.step(action), [each.step(action) for each in copies]
        for two in others:
            assert_same_step(one, two)
        if one[2] or one[3]:
            observation, _ = env.reset()
            for each in copies:
                np.testing.assert_array_equal(observation, each.reset()[0])


@pytest.mark.parametrize("num_envs", [3, 20])
@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_pickled_lanes_step_on_identically(
    name: str, kwargs: dict[str, Any], num_envs: int
) -> None:
    envs = gym.make_vec(name, num_envs=num_envs, autoreset_mode="same_step", **kwargs).unwrapped
    envs.reset(seed=11)
    envs.action_space.seed(11)
    for _ in range(5):
        envs.step(envs.action_space.sample())
    copies = [pickle.loads(pickle.dumps(envs)), copy.deepcopy(envs)]
    for _ in range(40):
        actions = envs.action_space.sample()
        observations, rewards, *_ = envs.step(actions)
        for each in copies:
            seen, paid, *_ = each.step(actions)
            np.testing.assert_array_equal(observations, seen)
            np.testing.assert_array_equal(rewards, paid)


@pytest.mark.parametrize(("name", "kwargs"), CASES)
def test_its_spec_survives_json(name: str, kwargs: dict[str, Any]) -> None:
    spec = gym.make(name, **kwargs).spec
    assert spec is not None
    restored = EnvSpec.from_json(spec.to_json())
    assert restored.id == name
    assert restored.kwargs == spec.kwargs
    one, two = gym.make(spec), gym.make(restored)
    assert one.observation_space == two.observation_space
    np.testing.assert_array_equal(one.reset(seed=2)[0], two.reset(seed=2)[0])


@pytest.mark.parametrize("name", IDS)
def test_the_module_prefix_makes_it_too(name: str) -> None:
    env = gym.make(f"worldmodel_trading:{name}")
    assert env.spec is not None
    assert env.spec.id == name


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_gymnasium_vectorises_scalar_copies(name: str, mode: str) -> None:
    envs = gym.make_vec(name, num_envs=2, vectorization_mode=mode)
    alone = gym.make(name)
    try:
        observations, _ = envs.reset(seed=[3, 4])
        expected, _ = alone.reset(seed=4)
        np.testing.assert_array_equal(observations[1], expected)
        for weight in (0.7, -0.2, 1.0):
            actions = np.array([an_action(alone, weight)] * 2)
            observations, rewards, _, _, infos = envs.step(actions)
            expected, reward, _, _, info = alone.step(actions[1])
            np.testing.assert_array_equal(observations[1], expected)
            assert rewards[1] == reward
            assert infos["equity"][1] == info["equity"]
    finally:
        envs.close()


@pytest.mark.parametrize("name", IDS)
def test_without_a_mode_the_native_vector_environment_is_made(name: str) -> None:
    envs = gym.make_vec(name, num_envs=3)
    assert type(envs.unwrapped).__module__.startswith("worldmodel_trading.envs")
    assert envs.num_envs == 3
    assert isinstance(envs.metadata["autoreset_mode"], gym.vector.AutoresetMode)


def test_replay_and_dream_of_one_model_share_their_spaces() -> None:
    for kwargs in ({}, {"actions": "discrete"}):
        replay = gym.make("BybitReplay-v0", world_model="default", **kwargs).unwrapped
        dream = gym.make("WorldModelDream-v0", **kwargs).unwrapped
        assert replay.observation_space == dream.observation_space
        assert replay.action_space == dream.action_space
        assert replay.observation_layout == dream.observation_layout  # type: ignore[attr-defined]
        assert list(dream.observation_layout) == ["latent", "hidden", "account"]  # type: ignore[attr-defined]
    features = gym.make("WorldModelDream-v0", observation="features").unwrapped
    raw = gym.make("BybitReplay-v0", world_model="default", observation="features").unwrapped
    assert features.observation_space == raw.observation_space
    assert list(raw.observation_layout) == ["features", "account"]  # type: ignore[attr-defined]


def test_the_action_spaces_are_those_documented() -> None:
    for name in IDS:
        box = gym.make(name, actions="continuous").action_space
        assert box == gym.spaces.Box(-1, 1, (1,), np.float32)
        assert gym.make(name, actions="discrete").action_space == gym.spaces.Discrete(3)
        by_name = gym.spaces.Discrete(3) if "Discrete" in name else box
        assert gym.make(name).action_space == by_name
        assert gym.make_vec(name, num_envs=2).single_action_space == by_name


@pytest.mark.parametrize("name", IDS)
def test_discrete_actions_are_short_flat_and_long(name: str) -> None:
    discrete = gym.make(name, actions="discrete")
    continuous = gym.make(name, actions="continuous")
    discrete.reset(seed=6)
    continuous.reset(seed=6)
    for action, weight in ((0, -1.0), (1, 0.0), (2, 1.0), (0, -1.0)):
        assert_same_step(
            discrete.step(action), continuous.step(np.array([weight], dtype=np.float32))
        )


@pytest.mark.parametrize("name", IDS)
def test_info_is_complete_and_equity_begins_at_one(name: str) -> None:
    env = gym.make(name)
    _, info = env.reset(seed=0)
    keys = {"equity", "weight", "price", "market_return", "turnover", "time_ms"}
    keys |= {"cost", "slippage", "funding"}
    assert keys <= set(info)
    assert (info["equity"], info["weight"], info["cost"]) == (1.0, 0.0, 0.0)
    _, reward, _, _, after = env.step(an_action(env, 1.0))
    assert keys <= set(after)
    assert after["time_ms"] - info["time_ms"] == 3_600_000
    assert after["price"] == pytest.approx(info["price"] * (1 + after["market_return"]), rel=1e-12)
    assert reward == pytest.approx(np.log(after["equity"]), abs=1e-15)
    assert after["cost"] == pytest.approx(0.00075, rel=1e-12)  # taker fee + slippage on |Δw| = 1
    assert after["slippage"] == pytest.approx(0.0002, rel=1e-12)
    assert after["funding"] == 0.0
    assert after["turnover"] == 1.0


def assert_same_step(one: tuple[Any, ...], two: tuple[Any, ...]) -> None:
    """Two step results that agree in everything, bit for bit."""
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1:4] == two[1:4]
    assert one[4] == two[4]
