import json
import math

import numpy as np
import pytest

from worldmodel_trading.evaluation.performance import (
    RUIN_EQUITY,
    Performance,
    max_drawdown,
    measure_performance,
    sharpe_ratio,
)
from worldmodel_trading.market.errors import ConfigError

HOURS = 8760


def test_four_bars_by_hand():
    # Simple returns 0.10, -0.20, 0.25, 0.00; equity 1.1, 0.88, 1.1, 1.1.
    equity = [1.0, 1.1, 0.88, 1.1, 1.1]
    result = measure_performance(
        equity, [1.0, 0.5, 0.0, 0.5], [0.001, 0.002, 0.0, 0.001], bars_per_year=4
    )
    mean = (0.10 - 0.20 + 0.25 + 0.0) / 4
    deviations = [0.10 - mean, -0.20 - mean, 0.25 - mean, 0.0 - mean]
    std = math.sqrt(sum(d * d for d in deviations) / 3)
    assert result.log_return == pytest.approx(math.log(1.1))
    assert result.annual_log_return == pytest.approx(math.log(1.1))  # four bars are one year
    assert result.sharpe == pytest.approx(2 * mean / std)
    assert result.sortino == pytest.approx(2 * mean / math.sqrt(0.04 / 4))
    assert result.max_drawdown == pytest.approx(1 - 0.88 / 1.1)
    assert result.calmar == pytest.approx(0.10 / 0.2)
    assert result.turnover == pytest.approx(0.5)
    assert result.costs == pytest.approx(0.004)


def test_a_year_has_8760_hours_and_not_252_days():
    rng = np.random.default_rng(3)
    returns = 0.01 * rng.standard_normal(HOURS)
    returns += 1.19 / math.sqrt(HOURS) * returns.std(ddof=1) - returns.mean()
    assert sharpe_ratio(returns, HOURS) == pytest.approx(1.19)
    assert sharpe_ratio(returns, 252) == pytest.approx(0.20, abs=0.005)


@pytest.mark.parametrize(
    "equity",
    [
        [1.0] * 5,
        [1.0],
        [],
        [1.0, 1.1],
        [1.0, 0.9],
        [1.0, 0.0],
        [1.0, 0.0, 0.0],
        [0.0, 0.0],
        [1.0, 1e6],
        np.ones((3, 1)),
        np.ones((0, 5)),
    ],
)
def test_every_value_is_finite(equity):
    result = measure_performance(equity, bars_per_year=HOURS)
    assert all(math.isfinite(value) for value in result.to_dict().values())
    json.dumps(result.to_dict(), allow_nan=False)


def test_nothing_happened():
    assert measure_performance([1.0] * 9, bars_per_year=HOURS) == Performance(*[0.0] * 8)


def test_constant_gain_has_no_ratio():
    result = measure_performance(1.001 ** np.arange(50), bars_per_year=HOURS)
    assert (result.sharpe, result.sortino, result.calmar) == (0.0, 0.0, 0.0)
    assert result.log_return == pytest.approx(49 * math.log(1.001))


def test_total_loss():
    result = measure_performance([1.0, 0.5, 0.0, 0.0], bars_per_year=HOURS)
    assert result.log_return == pytest.approx(math.log(RUIN_EQUITY))
    assert result.max_drawdown == 1.0
    assert result.calmar == pytest.approx(-1.0)
    assert result.sharpe < 0


def test_dreams_are_pooled_as_documented():
    rng = np.random.default_rng(5)
    growth = np.exp(0.01 * rng.standard_normal((6, 40)))
    equity = np.concatenate([np.ones((6, 1)), np.cumprod(growth, axis=1)], axis=1)
    turnover = rng.random((6, 40))
    costs = 0.001 * turnover
    pooled = measure_performance(equity, turnover, costs, bars_per_year=HOURS)
    single = [
        measure_performance(e, t, c, bars_per_year=HOURS)
        for e, t, c in zip(equity, turnover, costs, strict=True)
    ]
    for name in ("log_return", "annual_log_return", "max_drawdown", "turnover", "costs"):
        expected = np.mean([getattr(one, name) for one in single])
        assert getattr(pooled, name) == pytest.approx(expected), name
    returns = (growth - 1).ravel()
    assert pooled.sharpe == pytest.approx(
        math.sqrt(HOURS) * returns.mean() / returns.std(ddof=1), rel=1e-9
    )
    assert pooled.calmar == pytest.approx(
        math.expm1(pooled.annual_log_return) / pooled.max_drawdown
    )


def test_drawdown_of_each_lane():
    equity = np.array([[1.0, 2.0, 1.0, 3.0], [1.0, 1.1, 1.2, 1.3]])
    assert max_drawdown(equity) == pytest.approx([0.5, 0.0])


@pytest.mark.parametrize(
    ("equity", "turnover", "bars_per_year", "message"),
    [
        ([1.0, -0.1], None, HOURS, "negative"),
        ([1.0, float("nan")], None, HOURS, "not finite"),
        (np.ones((2, 2, 2)), None, HOURS, "shape"),
        ([1.0, 1.0], [0.0, 0.0], HOURS, "turnover has shape"),
        ([1.0, 1.0], [float("nan")], HOURS, "turnover holds"),
        ([1.0, 1.0], None, 0, "bars_per_year"),
    ],
)
def test_wrong_input_is_named(equity, turnover, bars_per_year, message):
    with pytest.raises(ConfigError, match=message):
        measure_performance(equity, turnover, bars_per_year=bars_per_year)
