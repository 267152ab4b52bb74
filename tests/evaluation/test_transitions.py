"""Episodes as data: every bit of what the environment showed, in Parquet and in Minari."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

from worldmodel_trading.agents.rules.chance import RandomWeights
from worldmodel_trading.evaluation.transitions import (
    MINARI_FOLDER,
    Transitions,
    check_minari,
    record_episodes,
    write_minari,
    write_transitions,
)
from worldmodel_trading.market.errors import ConfigError, MissingPackageError, OutputError
from worldmodel_trading.models.world_model import WorldModel

minari = pytest.importorskip("minari")

NAME = "bybit/chance-v0"


@pytest.fixture(scope="module", params=["continuous", "discrete"])
def env(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    model: WorldModel = request.getfixturevalue("market_model")
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    settings = {"world_model": str(folder), "horizon": 12, "actions": request.param}
    return gym.make("worldmodel_trading:WorldModelDream-v0", **settings)


class Sampled:
    """Acts at random, whatever the actions are."""

    def __init__(self, env: Any) -> None:
        self._space = env.action_space
        self._space.seed(5)

    def predict(self, *_: Any, **__: Any) -> tuple[Any, None]:
        return self._space.sample(), None


@pytest.fixture(scope="module")
def episodes(env: Any) -> list[Transitions]:
    return list(record_episodes(env, Sampled(env), 3, seed=4))


def test_they_are_what_the_environment_shows(env: Any, episodes: list[Transitions]) -> None:
    for number, episode in enumerate(episodes):
        assert len(episode) == 12
        observation, info = env.reset(seed=4 + number)
        for t, action in enumerate(episode.actions):
            np.testing.assert_array_equal(episode.observations[t], observation)
            assert {name: episode.infos[name][t] for name in info} == info
            observation, reward, terminated, truncated, info = env.step(action)
            assert episode.rewards[t] == reward
            assert (episode.terminations[t], episode.truncations[t]) == (terminated, truncated)
        np.testing.assert_array_equal(episode.observations[-1], observation)


def test_minari_gives_every_bit_back(
    env: Any, episodes: list[Transitions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MINARI_FOLDER, str(tmp_path / "other"))
    write_minari(NAME, iter(episodes), env, tmp_path / "sets", algorithm_name="chance")
    assert os.environ[MINARI_FOLDER] == str(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    monkeypatch.setenv(MINARI_FOLDER, str(tmp_path / "sets"))
    kept = minari.load_dataset(NAME)
    assert (kept.total_episodes, kept.total_steps) == (3, 36)
    assert kept.storage.metadata["algorithm_name"] == "chance"
    for episode, again in zip(episodes, kept.iterate_episodes(), strict=True):
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            np.testing.assert_array_equal(getattr(again, name), getattr(episode, name))
        assert again.observations.dtype == np.float32
        assert set(again.infos) == set(episode.infos)
        for name, values in episode.infos.items():
            np.testing.assert_array_equal(again.infos[name], values)
    recovered = kept.recover_environment()
    observation, _ = recovered.reset(seed=4)
    np.testing.assert_array_equal(observation, episodes[0].observations[0])


def test_parquet_gives_every_bit_back(episodes: list[Transitions], tmp_path: Path) -> None:
    with write_transitions(tmp_path / "episodes.parquet", iter(episodes)) as passing:
        assert [episode is own for episode, own in zip(passing, episodes, strict=True)] == [
            True
        ] * 3
    table = pd.read_parquet(tmp_path / "episodes.parquet")
    assert len(table) == 3 * 13
    second = table[table.episode == 1]
    np.testing.assert_array_equal(np.stack(second.observation), episodes[1].observations)
    np.testing.assert_array_equal(second.action[:-1], episodes[1].actions.ravel())
    np.testing.assert_array_equal(second.reward[:-1], episodes[1].rewards)
    np.testing.assert_array_equal(second.equity, episodes[1].infos["equity"])
    assert second.iloc[-1][["action", "reward", "terminated", "truncated"]].isna().all()
    assert second.truncated.iloc[-2]


def test_what_fails_leaves_nothing(env: Any, episodes: list[Transitions], tmp_path: Path) -> None:
    def broken() -> Any:
        yield episodes[0]
        raise ConfigError("no more")

    with pytest.raises(ConfigError, match="no more"):
        write_minari(NAME, broken(), env, tmp_path / "sets")
    assert not (tmp_path / "sets" / NAME).exists()
    with (
        pytest.raises(ConfigError, match="no more"),
        write_transitions(tmp_path / "episodes.parquet", broken()) as passing,
    ):
        list(passing)
    assert not (tmp_path / "episodes.parquet").exists()
    write_minari(NAME, iter(episodes[:1]), env, tmp_path / "sets")
    with pytest.raises(OutputError, match="is there already: name another data set"):
        check_minari(NAME, tmp_path / "sets")


def test_names_and_packages_are_checked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="expected a name such as bybit/btc-ppo-v0"):
        check_minari("no name", tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "minari", None)
    with pytest.raises(MissingPackageError, match=r"worldmodel-trading\[minari\]"):
        check_minari(NAME, tmp_path)


def test_replay_is_recorded_likewise() -> None:
    env = gym.make("BybitReplay-v0", episode_length=30)
    (episode,) = record_episodes(env, RandomWeights(seed=1), 1, seed=2)
    assert len(episode) == 30
    assert (np.diff(episode.infos["time_ms"]) == 3_600_000).all()
    assert np.log(episode.infos["equity"][-1]) == pytest.approx(episode.rewards.sum())
