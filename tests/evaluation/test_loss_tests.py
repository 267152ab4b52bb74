"""Comparing losses: known errors, known differences, known shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from worldmodel_trading.evaluation.loss_tests import (
    diebold_mariano,
    long_run_variance,
    model_confidence_set,
    var_test,
)
from worldmodel_trading.market.errors import ConfigError


def autoregression(coefficient: float, bars: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(bars)
    values = np.empty(bars)
    values[0] = noise[0]
    for t in range(1, bars):
        values[t] = coefficient * values[t - 1] + noise[t]
    return values


def test_long_run_variance_by_hand() -> None:
    # Mean 0; squares sum to 20, products at lag 1 to 4·(1)(−1) ... = −19, weight 1 − 1/2.
    values = np.tile([1.0, -1.0], 10)
    assert long_run_variance(values, 1) == pytest.approx((20 + 2 * 0.5 * -19) / 20)
    assert long_run_variance(values, 0) == pytest.approx(1.0)


def test_long_run_variance_of_an_autoregression() -> None:
    # An AR(1) with coefficient φ has the long-run variance 1/(1 − φ)²: 4 for φ = 0.5.
    assert long_run_variance(autoregression(0.5, 200_000, 0), 100) == pytest.approx(4.0, rel=0.1)


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    inside = []
    for seed in range(200):
        difference = 0.1 + autoregression(0.7, 3_000, seed)
        found = diebold_mariano(difference, np.zeros(3_000), lags=60)
        inside.append(found.low <= 0.1 <= found.high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.05)  # three standard errors


def test_sign_and_certainty() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.standard_normal(2_000), 0.5 + rng.standard_normal(2_000)
    found = diebold_mariano(good, bad)
    assert found.high < 0.0
    assert found.p_value < 1e-6
    assert diebold_mariano(bad, good).value == pytest.approx(-found.value)
    same = diebold_mariano(good, good)
    assert (same.value, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert diebold_mariano(good + 1.0, good).p_value < 1e-9


def test_the_confidence_set_drops_the_worst_and_keeps_equals() -> None:
    rng = np.random.default_rng(1)
    shared = rng.standard_normal(1_500)
    losses = {
        "best": shared + 0.1 * rng.standard_normal(1_500),
        "equal": shared + 0.1 * rng.standard_normal(1_500),
        "worse": shared + 0.2 + 0.1 * rng.standard_normal(1_500),
    }
    values = model_confidence_set(losses, seed=0, block_bars=20, replications=300)
    assert values["worse"] < 0.1
    assert min(values["best"], values["equal"]) >= 0.1
    assert model_confidence_set(losses, seed=0, block_bars=20, replications=300) == values


def test_kupiec_by_hand() -> None:
    # 10 of 100 where 5% were promised: 2·(10·ln 2 + 90·ln(0.90/0.95)) = 4.131.
    hits = np.zeros(100, dtype=bool)
    hits[5::10] = True
    found = var_test(hits, 0.05)
    statistic = 2 * (10 * np.log(0.1 / 0.05) + 90 * np.log(0.9 / 0.95))
    assert found.kupiec_p == pytest.approx(chi2.sf(statistic, 1))
    assert found.share == 0.1


def test_christoffersen_hears_clusters() -> None:
    spread, clustered = np.zeros(2_000, dtype=bool), np.zeros(2_000, dtype=bool)
    rng = np.random.default_rng(0)
    spread[rng.choice(2_000, 100, replace=False)] = True
    clustered[500:600] = True
    assert var_test(spread, 0.05).christoffersen_p > 0.05
    assert var_test(clustered, 0.05).kupiec_p > 0.9
    assert var_test(clustered, 0.05).christoffersen_p < 1e-6


def test_no_hit_at_all_is_finite() -> None:
    found = var_test(np.zeros(1_000, dtype=bool), 0.01)
    # 2·1000·ln(1/0.99) = 20.1
    assert found.kupiec_p == pytest.approx(chi2.sf(2_000 * np.log(1 / 0.99), 1))
    assert np.isfinite(found.christoffersen_p)


def test_wrong_input_is_named() -> None:
    with pytest.raises(ConfigError, match="3 and 2 losses"):
        diebold_mariano(np.zeros(3), np.zeros(2))
    with pytest.raises(ConfigError, match="first losses"):
        diebold_mariano([np.nan, 1.0], [0.0, 1.0])
    with pytest.raises(ConfigError, match="1 forecasts"):
        model_confidence_set({"only": np.zeros(10)}, seed=0)
    with pytest.raises(ConfigError, match=r"level is 1\.5"):
        var_test(np.zeros(10, dtype=bool), 1.5)
