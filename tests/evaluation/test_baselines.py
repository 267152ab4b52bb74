import warnings

import numpy as np
import pytest
import scipy.stats
import scoringrules
from arch import arch_model

from worldmodel_trading.evaluation.baselines import (
    StudentTForecast,
    baseline_forecasts,
    baseline_return_nll,
    filter_garch,
    fit_garch,
    fit_student_t,
    garch_variance,
    mean_nll,
)
from worldmodel_trading.evaluation.likelihood import GarchParameters
from worldmodel_trading.market.errors import ConfigError

TRUTH = GarchParameters(mean=0.01, omega=0.02, alpha=0.05, gamma=0.08, beta=0.86, degrees=6.0)


def simulate(parameters: GarchParameters, bars: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    p = parameters
    noise = rng.standard_t(p.degrees, bars) * np.sqrt((p.degrees - 2) / p.degrees)
    returns, sigma = np.empty(bars), np.empty(bars)
    variance = p.omega / (1 - p.alpha - p.gamma / 2 - p.beta)
    for t in range(bars):
        sigma[t] = np.sqrt(variance)
        shock = sigma[t] * noise[t]
        returns[t] = p.mean + shock
        variance = p.omega + (p.alpha + p.gamma * (shock < 0)) * shock**2 + p.beta * variance
    return returns, sigma


@pytest.fixture(scope="module")
def market():
    return simulate(TRUTH, 12_000)


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


def test_filter_recovers_the_true_volatility(market):
    returns, sigma = market
    forecast = filter_garch(returns, fit_garch(returns, (0, 8000), leverage=True))
    error = forecast.sigma[8000:] / sigma[8000:] - 1
    assert np.abs(error).mean() < 0.03


def test_likelihood_is_near_the_truth_and_ranks_the_baselines(market):
    returns, sigma = market
    scores = baseline_return_nll(returns, (0, 8000), {"test": (8000, 12_000)})
    nll = {name: score.return_nll["test"] for name, score in scores.items()}
    scale = sigma * np.sqrt(4 / 6)
    truth = -scipy.stats.t(6, 0.01, scale).logpdf(returns)[8000:].mean()
    assert set(nll) == {"student_t", "garch_t", "gjr_garch_t"}
    assert nll["gjr_garch_t"] == pytest.approx(truth, abs=0.005)
    assert nll["gjr_garch_t"] < nll["garch_t"] < nll["student_t"]


def test_filter_equals_arch_with_the_same_parameters(market):
    returns = market[0][:3000]
    ours = filter_garch(returns, TRUTH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = arch_model(returns, vol="GARCH", p=1, o=1, q=1, dist="t", rescale=False)
        theirs = model.fix([0.01, 0.02, 0.05, 0.08, 0.86, 6.0])
    # arch starts from another variance, which is forgotten at 0.95 a bar.
    assert ours.sigma[500:] == pytest.approx(theirs.conditional_volatility[500:], rel=1e-9)


def test_three_bars_by_hand():
    p = GarchParameters(mean=0.0, omega=0.1, alpha=0.1, gamma=0.2, beta=0.6, degrees=5.0)
    # Start: 0.1/(1 - 0.1 - 0.1 - 0.6) = 0.5; a rise of 1 adds 0.1·1, a fall of 1 adds 0.3·1.
    variance = garch_variance(np.array([1.0, -1.0, 0.0]), p)
    assert variance == pytest.approx([0.5, 0.1 + 0.1 + 0.3, 0.1 + 0.3 + 0.3])


def test_a_missing_return_moves_variance_to_its_expectation():
    p = GarchParameters(mean=0.0, omega=0.1, alpha=0.1, gamma=0.2, beta=0.6, degrees=5.0)
    variance = garch_variance(np.array([np.nan, 2.0, np.nan, 0.0]), p)
    assert variance[:3] == pytest.approx([0.5, 0.1 + 0.8 * 0.5, 0.1 + 0.4 + 0.3])
    assert variance[3] == pytest.approx(0.1 + 0.8 * 0.8)


def test_later_returns_change_nothing_before(market):
    returns = market[0][:4000].copy()
    before = baseline_forecasts(returns, (0, 2000))
    returns[3000:] *= -7.0
    after = baseline_forecasts(returns, (0, 2000))
    for name, forecast in before.items():
        np.testing.assert_array_equal(forecast[:3001].scale, after[name][:3001].scale, name)


def test_student_t_is_uniform_on_its_own_sample():
    returns = np.random.default_rng(0).standard_t(3.0, 20_000) * 0.4 + 0.05
    forecast = fit_student_t(returns, (0, 10_000))
    assert forecast.degrees == pytest.approx(3.0, rel=0.1)
    assert scipy.stats.kstest(forecast.cdf(returns)[10_000:], "uniform").statistic < 0.02


def test_gaps_do_not_count(market):
    returns = market[0][:2000].copy()
    forecast = fit_student_t(returns, slice(0, 1000))
    expected = -forecast.log_prob(returns)[1001:].mean()
    returns[[0, 1000]] = np.nan
    assert mean_nll(forecast[1000:2000], returns[1000:2000]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (np.zeros(500), "500 training returns, all of them 0%"),
        (np.arange(50.0), "50 training returns; a baseline needs at least 100"),
        (np.ones((5, 5)), "shape"),
        (np.full(500, np.nan), "0 training returns"),
    ],
)
def test_wrong_input_is_named(returns, message):
    with pytest.raises(ConfigError, match=message):
        fit_garch(returns, (0, len(returns)))


def test_wrong_rows_and_probability_are_named(market):
    forecast = fit_student_t(market[0], (0, 1000))
    with pytest.raises(ConfigError, match="probability"):
        forecast.quantile(1.0)
    with pytest.raises(ConfigError, match="shape"):
        forecast.log_prob(np.zeros(3))
    with pytest.raises(ConfigError, match="no known return"):
        mean_nll(forecast[0:2], np.full(2, np.nan))
