"""Several world models of one market: pooled forecasts, dreams that draw one, z and h of the first."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import gymnasium as gym
import numpy as np
import pytest

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controller
from worldmodel_trading.envs.device.scorer import DeviceDreams
from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.engine.bar_engine import BarEngine
from worldmodel_trading.envs.engine.base import Noise
from worldmodel_trading.envs.engine.member_engine import MemberEngine, MemberState
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

K = 3


def population(model: BarWorldModel) -> np.ndarray:
    size = model.config.latent_size + model.config.hidden_size + 2
    return np.random.default_rng(4).normal(0.0, 0.4, (4, size))


def alone(model: BarWorldModel) -> BarWorldModel:
    """A member by itself."""
    parts = (model.config, model.provenance, model.scaler, model.vae, model.mdn_rnn, model.bank)
    return BarWorldModel(*parts)


def test_each_member_is_trained(family_stages: tuple[str, ...]) -> None:
    assert family_stages[:6] == ("teacher_1", "forecast", "vae", "mdn_rnn", "heads", "teacher_1-2")
    assert len(family_stages) == 5 * K


def test_members_differ_and_the_first_is_the_model_alone(
    family: BarWorldModel, candles: Candles, market_config: MarketConfig
) -> None:
    single, _ = train_world_model(
        candles.rows(0, 1_500),
        candles.rows(1_500, 1_900),
        replace(market_config, calibration_rounds=0),
        seed=1,
    )
    np.testing.assert_array_equal(single.latents(candles).z, family.latents(candles).z)
    first, second, third = (alone(member).return_forecast(candles) for member in family.members)
    assert not np.array_equal(first.means, second.means, equal_nan=True)
    assert not np.array_equal(second.means, third.means, equal_nan=True)


def test_forecasts_pool_the_members(family: BarWorldModel, candles: Candles) -> None:
    returns = 100 * np.append(np.diff(np.log(candles.close)), np.nan)
    pooled = family.return_forecast(candles)
    rows = pooled.valid & np.isfinite(returns)
    np.testing.assert_allclose(pooled.weights[rows].sum(axis=1), 1.0)
    each = [np.exp(alone(m).return_forecast(candles).log_prob(returns)) for m in family.members]
    expected = np.log(np.mean(each, axis=0))
    np.testing.assert_allclose(pooled.log_prob(returns)[rows], expected[rows])
    bars = [np.exp(alone(m).bar_log_prob(candles)) for m in family.members]
    known = np.isfinite(bars[0])
    np.testing.assert_allclose(family.bar_log_prob(candles)[known], np.log(np.mean(bars, 0))[known])
    parts = family.bar_log_prob_parts(candles)[known]
    np.testing.assert_allclose(parts[:, 0], pooled.log_prob(returns)[known], atol=1e-4)
    np.testing.assert_allclose(parts.sum(axis=1), family.bar_log_prob(candles)[known])


def test_a_saved_family_is_the_loaded_one(
    family: BarWorldModel, candles: Candles, tmp_path: Path
) -> None:
    family.save_pretrained(tmp_path)
    loaded = cast(BarWorldModel, WorldModel.from_pretrained(tmp_path))
    assert len(loaded.members) == K
    assert loaded.fingerprint == family.fingerprint
    one, two = (model.return_forecast(candles) for model in (loaded, family))
    np.testing.assert_array_equal(one.means, two.means)
    np.testing.assert_array_equal(dreamed(loaded), dreamed(family))


def dreamed(model: BarWorldModel, bars: int = 30) -> np.ndarray:
    """Bars [T, N, 4] of one dream from each segment of each member."""
    engine = open_engine(model)
    state, rng = engine.start(np.arange(engine.num_segments)), np.random.default_rng(0)
    drawn = []
    for _ in range(bars):
        engine.step(state, np.zeros(engine.num_segments), engine.draw_noise(rng, len(state.z)))
        drawn.append(state.bars.copy())
    return np.array(drawn)


def test_each_dream_is_drawn_by_its_member(family: BarWorldModel) -> None:
    """The same noise through the member by itself draws the same bars, to the last bit."""
    engine, segments = open_engine(family), len(family.bank)
    assert isinstance(engine, MemberEngine)
    assert engine.num_segments == K * segments
    member, bars = dreamed(family).transpose(1, 0, 2).reshape(K, segments, 30, 4), []
    for number, one in enumerate(family.members):
        own, rng = BarEngine(alone(one)), np.random.default_rng(0)
        state = own.start(np.arange(segments))
        drawn = []
        for _ in range(30):
            table = own.draw_noise(rng, K * segments).table
            some = Noise(table[:, number * segments : (number + 1) * segments])
            own.step(state, np.zeros(segments), some)
            drawn.append(state.bars.copy())
        bars.append(np.array(drawn).transpose(1, 0, 2))
    np.testing.assert_array_equal(member, np.array(bars))


def test_whoever_draws_the_first_member_s_z_and_h_are_shown(family: BarWorldModel) -> None:
    engine, rng = open_engine(family), np.random.default_rng(0)
    state = engine.start(np.arange(engine.num_segments))
    first = BarEngine(alone(family))
    followed = first.start(np.arange(engine.num_segments) % len(family.bank))
    still = np.zeros(engine.num_segments)
    for _ in range(20):
        engine.step(state, still, engine.draw_noise(rng, len(state.z)))
        first.step(followed, still, first.draw_noise(rng, 0), forced=state.bars)
        np.testing.assert_array_equal(state.z, followed.z)
        np.testing.assert_array_equal(state.h, followed.h)


def test_copies_of_a_lane_take_turns(family: BarWorldModel) -> None:
    state = open_engine(family).start(np.array([0, len(family.bank)]))
    assert isinstance(state, MemberState)
    np.testing.assert_array_equal(state.repeated(4).member, [0, 1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(state.repeated(1).member, state.member)


@pytest.fixture(scope="module")
def one_and_many(family: BarWorldModel) -> tuple[DreamEnv, gym.vector.VectorEnv]:
    """A lane by itself, and one among many; whoever drew the last episode, they begin anew."""
    many = gym.make_vec("WorldModelDream-v0", num_envs=1, world_model=family, horizon=25)
    return DreamEnv(family, horizon=25), many


@pytest.mark.parametrize("member", [2, 0, 1])
def test_one_lane_is_a_lane_among_many(
    family: BarWorldModel, one_and_many: tuple[DreamEnv, gym.vector.VectorEnv], member: int
) -> None:
    segment = member * len(family.bank) + 3
    env, many = one_and_many
    one, _ = env.reset(seed=3, options={"segment": segment})
    all_of_them, _ = many.reset(seed=3, options={"segment": [segment]})
    for _ in range(25):
        np.testing.assert_array_equal(one, all_of_them[0])
        one, reward, *_ = env.step(np.array([0.5], dtype=np.float32))
        all_of_them, rewards, *_ = many.step(np.array([[0.5]], dtype=np.float32))
        assert reward == rewards[0]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_dreams_on_by_itself(
    family: BarWorldModel, copied: Callable[[DreamEnv], DreamEnv]
) -> None:
    env = DreamEnv(family, horizon=25)
    env.reset(seed=3, options={"segment": len(family.bank) + 3})
    env.step(np.float32(0.5))
    other = copied(env)
    ahead = [other.step(np.float32(0.5))[:2] for _ in range(20)]
    del other
    for seen, paid in ahead:  # and has left the first where it was
        one, reward, *_ = env.step(np.float32(0.5))
        np.testing.assert_array_equal(one, seen)
        assert reward == paid


def test_all_members_look_ahead_from_where_a_rendered_dream_is(family: BarWorldModel) -> None:
    shown = DreamEnv(family, horizon=25, render_mode="rgb_array")
    plain = DreamEnv(family, horizon=25)
    options = {"segment": len(family.bank) + 3}
    for env in (shown, plain):
        env.reset(seed=3, options=options)
    for _ in range(20):
        (one, reward, *_), (two, paid, *_) = [env.step(np.float32(0.5)) for env in (shown, plain)]
        np.testing.assert_array_equal(one, two)
        assert reward == paid
    state = shown._lane.state()
    for lanes in state.others:
        np.testing.assert_array_equal(lanes.open_time_ms, state.open_time_ms)
        np.testing.assert_array_equal(lanes.memory, state.lanes.memory)  # of the same bars


def test_a_dream_forced_along_a_record_is_replay(family: BarWorldModel, candles: Candles) -> None:
    replay = BybitReplayEnv(candles, family, episode_length=40, random_start=False)
    dream = DreamEnv(family, horizon=40)
    seen, told = replay.reset(seed=0, options={"start": int(candles.open_time_ms[1_000])})
    start = int(told["time_ms"])
    also, _ = dream.reset(seed=0, options={"candles": candles, "start": start})
    for _ in range(40):
        action = np.array([0.7], dtype=np.float32)
        seen, reward, *_ = replay.step(action)
        also, paid, *_ = dream.step(action)
        np.testing.assert_allclose(seen, also, atol=2e-5)  # h has heard more bars in replay
        assert reward == paid


def test_a_search_dreams_of_every_member(family: BarWorldModel) -> None:
    config = DreamSearchConfig(CMAESConfig(population=4, generations=2), dreams=6, horizon=20)
    controller, found = train_controller(family, config, seed=0)
    assert found.evaluations == 8
    assert np.isfinite(controller.parameters).all()


@pytest.mark.parametrize("shared", [True, False])
def test_a_device_scores_a_family_s_dreams_as_processors_do(
    family: BarWorldModel, shared: bool
) -> None:
    """Each dream by its own member, funding and prices of its own segment."""
    segments = np.random.default_rng(0).integers(family.num_segments, size=40)
    dreams = Dreams(segments, 20, 7, 0.9, DreamFunding(1e-3, family))
    broker = BrokerConfig.from_settings(leverage=2.0, slippage_per_range=0.1)
    expected = DreamWorkers(family, 0).score(population(family), dreams, broker)
    with DeviceDreams(family, "cpu", shared=shared, chunk_bars=8) as there:
        found = there.score(population(family), dreams, broker)
    close = np.isclose(found.log_return, expected.log_return, rtol=1e-4, atol=5e-5).all(axis=0)
    assert close.mean() >= 0.95
    assert np.unique(expected.log_return).size > 100
