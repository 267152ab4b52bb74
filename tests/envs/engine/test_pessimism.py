"""What members disagree about costs a position reward, and nothing else."""

from __future__ import annotations

import math
import pickle

import gymnasium as gym
import numpy as np
import pytest

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.engine.bar_engine import BarEngine
from worldmodel_trading.envs.engine.member_engine import MemberEngine, MemberState
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.engine.pessimism import Pessimism, disagreement
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.bars.dreaming import expect_returns
from worldmodel_trading.models.world_model import WorldModel

BARS = 40


def opened(family: BarWorldModel) -> tuple[MemberEngine, MemberState]:
    engine = open_engine(family)
    assert isinstance(engine, MemberEngine)
    return engine, engine.start(np.arange(engine.num_segments))


def test_disagreement_by_hand() -> None:
    """Means 1, 3 and deviations 2, 2: √(Var μ) = 1. Means alike, deviations 0, 2, 4: √(8/3)."""
    out = np.empty(1)
    disagreement(np.array([[1.0], [3.0]]), np.array([[2.0], [2.0]]), 0.5, out)
    assert out[0] == 0.5
    disagreement(np.zeros((3, 1)), np.array([[0.0], [2.0], [4.0]]), 1.0, out)
    assert out[0] == pytest.approx(math.sqrt(8 / 3))


def test_what_a_member_expects_is_what_it_draws(market_model: BarWorldModel) -> None:
    """Mean and deviation of 40,000 draws from one state."""
    engine, count = BarEngine(market_model), 40_000
    state = engine.start(np.full(count, 3))
    mean, deviation = np.empty((2, count))
    lanes = state.lanes
    seen = (lanes.z, lanes.h, lanes.features, lanes.open_time_ms)
    expect_returns(*seen, *engine.network, mean, deviation)
    assert np.unique(mean).size == np.unique(deviation).size == 1
    noise = engine.draw_noise(np.random.default_rng(0), count)
    drawn = engine.step(state, np.zeros(count), noise)
    assert drawn.std() == pytest.approx(deviation[0], rel=0.02)
    assert drawn.mean() == pytest.approx(mean[0], abs=4 * deviation[0] / math.sqrt(count))


def test_what_is_expected_is_the_same_in_any_company(family: BarWorldModel) -> None:
    engine, state = opened(family)
    pessimism = Pessimism(engine, 2.0)
    together = pessimism.doubt(state)
    assert (together > 0.0).all()
    assert np.unique(together).size > len(family.bank) // 2
    for lane in range(0, engine.num_segments, 5):
        assert pessimism.doubt(engine.start(np.array([lane])))[0] == together[lane]


def test_every_member_follows_the_path_whoever_draws(family: BarWorldModel) -> None:
    engine, state = opened(family)
    pessimism, rng = Pessimism(engine, 1.0), np.random.default_rng(0)
    forced = [one.start(np.arange(engine.num_segments) % len(family.bank)) for one in engine.others]
    still = np.zeros(engine.num_segments)
    for _ in range(BARS):
        engine.step(state, still, engine.draw_noise(rng, len(still)))
        pessimism.follow(state)
        for one, follower, lanes in zip(engine.others, forced, state.others, strict=True):
            one.step(follower, still, one.draw_noise(rng, 0), forced=state.bars)
            np.testing.assert_array_equal(follower.h, lanes.h)
            np.testing.assert_array_equal(follower.z, lanes.z)


@pytest.mark.parametrize("lanes", [1, 3, 9])
def test_one_lane_is_paid_as_many_are(family: BarWorldModel, lanes: int) -> None:
    settings = {"world_model": family, "horizon": BARS, "pessimism": 3.0, "max_turnover": 0.3}
    many = gym.make_vec("WorldModelDream-v0", num_envs=lanes, **settings)
    segments = [(7 * lane) % family.num_segments for lane in range(lanes)]
    seeds = list(range(lanes))
    many.reset(seed=seeds, options={"segment": segments})
    weights = np.random.default_rng(1).uniform(-1.0, 1.0, (BARS, lanes)).astype(np.float32)
    paid = np.array([many.step(weights[t][:, None])[1] for t in range(BARS)])
    for lane in range(lanes):
        env = DreamEnv(**settings)
        env.reset(seed=seeds[lane], options={"segment": segments[lane]})
        alone = [env.step(weights[t, lane])[1] for t in range(BARS)]
        np.testing.assert_array_equal(alone, paid[:, lane])


def test_reward_is_less_by_doubt_times_position_and_equity_is_as_it_was(
    family: BarWorldModel,
) -> None:
    """A weight of −0.5 under λ = 4; the doubt from an engine that follows the bars of the dream."""
    segment = len(family.bank) + 2
    envs = [DreamEnv(family, horizon=BARS, pessimism=factor) for factor in (0.0, 4.0)]
    seen = [env.reset(seed=3, options={"segment": segment})[0] for env in envs]
    engine, _ = opened(family)
    state, pessimism = engine.start(np.array([segment])), Pessimism(engine, 4.0)
    for _ in range(BARS):
        doubt = pessimism.doubt(state)[0]
        (one, full, *_, info), (two, less, *_, also) = [env.step(np.float32(-0.5)) for env in envs]
        assert info == also
        np.testing.assert_array_equal(one, two)
        assert less == full - doubt * 0.5 < full
        bar = envs[1]._lane.bar[np.newaxis]  # what was drawn is not told otherwise
        engine.step(state, np.zeros(1), engine.draw_noise(np.random.default_rng(0), 1), forced=bar)
    assert not np.array_equal(seen[0], one)


def test_other_rewards_are_pessimistic_too(family: BarWorldModel) -> None:
    paid = {}
    for factor in (0.0, 2.0):
        env = DreamEnv(family, horizon=5, reward="simple_return", pessimism=factor)
        env.reset(seed=3)
        paid[factor] = [env.step(np.float32(1.0))[1] for _ in range(5)]
    assert (np.array(paid[2.0]) < paid[0.0]).all()


def test_a_dream_forced_along_a_record_doubts_it(family: BarWorldModel, candles: Candles) -> None:
    envs = [DreamEnv(family, horizon=20, pessimism=factor) for factor in (0.0, 1.0)]
    start = {"candles": candles, "start": int(candles.open_time_ms[1_000])}
    for env in envs:
        env.reset(seed=0, options=start)
    for _ in range(20):
        (_, full, *_), (_, less, *_) = [env.step(np.float32(1.0)) for env in envs]
        assert less < full


def test_a_pessimistic_environment_pickles(family: BarWorldModel) -> None:
    env = DreamEnv(family, horizon=5, pessimism=1.0)
    env.reset(seed=3)
    env.step(np.float32(1.0))
    copy = pickle.loads(pickle.dumps(env))
    assert copy.step(np.float32(1.0))[1] == env.step(np.float32(1.0))[1]


@pytest.mark.parametrize("factor", [-1.0, math.nan, "much", 1e9])
def test_no_such_pessimism(factor: float, family: BarWorldModel) -> None:
    with pytest.raises(ConfigError, match=r"pessimism is .*; expected a number from 0 to 1e\+06"):
        DreamEnv(family, pessimism=factor)


def test_one_member_has_nobody_to_disagree_with(tiny_model: WorldModel) -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises(ConfigError, match=r"pessimism is 0.5, and this world model has one"):
            make("WorldModelDream-v0", world_model=tiny_model, pessimism=0.5)
    gym.make("WorldModelDream-v0", world_model=tiny_model, pessimism=0.0)
