"""Tails of weighted paths, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from worldmodel_trading.evaluation.episodes import Episodes
from worldmodel_trading.evaluation.stress.losses import (
    measure_losses,
    tail_of,
    under_water,
    weighted_quantiles,
)


def test_the_tail_counts_a_path_on_its_edge_in_part() -> None:
    loss = np.array([0.1, 0.9, 0.5, 0.2])
    weights = np.array([[0.94, 0.02, 0.01, 0.03], [0.5, 0.5, 0.0, 0.0]])
    at_risk, shortfall = tail_of(loss, weights)
    # the worst 5% are 2% at 0.9, 1% at 0.5 and 2 of the 3% at 0.2; then 5% at 0.9
    assert at_risk.tolist() == [0.2, 0.9]
    assert shortfall == pytest.approx([(0.02 * 0.9 + 0.01 * 0.5 + 0.02 * 0.2) / 0.05, 0.9])


def test_quantiles_by_weight() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([0.25, 0.25, 0.5])
    found = weighted_quantiles(values, weights, np.array([0.1, 0.25, 0.5, 0.75, 0.9]))
    assert found.tolist() == [1.0, 1.0, 2.0, 2.0, 3.0]


def test_under_water_is_below_what_equity_once_was() -> None:
    equity = np.array([[1.0, 0.9, 1.0, 1.1, 1.0], [1.0, 1.0, 1.1, 1.2, 1.3]])
    assert under_water(equity).tolist() == [0.5, 0.0]


def test_losses_of_weighted_episodes() -> None:
    equity = np.array([[1.0, 0.5, 0.4], [1.0, 1.1, 1.2], [1.0, 0.2, 0.0]])
    nothing = np.zeros((3, 2))
    lived = Episodes(
        equity,
        np.zeros((3, 3)),
        *(nothing for _ in range(5)),
        terminated=np.array([False, False, True]),
    )
    weights, group = np.array([0.2, 0.7, 0.1]), np.array([0, 1, 1])
    found = measure_losses(lived, weights, group)
    assert found.mean.value == pytest.approx(0.2 * 0.6 - 0.7 * 0.2 + 0.1 * 1.0)
    assert found.liquidated.value == pytest.approx(0.1)
    assert found.value_at_risk.value == found.shortfall.value == 1.0
    assert (found.worst, found.worst_path) == (1.0, 2)
    assert found.drawdown.value == pytest.approx(0.2 * 0.6 + 0.1 * 1.0)
    # without the first group (-0.14 + 0.1) / 0.8 = -0.05, without the second 0.6: error √(½ · 2 · 0.325²) = 0.325
    assert found.mean.low == pytest.approx(0.08 - student.ppf(0.975, 1) * 0.325)
    assert found.mean.high == 1.0
