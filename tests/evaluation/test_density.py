import numpy as np
import pytest
import scipy.stats

from worldmodel_trading.evaluation.baselines.scores import fit_baselines
from worldmodel_trading.evaluation.baselines.student_t import StudentTForecast
from worldmodel_trading.evaluation.density import (
    calibration,
    density_scores,
    mean_slope,
    pit_calibration,
)
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.forecast import ReturnForecast
from worldmodel_trading.models.quality import mdn_rnn_quality
from worldmodel_trading.models.world_model import WorldModel

BARS = 6_000


@pytest.fixture(scope="module")
def world_model():
    return WorldModel.from_pretrained("default")


@pytest.fixture(scope="module")
def candles():
    return synthetic_candles(seed=7, bars=BARS)


@pytest.fixture(scope="module")
def scores(world_model, candles):
    ranges = {"validation": (3000, 4000), "test": (4000, BARS)}
    baselines = fit_baselines(candles, (0, 3000))
    return density_scores(world_model, candles, baselines, ranges, seed=0)


def test_the_true_density_is_calibrated():
    rng = np.random.default_rng(0)
    scale = np.exp(rng.standard_normal(5000))
    outcomes = 0.1 + scale * rng.standard_t(4.0, 5000)
    result = calibration(StudentTForecast(4.0, np.full(5000, 0.1), scale), outcomes)
    assert result.pit_ks < result.pit_ks_floor
    assert result.coverage_90 == pytest.approx(0.90, abs=0.015)
    assert result.pit_histogram == pytest.approx(np.ones(20), abs=0.25)


def test_a_narrow_density_is_found_out():
    rng = np.random.default_rng(0)
    outcomes = rng.standard_t(4.0, 5000)
    result = calibration(StudentTForecast(4.0, np.zeros(5000), np.full(5000, 0.5)), outcomes)
    assert result.pit_ks > 3 * result.pit_ks_floor
    assert result.coverage_90 < 0.8
    assert result.pit_histogram[0] > 1.5


def test_distance_equals_scipy():
    transforms = np.random.default_rng(1).beta(2, 2, 300)
    expected = scipy.stats.kstest(transforms, "uniform").statistic
    assert pit_calibration(transforms).pit_ks == pytest.approx(expected)


def test_four_transforms_by_hand():
    # Sorted 0.1, 0.2, 0.3, 0.96: at 0.3 the empirical distribution rises to 0.75, which is 0.45
    # above uniform; just before 0.96 it is 0.21 below. 0.96 lies outside the central 90%.
    result = pit_calibration(np.array([0.3, 0.1, 0.96, 0.2]))
    assert result.pit_ks == pytest.approx(0.45)
    assert result.coverage_90 == 0.75


def test_rows_are_aligned_with_the_model_s_own_score(world_model, candles, scores):
    expected = mdn_rnn_quality(world_model, candles, start=int(candles.open_time_ms[4000]))
    assert scores["test"].nll["world_model"] == pytest.approx(expected.return_nll, abs=1e-9)
    assert scores["test"].bars == expected.bars


def test_gap_and_skill_follow_from_the_scores(scores):
    for table in scores.values():
        for name, gap in table.nll_minus.items():
            assert gap.value == pytest.approx(table.nll["world_model"] - table.nll[name])
            assert gap.low < gap.value < gap.high
        skill = table.crps_skill_to_har_t
        assert skill.value == pytest.approx(1 - table.crps["world_model"] / table.crps["har_t"])
        assert skill.low < skill.value < skill.high
        assert set(table.confidence_set) == set(table.nll)
        assert max(table.confidence_set.values()) == 1.0


def test_the_default_model_beats_garch(scores):
    assert scores["test"].nll_minus["gjr_garch_t"].high < 0


def test_nothing_to_score_is_named(world_model):
    with pytest.raises(ConfigError, match="no forecast bar"):
        pit_calibration(np.array([]))
    short = synthetic_candles(seed=7, bars=1_000)
    with pytest.raises(ConfigError, match="enough bars before"):
        density_scores(
            world_model, short, fit_baselines(short, (0, 1_000)), {"early": (2, 100)}, seed=0
        )


def one_gaussian(mean, sigma):
    times = 3_600_000 * np.arange(len(mean))
    return ReturnForecast(np.ones((len(mean), 1)), mean[:, None], sigma[:, None], times)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_slope_is_the_share_of_the_mean_forecast_that_was_paid(share):
    rng = np.random.default_rng(0)
    promised, sigma = 0.3 * rng.standard_normal(4_000), rng.uniform(0.2, 1.0, 4_000)
    forecast = one_gaussian(promised, sigma)
    returns = 0.1 + share * promised + sigma * rng.standard_normal(4_000)
    slope = mean_slope(forecast, returns, np.random.default_rng(1))
    assert slope.low < share < slope.high
    assert slope.value == pytest.approx(share, abs=0.1)


def test_a_mean_that_never_moves_has_no_slope():
    forecast = one_gaussian(np.full(300, 0.2), np.full(300, 0.5))
    returns = np.random.default_rng(0).standard_normal(300)
    assert mean_slope(forecast, returns, np.random.default_rng(1)).value == 0.0
