from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldmodel_trading.market.candles import Candles, Gap
from worldmodel_trading.market.errors import CandleError
from worldmodel_trading.market.intervals import interval_ms

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01 00:00 UTC


def columns(bars: int = 5) -> dict[str, Any]:
    close = 100.0 + np.arange(bars)
    return {
        "open_time_ms": START + HOUR * np.arange(bars),
        "open": close - 1,
        "high": close + 2,
        "low": close - 2,
        "close": close,
        "volume": np.ones(bars),
        "turnover": close.copy(),
    }


def spoiled(name: str, row: int, value: float) -> Candles:
    table = columns()
    table[name][row] = value
    return Candles(**table)


def test_a_record() -> None:
    candles = Candles(**columns(), symbol="BTCUSDT")
    assert len(candles) == 5
    assert repr(candles) == (
        "Candles(BTCUSDT 60, 5 bars, 2024-01-01 00:00 UTC – 2024-01-01 04:00 UTC)"
    )
    assert (candles.interval_ms, candles.bars_per_year) == (HOUR, 8_760)
    returns = candles.log_returns()
    assert np.isnan(returns[0])
    np.testing.assert_allclose(returns[1:], np.log([101 / 100, 102 / 101, 103 / 102, 104 / 103]))
    assert candles.gaps() == []


def test_the_numbers_cannot_be_changed() -> None:
    table = columns()
    candles = Candles(**table)
    with pytest.raises(ValueError, match="read-only"):
        candles.close[0] = 1.0
    table["close"][0] = 1.0  # the record is a copy
    assert candles.close[0] == 100.0


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("close", np.nan, "close is nan"),
        ("open", np.inf, "open is inf"),
        ("volume", np.nan, "volume is nan"),
        ("turnover", -np.inf, "turnover is -inf"),
        ("close", 0.0, r"close 0\.0 is not a positive price"),
        ("low", -1.0, r"low -1\.0 is not a positive price"),
        ("volume", -1.0, r"volume -1\.0 is negative"),
        ("turnover", -1.0, r"turnover -1\.0 is negative"),
        ("high", 101.5, r"high 101\.5 is below close 102\.0"),
        ("high", 99.0, r"high 99\.0 is below open 101\.0"),
        ("low", 101.5, r"low 101\.5 is above open 101\.0"),
        ("open_time_ms", START + HOUR, "repeats the time of the row before"),
        ("open_time_ms", START, r"is earlier than the row before \(2024-01-01 01:00 UTC\)"),
        ("open_time_ms", START + 2 * HOUR + 1, "is not on the grid of interval 60"),
    ],
)
def test_a_bad_row_is_named(name: str, value: float, what: str) -> None:
    with pytest.raises(CandleError, match=rf"candles row 2 \(2024-01-01 .* UTC\): .*{what}"):
        spoiled(name, 2, value)


def test_the_first_of_many_bad_rows() -> None:
    table = columns()
    table["close"][1:4] = np.nan
    with pytest.raises(CandleError, match=r"row 1 \(.*01:00 UTC\).*\(and 2 more such rows\)"):
        Candles(**table)


def test_seconds_taken_for_milliseconds() -> None:
    table = columns()
    table["open_time_ms"] = table["open_time_ms"] // 1000
    with pytest.raises(CandleError, match=r"row 0 .* outside 2000–2100: expected ms since 1970"):
        Candles(**table)


def test_columns_that_are_none() -> None:
    with pytest.raises(CandleError, match="expected at least one row"):
        Candles(**columns(0))
    with pytest.raises(CandleError, match="differ in length"):
        Candles(**{**columns(), "close": np.ones(4)})
    with pytest.raises(CandleError, match="must be numbers"):
        Candles(**{**columns(), "close": ["a"] * 5})
    with pytest.raises(CandleError, match=r"one-dimensional; got shape \(5, 1\)"):
        Candles(**{**columns(), "close": np.ones((5, 1))})
    with pytest.raises(CandleError, match="interval is '7'; expected one of 1, 3, 5"):
        Candles(**columns(), interval="7")


def test_weekly_bars_open_on_mondays() -> None:
    monday = np.array([START, START + 7 * 24 * HOUR])
    ones = np.ones(2)
    weekly = (ones, ones, ones, ones, ones, ones)
    assert Candles(monday, *weekly, interval="W").gaps() == []
    with pytest.raises(CandleError, match="grid of interval W"):
        Candles(monday + 24 * HOUR, *weekly, interval="W")


def test_gaps_and_segments() -> None:
    table = {name: np.delete(column, [2, 5, 6, 7]) for name, column in columns(10).items()}
    candles = Candles(**table)
    assert candles.gaps() == [
        Gap(2, 1, START + HOUR, START + 3 * HOUR),
        Gap(4, 3, START + 4 * HOUR, START + 8 * HOUR),
    ]
    assert list(candles.segments()) == [(0, 2), (2, 4), (4, 6)]


def test_ranges_of_time() -> None:
    candles = Candles(**columns())
    assert candles.row_range("2024-01-01T01:00", "2024-01-01T03:00") == (1, 3)
    assert len(candles.between(start="2024-01-01T00:30")) == 4
    assert len(candles.between()) == 5
    with pytest.raises(CandleError, match="no candles between 2025-01-01 00:00 UTC and the last"):
        candles.between("2025-01-01")


def test_an_interval_has_a_length() -> None:
    assert interval_ms("D") == 24 * HOUR


def test_the_hash_is_of_every_number() -> None:
    first = Candles(**columns(), symbol="BTCUSDT")
    assert first.data_hash() == Candles(**columns(), symbol="BTCUSDT").data_hash()
    hashes = {first.data_hash(), Candles(**columns(), symbol="ETHUSDT").data_hash()}
    for name in ("open", "high", "low", "close", "volume", "turnover"):
        table = columns()
        table[name][3] = np.nextafter(table[name][3], np.inf)
        hashes.add(Candles(**table, symbol="BTCUSDT").data_hash())
    assert len(hashes) == 8
