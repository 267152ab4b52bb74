"""The audit of a ranking tells what costs and exposure explain, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr

from worldmodel_trading.evaluation.comparison.audit import (
    audit_ranks,
    fisher_interval,
    partial_correlation,
)
from worldmodel_trading.market.errors import ConfigError

POLICIES = 200


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_ranking_by_costs_alone_adds_nothing(rng: np.random.Generator) -> None:
    cost, exposure = rng.exponential(size=POLICIES), rng.normal(size=POLICIES)
    noise = rng.normal(size=(2, POLICIES))
    promised, paid = -10 * cost + noise[0], -10 * cost + noise[1]
    audit = audit_ranks(promised, paid, [cost, exposure], {"minus cost": -cost})
    assert audit.spearman.value == pytest.approx(spearmanr(promised, paid).statistic)
    assert audit.spearman.value > 0.9
    assert audit.floors["minus cost"].value > 0.9
    assert audit.beyond.low < 0.0 < audit.beyond.high
    assert not audit.adds
    assert audit.strongest_floor == "minus cost"


def test_what_is_known_beyond_costs_and_exposure_is_found(rng: np.random.Generator) -> None:
    cost, exposure, skill = rng.normal(size=(3, POLICIES))
    promised = -3 * cost + exposure + skill
    paid = -3 * cost - exposure + skill  # the drift has turned
    audit = audit_ranks(promised, paid, [cost, exposure], {"minus cost": -cost})
    assert audit.beyond.low > 0.5
    assert audit.adds
    assert audit.to_dict()["adds"] is True


def test_with_nothing_held_fixed_it_is_the_rank_correlation(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 30))
    found = partial_correlation(rankdata(a), rankdata(b), [])
    assert found.value == pytest.approx(spearmanr(a, b).statistic)


def test_a_partial_correlation_is_that_of_residuals_of_three_columns(
    rng: np.random.Generator,
) -> None:
    a, b, c = rng.normal(size=(3, 50))
    a, b = a + c, b + c
    ab, ac, bc = (pearsonr(*pair).statistic for pair in ((a, b), (a, c), (b, c)))
    by_hand = (ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2))
    assert partial_correlation(a, b, [c]).value == pytest.approx(by_hand)


def test_fishers_interval_by_hand() -> None:
    # n = 103, nothing fixed: s = √((1 + ½·0.25) ÷ 100) = .106066; atanh .5 = .549306 ± .207885
    found = fisher_interval(0.5, 103)
    assert (found.low, found.high) == pytest.approx(
        (np.tanh(0.341421), np.tanh(0.757191)), abs=1e-5
    )
    assert fisher_interval(0.5, 103, 50).low < found.low


def test_it_covers_as_often_as_it_says(rng: np.random.Generator) -> None:
    held = 0
    for _ in range(400):
        a, b = rng.normal(size=(2, 60))
        found = partial_correlation(rankdata(a), rankdata(b), [rankdata(rng.normal(size=60))])
        held += found.low <= 0.0 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_regret_and_the_policy_that_decides_by_hand() -> None:
    promised = np.arange(10.0)
    paid = np.array([9.0, 1, 2, 3, 4, 5, 6, 7, 8, 0])
    audit = audit_ranks(promised, paid, [])
    assert audit.regret == {1: 9.0, 5: 1.0, 10: 0.0}
    rest = np.delete(np.arange(10), 0)
    without = spearmanr(promised[rest], paid[rest]).statistic - audit.spearman.value
    other = np.delete(np.arange(10), 9)
    last = spearmanr(promised[other], paid[other]).statistic - audit.spearman.value
    assert audit.dropped == pytest.approx(max(without, last))


def test_what_cannot_be_ranked_is_refused() -> None:
    scores = np.arange(10.0)
    with pytest.raises(ConfigError, match="there are 7 policies"):
        audit_ranks(scores[:7], scores[:7], [])
    with pytest.raises(ConfigError, match="promised has shape"):
        audit_ranks(scores[:9], scores, [])
    with pytest.raises(ConfigError, match="held fixed 0 has shape"):
        audit_ranks(scores, scores, [np.full(10, np.nan)])
