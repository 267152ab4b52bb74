"""Fits on thin markets: closes that stand still, and optimisers that stop too early."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from worldmodel_trading.evaluation.baselines.garch import filter_garch, fit_garch
from worldmodel_trading.evaluation.baselines.student_t import StudentTForecast, mean_nll
from worldmodel_trading.evaluation.density import calibration
from worldmodel_trading.evaluation.likelihood import (
    fit_garch_process,
    fit_student,
    tick_scale,
)
from worldmodel_trading.market.errors import ConfigError

BARS, TRAIN = 8_000, 5_000


def thin_market(tick: float, seed: int = 0) -> np.ndarray:
    """Log returns [T], percent, of a price near 5,000 that moves by about 0.9 a bar, in ticks."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_t(3.0, BARS) / np.sqrt(3.0)
    price, variance, closes = 5_000.0, 0.81, [5_000.0]
    for shock in noise:
        move = np.sqrt(variance) * shock
        price += move
        variance = 0.0243 + 0.07 * move**2 + 0.9 * variance
        closes.append(round(price / tick) * tick)
    return 100.0 * np.diff(np.log(closes))


def still(returns: np.ndarray) -> float:
    return float((returns == 0.0).mean())


def everywhere(degrees: float, loc: float, scale: float) -> StudentTForecast:
    return StudentTForecast(degrees, np.full(BARS, loc), np.full(BARS, scale))


def test_closes_that_stand_still_leave_a_sensible_student_t() -> None:
    returns = thin_market(0.56)
    assert still(returns) == pytest.approx(0.41, abs=0.01)
    density = fit_student(returns[:TRAIN])
    forecast = everywhere(density.degrees, density.loc, density.scale)
    fixed = everywhere(1.05, 0.0, scipy.stats.t.fit(returns[:TRAIN], fdf=1.05)[2])
    later = slice(TRAIN, BARS)
    assert mean_nll(forecast[later], returns[later]) < mean_nll(fixed[later], returns[later])
    # One tick is 0.56/5,000 = 0.011%; the moves are of that size, and so is the density's scale.
    assert 0.4 * 0.011 < density.scale < 2 * 0.011


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_no_density_promises_more_than_certainty_of_one_tick(share: float) -> None:
    rng = np.random.default_rng(1)
    tick = 0.25
    moved = tick * rng.choice([-2, -1, 1, 2], BARS)
    returns = np.where(rng.random(BARS) < share, 0.0, moved)
    density = fit_student(returns)
    # The smallest moves are one tick; a Student-t of this scale is at most 0.4/0.1 = 4 = 1/tick.
    assert tick_scale(returns) == pytest.approx(0.4 * tick)
    assert density.scale == pytest.approx(0.1, rel=1e-6)
    at_mode = scipy.stats.t(density.degrees, density.loc, density.scale).pdf(density.loc)
    assert at_mode <= 1 / tick


@pytest.mark.parametrize("degrees", [1.5, 4.0, 8.0])
def test_prices_that_move_freely_are_fitted_as_scipy_does(degrees: float) -> None:
    returns = 0.02 + 0.3 * np.random.default_rng(2).standard_t(degrees, 3_000)
    ours = fit_student(returns)
    theirs = scipy.stats.t.fit(returns)
    density = scipy.stats.t(ours.degrees, ours.loc, ours.scale)
    assert density.logpdf(returns).mean() >= scipy.stats.t.logpdf(returns, *theirs).mean() - 1e-6
    assert (ours.loc, ours.scale) == pytest.approx(theirs[1:], rel=0.02, abs=1e-4)
    assert tick_scale(returns) < 0.02 * ours.scale


def test_the_unit_of_returns_does_not_matter() -> None:
    returns = thin_market(0.56)[:TRAIN]
    small, large = fit_student(1e-6 * returns), fit_student(1e6 * returns)
    assert small.degrees == pytest.approx(large.degrees, rel=1e-3)
    assert small.scale / 1e-6 == pytest.approx(large.scale / 1e6, rel=1e-3)


@pytest.mark.parametrize("tick", [0.56, 1.5, 3.0])
def test_a_garch_on_a_thin_market_is_no_worse_than_what_it_contains(tick: float) -> None:
    """41%, 70% and 83% of the closes stand still: unchecked fits score up to 34 nats here."""
    returns = thin_market(tick, seed=1)
    later = slice(TRAIN, BARS)
    constant = fit_student(returns[:TRAIN])
    forecasts = [everywhere(constant.degrees, constant.loc, constant.scale)] + [
        filter_garch(returns, fit_garch(returns, (0, TRAIN), leverage=leverage))
        for leverage in (False, True)
    ]
    nll = [mean_nll(each[later], returns[later]) for each in forecasts]
    # GARCH's ν must be above 2, which the unconditional Student-t's need not be.
    assert max(nll) - min(nll) < 0.1
    for forecast in forecasts:
        assert forecast.scale.min() >= 0.99 * tick_scale(returns[:TRAIN])


def one_shock() -> np.ndarray:
    """Calm returns and one of 10⁶ among them: no optimiser finds its way from there."""
    returns = np.random.default_rng(0).standard_normal(BARS)
    returns[TRAIN // 2] = 1e6
    return returns


@pytest.mark.parametrize("leverage", [False, True])
def test_a_garch_that_does_not_converge_holds_its_variance_and_says_so(leverage: bool) -> None:
    returns = one_shock()
    parameters = fit_garch_process(returns[:TRAIN], leverage=leverage)
    assert parameters.note == ("did not converge from 5 starts; its variance is held constant")
    assert (parameters.alpha, parameters.gamma, parameters.beta) == (0.0, 0.0, 0.0)
    # With ν degrees a scale s has the variance s²·ν/(ν − 2); calm returns have a deviation of 1.
    nu = parameters.degrees
    assert np.sqrt(parameters.omega * (nu - 2) / nu) == pytest.approx(1.0, abs=0.2)


def test_the_word_reaches_forecasts() -> None:
    returns = one_shock()
    for leverage in (False, True):
        forecast = filter_garch(returns, fit_garch(returns, (0, TRAIN), leverage=leverage))
        assert forecast.note.startswith("did not converge")
        assert forecast[TRAIN:BARS].note == forecast.note
        normal = 0.5 * np.log(2 * np.pi) + 0.5  # nats of a standard normal: 1.419
        later = slice(TRAIN, BARS)
        assert mean_nll(forecast[later], returns[later]) == pytest.approx(normal, abs=0.1)


@pytest.mark.parametrize("scale", [np.nan, 0.0])
def test_a_score_that_is_not_finite_is_never_left_out(scale: float) -> None:
    scales = np.ones(50)
    scales[7] = scale
    broken = StudentTForecast(4.0, np.zeros(50), scales)
    returns = np.random.default_rng(0).standard_normal(50)
    returns[7] = 0.0
    with np.errstate(all="ignore"):
        with pytest.raises(ConfigError, match="the log density of 1 of 50 known returns"):
            mean_nll(broken, returns)
        with pytest.raises(ConfigError, match="the probability of 1 of 50 known returns"):
            calibration(broken, returns)
        returns[7] = np.nan  # a return that is missing has no score to drop
        assert np.isfinite(mean_nll(broken, returns))


def test_a_known_return_is_scored_wherever_there_is_a_forecast() -> None:
    returns = np.random.default_rng(0).standard_normal(200)
    returns[:3] = np.nan
    forecast = StudentTForecast(4.0, np.zeros(200), np.ones(200))
    expected = calibration(forecast[3:200], returns[3:])
    assert calibration(forecast, returns) == expected
