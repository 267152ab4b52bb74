from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from worldmodel_trading.market.numerics import float32 as elementary


@pytest.mark.parametrize(
    ("function", "truth", "low", "high", "tolerance"),
    [
        (elementary.fast_log, np.log, 1e-30, 1e4, 3e-7),
        (elementary.fast_log, np.log, 0.9, 1.1, 3e-8),
        (elementary.fast_asinh, np.arcsinh, -300.0, 300.0, 4e-7),
        (elementary.fast_asinh, np.arcsinh, -0.01, 0.01, 2e-7),
    ],
)
def test_absolute_accuracy(
    function: Any, truth: Callable[[Any], Any], low: float, high: float, tolerance: float
) -> None:
    points = np.linspace(low, high, 4_001).astype(np.float32)
    found = np.array([function(x) for x in points])
    wanted = truth(points.astype(np.float64))
    scale = np.maximum(np.abs(wanted), 1.0)
    assert (np.abs(found - wanted) / scale).max() < tolerance


def test_exponential_relative_accuracy_and_edges() -> None:
    points = np.linspace(-87, 88, 4_001).astype(np.float32)
    found = np.array([elementary.fast_exp(x) for x in points], dtype=np.float64)
    assert np.abs(found / np.exp(points.astype(np.float64)) - 1).max() < 3e-7
    assert elementary.fast_exp(np.float32(-1e4)) == elementary.fast_exp(np.float32(-87))
    assert np.isfinite(elementary.fast_exp(np.float32(1e4)))


def test_noise_is_uniform_and_normal() -> None:
    bits = np.random.default_rng(1).bit_generator.random_raw(600_000).view(np.uint32)
    uniforms = np.empty(400_000, dtype=np.float32)
    normals = np.empty(800_000, dtype=np.float32)
    elementary.noise_from_bits(bits[None], uniforms[None], normals[None])
    assert uniforms.min() >= 0
    assert uniforms.max() < 1
    assert stats.kstest(uniforms[:100_000], "uniform").pvalue > 1e-3
    assert stats.kstest(normals[:100_000], "norm").pvalue > 1e-3
    assert normals.mean() == pytest.approx(0.0, abs=5e-3)
    assert normals.std() == pytest.approx(1.0, abs=5e-3)
    assert stats.kurtosis(normals) == pytest.approx(0.0, abs=0.03)
    first, second = np.split(normals, 2)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.0, abs=6e-3)


def test_the_worst_bits_give_finite_noise() -> None:
    bits = np.array([0, 2**32 - 1, 0, 2**32 - 1, 1, 0, 2**32 - 1, 2**31], dtype=np.uint32)
    uniforms, normals = np.empty(2, dtype=np.float32), np.empty(6, dtype=np.float32)
    elementary.noise_from_bits(bits[None], uniforms[None], normals[None])
    assert np.isfinite(normals).all()
    assert np.abs(normals).max() < 7.0
    assert (uniforms < 1).all()
