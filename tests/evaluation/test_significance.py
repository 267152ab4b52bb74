import math

import numpy as np
import pytest
from scipy.stats import norm

from worldmodel_trading.evaluation.significance import (
    Interval,
    deflated_sharpe_ratio,
    expected_max_sharpe,
    optimal_block_length,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
    sharpe_standard_error,
    stationary_bootstrap_interval,
    stationary_bootstrap_rows,
)
from worldmodel_trading.market.errors import ConfigError


def test_psr_by_hand():
    # Returns 3, -1, 3, -1 (percent): mean 1, deviations ±2, so std (n - 1) = √(16/3),
    # skewness 0 and kurtosis 1: the factor is 1 - 0 + 0 = 1.
    returns = np.array([0.03, -0.01, 0.03, -0.01])
    ratio = 1 / math.sqrt(16 / 3)
    assert probabilistic_sharpe_ratio(returns) == pytest.approx(norm.cdf(ratio * math.sqrt(3)))
    assert probabilistic_sharpe_ratio(returns, ratio) == pytest.approx(0.5)


def test_psr_counts_skewness_and_tails():
    # Returns -4, 1, 1, 1, 1: mean 0, moments m2 = 4, m3 = -12, m4 = 52: γ₃ = -1.5, γ₄ = 3.25.
    # Shifted by 1: SR = 1/√5, as the sample variance is 20/4 = 5.
    returns = np.array([-3.0, 2.0, 2.0, 2.0, 2.0])
    ratio = 1 / math.sqrt(5)
    factor = 1 + 1.5 * ratio + 2.25 / 4 * ratio**2
    expected = norm.cdf(ratio * 2 / math.sqrt(factor))
    assert probabilistic_sharpe_ratio(returns) == pytest.approx(expected)


def test_published_example_of_the_deflated_ratio():
    # Bailey & López de Prado 2014, section "A numerical example": annual SR 2.5 over 5 years of
    # 250 days, γ₃ = -3, γ₄ = 10, 100 trials whose annual SRs have variance 1/2: DSR ≈ 0.9004.
    threshold = expected_max_sharpe(100, math.sqrt(0.5 / 250))
    assert threshold == pytest.approx(0.1132, abs=1e-4)
    ratio = 2.5 / math.sqrt(250)
    factor = 1 + 3 * ratio + (10 - 1) / 4 * ratio**2
    assert norm.cdf((ratio - threshold) * math.sqrt(1249 / factor)) == pytest.approx(
        0.9004, abs=1e-4
    )


@pytest.mark.parametrize(("trials", "expected"), [(10, 1.6), (100, 2.5), (1000, 3.3)])
def test_best_of_many_worthless(trials, expected):
    assert expected_max_sharpe(trials, 1.0) == pytest.approx(expected, abs=0.05)


def test_deflated_falls_with_trials():
    returns = 0.001 + 0.01 * np.random.default_rng(1).standard_normal(2000)
    one, ten, thousand = (deflated_sharpe_ratio(returns, n) for n in (1, 10, 1000))
    assert one == pytest.approx(probabilistic_sharpe_ratio(returns))
    assert one > ten > thousand


def test_standard_error_is_one_over_root_years():
    returns = 0.01 * np.random.default_rng(2).standard_normal(4 * 8760)
    assert sharpe_standard_error(returns, 8760) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("returns", [[], [0.1], [0.0] * 10, [0.02] * 10])
def test_no_evidence(returns):
    assert sharpe_standard_error(returns) == 0.0
    assert probabilistic_sharpe_ratio(returns) == 0.5
    assert deflated_sharpe_ratio(returns, 10, 0.1) == 0.0


def test_overfitting_of_noise_and_of_skill():
    rng = np.random.default_rng(7)
    noise = 0.01 * rng.standard_normal((40, 1000, 10))
    luck = np.mean([probability_of_backtest_overfitting(table, 6) for table in noise])
    assert luck == pytest.approx(0.5, abs=0.1)
    skill = noise[0] + np.linspace(0, 0.01, 10)
    assert probability_of_backtest_overfitting(skill, 6) == 0.0


def test_overfitting_when_what_won_always_loses():
    # Strategy i wins in block i and loses elsewhere: the best inside is never good outside.
    rng = np.random.default_rng(8)
    table = 1e-4 * rng.standard_normal((400, 4))
    for i in range(4):
        table[100 * i : 100 * (i + 1), i] += 0.01
    assert probability_of_backtest_overfitting(table, 4) == 1.0


def test_bootstrap_rows_are_blocks():
    rows = stationary_bootstrap_rows(1000, 50.0, np.random.default_rng(0), 100_000)
    jumps = (np.diff(rows) % 1000 != 1).mean()
    assert rows.min() >= 0
    assert rows.max() < 1000
    assert jumps == pytest.approx(1 / 50, rel=0.1)


def test_interval_covers_the_mean_of_independent_draws():
    values = np.random.default_rng(4).standard_normal(400)
    interval = stationary_bootstrap_interval(values, seed=1, block_length=1, replications=1000)
    half = 1.96 * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - values.mean() == pytest.approx(half, rel=0.15)
    assert values.mean() - interval.low == pytest.approx(half, rel=0.15)


def test_interval_widens_with_dependence():
    rng = np.random.default_rng(4)
    values = np.repeat(rng.standard_normal(50), 20)
    narrow = stationary_bootstrap_interval(values, seed=1, block_length=1)
    wide = stationary_bootstrap_interval(values, seed=1)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert stationary_bootstrap_interval(values, seed=1) == wide


def test_interval_of_next_to_nothing():
    assert stationary_bootstrap_interval([2.0], seed=0) == Interval(2.0, 2.0, 2.0)
    assert optimal_block_length(np.ones(100)) == 1.0


def test_wrong_input_is_named():
    with pytest.raises(ConfigError, match="even"):
        probability_of_backtest_overfitting(np.zeros((100, 2)), 3)
    with pytest.raises(ConfigError, match="shape"):
        probability_of_backtest_overfitting(np.zeros((100, 1)), 4)
    with pytest.raises(ConfigError, match="trials"):
        expected_max_sharpe(0, 1.0)
