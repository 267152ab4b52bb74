"""The vectorisable hyperbolic tangent against the C library's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldmodel_trading.market.tanh import tanh


def test_it_is_tanh_to_rounding() -> None:
    for x in np.linspace(-25.0, 25.0, 50_001):
        assert abs(tanh(x) - math.tanh(x)) < 5e-16


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-12, -1e-5, 0.3])
def test_small_values_keep_their_relative_precision(x: float) -> None:
    assert tanh(x) == pytest.approx(math.tanh(x), rel=5e-16, abs=0.0)


@pytest.mark.parametrize(("x", "limit"), [(np.inf, 1.0), (-np.inf, -1.0), (1e30, 1.0)])
def test_it_saturates_at_one(x: float, limit: float) -> None:
    assert tanh(x) == pytest.approx(limit, rel=3e-16)


def test_it_never_leaves_the_action_space_and_is_odd() -> None:
    x = np.random.default_rng(0).normal(0.0, 10.0, 20_000)
    values = np.array([tanh(v) for v in x])
    assert np.abs(values).max() <= 1.0
    assert values.tolist() == [-tanh(-v) for v in x]


def test_nan_stays_nan() -> None:
    assert math.isnan(tanh(math.nan))
