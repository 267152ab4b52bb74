"""Our measures beside those of `finval`, where both define the same thing."""

from __future__ import annotations

import numpy as np
import pytest
from dreamed_paths import some_paths

from worldmodel_trading.evaluation.fidelity.copies import nearest
from worldmodel_trading.evaluation.fidelity.paths import Dreams
from worldmodel_trading.evaluation.fidelity.starts import PERSISTENCE, Response
from worldmodel_trading.evaluation.fidelity.stylised import (
    FAR_LAG,
    HORIZONS,
    PathFacts,
    hill_index,
    leverage_effect,
)
from worldmodel_trading.evaluation.horizons import ensemble_crps

pytest.importorskip("finval", reason="finval, an oracle of these tests, is not installed")

from finval.metrics.calibration import compute_crps
from finval.metrics.conditional import conditional_sensitivity
from finval.metrics.paths import compute_memorization
from finval.metrics.stylized import compute_aggregational_gaussianity, compute_hill_tail_index
from finval.metrics.temporal import (
    compute_acf_returns,
    compute_leverage_effect,
    compute_volatility_clustering,
)


@pytest.fixture(scope="module")
def sides() -> tuple[Dreams, Dreams]:
    """Paths with fatter tails, and the record that they are compared with."""
    return some_paths(seed=1, degrees=3.5), some_paths(seed=0)


@pytest.fixture(scope="module")
def arrays(sides) -> list[np.ndarray]:
    """The same as finval reads them [N, T, 1]."""
    return [paths.log_return[..., None] for paths in sides]


@pytest.fixture(scope="module")
def facts(sides):
    return [PathFacts(paths).facts() for paths in sides]


def test_kurtosis_of_sums(facts, arrays) -> None:
    dreamed, real = facts
    apart = [abs(dreamed.excess_kurtosis[h] - real.excess_kurtosis[h]) for h in HORIZONS]
    found = compute_aggregational_gaussianity(*arrays, taus=HORIZONS)
    assert np.mean(apart) == pytest.approx(found.value)


def test_memory_of_volatility(facts, arrays) -> None:
    # finval squares what it is given: of the roots of |r| it measures |r|, as we do.
    roots = [np.sqrt(np.abs(each)) for each in arrays]
    dreamed, real = facts
    near = compute_volatility_clustering(*roots, lags=tuple(range(1, len(real.abs_acf) + 1)))
    assert np.abs(dreamed.abs_acf - real.abs_acf).mean() == pytest.approx(near.value)
    far = compute_volatility_clustering(*roots, lags=(FAR_LAG,))
    assert abs(dreamed.abs_acf_168 - real.abs_acf_168) == pytest.approx(far.value)


def test_memory_of_returns(facts, arrays) -> None:
    dreamed, real = facts
    found = compute_acf_returns(*arrays, lags=(1,))
    assert abs(dreamed.return_acf_1 - real.return_acf_1) == pytest.approx(found.value)


def test_leverage() -> None:
    # Falls that excite; against a record that stands still, finval's difference is the effect itself.
    rng = np.random.default_rng(3)
    shocks = rng.standard_normal((30, 720))
    returns = shocks * np.where(np.roll(shocks, 1, axis=1) < 0, 2.0, 1.0)
    found = compute_leverage_effect(returns[..., None], np.zeros((30, 720, 1)), lags=(1,))
    ours = float(leverage_effect(returns, 1).mean())
    assert ours < -0.2
    # finval takes moments of the bars that have a partner, we of all of them.
    assert -ours == pytest.approx(found.value, abs=0.002)


def test_tail_index(sides) -> None:
    # finval looks at either tail alone: of returns and their mirror image both are those of |r|.
    share = 0.01
    mirrored = [np.concatenate([r, -r])[:, None] for r in (p.log_return.ravel() for p in sides)]
    found = compute_hill_tail_index(*mirrored, tail_frac=share / 2)
    ours = [1 / hill_index(paths.log_return, share) for paths in sides]
    assert abs(ours[0] - ours[1]) == pytest.approx(found.value)


def test_distances_to_the_nearest_window() -> None:
    rng = np.random.default_rng(4)
    trained, unseen = rng.standard_t(4, (2, 60, 48))
    drawn = np.concatenate([unseen[:30], trained[:30] + 0.01 * rng.standard_normal((30, 48))])
    found = compute_memorization(drawn[..., None], trained[..., None]).metadata
    scaled = [each / trained.std() for each in (drawn, trained)]
    ours = float(np.median(nearest(*scaled)))
    assert ours == pytest.approx(found["median_synth_to_real"])
    assert found["near_duplicate_fraction"] >= 0.5  # the copies, whoever counts them


def test_crps_of_ensembles() -> None:
    rng = np.random.default_rng(5)
    members, outcomes = rng.standard_normal((80, 25)), 2 * rng.standard_normal(80)
    found = compute_crps(members[..., None], outcomes[:, None])
    assert ensemble_crps(members, outcomes).mean() / outcomes.std() == pytest.approx(found.value)


@pytest.mark.parametrize(
    ("scale", "verdict"),
    [(1.0, "regime-sensitive"), (0.0, "climatology"), (2.0, "over-reactive")],
)
def test_dreams_that_follow_their_start(scale: float, verdict: str) -> None:
    # Forecasts move with the start by a scale, 1 is the truth; finval's regimes are fifths of starts.
    rng = np.random.default_rng(6)
    start = rng.standard_normal(600)
    came = start + 0.5 * rng.standard_normal(600)
    members = scale * start[:, None] + 0.5 * rng.standard_normal((600, 40))
    fifths = np.searchsorted(np.quantile(start, [0.2, 0.4, 0.6, 0.8]), start)
    theirs = conditional_sensitivity(members[..., None], came[:, None], fifths)
    forecasts = {"world_model": members.mean(axis=1), PERSISTENCE: start}
    ours = Response.of(forecasts, came, np.random.default_rng(0)).spread
    assert verdict in theirs.interpretation
    assert ours.value == pytest.approx(scale, abs=0.1)
    assert (theirs.metadata["ratio"] < 0.5) == (ours.high < 0.5)
    assert (theirs.metadata["ratio"] > 2.0) == (ours.low > 1.5)
