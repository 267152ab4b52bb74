"""Arrays that are handed to compiled code by their places."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from worldmodel_trading.market.numerics.compiled import compiled
from worldmodel_trading.market.numerics.handed import Handed, row_at, rows_at


@compiled
def add_row(places: np.ndarray) -> None:
    rows, row = rows_at(places, 0, np.float32), row_at(places, 1, np.int64)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            rows[i, j] += row[j]


def test_compiled_code_reads_and_writes_the_arrays_themselves() -> None:
    rows, row = np.zeros((2, 3), np.float32), np.arange(3)
    handed = Handed(rows, row)
    assert handed.places[:, 1:].tolist() == [[2, 3], [1, 3]]
    add_row(handed.places)
    np.testing.assert_array_equal(rows, [[0, 1, 2], [0, 1, 2]])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_says_where_its_own_arrays_lie(copied: Callable[..., object]) -> None:
    rows = np.zeros((2, 3), np.float32)
    other_rows, other = copied((rows, Handed(rows, np.ones(3, np.int64))))
    add_row(other.places)
    assert (other_rows == 1.0).all()
    assert (rows == 0.0).all()


def test_what_does_not_lie_together_is_refused() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        Handed(np.zeros((4, 4))[:, ::2])
