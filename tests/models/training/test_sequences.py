import numpy as np
import pytest

from worldmodel_trading.market.errors import TrainingError
from worldmodel_trading.models.training.sequences import chunk_starts


def test_chunks_never_cross_a_gap():
    rng = np.random.default_rng(0)
    for _ in range(50):
        starts = chunk_starts(((10, 80), (90, 195)), 20, 15, rng)
        inside = [(s >= 10 and s + 20 < 80) or (s >= 90 and s + 20 < 195) for s in starts]
        assert all(inside)


def test_chunks_meet_every_bar_as_a_target_in_time():
    rng, met = np.random.default_rng(0), set()
    for _ in range(200):
        for start in chunk_starts(((5, 60),), 20, 15, rng):
            met.update(range(start + 1, start + 21))
    assert met == set(range(6, 60))


def test_chunks_are_shuffled_and_repeat_with_the_seed():
    runs = ((0, 1000),)
    first = chunk_starts(runs, 20, 15, np.random.default_rng(1))
    assert np.array_equal(first, chunk_starts(runs, 20, 15, np.random.default_rng(1)))
    assert not np.array_equal(first, np.sort(first))


def test_a_run_of_exactly_one_chunk_is_enough_and_one_less_is_not():
    assert chunk_starts(((7, 28),), 20, 15, np.random.default_rng(0)).tolist() == [7]
    with pytest.raises(TrainingError, match="longest stretch of complete bars is 20"):
        chunk_starts(((7, 27),), 20, 15, np.random.default_rng(0))
