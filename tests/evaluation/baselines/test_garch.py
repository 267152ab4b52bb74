"""GARCH with and without the clock, against a process whose variance is known."""

import warnings

import numpy as np
import pytest
import scipy.stats
from arch import arch_model

from worldmodel_trading.evaluation.baselines import garch
from worldmodel_trading.evaluation.baselines.clock import places, season_of
from worldmodel_trading.evaluation.baselines.garch import (
    FilteredHistory,
    GarchModel,
    filter_garch,
    fit_garch,
    garch_variance,
    percent_returns,
)
from worldmodel_trading.evaluation.baselines.student_t import mean_nll
from worldmodel_trading.evaluation.likelihood import GarchParameters
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import synthetic_candles

HOUR_MS = 3_600_000
MONDAY_MS = 1_577_664_000_000 + 7 * 24 * HOUR_MS  # 2020-01-06 00:00
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


def test_filter_recovers_the_true_volatility(market):
    returns, sigma = market
    forecast = filter_garch(returns, fit_garch(returns, (0, 8000), leverage=True))
    error = forecast.sigma[8000:] / sigma[8000:] - 1
    assert np.abs(error).mean() < 0.03


def test_likelihood_is_near_the_truth_and_ranks_the_arms(market):
    returns, sigma = market
    gjr, plain = (
        filter_garch(returns, fit_garch(returns, (0, 8000), leverage=leverage))
        for leverage in (True, False)
    )
    later = slice(8000, 12_000)
    truth = -scipy.stats.t(6, 0.01, sigma * np.sqrt(4 / 6)).logpdf(returns)[later].mean()
    assert mean_nll(gjr[later], returns[later]) == pytest.approx(truth, abs=0.005)
    assert mean_nll(gjr[later], returns[later]) < mean_nll(plain[later], returns[later])


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


def candles_of(returns_percent: np.ndarray) -> Candles:
    """Hourly bars that open at the close before, and reach no further than their body."""
    close = 100 * np.exp(np.cumsum(returns_percent) / 100)
    opening = np.append(100.0, close[:-1])
    ends, ones = np.stack([opening, close]), np.ones(len(close))
    times = MONDAY_MS + HOUR_MS * np.arange(len(close))
    return Candles(times, opening, ends.max(0), ends.min(0), close, ones, ones)


def seasonal(returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The returns times 2 from 12 to 18 o'clock on weekdays, and by how much each was grown."""
    hour = np.arange(len(returns)) % 168
    lively = (hour // 24 < 5) & (hour % 24 >= 12) & (hour % 24 < 18)
    factor = np.where(lively, 2.0, 1.0)
    return factor * returns, factor


def test_the_season_is_found(market):
    returns, factor = seasonal(market[0])
    candles = candles_of(returns)
    season = season_of(returns, candles.open_time_ms, "60")[places(candles.open_time_ms, "60")]
    ratio = season / factor
    assert ratio.std() / ratio.mean() < 0.1


def test_the_clock_is_worth_what_the_season_hides(market):
    returns, factor = seasonal(market[0])
    candles, later = candles_of(returns), slice(8000, 12_000)
    with_clock, without = (
        GarchModel.fit(candles, (0, 8000), clock=clock).forecast(candles) for clock in (True, False)
    )
    scale = factor * market[1] * np.sqrt(4 / 6)
    truth = -scipy.stats.t(6, 0.01 * factor, scale).logpdf(returns)[later].mean()
    assert mean_nll(with_clock[later], returns[later]) == pytest.approx(truth, abs=0.012)
    assert mean_nll(without[later], returns[later]) > truth + 0.03


def test_simulated_paths_begin_at_the_filtered_variance(market):
    candles = candles_of(seasonal(market[0])[0])
    model = GarchModel.fit(candles, (0, 8000))
    rows = np.array([9_000, 9_010, 11_999])
    drawn = model.simulate(candles, rows, 20_000, 2, np.random.default_rng(0))
    assert drawn.shape == (3, 20_000, 2)
    expected = model.forecast(candles).sigma[rows[:2] + 1]
    assert drawn[:2, :, 0].std(axis=1) == pytest.approx(expected, rel=0.05)


def test_later_bars_change_nothing_before(market):
    returns = seasonal(market[0][:4000])[0]
    before = GarchModel.fit(candles_of(returns), (0, 2000)).forecast(candles_of(returns))
    returns[3000:] *= -2.0
    after = GarchModel.fit(candles_of(returns), (0, 2000)).forecast(candles_of(returns))
    np.testing.assert_array_equal(before[:3001].scale, after[:3001].scale)


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


def test_filtered_history_draws_the_shocks_that_were() -> None:
    candles = synthetic_candles(bars=2_000, seed=2)
    fitted = FilteredHistory.fit(candles, (0, 1_500))
    assert fitted.shocks.mean() == pytest.approx(0.0, abs=1e-12)
    assert fitted.shocks.std() == pytest.approx(1.0)
    assert len(fitted.shocks) == 1_499  # the first bar has no return
    rows = np.array([1_600, 1_700])
    drawn = fitted.simulate(candles, rows, 400, 3, np.random.default_rng(0))
    assert drawn.shape == (2, 400, 3)
    seasons = fitted.model.season[places(candles.open_time_ms, candles.interval)]
    season = seasons[rows + 1]
    returns = percent_returns(candles) / seasons
    deviation = np.sqrt(garch_variance(returns, fitted.model.parameters)[rows + 1])
    shocks = (drawn[:, :, 0] / season[:, None] - fitted.model.parameters.mean) / deviation[:, None]
    nearest = np.abs(shocks[..., None] - fitted.shocks).min(axis=-1)
    assert nearest.max() < 1e-9


def test_a_long_range_is_fitted_on_its_last_bars(monkeypatch) -> None:
    candles = synthetic_candles(seed=4, bars=1_500)
    last = GarchModel.fit(candles, (700, 1_500), clock=False)
    monkeypatch.setattr(garch, "MOST_BARS", 800)
    assert GarchModel.fit(candles, (0, 1_500), clock=False).parameters == last.parameters
