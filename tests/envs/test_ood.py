"""The out-of-distribution meter, by itself and in the dream."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.vector import DreamVectorEnv
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.ood import OODMeter
from worldmodel_trading.models.states import training_states
from worldmodel_trading.models.world_model import WorldModel

HOLD = np.zeros(1, dtype=np.float32)


def test_readings_are_quantiles_of_states_that_were_not_fitted(tiny_model: WorldModel) -> None:
    meter = OODMeter.fit(tiny_model)
    z, h, segment = training_states(tiny_model)
    held_out = np.concatenate([z, h], axis=1)[segment % 4 == 0]
    readings = np.sort(meter.read(held_out))
    np.testing.assert_allclose(readings, (np.arange(len(readings)) + 1) / len(readings), atol=0.02)


def test_far_states_read_one_and_the_middle_reads_nothing(market_model: WorldModel) -> None:
    meter = OODMeter.fit(market_model)
    assert meter.read(meter.mean) == 0.0
    assert meter.read(meter.mean + 10.0) == 1.0
    farther = [float(meter.distance(meter.mean + step)) for step in (0.1, 0.2, 0.4)]
    assert farther == sorted(farther)


def test_the_dream_tells_its_reading() -> None:
    env = DreamEnv("default", horizon=20, ood_limit=1.0)
    _, info = env.reset(seed=0)
    readings = [info["ood"]]
    for _ in range(20):
        *_, truncated, info = env.step(HOLD)
        readings.append(info["ood"])
    assert truncated
    assert len(set(readings)) > 5
    assert all(0.0 <= reading <= 1.0 for reading in readings)
    assert "ood" not in DreamEnv("default").reset(seed=0)[1]


def test_a_limit_truncates_at_the_first_bar_beyond_it() -> None:
    measured = DreamEnv("default", horizon=300, ood_limit=1.0)
    measured.reset(seed=1)
    readings = [measured.step(HOLD)[4]["ood"] for _ in range(300)]
    limit = float(np.quantile(readings, 0.9))
    first = next(i for i, reading in enumerate(readings) if reading > limit)
    limited = DreamEnv("default", horizon=300, ood_limit=limit)
    limited.reset(seed=1)
    ends = [limited.step(HOLD)[2:4] for _ in range(first + 1)]
    assert ends[-1] == (False, True)
    assert not any(terminated or truncated for terminated, truncated in ends[:-1])


def test_lanes_are_cut_short_one_by_one(market_model: WorldModel) -> None:
    env = DreamVectorEnv(64, market_model, horizon=1_000, ood_limit=0.9)
    env.reset(seed=0)
    for _ in range(50):
        _, _, terminated, truncated, info = env.step(np.zeros((64, 1), dtype=np.float32))
        if truncated.any():
            break
    assert not terminated.any()
    assert 0 < truncated.sum() < 64
    np.testing.assert_array_equal(truncated, info["ood"] > 0.9)


@pytest.mark.parametrize("limit", [0.0, -1.0, 1.5, np.nan])
def test_impossible_limits(market_model: WorldModel, limit: float) -> None:
    with pytest.raises(ConfigError, match="ood_limit"):
        DreamEnv(market_model, ood_limit=limit)
