"""Products against float64, and against themselves wherever and in whatever company they are made."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.market.numerics.products import add_product, aligned, product

SHAPES = [
    (1, 1, 1),
    (1, 76, 256),
    (2, 3, 40),
    (5, 8, 16),
    (6, 7, 16),
    (7, 64, 17),
    (13, 76, 47),
    (47, 72, 16),
    (64, 5, 15),
    (130, 33, 35),  # columns are packed from 128 rows on
    (300, 292, 100),
]


def operands(rows: int, inner: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows + inner + columns)
    left, right = rng.normal(size=(rows, inner)), rng.normal(size=(inner, columns))
    return left.astype(np.float32), right.astype(np.float32)


def multiplied(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    out = np.full((len(left), right.shape[1]), np.nan, dtype=np.float32)
    product(left, right, out)
    return out


def moved(values: np.ndarray, numbers: int) -> np.ndarray:
    """The same array, so many numbers of float32 beyond a cache line."""
    memory = aligned(values.size + numbers)
    copy = memory[numbers:].reshape(values.shape)
    copy[:] = values
    return copy


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_product(shape: tuple[int, int, int]) -> None:
    left, right = operands(*shape)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    scale = np.abs(left).astype(np.float64) @ np.abs(right).astype(np.float64)
    error = np.abs(multiplied(left, right) - exact)
    assert (error <= shape[1] * 2.0**-24 * scale).all()  # a rounding for each sum


@pytest.mark.parametrize("shape", SHAPES)
def test_each_row_is_its_own_sum_in_order(shape: tuple[int, int, int]) -> None:
    left, right = operands(*shape)
    for row, found in zip(left, multiplied(left, right), strict=True):
        expected = np.zeros(right.shape[1], dtype=np.float32)
        add_product(row, right, expected)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_its_bits_do_not_depend_on_where_the_arrays_lie(shape: tuple[int, int, int]) -> None:
    left, right = operands(*shape)
    expected = multiplied(left, right)
    for numbers in (1, 3, 4, 9, 15):
        out = moved(np.zeros_like(expected), (numbers * 7) % 16)
        product(moved(left, numbers), moved(right, (numbers * 5) % 16), out)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_nor_on_the_rows_and_columns_beside_them(shape: tuple[int, int, int]) -> None:
    left, right = operands(*shape)
    expected = multiplied(left, right)
    order = np.random.default_rng(0).permutation(len(left))
    np.testing.assert_array_equal(multiplied(left[order], right), expected[order])
    for count in {1, 2, len(left) // 2, len(left) - 1} - {0}:
        np.testing.assert_array_equal(multiplied(left[:count], right), expected[:count])
    half = max(1, shape[2] // 2)
    some = np.ascontiguousarray(right[:, :half])
    np.testing.assert_array_equal(multiplied(left, some), expected[:, :half])
    # the other way round: what was a row is a column
    turned = multiplied(np.ascontiguousarray(right.T), np.ascontiguousarray(left.T))
    np.testing.assert_array_equal(turned.T, expected)


def test_rows_may_lie_apart() -> None:
    left, right = operands(20, 12, 40)
    wide_left, wide_right = np.zeros((20, 30), np.float32), np.zeros((12, 50), np.float32)
    wide_left[:, 5:17], wide_right[:, 3:43] = left, right
    out = np.zeros((20, 60), dtype=np.float32)
    product(wide_left[:, 5:17], wide_right[:, 3:43], out[:, 10:50])
    np.testing.assert_array_equal(out[:, 10:50], multiplied(left, right))
    assert not out[:, :10].any()
    assert not out[:, 50:].any()


@pytest.mark.parametrize("which", ["right", "out"])
def test_the_numbers_of_a_row_may_not(which: str) -> None:
    left, right = operands(20, 12, 40)
    out = np.zeros((20, 40), dtype=np.float32)
    if which == "right":
        right = np.asfortranarray(right)
    else:
        out = np.asfortranarray(out)
    with pytest.raises(ValueError, match="side by side"):
        product(left, right, out)


def test_what_is_not_a_number_stays_in_its_row() -> None:
    left, right = operands(20, 12, 40)
    expected = multiplied(left, right)
    left[3, 5] = np.nan
    found = multiplied(left, right)
    assert np.isnan(found[3]).all()
    np.testing.assert_array_equal(np.delete(found, 3, axis=0), np.delete(expected, 3, axis=0))


def test_aligned_arrays_begin_at_a_cache_line() -> None:
    for shape in ((1,), (3, 5), (2, 3, 7)):
        values = aligned(*shape)
        assert values.shape == shape
        assert values.ctypes.data % 64 == 0
        assert not values.any()
