import math

import numpy as np
import pytest
from scipy.stats import kstest, norm, ttest_1samp

from worldmodel_trading.evaluation.performance import sharpe_ratio, sortino_ratio
from worldmodel_trading.evaluation.significance import (
    Interval,
    deflated_sharpe_ratio,
    expected_max_sharpe,
    optimal_block_length,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
    share_interval,
    sharpe_evidence,
    sharpe_standard_error,
    stationary_bootstrap_interval,
    stationary_bootstrap_rows,
)
from worldmodel_trading.market.errors import ConfigError


def test_a_share_has_wilsons_interval():
    found = share_interval(
        0.8, 10
    )  # 0.49 to 0.94, by hand: (k + z²/2 ± z·√(k(n−k)/n + z²/4)) ÷ (n + z²)
    assert (found.value, round(found.low, 3), round(found.high, 3)) == (0.8, 0.490, 0.943)
    assert share_interval(0.0, 5).low == 0.0


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


def test_psr_is_one_minus_a_p_value():
    # Where the null hypothesis holds (no edge at all), its p-value is uniform: one sample in twenty
    # shows more than 0.95, one in ten less than 0.1. As a probability that the ratio is above 0 it
    # would have to be 0 throughout.
    noise = 0.01 * np.random.default_rng(3).standard_normal((2_000, 500))
    shown = np.array([probabilistic_sharpe_ratio(returns) for returns in noise])
    assert kstest(shown, "uniform").pvalue > 0.01
    assert np.mean(shown > 0.95) == pytest.approx(0.05, abs=0.015)


def test_psr_of_normal_returns_is_the_t_test_s():
    # For normal returns γ₃ = 0 and γ₄ = 3, and small ratios leave the factor at 1: the statistic is
    # Student's t, whose p-value scipy computes.
    returns = 0.0005 + 0.01 * np.random.default_rng(5).standard_normal(3_000)
    p_value = ttest_1samp(returns, 0.0, alternative="greater").pvalue
    assert probabilistic_sharpe_ratio(returns) == pytest.approx(1 - p_value, abs=2e-3)


NAN_RETURNS = [0.01, math.nan, -0.02, 0.0]
GOOD_RETURNS = [0.01, 0.03, -0.02, 0.0]
GOOD_TABLE = np.random.default_rng(0).standard_normal((100, 3))


def broken(value):
    table = GOOD_TABLE.copy()
    table[7, 2] = value
    return table


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sharpe_standard_error(NAN_RETURNS), r"returns\[1\] is nan"),
        (lambda: sharpe_standard_error(GOOD_RETURNS, 0.0), "bars_per_year is 0"),
        (lambda: sharpe_standard_error(GOOD_RETURNS, math.nan), "bars_per_year is nan"),
        (lambda: sharpe_standard_error(GOOD_RETURNS, "8760"), "bars_per_year is '8760'"),
        (lambda: probabilistic_sharpe_ratio(NAN_RETURNS), r"returns\[1\] is nan"),
        (lambda: probabilistic_sharpe_ratio([0.1, math.inf]), r"returns\[1\] is inf"),
        (lambda: probabilistic_sharpe_ratio(np.zeros((4, 2))), r"shape \(4, 2\)"),
        (lambda: probabilistic_sharpe_ratio(["a", "b"]), "no series of numbers"),
        (lambda: probabilistic_sharpe_ratio(GOOD_RETURNS, math.nan), "benchmark is nan"),
        (lambda: probabilistic_sharpe_ratio(GOOD_RETURNS, True), "benchmark is True"),
        (lambda: deflated_sharpe_ratio(NAN_RETURNS, 3), r"returns\[1\] is nan"),
        (lambda: deflated_sharpe_ratio(GOOD_RETURNS, 0), "trials is 0"),
        (lambda: deflated_sharpe_ratio(GOOD_RETURNS, 3, math.nan), "trial_sharpe_std is nan"),
        (lambda: deflated_sharpe_ratio(GOOD_RETURNS, 3, -0.1), "trial_sharpe_std is -0.1"),
        (lambda: expected_max_sharpe(0, 1.0), "trials is 0"),
        (lambda: expected_max_sharpe(2.5, 1.0), "trials is 2.5"),
        (lambda: expected_max_sharpe(math.nan, 1.0), "trials is nan"),
        (lambda: expected_max_sharpe(True, 1.0), "trials is True"),
        (lambda: expected_max_sharpe(10, math.inf), "trial_sharpe_std is inf"),
        (
            lambda: sharpe_evidence({"test": [1.0, math.nan]}, 8760),
            r"equity on test\[1\] is nan",
        ),
        (
            lambda: sharpe_evidence({"test": [1.0, 1.1]}, 8760, {"test": 0}),
            "trials is 0",
        ),
        (lambda: probability_of_backtest_overfitting(GOOD_TABLE, 3), "even"),
        (lambda: probability_of_backtest_overfitting(GOOD_TABLE, 4.0), "blocks is 4.0"),
        (lambda: probability_of_backtest_overfitting(GOOD_TABLE, 40), "2 to 20"),
        (lambda: probability_of_backtest_overfitting(GOOD_TABLE[:, :1], 4), "shape"),
        (lambda: probability_of_backtest_overfitting(broken(math.nan), 4), r"\[7, 2\] is nan"),
        (lambda: optimal_block_length(np.array(NAN_RETURNS)), r"values\[1\] is nan"),
        (lambda: stationary_bootstrap_interval(NAN_RETURNS, seed=0), r"values\[1\] is nan"),
        (lambda: stationary_bootstrap_interval(1.0, seed=0), "values is 1.0"),
        (lambda: stationary_bootstrap_interval(GOOD_RETURNS, seed=0, level=95), "level is 95"),
        (
            lambda: stationary_bootstrap_interval(GOOD_RETURNS, seed=0, replications=0),
            "replications is 0",
        ),
        (
            lambda: stationary_bootstrap_interval(GOOD_RETURNS, seed=0, block_length=0),
            "block_length is 0",
        ),
        (
            lambda: stationary_bootstrap_interval(
                GOOD_RETURNS, lambda data: math.nan, seed=0, replications=3
            ),
            "the statistic of the resamples",
        ),
        (
            lambda: stationary_bootstrap_rows(10, math.nan, np.random.default_rng(0)),
            "block_length is nan",
        ),
        (lambda: stationary_bootstrap_rows(0, 5.0, np.random.default_rng(0)), "length is 0"),
        (lambda: sharpe_ratio(np.array(NAN_RETURNS), 1.0), "not finite"),
        (lambda: sortino_ratio(np.array(NAN_RETURNS), 1.0), "not finite"),
        (lambda: sharpe_ratio(np.array(GOOD_RETURNS), -1.0), "bars_per_year is -1"),
    ],
)
def test_impossible_input_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
