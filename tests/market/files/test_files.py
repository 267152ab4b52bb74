"""Candles in and out of CSV, Parquet and pandas."""

from __future__ import annotations

import gzip
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError, OutputError
from worldmodel_trading.market.files.columns import infer_interval
from worldmodel_trading.market.files.export import (
    guess_symbol,
    read_candles,
    to_frame,
    write_candles,
)
from worldmodel_trading.market.synthetic import synthetic_candles

COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
THREE_BARS = """\
{header}
1704067200000,100,102,99,101,2,202,01.01.2024 00:00
1704070800000,101,101,97,98,4,396,01.01.2024 01:00
1704074400000,98,99,98,98.5,1,98.25,01.01.2024 02:00
"""


@pytest.fixture(scope="module")
def candles() -> Candles:
    return synthetic_candles(seed=2, bars=400, symbol="SYNTHUSDT")


def same(one: Candles, other: Candles) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)


def three_bars(folder: Path, header: str, name: str = "x.csv") -> Candles:
    path = folder / name
    path.write_text(THREE_BARS.format(header=header))
    return read_candles(path)


@pytest.mark.parametrize("name", ["SYNTHUSDT.csv", "synthusdt.csv.gz", "SYNTHUSDT_60.Parquet"])
def test_round_trip_is_exact(name: str, candles: Candles, tmp_path: Path) -> None:
    write_candles(candles, tmp_path / name)
    assert read_candles(tmp_path / name).data_hash() == candles.data_hash()
    assert os.listdir(tmp_path) == [name]


def test_round_trip_of_a_frame(candles: Candles) -> None:
    frame = to_frame(candles)
    assert str(frame.index[0]) == "2020-01-01 00:00:00+00:00"
    assert read_candles(frame).data_hash() == candles.data_hash()
    assert same(read_candles(frame.reset_index(), symbol="OTHER"), candles)


@pytest.mark.parametrize("price", [0.1 + 0.2, 1e-7, 123456789.123456789, 5e-324, 1.7e308])
def test_awkward_numbers_survive(price: float, tmp_path: Path) -> None:
    column = np.full(2, price)
    hours = 1_704_067_200_000 + 3_600_000 * np.arange(2)
    awkward = Candles(hours, column, column, column, column, column, column)
    for name in ("x.csv", "x.parquet"):
        write_candles(awkward, tmp_path / name)
        assert same(read_candles(tmp_path / name), awkward)


def test_parquet_keeps_symbol_and_interval(tmp_path: Path) -> None:
    one = synthetic_candles(bars=1, symbol="ODD-1", interval="240")
    write_candles(one, tmp_path / "x.parquet")
    assert read_candles(tmp_path / "x.parquet").data_hash() == one.data_hash()
    assert read_candles(tmp_path / "x.parquet", symbol="MINE").symbol == "MINE"


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,open,high,low,close,volume,turnover,timestamp_string",
        "OPEN_TIME,Open,High,Low,Close,Volume,Quote_Volume,note",
        "Open Time,Open Price,High Price,Low Price,Close Price,Vol,Quote asset volume,Close Time",
        "startTime,o,h,l,c,v,amount,date",
        "date,OPEN,HIGH,LOW,CLOSE,VOL,Turnover,",
        '"start","open","high","low","close","volume","turnover","x, y"',
        "\ufefftime,open,high,low,close,volume,turnover,x",
    ],
)
def test_column_names(header: str, tmp_path: Path) -> None:
    candles = three_bars(tmp_path, header)
    assert candles.open_time_ms.tolist() == [1704067200000, 1704070800000, 1704074400000]
    assert candles.open.tolist() == [100, 101, 98]
    assert candles.high.tolist() == [102, 101, 99]
    assert candles.low.tolist() == [99, 97, 98]
    assert candles.close.tolist() == [101, 98, 98.5]
    assert candles.volume.tolist() == [2, 4, 1]
    assert candles.turnover.tolist() == [202, 396, 98.25]
    assert candles.interval == "60"


def test_the_better_time_column_wins(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(
        "date,open_time,open,high,low,close,volume\nnever,1704067200,1,1,1,1,1\nso,1704070800,1,1,1,1,1\n"
    )
    assert read_candles(tmp_path / "x.csv").open_time_ms[0] == 1_704_067_200_000


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(delimiter: str, tmp_path: Path) -> None:
    text = THREE_BARS.format(header="timestamp,open,high,low,close,volume,turnover,x")
    (tmp_path / "x.csv").write_text(text.replace(",", delimiter))
    assert read_candles(tmp_path / "x.csv").close.tolist() == [101, 98, 98.5]


def test_windows_line_ends_and_blank_lines(tmp_path: Path) -> None:
    text = THREE_BARS.format(header="timestamp,open,high,low,close,volume,turnover,x")
    (tmp_path / "x.csv").write_bytes(text.replace("\n", "\r\n").encode() + b"\r\n")
    assert len(read_candles(tmp_path / "x.csv")) == 3


def test_a_missing_turnover_is_volume_times_typical_price(tmp_path: Path) -> None:
    candles = three_bars(tmp_path, "timestamp,open,high,low,close,volume,x,y")
    # 2·(102 + 99 + 101)/3, 4·(101 + 97 + 98)/3, 1·(99 + 98 + 98.5)/3
    np.testing.assert_allclose(candles.turnover, [604 / 3, 1184 / 3, 295.5 / 3], rtol=1e-15)


@pytest.mark.parametrize(
    "times",
    [
        ["1704067200", "1704070800"],
        ["1704067200000", "1704070800000"],
        ["1704067200000000", "1704070800000000"],
        ["1704067200000000000", "1704070800000000000"],
        ["1704067200.0", "1704070800.0"],
        ["2024-01-01", "2024-01-01T01:00"],
        ["2024-01-01 00:00:00", "2024-01-01 01:00:00"],
        ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z"],
        ["2024-01-01T00:00:00.000000+00:00", "2024-01-01T01:00:00.000000+00:00"],
        ["2024-01-01 05:30:00+05:30", "2024-01-01 06:30:00+05:30"],
        ["2024-01-01T02:00+02:00", "2024-01-01T02:00+01:00"],
        ["2024-01-01T00:00", "2024-01-01T02:00+01:00"],
    ],
)
def test_times(times: list[str], tmp_path: Path) -> None:
    rows = "".join(f"{time},1,1,1,1,1\n" for time in times)
    (tmp_path / "x.csv").write_text("time,open,high,low,close,volume\n" + rows)
    expected = [1704067200000, 1704070800000]
    assert read_candles(tmp_path / "x.csv").open_time_ms.tolist() == expected
    frame = pd.DataFrame({name: [1, 1] for name in ("open", "high", "low", "close", "volume")})
    assert read_candles(frame.assign(time=times)).open_time_ms.tolist() == expected


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_frames_and_parquet_with_datetimes(unit: str, zone: str | None, tmp_path: Path) -> None:
    stamps = pd.date_range("2024-01-01", periods=3, freq="4h", tz="UTC").as_unit(unit)
    stamps = stamps.tz_localize(None) if zone is None else stamps.tz_convert(zone)
    prices = {name: ["1.5", "2.5", "3.5"] for name in ("Open", "High", "Low", "Close", "Volume")}
    frame = pd.DataFrame(prices, index=stamps)  # text, as the exchange's JSON has it
    frame.reset_index(names="date").to_parquet(tmp_path / "x.parquet")
    for candles in (read_candles(frame), read_candles(tmp_path / "x.parquet")):
        assert candles.open_time_ms.tolist() == [1704067200000 + 14_400_000 * i for i in range(3)]
        assert candles.close.tolist() == [1.5, 2.5, 3.5]
        assert candles.interval == "240"


HOURS = [1_704_067_200_000 + 3_600_000 * i for i in range(3)]


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("time", ["2024-01-01", None, "2024-01-03"], "row 1: the time is empty"),
        ("time", pd.to_datetime(["2024-01-01", "NaT", "2024-01-03"]), "row 1: the time is empty"),
        ("time", [HOURS[0], float("inf"), HOURS[2]], "row 1: the time inf is not in 2000–2100"),
        ("time", [10**30] * 3, r"row 0: the time 1e\+30 is not in 2000–2100 as seconds"),
        ("time", [True, False, True], "row 0: the time is True; expected seconds or"),
        (
            "time",
            [f"{time}.25" for time in HOURS],
            "row 0: the time .*25.* not a whole millisecond",
        ),
        ("close", [1.0, None, 1.0], "row 1 .*: close is nan"),
        ("close", [1.0, "x", 1.0], "row 1: close is 'x'; expected a number"),
        ("close", [[1.0], [1.0], [1.0]], r"row 0: close is \[1.0\]; expected a number"),
        ("close", [1j, 1j, 1j], "row 0: close is '1j'; expected a number"),
        ("close", [10**30] * 3, r"row 0 .*: high 1.0 is below close 1e\+30"),
    ],
)
def test_frames_with_odd_cells(column: str, cells: object, message: str) -> None:
    frame = pd.DataFrame({name: [1.0] * 3 for name in ("open", "high", "low", "close", "volume")})
    with pytest.raises(CandleError, match=f"^frame: .*{message}"):
        read_candles(frame.assign(**{"time": HOURS, column: cells}))


def test_frames_with_decimals_categories_and_objects() -> None:
    frame = pd.DataFrame(
        {name: ["1", 1.0, Decimal(1)] for name in ("open", "high", "low", "close")}
    )
    frame = frame.assign(volume=pd.Categorical(["3", "4", "3"]), time=list(map(Decimal, HOURS)))
    candles = read_candles(frame)
    assert candles.open_time_ms.tolist() == HOURS
    assert candles.close.tolist() == [1.0, 1.0, 1.0]
    assert candles.volume.tolist() == [3.0, 4.0, 3.0]


def test_a_frame_is_not_changed(candles: Candles) -> None:
    frame = to_frame(candles)
    before = frame.copy()
    read_candles(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("bybit-linear-BTCUSDT-60.csv", "BTCUSDT"),
        ("ethusdt_1h.parquet", "ETHUSDT"),
        ("1000PEPEUSDT.csv.gz", "1000PEPEUSDT"),
        ("BTCPERP 2024.csv", "BTCPERP"),
        ("candles.csv", "UNKNOWN"),
        ("USDT.csv", "UNKNOWN"),
    ],
)
def test_symbols_in_file_names(name: str, symbol: str) -> None:
    assert guess_symbol(name) == symbol


def test_interval_is_the_most_common_spacing() -> None:
    minute = 60_000
    assert infer_interval(minute * np.array([0, 5, 10, 40, 45, 60])) == "5"
    assert infer_interval(minute * np.array([0, 1440])) == "D"


def test_a_given_interval_is_kept_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time,open,high,low,close,volume\n2024-01-01T00:00,1,1,1,1,1\n")
    assert read_candles(path, interval="D").interval == "D"
    path.write_text("time,open,high,low,close,volume\n2024-01-01T01:00,1,1,1,1,1\n")
    with pytest.raises(
        CandleError, match=r"x\.csv: candles row 0 .* not on the grid of interval D"
    ):
        read_candles(path, interval="D")


def test_a_newest_first_file_says_so_when_a_row_is_wrong(candles: Candles, tmp_path: Path) -> None:
    frame = to_frame(candles).iloc[::-1]
    assert same(read_candles(frame), candles)
    frame.iloc[-8, frame.columns.get_loc("low")] = -1.0
    with pytest.raises(
        CandleError, match=r"frame: candles row 7 .* low -1.0 .* counted from the end"
    ):
        read_candles(frame)


def test_writing_nowhere_or_as_something_else(candles: Candles, tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.csv"
    write_candles(candles.rows(0, 10), path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"x\.csv.y\.csv cannot be written: .* is a file"):
        write_candles(candles, path / "y.csv")
    with pytest.raises(CandleError, match="expected a name ending in"):
        write_candles(candles, path.with_name("x.json"))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_file_zipped_by_others(tmp_path: Path) -> None:
    text = THREE_BARS.format(header="timestamp,open,high,low,close,volume,turnover,x")
    (tmp_path / "solusdt.csv.gz").write_bytes(gzip.compress(text.encode()))
    candles = read_candles(tmp_path / "solusdt.csv.gz")
    assert (candles.symbol, len(candles)) == ("SOLUSDT", 3)


def test_foreign_letters_in_ignored_columns(tmp_path: Path) -> None:
    text = THREE_BARS.format(header="timestamp,open,high,low,close,volume,turnover,x")
    (tmp_path / "x.csv").write_bytes(text.replace("01.01.2024", "Börse").encode("latin-1"))
    assert len(read_candles(tmp_path / "x.csv")) == 3
