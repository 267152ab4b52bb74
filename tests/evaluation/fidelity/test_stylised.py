import numpy as np
import pytest
import scipy.stats
from dreamed_paths import NAMES, some_paths

from worldmodel_trading.evaluation.fidelity.paths import Dreams
from worldmodel_trading.evaluation.fidelity.stylised import (
    PathFacts,
    autocorrelation,
    hill_index,
    leverage_effect,
    volatility_cone,
)


@pytest.mark.parametrize("alpha", [2.0, 3.0, 4.0])
def test_hill_of_pareto_samples(alpha):
    rng = np.random.default_rng(1)
    sample = (1 + rng.pareto(alpha, 400_000)) * rng.choice([-1, 1], 400_000)
    assert hill_index(sample) == pytest.approx(alpha, rel=0.05)
    assert PathFacts(Dreams(sample.reshape(400, 1000))).facts().hill_index == pytest.approx(
        hill_index(sample), rel=1e-3
    )


def test_kurtosis_of_known_distributions():
    rng = np.random.default_rng(2)
    normal = PathFacts(Dreams(rng.standard_normal((100, 1680)))).facts()
    assert normal.excess_kurtosis[1] == pytest.approx(0.0, abs=0.05)
    assert normal.sigma == pytest.approx(1.0, abs=0.01)
    laplace = PathFacts(Dreams(rng.laplace(size=(400, 1680)))).facts()
    # A Laplace variable has excess kurtosis 3, the sum of n independent ones 3/n.
    assert laplace.excess_kurtosis[1] == pytest.approx(3.0, abs=0.15)
    assert laplace.excess_kurtosis[4] == pytest.approx(0.75, abs=0.15)
    assert laplace.excess_kurtosis[168] == pytest.approx(0.0, abs=0.15)


def test_moments_equal_scipy():
    dreams = some_paths()
    facts = PathFacts(dreams).facts()
    returns = dreams.log_return
    assert facts.sigma == pytest.approx(returns.std())
    assert facts.excess_kurtosis[1] == pytest.approx(scipy.stats.kurtosis(returns, axis=None))
    sums = returns.reshape(40, 30, 24).sum(axis=2)
    assert facts.excess_kurtosis[24] == pytest.approx(scipy.stats.kurtosis(sums, axis=None))


def test_autocorrelation_of_an_ar_process():
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((20, 5000))
    path = np.zeros((20, 5000))
    for t in range(1, 5000):
        path[:, t] = 0.8 * path[:, t - 1] + noise[:, t]
    measured = autocorrelation(path, 5).mean(axis=0)
    assert measured == pytest.approx(0.8 ** np.arange(1, 6), abs=0.02)
    assert autocorrelation(np.ones((2, 50)), 3).tolist() == [[0.0] * 3] * 2


def test_what_is_remembered_for_a_week_needs_two():
    week = np.where(np.arange(336) % 168 < 84, 1.0, 3.0)  # |r| repeats after 168 bars
    paths = np.random.default_rng(4).choice([-1.0, 1.0], (6, 336)) * week
    # Of the 336 terms of the variance 168 have a partner, each as far from the mean as itself.
    assert PathFacts(Dreams(paths)).facts().abs_acf_168 == pytest.approx(0.5)
    assert PathFacts(Dreams(paths[:, :335])).facts().abs_acf_168 is None


def test_ranks_equal_spearman():
    dreams = some_paths()
    expected = scipy.stats.spearmanr(
        np.abs(dreams.log_return).ravel(), dreams.features[..., 2].ravel()
    ).statistic
    assert PathFacts(dreams, NAMES).facts().volume_rank == pytest.approx(expected, abs=1e-9)


def test_falls_that_excite_are_negative():
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((50, 2000))
    volatility, returns = np.ones(50), np.empty((50, 2000))
    for t in range(2000):
        returns[:, t] = volatility * noise[:, t]
        volatility = np.clip(0.9 * volatility + 0.1 - 0.15 * returns[:, t], 0.3, 5)
    assert leverage_effect(returns).mean() < -0.05
    assert abs(leverage_effect(noise).mean()) < 0.005


def test_weights_are_repeated_paths():
    dreams = some_paths(num=12)
    counts = np.array([0, 2, 1, 0, 3, 1, 1, 0, 1, 1, 1, 1])
    whole = PathFacts(dreams, NAMES)
    repeated = PathFacts(dreams.lanes(np.repeat(np.arange(12), counts)), NAMES, whole.decile_edges)
    ours, theirs = whole.facts(counts.astype(float)), repeated.facts()
    assert ours.sigma == pytest.approx(theirs.sigma)
    assert ours.excess_kurtosis == pytest.approx(theirs.excess_kurtosis)
    assert ours.abs_acf == pytest.approx(theirs.abs_acf)
    assert ours.hill_index == pytest.approx(theirs.hill_index, rel=0.02)
    assert ours.range_by_return == pytest.approx(theirs.range_by_return)
    assert ours.leverage == pytest.approx(theirs.leverage)


def test_short_paths_leave_out_what_they_cannot_have():
    facts = PathFacts(some_paths(bars=24), NAMES).facts()
    assert facts.abs_acf is None
    assert facts.leverage is None
    assert set(facts.excess_kurtosis) == {1, 4, 24}


def test_a_resample_without_the_largest_has_no_tail_index():
    """Two large returns lie in a path of weight 0; the next, of weight 30, are 1% at once."""
    returns = np.full((2, 48), 0.001)
    returns[0, :2] = 0.1
    facts = PathFacts(Dreams(returns)).facts(np.array([0.0, 30.0]))
    assert facts.hill_index == 0.0
    assert facts.sigma == pytest.approx(0.0)


def test_constant_paths_are_finite():
    facts = PathFacts(Dreams(np.zeros((3, 200)))).facts()
    assert (facts.sigma, facts.hill_index, facts.excess_kurtosis[1]) == (0.0, 0.0, 0.0)


def test_cone_of_constant_volatility_closes():
    returns = 0.02 * np.random.default_rng(5).standard_normal((50, 1000))
    cone = volatility_cone(returns, (10, 100, 500))
    assert cone[:, 1] == pytest.approx(0.02, rel=0.05)
    widths = cone[:, 2] - cone[:, 0]
    assert widths[0] > 2 * widths[1] > 2 * widths[2]
