"""One lane by itself is one lane of many, bit for bit, and what else is particular to it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from rule_cases import CASES

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.dream_lanes import NoiseAhead
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.engine.paper_engine import PaperEngine
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.spaces import target_weight
from worldmodel_trading.envs.vector import DreamVectorEnv
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ActionError
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.world_model import WorldModel

BARS = 150  # more than the steps whose noise is drawn at once


def course(env: DreamEnv, seed: int, bars: int = BARS) -> list[Any]:
    """Everything that an environment returns in an episode, in order."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    told: list[Any] = [observation.tobytes(), info]
    for _ in range(bars):
        action = rng.uniform(-1.0, 1.0, (1, 1)).astype(np.float32)[0]
        observation, reward, terminated, truncated, info = env.step(action)
        told += [observation.tobytes(), reward, terminated, truncated, info]
        if terminated or truncated:
            break
    return told


def course_of_a_lane(env: DreamVectorEnv, seed: int, bars: int = BARS) -> list[Any]:
    """The same of the one lane of a vector environment."""

    def told_of(infos: dict[str, Any]) -> dict[str, Any]:
        return {k: v[0].item() for k, v in infos.items() if not k.startswith("_")}

    rng = np.random.default_rng(seed)
    observations, infos = env.reset(seed=seed)
    told: list[Any] = [observations[0].tobytes(), told_of(infos)]
    for _ in range(bars):
        actions = rng.uniform(-1.0, 1.0, (1, 1)).astype(np.float32)
        observations, rewards, terminated, truncated, infos = env.step(actions)
        told += [observations[0].tobytes(), rewards[0], bool(terminated[0]), bool(truncated[0])]
        told += [told_of(infos)]
        if terminated[0] or truncated[0]:
            break
    return told


SETTINGS: dict[str, dict[str, Any]] = {
    **CASES,
    "temperature 0": {"temperature": 0.0},
    "temperature 1.7": {"temperature": 1.7},
    "another reward": {"reward": "differential_sharpe"},
    "features": {"observation": "features"},
    "funding": {"funding": 1e-4},
    "meter": {"ood_limit": 1.0},
    "all of it": {
        "observation": "features",
        "leverage": 3.0,
        "funding": 1e-4,
        "slippage_per_range": 0.1,
        "ood_limit": 0.99,
    },
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_scalar_dream_is_one_lane_of_many_to_the_last_bit(
    name: str, tiny_model: WorldModel
) -> None:
    settings = SETTINGS[name]
    alone = DreamEnv(tiny_model, horizon=BARS, **settings)
    lane = DreamVectorEnv(1, tiny_model, horizon=BARS, autoreset_mode="disabled", **settings)
    assert course(alone, 11) == course_of_a_lane(lane, 11)


def test_a_liquidation_in_a_dream_ends_it(market_model: WorldModel) -> None:
    env = DreamEnv(market_model, max_turnover=1e-6, temperature=3.0)
    env.reset(seed=1)
    env._account.state[1] = -60.0  # a short so large that a bar of +1 % ends it
    for _ in range(BARS):
        *_, terminated, truncated, info = env.step(np.zeros(1))
        if terminated:
            break
    assert (terminated, truncated, info["weight"]) == (True, False, 0.0)


def test_a_dream_after_a_forced_one_is_the_dream_of_its_seed(
    tiny_model: WorldModel, candles: Candles
) -> None:
    env = DreamEnv(tiny_model, horizon=BARS)
    fresh = course(env, 4, 70)
    env.reset(options={"candles": candles})
    for _ in range(5):
        env.step(np.ones(1))
    assert course(env, 4, 70) == fresh


def test_a_copy_in_the_middle_of_an_episode_goes_its_own_way(market_model: WorldModel) -> None:
    env = DreamEnv(market_model)
    env.reset(seed=2)
    env.step(np.ones(1))
    twin = copy.deepcopy(env)
    steps = [env.step(np.ones(1))[4]["price"] for _ in range(100)]
    assert [twin.step(np.ones(1))[4]["price"] for _ in range(100)] == steps


def test_a_lane_s_weights_lie_in_whole_cache_lines(paper_model: PaperWorldModel) -> None:
    for matrix in PaperEngine(paper_model).lane_model[:2]:
        assert matrix.ctypes.data % 64 == 0
        assert matrix.strides[0] % 64 == 0


@pytest.mark.parametrize("num_lanes", [1, 3])
def test_noise_drawn_ahead_is_never_used_twice(tiny_model: WorldModel, num_lanes: int) -> None:
    noise, rng = NoiseAhead(open_engine(tiny_model), num_lanes), np.random.default_rng(0)
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


def test_a_replay_copies_no_column_of_its_record(candles: Candles) -> None:
    env = BybitReplayEnv(candles)
    several = [v for v in vars(env).values() if isinstance(v, list | tuple) and len(v) > 1]
    assert not several
