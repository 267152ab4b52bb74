"""Whatever a person gives for a time is read as that person means it, or refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError
from worldmodel_trading.market.funding import FundingRates
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.market.times import FIRST_MS, LAST_MS, format_time, numbers_to_ms, to_ms

HOUR = 3_600_000
START = 1_704_844_800_000  # 2024-01-10 00:00 UTC
SAME: list[Any] = [
    "2024-01-10",
    " 2024-01-10T00:00Z ",
    "20240110",
    "2024/1/10",
    "2024.01.10 00:00",
    "2024-01-10 0:00 UTC",
    "2024-01-10 12-AM",
    "2024-01-10T01:00+01:00",
    date(2024, 1, 10),
    datetime(2024, 1, 10),  # noqa: DTZ001 - naive times are UTC
    datetime(2024, 1, 10, 2, tzinfo=timezone(timedelta(hours=2))),
    np.datetime64("2024-01-10"),
    np.datetime64("2024-01-10T00:00", "ns"),
    np.array("2024-01-10", dtype="datetime64[s]"),
    pd.Timestamp("2024-01-10"),
    pd.Timestamp("2024-01-10 09:00", tz="Asia/Tokyo"),
    1_704_844_800,
    "1704844800",
    1_704_844_800.0,
    np.int32(1_704_844_800),
    START,
    str(START),
    float(START),
    np.int64(START),
    np.float64(START),
    np.array(START),
    START * 1_000,
    START * 1_000_000,
]


@pytest.mark.parametrize("given", SAME, ids=lambda given: f"{type(given).__name__} {given}")
def test_every_way_to_say_a_time_says_the_same(given: Any) -> None:
    assert to_ms(given) == START
    assert type(to_ms(given)) is int


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        (1_704_844_800.25, START + 250),
        ("1704844800.5", START + 500),
        (START + 1, START + 1),
        (START * 1_000 + 1_499, START + 1),
        (np.datetime64("2024-01-10T00:00:00.007"), START + 7),
        (pd.Timestamp(START * 1_000_000 + 3_000_000), START + 3),
        (
            datetime(1999, 12, 31, tzinfo=UTC),
            FIRST_MS - 24 * HOUR,
        ),  # what is written out may be early
        (FIRST_MS, FIRST_MS),
        (LAST_MS // 1000, LAST_MS),
    ],
)
def test_fractions_and_bounds(given: Any, ms: int) -> None:
    assert to_ms(given) == ms


@pytest.mark.parametrize(
    "given",
    [
        "yesterday",
        "",
        True,
        None,
        pd.NaT,
        np.datetime64("NaT"),
        float("nan"),
        float("inf"),
        10**400,
        time(12, 30),
        timedelta(days=1),
        np.array([START]),
        b"2024-01-10",
    ],
    ids=repr,
)
def test_what_is_no_time_is_refused(given: Any) -> None:
    with pytest.raises(CandleError, match=r"time is .*expected ISO 8601 text such as 2024-01-01"):
        to_ms(given)


@pytest.mark.parametrize(
    "given", [0, -1, 5, 20_240_110, 10**11, 10**30, "9" * 400, "123456789", 1e300]
)
def test_a_number_that_is_no_time_in_any_unit_is_refused(given: Any) -> None:
    with pytest.raises(CandleError, match=r"is not in 2000–2100 as seconds, milliseconds"):
        to_ms(given)


def test_one_unit_fits_a_number_at_most() -> None:
    for number in 10 ** np.linspace(0, 22, 2_000):
        fitting = [
            number / per_ms
            for per_ms in (1e-3, 1.0, 1e3, 1e6)
            if FIRST_MS * per_ms <= number <= LAST_MS * per_ms
        ]
        (in_ms,) = numbers_to_ms(np.array([number]))
        assert fitting == ([] if np.isnan(in_ms) else [in_ms])


def test_times_are_written_to_the_minute() -> None:
    assert format_time(START + 14 * HOUR) == "2024-01-10 14:00 UTC"


@pytest.mark.parametrize("given", [1_577_923_200, np.datetime64("2020-01-02"), date(2020, 1, 2)])
def test_candles_and_funding_are_cut_at_any_of_them(given: Any) -> None:
    candles: Candles = synthetic_candles(bars=72)
    assert candles.row_range(given) == (24, 72)
    assert candles.between(None, given).open_time_ms[-1] == candles.open_time_ms[23]
    rates = FundingRates(candles.open_time_ms[::8], np.full(9, 1e-4))
    assert len(rates.between(given)) == 6


def test_a_refused_range_is_written_out() -> None:
    candles, rates = synthetic_candles(bars=72), FundingRates(np.array([START]), np.array([1e-4]))
    with pytest.raises(CandleError, match=r"between 2024-01-10 00:00 UTC and the last: SYNTH has"):
        candles.between(1_704_844_800)
    with pytest.raises(ValueError, match=r"between the first and 2020-01-01 00:00 UTC"):
        rates.between(None, date(2020, 1, 1))
