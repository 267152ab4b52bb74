"""The calendar of a bar against the tables of the world's time zones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from worldmodel_trading.market.clock import CALENDAR_CELLS, SUMMER_TIME, calendar_cells
from worldmodel_trading.market.times import to_ms

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
PLACES = 48


def times(first: str, last: str, step: str) -> pd.DatetimeIndex:
    return pd.date_range(first, last, freq=step, tz="UTC", inclusive="left")


def milliseconds(index: pd.DatetimeIndex) -> np.ndarray:
    return index.as_unit("ms").asi8


def test_the_hour_in_new_york_is_that_of_the_time_zone_table() -> None:
    index = times("2015-01-01", "2031-01-01", "h")
    cells = calendar_cells(milliseconds(index), "60")
    there = index.tz_convert("America/New_York")
    np.testing.assert_array_equal(cells[:, 1] - PLACES, there.hour)
    np.testing.assert_array_equal(cells[:, 0], index.hour + 24 * (index.day_of_week >= 5))
    assert cells.min() == 0
    assert cells.max() == CALENDAR_CELLS - 1


@pytest.mark.parametrize(
    ("change", "hours"),
    [("2024-03-10 07:00", (1, 3)), ("2024-11-03 06:00", (1, 1))],
    ids=["summer begins", "summer ends"],
)
def test_summer_time_changes_to_the_minute(change: str, hours: tuple[int, int]) -> None:
    instant = to_ms(change)
    assert instant in SUMMER_TIME
    around = instant + np.array([-60_000, 0])
    assert tuple(calendar_cells(around, "1")[:, 1] - PLACES) == hours


@pytest.mark.parametrize("interval", ["1", "15", "240", "720"])
def test_a_bar_s_cells_are_those_of_the_hour_that_it_opens_in(interval: str) -> None:
    index = times("2022-03-01", "2022-04-01", "7min")
    opened = milliseconds(index)
    np.testing.assert_array_equal(
        calendar_cells(opened, interval), calendar_cells(opened // HOUR_MS * HOUR_MS, "60")
    )


def test_bars_of_a_day_know_the_weekday_and_longer_ones_nothing() -> None:
    index = times("2021-01-01", "2021-03-01", "D")
    daily, weekly = (calendar_cells(milliseconds(index), interval) for interval in ("D", "W"))
    np.testing.assert_array_equal(daily[:, 0], index.day_of_week)
    assert set(daily[:, 1].tolist()) == {PLACES}
    assert set(map(tuple, weekly.tolist())) == {(0, PLACES)}


def test_cells_keep_the_shape_of_the_times() -> None:
    opened = to_ms("2024-01-01") + DAY_MS * np.arange(12).reshape(3, 4)
    cells = calendar_cells(opened, "60")
    assert cells.shape == (3, 4, 2)
    np.testing.assert_array_equal(cells[1, 2], calendar_cells(opened[1, 2], "60"))
