"""The scalar environments' short cuts give what the long way gives, bit for bit."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.dream_lanes import NoiseAhead
from worldmodel_trading.envs.engine.engine import DreamEngine
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.spaces import target_weight
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ActionError
from worldmodel_trading.models.world_model import WorldModel

BARS = 150  # more than the steps whose noise is drawn at once


def long_way(env: DreamEnv) -> DreamEnv:
    """The same environment, each part of a step called by itself."""
    assert env._lane.is_plain
    env._lane.is_plain = False
    return env


def course(env: DreamEnv, seed: int, episodes: int = 2) -> list[Any]:
    """Everything that an environment returns, in order."""
    rng, told = np.random.default_rng(seed), []
    for episode in range(episodes):
        observation, info = env.reset(seed=seed if episode == 0 else None)
        told += [observation.tobytes(), info]
        over = False
        while not over:
            target = rng.uniform(-1.0, 1.0, 1).astype(np.float32)
            observation, reward, terminated, truncated, info = env.step(target)
            told += [observation.tobytes(), reward, terminated, truncated, info]
            over = terminated or truncated
    return told


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.0},
        {"temperature": 1.7},
        {"no_trade_band": 0.1, "max_turnover": 0.5},
        {"fill_delay": 2},
        {"capital_usdt": 1_000.0},
        {"reward": "differential_sharpe"},
    ],
    ids=str,
)
def test_a_plain_dream_is_the_general_one(
    settings: dict[str, Any], market_model: WorldModel
) -> None:
    envs = [DreamEnv(market_model, horizon=BARS, **settings) for _ in range(2)]
    plain, general = course(envs[0], 11), course(long_way(envs[1]), 11)
    assert plain == general


def test_a_liquidation_in_a_plain_dream_is_the_general_one(market_model: WorldModel) -> None:
    def end(env: DreamEnv) -> tuple[int, Any]:
        env.reset(seed=1)
        env._account.state[1] = -60.0  # a short so large that a bar of +1 % ends it
        for bars in range(1, BARS):
            observation, reward, terminated, truncated, info = env.step(np.zeros(1))
            if terminated:
                return bars, (observation.tobytes(), reward, truncated, info)
        raise AssertionError("it survived")

    settings: dict[str, Any] = {"max_turnover": 1e-6, "temperature": 3.0}
    plain = end(DreamEnv(market_model, **settings))
    assert plain == end(long_way(DreamEnv(market_model, **settings)))
    assert plain[1][3]["weight"] == 0.0
    assert not plain[1][2]


@pytest.mark.parametrize(
    "settings",
    [{"leverage": 2.0}, {"slippage_per_range": 0.1}, {"funding": 1e-4}, {"ood_limit": 1.0}],
    ids=str,
)
def test_what_is_not_plain_takes_the_long_way(
    settings: dict[str, Any], market_model: WorldModel
) -> None:
    env = DreamEnv(market_model, horizon=BARS, **settings)
    assert not env._lane.is_plain
    assert course(env, 3, episodes=1) == course(
        DreamEnv(market_model, horizon=BARS, **settings), 3, 1
    )
    assert not DreamEnv(market_model, observation="features")._lane.is_plain


def test_a_dream_after_a_forced_one_is_as_if_it_had_been_dreamed_the_long_way(
    market_model: WorldModel, candles: Candles
) -> None:
    def after(env: DreamEnv) -> list[Any]:
        course(env, 4, episodes=1)
        env.reset(options={"candles": candles})
        for _ in range(5):
            env.step(np.ones(1))
        env.reset()
        return [env.step(np.ones(1))[:2] for _ in range(5)]

    one = after(DreamEnv(market_model, horizon=BARS))
    other = after(long_way(DreamEnv(market_model, horizon=BARS)))
    for (seen, reward), (same, paid) in zip(one, other, strict=True):
        np.testing.assert_array_equal(seen, same)
        assert reward == paid


def test_a_copy_in_the_middle_of_an_episode_goes_its_own_way(market_model: WorldModel) -> None:
    env = DreamEnv(market_model)
    env.reset(seed=2)
    env.step(np.ones(1))
    twin = copy.deepcopy(env)
    steps = [env.step(np.ones(1))[4]["price"] for _ in range(100)]
    assert [twin.step(np.ones(1))[4]["price"] for _ in range(100)] == steps


def test_a_lane_s_weights_lie_in_whole_cache_lines(market_model: WorldModel) -> None:
    for matrix in DreamEngine(market_model).lane_model[:2]:
        assert matrix.ctypes.data % 64 == 0
        assert matrix.strides[0] % 64 == 0


@pytest.mark.parametrize("num_lanes", [1, 3])
def test_noise_drawn_ahead_is_never_used_twice(market_model: WorldModel, num_lanes: int) -> None:
    noise, rng = NoiseAhead(DreamEngine(market_model), num_lanes), np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        first = noise.next(rng)
        seen |= set(noise.table[2, first : first + num_lanes].tolist())
    assert len(seen) == 200 * num_lanes
    kept = noise.table.copy()
    noise.forget()
    assert noise.next(rng) == 0
    assert not np.array_equal(noise.table, kept)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.int64])
def test_a_target_of_any_number_type_is_a_float(dtype: type) -> None:
    for value in (-1, 0, 1):
        weight = target_weight(np.array([value], dtype=dtype), "continuous")
        assert (weight, type(weight)) == (float(value), float)


def test_a_target_is_clipped_where_it_is_a_number() -> None:
    for over in (1.0 + 1e-7, 1.1, 3e38):
        assert target_weight(np.array([over], dtype=np.float32), "continuous") == 1.0
        assert target_weight(-over, "continuous") == -1.0
    for half in ([np.float32(0.5)], np.array(0.5), 0.5):
        assert target_weight(half, "continuous") == 0.5
    for wrong in (np.nan, np.inf, -np.inf):
        with pytest.raises(ActionError):
            target_weight(np.array([wrong], dtype=np.float32), "continuous")
    for odd in (np.array([True]), np.array(["1"]), np.array([[0.5]]), np.zeros(2), np.zeros(0)):
        with pytest.raises(ActionError):
            target_weight(odd, "continuous")


def test_a_replay_copies_no_column_of_its_tape(candles: Candles) -> None:
    env = BybitReplayEnv(candles)
    assert not [value for value in vars(env).values() if isinstance(value, list | tuple)]
