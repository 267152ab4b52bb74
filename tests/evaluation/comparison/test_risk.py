import numpy as np
import pytest

from worldmodel_trading.evaluation.comparison.risk import measure_risk
from worldmodel_trading.evaluation.episodes import Episodes
from worldmodel_trading.market.errors import ConfigError

HOURS = 8760


def episodes(returns, weight=None, turnover=None, terminated=None):
    returns = np.atleast_2d(np.array(returns, dtype=np.float64))
    ones = np.ones((len(returns), 1))
    equity = np.concatenate([ones, np.cumprod(1 + returns, axis=1)], axis=1)
    none = np.zeros_like(returns)
    return Episodes(
        equity,
        equity * 0 if weight is None else np.atleast_2d(weight),
        none,
        none if turnover is None else np.atleast_2d(turnover),
        none,
        none,
        none,
        np.zeros(len(returns), bool) if terminated is None else np.array(terminated),
    )


def test_the_worst_days_by_hand():
    daily = np.full(40, 0.01)
    daily[[3, 17]] = -0.05, -0.02
    hourly = np.zeros((40, 24))
    hourly[:, 5] = daily
    found = measure_risk(episodes(hourly.ravel()), HOURS)
    assert found.daily_cvar == pytest.approx(0.035)  # the worst two of forty days


def test_part_of_a_day_at_the_end_is_left_out():
    hourly = np.zeros(3 * 24 + 10)
    hourly[30], hourly[-1] = -0.03, -0.5
    assert measure_risk(episodes(hourly), HOURS).daily_cvar == pytest.approx(0.03)
    assert measure_risk(episodes([-0.1, -0.2]), HOURS).daily_cvar == pytest.approx(0.3)


def test_time_under_water_by_hand():
    #        peak   below  below  peak  below  below  below (ends there)
    moves = [0.10, -0.10, 0.05, 0.10, -0.01, 0.00, 0.001]
    found = measure_risk(episodes(moves), HOURS)
    assert found.under_water == pytest.approx(5 / 7)
    assert found.longest_under_water_days == pytest.approx(3 / 24)


def test_spells_are_meant_over_episodes():
    found = measure_risk(episodes([[0.0, 0.0, 0.0], [-0.1, 0.0, 0.0]]), HOURS)
    assert found.under_water == 0.5
    assert found.longest_under_water_days == pytest.approx(1.5 / 24)


def test_exposure_and_trading():
    found = measure_risk(
        episodes([0.0] * 4, [0.0, 1.0, -2.0, 0.0, 0.5], [1.0, 3.0, 1e-12, 0.5]), HOURS
    )
    assert found.exposure == pytest.approx(3.5 / 4)
    assert found.net_exposure == pytest.approx(-0.5 / 4)
    assert found.traded == 0.75


def test_early_ends_are_counted():
    found = measure_risk(episodes([[0.0], [-1.0]], terminated=[False, True]), HOURS)
    assert found.ended_early == 0.5
    assert found.daily_cvar == 1.0


@pytest.mark.parametrize(
    ("year", "message"), [(0, "bars_per_year is 0"), (np.nan, "bars_per_year")]
)
def test_impossible_years_are_refused(year, message):
    with pytest.raises(ConfigError, match=message):
        measure_risk(episodes([0.1]), year)
