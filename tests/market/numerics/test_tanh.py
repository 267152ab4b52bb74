"""The vectorisable hyperbolic tangent against the C library's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.numerics.float32_tanh import tanh


def values_at(points: FloatArray) -> FloatArray:
    return np.array([tanh(x) for x in points.astype(np.float32)], dtype=np.float64)


def test_it_is_tanh_to_the_precision_of_float32() -> None:
    # 2.4e-7 where products and sums fuse into one rounding, 2.8e-7 where they do not
    points = np.linspace(-12.0, 12.0, 50_001)
    truth = np.tanh(points.astype(np.float32).astype(np.float64))
    assert np.abs(values_at(points) - truth).max() < 3e-7


@pytest.mark.parametrize("x", [0.0, 1e-30, 1e-12, -1e-5, 0.3, -2.0])
def test_small_values_keep_their_relative_precision(x: float) -> None:
    single = np.float32(x)
    assert tanh(single) == pytest.approx(math.tanh(single), rel=3e-7, abs=0.0)


@pytest.mark.parametrize(("x", "limit"), [(np.inf, 1.0), (-np.inf, -1.0), (1e30, 1.0)])
def test_it_saturates_at_one(x: float, limit: float) -> None:
    assert tanh(np.float32(x)) == pytest.approx(limit, rel=3e-7)


def test_it_never_leaves_the_action_space_and_is_odd() -> None:
    points = np.r_[np.random.default_rng(0).normal(0.0, 5.0, 20_000), np.linspace(6, 9, 20_000)]
    values = values_at(points)
    assert np.abs(values).max() <= 1.0
    assert values.tolist() == [-v for v in values_at(-points)]


def test_nan_stays_nan() -> None:
    assert math.isnan(tanh(np.float32(math.nan)))
