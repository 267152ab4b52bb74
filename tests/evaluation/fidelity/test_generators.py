import numpy as np
import pytest

from worldmodel_trading.evaluation.fidelity.generators import (
    comparison_dreams,
    garch_dreams,
    iid_bootstrap,
    stationary_bootstrap,
)
from worldmodel_trading.evaluation.fidelity.paths import Dreams
from worldmodel_trading.evaluation.fidelity.stylised import PathFacts, autocorrelation
from worldmodel_trading.evaluation.likelihood import fit_garch_process
from worldmodel_trading.market.errors import ConfigError


@pytest.fixture(scope="module")
def garch_returns():
    """GARCH(1,1)-t with σ = 1%: ω = 0.05, α = 0.1, β = 0.85 in percent², so ω/(1 - α - β) = 1."""
    rng = np.random.default_rng(0)
    noise = rng.standard_t(8.0, 20_000) * np.sqrt(6 / 8)
    variance, returns = 1.0, np.empty(20_000)
    for t in range(20_000):
        returns[t] = np.sqrt(variance) * noise[t]
        variance = 0.05 + 0.1 * returns[t] ** 2 + 0.85 * variance
    return returns / 100


def test_fit_recovers_the_process(garch_returns):
    fitted = fit_garch_process(100 * garch_returns).parameters
    assert fitted.alpha == pytest.approx(0.1, abs=0.02)
    assert fitted.beta == pytest.approx(0.85, abs=0.03)
    assert fitted.omega == pytest.approx(0.05, abs=0.02)
    assert fitted.degrees == pytest.approx(8.0, rel=0.2)


@pytest.mark.parametrize("skewed", [False, True])
def test_garch_dreams_have_the_record_s_facts(garch_returns, skewed):
    dreams = garch_dreams(garch_returns, 200, 500, np.random.default_rng(1), skewed)
    real, dreamed = (PathFacts(d).facts() for d in (Dreams(garch_returns.reshape(40, 500)), dreams))
    assert dreamed.sigma == pytest.approx(real.sigma, rel=0.05)
    assert dreamed.abs_acf[:10] == pytest.approx(real.abs_acf[:10], abs=0.03)
    assert dreamed.hill_index == pytest.approx(real.hill_index, rel=0.2)


def test_skewness_is_fitted_and_drawn():
    rng = np.random.default_rng(2)
    gamma = rng.gamma(4.0, size=5000)
    returns = -0.01 * (gamma - 4.0) / 2.0
    fitted = fit_garch_process(100 * returns, leverage=True, skewed=True)
    assert fitted.skewness < -0.2
    drawn = fitted.innovations((100, 1000), rng)
    assert drawn.mean() == pytest.approx(0.0, abs=0.02)
    assert drawn.std() == pytest.approx(1.0, abs=0.03)
    assert ((drawn - drawn.mean()) ** 3).mean() < -0.3


def test_iid_bootstrap_has_the_histogram_and_no_memory(garch_returns):
    dreams = iid_bootstrap(garch_returns, 50, 1000, np.random.default_rng(3))
    assert np.isin(dreams.log_return, garch_returns).all()
    assert dreams.log_return.std() == pytest.approx(garch_returns.std(), rel=0.03)
    assert abs(autocorrelation(np.abs(dreams.log_return), 1).mean()) < 0.02


def test_stationary_bootstrap_keeps_the_memory(garch_returns):
    dreams = stationary_bootstrap(garch_returns, 100, 1000, np.random.default_rng(4))
    real = autocorrelation(np.abs(garch_returns).reshape(20, 1000), 5).mean(axis=0)
    assert autocorrelation(np.abs(dreams.log_return), 5).mean(axis=0) == pytest.approx(
        real, abs=0.03
    )


def test_all_of_them_repeat(garch_returns):
    known = np.concatenate([[np.nan], garch_returns[:3000]])
    first, again = (comparison_dreams(known, 4, 60, seed=5) for _ in range(2))
    assert list(first) == ["iid_bootstrap", "stationary_bootstrap", "garch_t", "gjr_garch_skew_t"]
    for name, dreams in first.items():
        assert dreams.log_return.shape == (4, 60)
        np.testing.assert_array_equal(dreams.log_return, again[name].log_return)


def test_too_few_returns_are_named():
    with pytest.raises(ConfigError, match="at least 1000"):
        comparison_dreams(np.zeros(10), 2, 5, seed=0)
