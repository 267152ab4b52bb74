"""``info["regime"]``: told where it is asked for, the same in replay, in the dream and in many lanes."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv, ReplayVectorEnv
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.regimes.regimes import Regimes
from worldmodel_trading.models.world_model import WorldModel

HOLD = np.zeros(1, dtype=np.float32)


@pytest.fixture(scope="module")
def regimes(market_model: BarWorldModel, candles: Candles) -> Regimes:
    return Regimes.fit(market_model, candles, count=2, bootstraps=0)


def lived(env: gym.Env, steps: int, **reset: object) -> list[str]:  # type: ignore[type-arg]
    _, info = env.reset(**reset)  # type: ignore[arg-type]
    return [info["regime"], *(env.step(HOLD)[4]["regime"] for _ in range(steps))]


def test_replay_tells_what_the_filter_says(
    market_model: BarWorldModel, candles: Candles, regimes: Regimes
) -> None:
    env = BybitReplayEnv(candles, market_model, random_start=False, regimes=regimes)
    env.reset(seed=0)
    row = int(np.searchsorted(candles.open_time_ms, env.reset(seed=0)[1]["time_ms"]))
    told = lived(env, 200, seed=0)
    expected = regimes.classify(market_model, candles)[row : row + 201]
    assert told == [regimes.names[label] for label in expected]
    assert len(set(told)) == 2


def test_a_dream_forced_along_a_record_tells_what_replay_tells(
    market_model: BarWorldModel, candles: Candles, regimes: Regimes
) -> None:
    dream = DreamEnv(market_model, horizon=150, regimes=regimes)
    start = candles.open_time_ms[600]
    replay = BybitReplayEnv(candles, market_model, regimes=regimes)
    options = {"start": int(start)}
    forced = lived(dream, 150, seed=0, options={"candles": candles, **options})
    assert forced == lived(replay, 150, seed=0, options=options)
    assert len(set(forced)) == 2


def test_lanes_tell_what_a_lane_by_itself_tells(
    market_model: BarWorldModel, regimes: Regimes
) -> None:
    lanes = DreamVectorEnv(2, market_model, horizon=60, regimes=regimes)
    _, info = lanes.reset(seed=[4, 9])
    still = np.zeros((2, 1), dtype=np.float32)
    told = [info["regime"], *(lanes.step(still)[4]["regime"] for _ in range(60))]
    for lane, seed in enumerate((4, 9)):
        alone = lived(DreamEnv(market_model, horizon=60, regimes=regimes), 60, seed=seed)
        assert [row[lane] for row in told] == alone


def test_lanes_of_replay_and_resets_in_the_same_step(
    market_model: BarWorldModel, candles: Candles, regimes: Regimes
) -> None:
    lanes = ReplayVectorEnv(
        3, candles, market_model, episode_length=5, regimes=regimes, autoreset_mode="same_step"
    )
    labels = regimes.classify(market_model, candles)
    _, info = lanes.reset(seed=0)
    for _ in range(12):
        rows = np.searchsorted(candles.open_time_ms, info["time_ms"])
        assert info["regime"].tolist() == [regimes.names[label] for label in labels[rows]]
        *_, info = lanes.step(np.zeros((3, 1), dtype=np.float32))


@pytest.mark.parametrize("preset", ["market_model", "paper_model"])
def test_either_preset_tells_regimes_of_its_own(
    preset: str, request: pytest.FixtureRequest
) -> None:
    model: WorldModel = request.getfixturevalue(preset)
    told = lived(DreamEnv(model, horizon=30, regimes=True), 30, seed=0)
    assert set(told) <= set(Regimes.fit(model, count=3, bootstraps=0).names)


def test_every_member_begins_in_its_segment(family: BarWorldModel) -> None:
    regimes = Regimes.fit(family, count=2, bootstraps=0)
    env = DreamEnv(family, horizon=3, regimes=regimes)
    ends = regimes.of_bank(family)
    for segment in (0, len(family.bank) + 1, 2 * len(family.bank) + 2):
        info = env.reset(seed=0, options={"segment": segment})[1]
        assert info["regime"] == regimes.names[ends[segment]]


def test_a_saved_folder_survives_the_registry(
    market_model: BarWorldModel, regimes: Regimes, tmp_path: Path
) -> None:
    market_model.save_pretrained(tmp_path)
    regimes.save(tmp_path)
    env = gym.make(
        "worldmodel_trading:WorldModelDream-v0", world_model=str(tmp_path), regimes=str(tmp_path)
    )
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert lived(again, 20, seed=1) == lived(env, 20, seed=1)


def test_they_are_told_only_where_they_are_asked_for(
    market_model: BarWorldModel, candles: Candles
) -> None:
    assert "regime" not in DreamEnv(market_model).reset(seed=0)[1]
    assert "regime" not in BybitReplayEnv(candles, market_model).reset(seed=0)[1]
    with pytest.raises(ConfigError, match="world_model"):
        BybitReplayEnv(candles, regimes=True)
    with pytest.raises(ConfigError, match="expected Regimes"):
        DreamEnv(market_model, regimes=7)  # type: ignore[arg-type]
