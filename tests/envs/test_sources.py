"""Candles and world models from anywhere give one environment; extreme ones stay inside the space."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import polars as pl
import pytest

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.files.export import to_frame, write_candles
from worldmodel_trading.models.world_model import WorldModel


def course(env: Any, steps: int = 20) -> np.ndarray:
    actions = np.linspace(-1, 1, steps, dtype=np.float32)[:, np.newaxis]
    return np.stack([env.reset(seed=3)[0], *(env.step(action)[0] for action in actions)])


@pytest.mark.parametrize(
    "kind", ["frame", "csv", "csv path", "csv.gz", "parquet", "feather", "polars", "rows"]
)
def test_candles_of_every_kind_are_one_market(kind: str, candles: Candles, tmp_path: Path) -> None:
    source: Any
    frame = to_frame(candles)
    if kind == "frame":
        source = frame
    elif kind == "polars":
        source = pl.from_pandas(frame.reset_index())
    elif kind == "rows":
        source = np.column_stack([candles.open_time_ms, frame.to_numpy()]).tolist()
    elif kind == "feather":
        source = str(tmp_path / "candles.feather")
        frame.reset_index().to_feather(source)
    else:
        path = tmp_path / f"candles.{kind.removesuffix(' path')}"
        write_candles(candles, path)
        source = path if kind.endswith("path") else str(path)
    given = course(gym.make("BybitReplay-v0", candles=source))
    np.testing.assert_array_equal(given, course(BybitReplayEnv(candles)))


def test_world_models_of_every_kind_are_one_dream(
    tiny_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    tiny_model.save_pretrained(tmp_path / "model")
    for source in (tmp_path / "model", str(tmp_path / "model")):
        dream = gym.make("WorldModelDream-v0", world_model=source)
        np.testing.assert_array_equal(course(dream), course(DreamEnv(tiny_model)))
        replay = gym.make("BybitReplay-v0", candles=candles, world_model=source)
        np.testing.assert_array_equal(course(replay), course(BybitReplayEnv(candles, tiny_model)))


def test_a_deep_copy_goes_its_own_way(candles: Candles, tiny_model: WorldModel) -> None:
    for env in (DreamEnv(tiny_model), BybitReplayEnv(candles, tiny_model)):
        env.reset(seed=1)
        env.step(np.array([0.5]))
        twin = copy.deepcopy(env)
        one = [env.step(np.array([0.2]))[0] for _ in range(5)]
        two = [twin.step(np.array([0.2]))[0] for _ in range(5)]
        np.testing.assert_array_equal(one, two)


def extreme(candles: Candles) -> Candles:
    """Prices that jump by up to a million, volumes from nothing to 10^15, and dead hours."""
    rng = np.random.default_rng(2)
    jumps = rng.choice([0.0, 0.0, 0.0, 6.9, -6.9, 0.3], len(candles))
    close = 1e4 * np.exp(np.clip(np.cumsum(jumps), -14.0, 14.0))
    opened = np.concatenate([[1e4], close[:-1]])
    return replace(
        candles,
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=rng.choice([0.0, 1.0, 1e15], len(candles)),
        turnover=np.zeros(len(candles)),
    )


@pytest.mark.parametrize("seen", ["features", "latent"])
@pytest.mark.parametrize("leverage", [1.0, 150.0])
def test_extreme_markets_stay_inside_the_space(
    seen: str, leverage: float, candles: Candles, tiny_model: WorldModel
) -> None:
    model = tiny_model if seen == "latent" else None
    env = BybitReplayEnv(extreme(candles), model, episode_length=300, leverage=leverage)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(600):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert np.isfinite(reward)
        assert 0.0 <= info["equity"] < np.inf
        if terminated or truncated:
            observation, _ = env.reset()
            assert env.observation_space.contains(observation)


@pytest.mark.parametrize("observation", ["latent", "features"])
def test_hot_dreams_stay_inside_the_space(observation: Any, tiny_model: WorldModel) -> None:
    env = DreamEnv(tiny_model, temperature=50.0, horizon=200, observation=observation)
    env.reset(seed=0)
    env.action_space.seed(0)
    over = False
    while not over:
        seen, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(seen)
        assert np.isfinite(reward)
        assert np.isfinite(list(info.values())).all()
        over = terminated or truncated


def test_a_dead_market_can_be_replayed(candles: Candles) -> None:
    """Constant prices and no volume: features are finite, nothing is earned, costs are paid."""
    ones, zeros = np.full(len(candles), 5.0), np.zeros(len(candles))
    dead = replace(
        candles, open=ones, high=ones, low=ones, close=ones, volume=zeros, turnover=zeros
    )
    env = BybitReplayEnv(dead, episode_length=10)
    observation, _ = env.reset(seed=0)
    assert np.isfinite(observation).all()
    for _ in range(10):
        *_, info = env.step(np.array([1.0]))
    assert info["equity"] == pytest.approx(1 - 0.00075, rel=1e-12)
