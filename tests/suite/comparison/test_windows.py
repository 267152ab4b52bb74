"""Windows that walk forward: nothing is tested on bars that anything has learned from."""

from __future__ import annotations

import numpy as np
import pytest
from skfolio.model_selection import WalkForward

from worldmodel_trading.comparison.windows import Gaps, Window, walk_forward
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError


def rows(candles: Candles, window: Window) -> list[tuple[int, int]]:
    return [candles.row_range(*ends) for ends in window.ranges().values()]


@pytest.mark.parametrize("rolling", [False, True])
def test_windows_by_hand(candles: Candles, rolling: bool) -> None:
    record = candles.rows(0, 1_000)
    windows = walk_forward(record, 2, 800, 100, Gaps(purge=10, embargo=5), rolling=rolling)
    first, second = (rows(record, window) for window in windows)
    # The test range begins a purge after 800; validation ends an embargo before it, training a purge
    # before that.
    assert first == [(0, 685), (695, 795), (810, 900)]
    # A rolling window is as long as the first: 685 bars.
    assert second == [(100 if rolling else 0, 785), (795, 895), (910, 1_000)]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_ranges_keep_their_distance_and_tests_cover_the_rest(candles: Candles, count: int) -> None:
    record, gaps = candles.rows(0, 2_000), Gaps(purge=24, embargo=6)
    windows = walk_forward(record, count, 1_300, 200, gaps)
    tested = np.zeros(len(record), dtype=int)
    for window in windows:
        train, validation, test = rows(record, window)
        assert validation[0] - train[1] == gaps.purge
        assert test[0] - validation[1] == gaps.purge + gaps.embargo
        tested[slice(*test)] += 1
    assert tested.max() == 1
    assert tested.sum() == 700 - count * gaps.purge
    assert len({window.name for window in windows}) == count


def test_windows_begin_where_another_library_s_do(candles: Candles) -> None:
    record, length, purge = candles.rows(0, 1_000), 50, 12
    windows = walk_forward(record, 4, 800, 100, Gaps(purge))
    other = WalkForward(
        test_size=length, train_size=800, expand_train=True, purged_size=purge, reduce_test=True
    )
    splits = list(other.split(np.zeros((len(record), 1))))
    assert len(splits) == len(windows)
    for (train, test), window in zip(splits, windows, strict=True):
        _, validation, ours = rows(record, window)
        assert validation[1] == train[-1] + 1  # what chooses is known before the test range, too
        assert ours[0] == test[0]


def test_windows_of_one_day_have_names_of_their_own(candles: Candles) -> None:
    windows = walk_forward(candles.rows(0, 1_000), 30, 900, 100, Gaps(purge=1))
    assert len({window.name for window in windows}) == 30


@pytest.mark.parametrize(
    ("count", "gaps", "named"),
    [(60, Gaps(purge=10), "the test range"), (2, Gaps(purge=700), "the training range")],
)
def test_windows_that_would_be_empty_are_refused(
    candles: Candles, count: int, gaps: Gaps, named: str
) -> None:
    with pytest.raises(ConfigError, match=rf"{count} windows.*{named}.*fewer windows"):
        walk_forward(candles.rows(0, 1_000), count, 800, 100, gaps)
