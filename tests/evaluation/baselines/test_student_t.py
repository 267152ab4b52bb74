"""The Student-t density and its scores."""

import numpy as np
import pytest
import scipy.stats
import scoringrules

from worldmodel_trading.evaluation.baselines.student_t import StudentTForecast, mean_nll
from worldmodel_trading.market.errors import ConfigError


def test_density_against_scipy_and_scoringrules():
    loc, scale = np.array([0.1, -0.3, 0.0]), np.array([0.5, 2.0, 1.0])
    forecast = StudentTForecast(3.5, loc, scale)
    returns = np.array([0.4, -5.0, 0.0])
    oracle = scipy.stats.t(3.5, loc, scale)
    assert forecast.log_prob(returns) == pytest.approx(oracle.logpdf(returns))
    assert forecast.cdf(returns) == pytest.approx(oracle.cdf(returns))
    assert forecast.quantile(0.05) == pytest.approx(oracle.ppf(0.05))
    assert forecast.sigma == pytest.approx(oracle.std())
    assert forecast.crps(returns) == pytest.approx(scoringrules.crps_t(returns, 3.5, loc, scale))


def test_rows_that_are_missing_or_not_forecast_do_not_count():
    returns = np.random.default_rng(0).standard_normal(200)
    forecast = StudentTForecast(4.0, np.zeros(200), np.ones(200))
    expected = -forecast.log_prob(returns)[2:].mean()
    returns[0], forecast.loc[1] = np.nan, np.nan
    assert mean_nll(forecast, returns) == pytest.approx(expected)
    assert forecast.rows(1, 4).valid.tolist() == [False, True, True]


def test_wrong_rows_and_probability_are_named():
    forecast = StudentTForecast(4.0, np.zeros(5), np.ones(5))
    with pytest.raises(ConfigError, match="probability"):
        forecast.quantile(1.0)
    with pytest.raises(ConfigError, match="shape"):
        forecast.log_prob(np.zeros(3))
    with pytest.raises(ConfigError, match="no known return"):
        mean_nll(forecast[0:2], np.full(2, np.nan))
