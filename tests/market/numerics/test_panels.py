"""Layers of panels against float64, and against themselves in whatever company they are computed."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.market.numerics.panels import add_layer, padded, panels
from worldmodel_trading.market.numerics.products import add_product, aligned

SHAPES = [
    (1, 1, 1),
    (1, 50, 128),
    (2, 58, 96),
    (5, 3, 40),
    (6, 7, 16),
    (13, 76, 47),
    (48, 135, 32),
    (60, 67, 15),
]


def operands(rows: int, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows + inputs + outputs)
    sizes = ((rows, inputs), (inputs, outputs), (outputs,))
    left, kernel, bias = (rng.normal(size=size).astype(np.float32) for size in sizes)
    return left, kernel, bias


def computed(left: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The layer [N, J], its weights among others'."""
    weights = np.concatenate([np.full(37, np.nan, np.float32), panels(kernel, bias)])
    out = aligned(len(left), padded(kernel.shape[1]))
    add_layer(left, weights, 37, out)
    assert (out[:, kernel.shape[1] :] == 0.0).all()
    return out[:, : kernel.shape[1]]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_layer(shape: tuple[int, int, int]) -> None:
    left, kernel, bias = operands(*shape)
    wide = left.astype(np.float64), kernel.astype(np.float64)
    exact = wide[0] @ wide[1] + bias
    scale = np.abs(wide[0]) @ np.abs(wide[1]) + np.abs(bias)
    error = np.abs(computed(left, kernel, bias) - exact)
    assert (error <= (shape[1] + 1) * 2.0**-24 * scale).all()  # a rounding for each sum


@pytest.mark.parametrize("shape", SHAPES)
def test_each_row_is_its_own_sum_in_order_from_the_bias_on(shape: tuple[int, int, int]) -> None:
    left, kernel, bias = operands(*shape)
    together = computed(left, kernel, bias)
    for row, found in zip(left, together, strict=True):
        expected = bias.copy()
        add_product(row, kernel, expected)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(computed(row[np.newaxis], kernel, bias)[0], expected)


def test_rows_may_lie_apart() -> None:
    left, kernel, bias = operands(20, 30, 16)
    wide = np.zeros((20, 50), np.float32)
    wide[:, 7:37] = left
    np.testing.assert_array_equal(
        computed(wide[:, 7:37], kernel, bias), computed(left, kernel, bias)
    )
