"""Days and weeks: look-backs that fit their records, and a calendar that knows where a week begins."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from worldmodel_trading.agents.rules import Momentum
from worldmodel_trading.envs.device.paper_dream import PaperDream
from worldmodel_trading.envs.engine.paper_engine import PaperEngine
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import TrainingError
from worldmodel_trading.market.features import (
    FeatureSpec,
    StreamingFeatures,
    calendar,
    compute_features,
)
from worldmodel_trading.market.intervals import INTERVALS_MS
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.mdn_rnn import State
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.training.train import train_world_model

MONDAY = "2018-01-01"
TINY = {"vae_epochs": 2, "mdn_rnn_epochs": 2, "hidden_size": 6, "latent_size": 3}


@pytest.fixture(scope="module")
def weeks() -> Candles:
    """Five years and two months of weekly bars."""
    return synthetic_candles(seed=2, bars=270, interval="W", start=MONDAY)


@pytest.fixture(scope="module")
def weekly_model(weeks: Candles) -> PaperWorldModel:
    torch.set_num_threads(1)
    config = PaperConfig.for_interval("W", **TINY, bank_segments=8)
    model, _ = train_world_model(weeks.rows(0, 190), weeks.rows(190, 230), config, seed=0)
    assert isinstance(model, PaperWorldModel)
    return model


def test_look_backs_follow_the_interval() -> None:
    warmups = {interval: FeatureSpec.for_interval(interval).warmup for interval in INTERVALS_MS}
    assert FeatureSpec.for_interval("60") == FeatureSpec()
    assert PaperConfig.for_interval("60") == PaperConfig()
    assert FeatureSpec.for_interval("5").horizons == (12, 72, 288)
    for interval in ("1", "3", "5", "15", "30"):
        assert warmups[interval] * INTERVALS_MS[interval] == INTERVALS_MS["D"]
    assert (warmups["240"], warmups["D"], warmups["W"]) == (84, 60, 26)
    given = PaperConfig.for_interval("W", features=FeatureSpec((3, 9)), chunk_bars=20)
    assert (given.features.horizons, given.chunk_bars, given.warmup_bars) == ((3, 9), 20, 24)


@pytest.mark.parametrize("interval", ["240", "D", "W"])
def test_batch_stream_replay_and_momentum_agree_on_the_defaults(interval: str) -> None:
    candles = synthetic_candles(bars=150, interval=interval, start=MONDAY)
    features = compute_features(candles)
    assert np.isfinite(features[FeatureSpec.for_interval(interval).warmup :]).all()
    stream = StreamingFeatures()
    stream.update(candles.rows(0, 149))
    np.testing.assert_array_equal(stream.update(candles.rows(149, 150)), features[149])
    env = gym.make("BybitReplay-v0", candles=candles, episode_length=None, random_start=False)
    observation, _ = env.reset()
    warmup = FeatureSpec.for_interval(interval).warmup
    np.testing.assert_array_equal(observation[:-1], features[warmup].astype(np.float32))
    policy = Momentum(features=FeatureSpec.for_interval(interval))
    assert policy.horizon == warmup
    assert len(run_episode(env, policy)) == 150 - warmup - 1


def test_five_years_of_weeks_can_be_trained_on_and_played(
    weekly_model: PaperWorldModel, weeks: Candles
) -> None:
    assert weekly_model.config.features.warmup == 26
    forecast = weekly_model.return_forecast(weeks)
    assert forecast.valid.sum() == len(weeks) - 26 - 23
    env = gym.make("BybitReplay-v0", candles=weeks, world_model=weekly_model, episode_length=20)
    assert env.observation_space.contains(env.reset(seed=0)[0])


def test_look_backs_that_a_record_cannot_fill_are_refused_before_training(weeks: Candles) -> None:
    told = r"after 168 bars of look-back; expected at least 193.*for_interval\('W'\) has 26 bars"
    with pytest.raises(TrainingError, match=told):
        train_world_model(weeks.rows(0, 190), weeks.rows(190, 230), PaperConfig())


@pytest.mark.parametrize("num_lanes", [1, 9])
def test_dreams_of_weeks_hear_the_calendar_that_training_heard(
    weekly_model: PaperWorldModel, num_lanes: int
) -> None:
    """One step of the engine against M's own, told the time by `calendar`."""
    engine, rng = PaperEngine(weekly_model), np.random.default_rng(2)
    state = engine.start(np.arange(num_lanes) % engine.num_segments)
    waves = torch.from_numpy(calendar(state.open_time_ms + engine.interval_ms))
    memory = State(*(torch.from_numpy(a.copy()) for a in (state.h, state.c, state.z)))
    memory = weekly_model.mdn_rnn.advance(memory.latent, waves, None, memory)
    engine.step(state, np.zeros(num_lanes), engine.draw_noise(rng, num_lanes))
    np.testing.assert_allclose(state.h, memory.hidden.detach().numpy(), atol=2e-5)
    np.testing.assert_array_equal(
        PaperDream(engine, torch.device("cpu"))._calendar.numpy(), engine.week_calendar()
    )
