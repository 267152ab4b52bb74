import numpy as np

from worldmodel_trading.market.arrays import chunks, spread, thinned


def test_rows_are_spread_evenly_and_go_round_again():
    assert spread(3, 11).tolist() == [0, 5, 10]
    assert spread(5, 2).tolist() == [0, 1, 0, 1, 0]


def test_rows_come_in_chunks_that_leave_none_out():
    assert list(chunks(3, 11, 4)) == [slice(3, 7), slice(7, 11)]
    assert list(chunks(3, 12, 4))[-1] == slice(11, 12)
    assert list(chunks(5, 5)) == []


def test_rows_are_thinned_evenly():
    chosen = np.array([False, True, True, True, False, True, True])
    assert np.flatnonzero(thinned(chosen, 3)).tolist() == [1, 3, 6]
    np.testing.assert_array_equal(thinned(chosen, 5), chosen)
    assert not thinned(np.zeros(4, dtype=bool), 3).any()
