"""Rank correlations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from worldmodel_trading.evaluation.ranks import rank_correlations


def test_they_are_spearmans_with_ties_too() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (2, 40, 25)).astype(np.float64)
    expected = [spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlations(first, second), expected, atol=1e-14)


def test_what_never_changes_agrees_with_nothing_and_the_same_order_wholly() -> None:
    values = np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [5.0, 5.0, 5.0]])
    others = np.array([[2.0, 3.0, 9.0], [9.0, 3.0, 2.0], [1.0, 2.0, 3.0]])
    assert rank_correlations(values, others) == pytest.approx([1.0, -1.0, 0.0])
    assert np.abs(rank_correlations(values, others)).max() <= 1.0
