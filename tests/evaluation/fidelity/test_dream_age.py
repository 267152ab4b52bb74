import numpy as np
import pytest

from worldmodel_trading.evaluation.fidelity.dream_age import (
    AGES,
    horizon_decay,
    meter_readings,
    recorded_ood,
)
from worldmodel_trading.evaluation.fidelity.paths import Dreams, dream
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.ood import OODMeter
from worldmodel_trading.models.world_model import WorldModel

NAMES = ("log_return",)


@pytest.fixture(scope="module")
def world_model():
    return WorldModel.from_pretrained("default")


@pytest.fixture(scope="module")
def meter(world_model):
    return OODMeter.fit(world_model)


def _ageing(world_model, scale):
    """Normal returns whose σ is ``scale`` [T] of 1%, with some states for the meter to read."""
    bars = AGES[-1][1]
    rng = np.random.default_rng(0)
    states = dream(world_model, 8, 40, seed=0)
    rows = np.arange(bars) % 40
    returns = 0.01 * scale * rng.standard_normal((8, bars))
    return Dreams(returns, returns[..., None], states.z[:, rows], states.h[:, rows])


def test_a_steady_dream_is_steady_and_a_fading_one_freezes(world_model, meter):
    real = Dreams(0.01 * np.random.default_rng(1).standard_normal((40, 720)))
    bars = np.arange(AGES[-1][1])
    steady = horizon_decay(_ageing(world_model, np.ones(len(bars))), real, NAMES, meter)
    fading = horizon_decay(_ageing(world_model, np.where(bars < 168, 1, 0.01)), real, NAMES, meter)
    assert [(row.from_bar, row.to_bar) for row in steady] == list(AGES)
    for row in steady:
        assert row.distances.sigma_ratio == pytest.approx(1.0, abs=0.15)
        assert row.frozen == 0.0
    assert [row.frozen for row in fading] == [0.0, 0.0, 1.0, 1.0]
    assert fading[-1].distances.sigma_ratio == pytest.approx(0.01, rel=0.1)


def test_states_from_nowhere_are_read_as_such(world_model, meter):
    dreams = dream(world_model, 8, 60, seed=2)
    usual = meter_readings(meter, dreams)
    lost = meter_readings(meter, Dreams(dreams.log_return, None, dreams.z + 8, dreams.h))
    assert usual.shape == (8, 60)
    assert 0.1 < np.median(usual) < 0.95
    assert (lost == 1.0).all()
    with pytest.raises(ConfigError, match="keep no states"):
        meter_readings(meter, Dreams(dreams.log_return))


def test_the_meter_is_calibrated_on_the_record(world_model, meter):
    candles = synthetic_candles(seed=0, bars=8_000)
    table = recorded_ood(world_model, candles, {"seen": (500, 8_000), "early": (0, 50)}, meter)
    assert table["early"] is None
    assert table["seen"].ood_median == pytest.approx(0.5, abs=0.1)
    assert table["seen"].ood_above_95 == pytest.approx(0.05, abs=0.04)
