"""Candles and funding rates as people have them: every way to say the same gives the same."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError, ConfigError, FundingError
from worldmodel_trading.market.files.export import read_candles, read_funding, to_frame
from worldmodel_trading.market.sources import open_candles, open_funding

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01 00:00 UTC
TIMES = [START + HOUR * i for i in range(4)]
OPEN, HIGH, LOW, CLOSE = [100, 101, 98, 99.5], [102, 101, 99.5, 99.5], [99, 97, 98, 98], [101, 98, 99.5, 99]  # fmt: skip
VOLUME = [2.0, 4.0, 0.0, 1.0]
TURNOVER = [202.5, 396.0, 0.0, 98.75]
ROWS = [list(row) for row in zip(TIMES, OPEN, HIGH, LOW, CLOSE, VOLUME, strict=True)]
TYPICAL = [2 * (102 + 99 + 101) / 3, 4 * (101 + 97 + 98) / 3, 0.0, (99.5 + 98 + 99) / 3]


def columns_of(candles: Candles) -> dict[str, object]:
    """What candles hold, column by column."""
    columns = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    return {
        **{name: getattr(candles, name).tolist() for name in columns},
        "interval": candles.interval,
    }


def the_bars(turnover: list[float] = TURNOVER) -> dict[str, object]:
    """The four bars above; a turnover that is worked out is right to rounding."""
    prices = {"open": OPEN, "high": HIGH, "low": LOW, "close": CLOSE}
    worked_out = pytest.approx(turnover, rel=1e-12)
    rest = {"volume": VOLUME, "turnover": worked_out, "interval": "60"}
    return {"open_time_ms": TIMES, **prices, **rest}


def lines(layout: str, newest_first: bool = False, **more: list[Any]) -> str:
    """Rows of text, each filled with one bar's cells; ``{us}`` is its time in µs, and so on."""
    bars = {"o": OPEN, "h": HIGH, "l": LOW, "c": CLOSE, "v": VOLUME, "q": TURNOVER, **more}
    rows = []
    for row, time in enumerate(TIMES):
        cells: dict[str, Any] = {name: column[row] for name, column in bars.items()}
        stamp = pd.Timestamp(time, unit="ms")
        cells |= {"s": time // 1000, "ms": time, "us": time * 1000, "end": time + HOUR - 1}
        cells |= {"day": f"{stamp:%Y-%m-%d}", "clock": f"{stamp:%H:%M:%S}", "row": row}
        rows.append(layout.format(**cells) + "\n")
    return "".join(rows[::-1] if newest_first else rows)


# ---- text

CDD = "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount\n"
CDD_ROWS = lines("{ms},{day} {clock},BTC/USDT,{o},{h},{l},{c},{v},{q},5", newest_first=True)
BINANCE = "{o},{h},{l},{c},{v},{end},{q},10,1.0,1.0,0"
TEXTS = {
    "a saved index without a name": ",open,high,low,close,volume,turnover\n"
    + lines("{day} {clock}+00:00,{o},{h},{l},{c},{v},{q}"),
    "row numbers beside the times": ",timestamp,open,high,low,close,volume,turnover\n"
    + lines("{row},{ms},{o},{h},{l},{c},{v},{q}"),
    "an index of the same times": ",timestamp,open,high,low,close,volume,turnover\n"
    + lines("{day} {clock},{s},{o},{h},{l},{c},{v},{q}"),
    "CryptoDataDownload": "https://www.CryptoDataDownload.com\n" + CDD + CDD_ROWS,
    "CryptoDataDownload without its line": CDD + CDD_ROWS,
    "CryptoDataDownload of old": "https://www.CryptoDataDownload.com\n"
    "Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USD\n"
    + lines("{day} {hour}-AM,BTCUSD,{o},{h},{l},{c},{v},{q}", hour=["12", "01", "02", "03"]),
    "CryptoCompare": "time,high,low,open,volumefrom,volumeto,close,conversionType\n"
    + lines("{s},{h},{l},{o},{v},{q},{c},direct"),
    "Kaggle": "Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price\n"
    + lines("{s},{o},{h},{l},{c},{v},{q},100"),
    "coins in small letters": "time,open,high,low,close,volume_btc,volume_usdt\n"
    + lines("{s},{o},{h},{l},{c},{v},{q}"),
    "a market quoted in a coin": "time,open,high,low,close,Volume ETH,Volume BTC\n"
    + lines("{s},{o},{h},{l},{c},{v},{q}"),
    "Binance, no header": lines("{ms}," + BINANCE),
    "Binance, µs, no header": lines("{us}," + BINANCE),
    "Bybit, no header": lines("{ms},{o},{h},{l},{c},{v},{q}", newest_first=True),
    "ms and µs mixed": "open_time,open,high,low,close,volume,close_time,quote_volume,a,b,c,d\n"
    + lines("{ms}," + BINANCE)[: lines("{ms}," + BINANCE).index(str(TIMES[2]))]
    + lines("{us}," + BINANCE)[lines("{us}," + BINANCE).index(str(TIMES[2])) :],
    "date and time": "open,high,low,close,volume,turnover,date,time\n"
    + lines("{o},{h},{l},{c},{v},{q},{day},{clock}"),
    "date as a number": "date;time;o;h;l;c;v;amount\n"
    + lines("20240101;0{row}:00;{o};{h};{l};{c};{v};{q}"),
    "date with slashes": "date;time;o;h;l;c;v;amount\n"
    + lines("2024/1/1;{row}:00;{o};{h};{l};{c};{v};{q}"),
    "date and time that repeat each other": "date,time,o,h,l,c,v,amount\n"
    + lines("{day} {clock},{clock},{o},{h},{l},{c},{v},{q}"),
    "UTC in words": "date,o,h,l,c,v,amount\n" + lines("{day} {clock} UTC,{o},{h},{l},{c},{v},{q}"),
    "a leading blank line": "\ntimestamp,open,high,low,close,volume,turnover\n"
    + lines("{ms},{o},{h},{l},{c},{v},{q}"),
    "blank lines and comments": "\n \n# made by hand, 2024\n\n"
    "timestamp\topen\thigh\tlow\tclose\tvolume\tturnover\n"
    + lines("{ms}\t{o}\t{h}\t{l}\t{c}\t{v}\t{q}\n"),
    "a header that is commented out": "# timestamp open,high\n"
    "#timestamp,open,high,low,close,volume,turnover\n"
    + lines("{ms},{o},{h},{l},{c},{v},{q}"),
}  # fmt: skip
TEXTS_WITHOUT_TURNOVER = {
    "ccxt, no header": lines("{ms},{o},{h},{l},{c},{v}"),
    "Kraken, no header": lines("{s},{o},{h},{l},{c},{v},{n}", n=[3, 5, 0, 2]),
    "Kraken's interface": lines("{s},{o},{h},{l},{c},{w},{v},{n}", w=[100] * 4, n=[3, 5, 0, 2]),
    "a comment and no header": "# from the archive\n" + lines("{s},{o},{h},{l},{c},{v}"),
    "MetaTrader 4": lines("2024.01.01,0{row}:00,{o},{h},{l},{c},{v}"),
    "MetaTrader 5": "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\n"
    + lines("2024.01.01\t{clock}\t{o}\t{h}\t{l}\t{c}\t7\t{v}"),
    "numbered columns": "0,1,2,3,4,5\n" + lines("{ms},{o},{h},{l},{c},{v}"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_as_people_have_it(case: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(TEXTS[case], encoding="utf-8")
    assert columns_of(read_candles(tmp_path / "x.csv")) == the_bars()


@pytest.mark.parametrize("case", TEXTS_WITHOUT_TURNOVER)
def test_text_without_a_turnover(case: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(TEXTS_WITHOUT_TURNOVER[case])
    assert columns_of(read_candles(tmp_path / "x.txt")) == the_bars(TYPICAL)


@pytest.mark.parametrize(
    ("cell", "symbol"),
    [
        ("BTC/USDT", "BTCUSDT"),
        ("btc-usd", "BTCUSD"),
        ("ETH/USDT:USDT", "ETHUSDT"),
        ("1000PEPE_USDC", "1000PEPEUSDC"),
        ("BTC-29MAR24", "BTC-29MAR24"),
        ("", "XRPUSDT"),
    ],
)
def test_a_symbol_column_names_the_instrument(cell: str, symbol: str, tmp_path: Path) -> None:
    path = tmp_path / "xrpusdt.csv"
    path.write_text(
        "time,pair,open,high,low,close,volume\n" + lines(f"{{s}},{cell}," + "1," * 4 + "1")
    )
    assert read_candles(path).symbol == symbol
    assert read_candles(path, symbol="MINE").symbol == "MINE"


HEADER = "time,open,high,low,close,volume\n"
ONES = ",1,1,1,1,1"
REFUSED = {
    "an index of other times": (
        ",timestamp,open,high,low,close,volume\n" + lines("{day} 0{row}:30,{s}" + ONES),
        "row 0: the index says 2024-01-01 00:30 UTC and the time column 2024-01-01 00:00 UTC; drop",
    ),
    "date and time that contradict": (
        "date," + HEADER + lines("{day} {clock},05:00" + ONES),
        "row 0: the date is 2024-01-01 00:00 UTC and its time another; keep one of",
    ),
    "a time of day alone": (
        HEADER + lines("{clock}" + ONES),
        "row 0: the time is '00:00:00'; .* of a day and a time in two columns, call them date",
    ),
    "one time of day wrong": (
        "date," + HEADER + lines("{day},{clock}" + ONES).replace("02:00:00", "noon"),
        "row 2: the time is 'noon'; expected a time of day",
    ),
    "a header that nobody knows": (
        "zeit,auf,hoch,tief,zu,menge\n" + lines("{s},{o},{h},{l},{c},{v}"),
        "no column for time: expected one of .* found 'zeit', 'auf'",
    ),
    "an unknown header above longer rows": (
        "zeit,auf,hoch,tief,zu\n" + lines("{s},{o},{h},{l},{c},{v}"),
        "no column for time: expected one of .* found 'zeit', 'auf'",
    ),
    "columns without names in another order": (
        lines("{s},{v},{o},{c},{h},{l}"),
        "row 2 .*; the columns have no names and were read as time, open, high, low, close, volume",
    ),
    "nine columns without names": (
        lines("{s},{o},{h},{l},{c},{v},1,2,1"),
        "there are 9 columns without names; expected a header line, or 6, 7, 8, 11, 12 columns",
    ),
    "rows without names that grow": (
        lines("{s}" + ONES) + "1,2,3,4,5,6,7\n",
        "row 4 has 7 cells .* expected 6, as above it",
    ),
    "two symbols": (
        "symbol," + HEADER + lines("BTCUSDT,{s}" + ONES) + lines("ETHUSDT,{s}" + ONES),
        "the rows are of 2 symbols, BTCUSDT, ETHUSDT; keep those of one",
    ),
    "an index of numbers and no times": (
        ",open,high,low,close,volume\n" + lines("{row}" + ONES),
        "row 0: the time 0 is not in 2000–2100 .*; no column is named as one of times, and so the",
    ),
    "two volumes by coin": (
        "time,open,high,low,close,Volume ETH,Volume BTC,Volume SOL\n"
        + lines("{s}" + ONES + ",1,1"),
        "no column for volume",
    ),
    "volume of no coin": (
        "time,open,high,low,close,volume_adi\n" + lines("{s}" + ONES),
        "no column for volume",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_text_that_is_refused_says_what_to_do(case: str, tmp_path: Path) -> None:
    content, message = REFUSED[case]
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(CandleError, match=f"^x.csv: .*{message}"):
        read_candles(tmp_path / "x.csv")


# ---- packed files, Feather, JSON

PLAIN = "timestamp,open,high,low,close,volume,turnover\n" + lines("{ms},{o},{h},{l},{c},{v},{q}")


def zipped(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_table_packed_by_gzip(tmp_path: Path) -> None:
    rows = json.dumps(ROWS)
    for name, content in [("x.csv.gz", PLAIN), ("x.gz", PLAIN), ("x.JSON.gz", rows)]:
        (tmp_path / name).write_bytes(gzip.compress(content.encode()))
        assert columns_of(read_candles(tmp_path / name)) == the_bars(
            TYPICAL if content is rows else TURNOVER
        )


def test_a_zip_of_one_file(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "BTCUSDT-1h.zip", **{"BTCUSDT-1h.csv": PLAIN, "__MACOSX/x": "", "a/": ""}
    )
    assert columns_of(read_candles(path)) == the_bars()
    assert read_candles(path).symbol == "BTCUSDT"
    frame = pd.DataFrame(ROWS, columns=["t", "o", "h", "l", "c", "v"])
    frame.to_feather(tmp_path / "x.feather")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "x.feather", "x.feather")
    assert columns_of(read_candles(tmp_path / "x.zip")) == the_bars(TYPICAL)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"a.csv": PLAIN, "b.csv": PLAIN},
            r"holds 2 files \(a.csv, b.csv\); .* unpack it, and read",
        ),
        ({}, "the archive holds 0 files"),
        ({"a.xlsx": PLAIN}, "holds a.xlsx; expected a name ending in .csv"),
    ],
)
def test_a_zip_of_anything_else(members: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(CandleError, match=f"^x.zip: .*{message}"):
        read_candles(zipped(tmp_path / "x.zip", **members))


def test_a_zip_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text(PLAIN)
    with pytest.raises(CandleError, match=r"^x.zip: cannot be read: File is not a zip file"):
        read_candles(tmp_path / "x.zip")


def named(columns: str = "timestamp open high low close volume") -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=columns.split())


def dated() -> pd.DataFrame:
    """The bars under a DatetimeIndex without a name."""
    return named().set_index(pd.to_datetime(TIMES, unit="ms")).drop(columns="timestamp")


def dump(value: object) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps(value)) and None


BYBIT_ROWS = [[str(cell) for cell in (*row, q)] for row, q in zip(ROWS, TURNOVER, strict=True)]
DICTS = [dict(zip("tohlcv", row, strict=True)) for row in ROWS]
JSON = {
    "ccxt": dump(ROWS),
    "ccxt without volumes' decimals": dump([[*row[:5], str(int(row[5]))] for row in ROWS]),
    "dicts": dump(DICTS),
    "columns": dump({"s": "ok", **{name: [row[name] for row in DICTS] for name in "tohlcv"}}),
    "Kraken's answer": dump({"error": [], "result": {"XXBTZUSD": ROWS, "last": 1}}),
    "CryptoCompare's answer": dump(
        {"Response": "Success", "RateLimit": {}, "Data": {"Data": DICTS}}
    ),
    "pandas": lambda path: dated().to_json(path, date_format="iso"),
    "pandas, rows": lambda path: named().to_json(path, orient="records"),
}


@pytest.mark.parametrize("case", JSON)
def test_json_as_people_have_it(case: str, tmp_path: Path) -> None:
    JSON[case](tmp_path / "x.json")
    assert columns_of(read_candles(tmp_path / "x.json")) == the_bars(TYPICAL)


def test_an_answer_of_bybit(tmp_path: Path) -> None:
    answer = {"retCode": 0, "result": {"symbol": "BTCUSDT", "list": BYBIT_ROWS[::-1]}, "time": 1}
    dump(answer)(tmp_path / "BTCUSDT.json")
    assert columns_of(read_candles(tmp_path / "BTCUSDT.json")) == the_bars()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "there are no rows"),
        ([1, 2, 3], "row 0 is 1; expected every row to be a dict, or a list as long as the first"),
        ([ROWS[0], ROWS[1][:5]], "row 1 is .*; expected every row to be a dict, or a list as long"),
        ([ROWS[0], DICTS[1]], "row 1 is .*; expected every row to be a dict"),
        ([["a", 1, 1, 1, 1, 1]], "row 0 is .*; expected a time and numbers"),
        ({"a": ROWS, "b": ROWS}, "holds 2 tables of candles; expected one"),
        ({"retCode": 10001, "result": {}}, "no column for open: .* found 'result'"),
        ({**{name: [1, 1] for name in "tohlc"}, "v": [1]}, "the columns differ in length"),
        (5, "holds 5; expected rows of candles"),
        ({"result": {"list": [{"a": 1}]}}, "no column for time: .* found 'a'"),
    ],
)
def test_json_that_is_refused(value: object, message: str, tmp_path: Path) -> None:
    dump(value)(tmp_path / "x.json")
    with pytest.raises(CandleError, match=f"^x.json: .*(?:{message})"):
        read_candles(tmp_path / "x.json")


def test_json_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[[1704067200")
    with pytest.raises(CandleError, match=r"^x.json: cannot be read"):
        read_candles(tmp_path / "x.json")


@pytest.mark.parametrize("name", ["x.feather", "x.arrow"])
def test_feather(name: str, tmp_path: Path) -> None:
    dated().reset_index(names="date").to_feather(tmp_path / name)
    assert columns_of(read_candles(tmp_path / name)) == the_bars(TYPICAL)


def test_parquet_with_a_saved_index(tmp_path: Path) -> None:
    dated().to_parquet(tmp_path / "x.parquet")
    assert columns_of(read_candles(tmp_path / "x.parquet")) == the_bars(TYPICAL)
    dated().rename_axis("when").assign(timestamp=[t + HOUR for t in TIMES]).to_parquet(
        tmp_path / "y.parquet"
    )
    with pytest.raises(
        CandleError, match=r"^y.parquet: row 0: the index says .* 00:00 UTC and the"
    ):
        read_candles(tmp_path / "y.parquet")


def test_parquet_by_pandas_keeps_symbol_and_interval(tmp_path: Path) -> None:
    frame = to_frame(read_candles(named(), symbol="ODD-1"))
    frame.iloc[:1].to_parquet(tmp_path / "x.parquet")  # one row has no spacing
    candles = read_candles(tmp_path / "x.parquet")
    assert (candles.symbol, candles.interval) == ("ODD-1", "60")


# ---- frames and lists

INDEXES: dict[str, Any] = {
    "UTC": pd.to_datetime(TIMES, unit="ms", utc=True),
    "Tokyo": pd.to_datetime(TIMES, unit="ms", utc=True).tz_convert("Asia/Tokyo"),
    "periods": pd.period_range("2024-01-01", periods=4, freq="h"),
    "datetimes": [time.to_pydatetime() for time in pd.to_datetime(TIMES, unit="ms")],
    "text": [str(time) for time in pd.to_datetime(TIMES, unit="ms")],
    "ms": TIMES,
    "seconds": [float(time // 1000) for time in TIMES],
    "categories": pd.CategoricalIndex([str(time) for time in pd.to_datetime(TIMES, unit="ms")]),
}


@pytest.mark.parametrize("name", [None, "when", "time", 0])
@pytest.mark.parametrize("case", INDEXES)
def test_any_index_of_times(case: str, name: Any, tmp_path: Path) -> None:
    frame = dated().set_index(pd.Index(INDEXES[case], name=name))
    assert columns_of(read_candles(frame)) == the_bars(TYPICAL)
    assert columns_of(read_candles(frame.iloc[::-1])) == the_bars(TYPICAL)
    beside = frame.assign(timestamp=TIMES)
    assert columns_of(read_candles(beside)) == the_bars(TYPICAL)
    with pytest.raises(
        CandleError, match=r"^frame: row 3: the index says .* 03:00 UTC and the time"
    ):
        read_candles(beside.assign(timestamp=[*TIMES[:3], TIMES[3] + HOUR]))


def test_an_index_of_no_times_says_nothing() -> None:
    assert columns_of(read_candles(named().set_index(pd.Index(["a", "b", "c", "d"])))) == the_bars(
        TYPICAL
    )
    assert columns_of(read_candles(named().set_index(pd.Index([7, 5, 3, 1])))) == the_bars(TYPICAL)
    assert columns_of(read_candles(named().set_index(pd.DatetimeIndex([pd.NaT] * 4)))) == the_bars(
        TYPICAL
    )


def test_an_index_beside_a_part_of_its_times() -> None:
    frame = dated()
    assert columns_of(read_candles(frame.assign(date=frame.index.date))) == the_bars(TYPICAL)
    assert columns_of(read_candles(frame.assign(time=frame.index.time))) == the_bars(TYPICAL)
    assert columns_of(
        read_candles(frame.assign(date=frame.index.date, time=frame.index.time))
    ) == the_bars(TYPICAL)
    assert columns_of(
        read_candles(frame.set_index(frame.index.normalize()).assign(time=TIMES))
    ) == the_bars(TYPICAL)
    with pytest.raises(
        CandleError, match="row 0: the index says 2024-01-01 00:00 UTC and the time"
    ):
        read_candles(frame.assign(date="2024-01-02"))


def test_daily_times_of_another_hour_disagree() -> None:
    days = pd.date_range("2024-01-01 02:00", periods=4, freq="D")
    frame = dated().set_index(days).assign(date=days.date)
    with pytest.raises(
        CandleError, match="row 0: the index says 2024-01-01 02:00 UTC and the time"
    ):
        read_candles(frame)


def test_frames_of_several_levels() -> None:
    assert columns_of(
        read_candles(pd.concat({"BTC/USDT": dated()}, names=["symbol", None]))
    ) == the_bars(TYPICAL)
    assert columns_of(read_candles(pd.concat({"BTC/USDT": dated()}))) == the_bars(TYPICAL)
    one = dated()
    one.columns = pd.MultiIndex.from_product([one.columns, ["BTC-USD"]], names=["Price", "Ticker"])
    assert columns_of(read_candles(one)) == the_bars(TYPICAL)
    two = pd.concat({"BTC": dated(), "ETH": dated()}, axis=1)
    assert columns_of(read_candles(two.xs("ETH", axis=1, level=0))) == the_bars(TYPICAL)
    with pytest.raises(
        CandleError, match=r"2 levels, such as \('BTC', 'open'\); take one .*frame.xs"
    ):
        read_candles(two)
    with pytest.raises(CandleError, match="the rows are of 2 symbols, BTC, ETH"):
        read_candles(pd.concat({"BTC": dated(), "ETH": dated()}, names=["symbol", "time"]))


def test_lists_and_frames_of_rows_without_names() -> None:
    for rows in (ROWS, tuple(map(tuple, ROWS)), np.array(ROWS), pd.DataFrame(ROWS)):
        assert columns_of(read_candles(rows)) == the_bars(TYPICAL)
    assert columns_of(read_candles(BYBIT_ROWS[::-1])) == the_bars()
    assert columns_of(read_candles(DICTS)) == the_bars(TYPICAL)
    assert columns_of(read_candles(pl.DataFrame(ROWS, orient="row"))) == the_bars(TYPICAL)
    assert columns_of(read_candles(pa.table(pd.DataFrame(ROWS)))) == the_bars(TYPICAL)


def test_polars_and_arrow() -> None:
    frame = named("time open high low close volume").assign(pair="BTC/USDT")
    polars = pl.from_pandas(frame)
    text = pl.from_epoch(pl.col("time"), "ms").dt.strftime("%Y-%m-%d %H:%M")
    for same in (
        polars,
        polars.with_columns(pl.from_epoch(pl.col("time"), "ms")),
        polars.with_columns(
            text, pl.col("pair").cast(pl.Categorical), pl.col("open").cast(pl.String)
        ),
        polars.to_arrow(),
        pa.Table.from_pandas(dated().assign(pair="BTC/USDT")),
    ):
        candles = read_candles(same)
        assert columns_of(candles) == the_bars(TYPICAL)
        assert candles.symbol == "BTCUSDT"
    with pytest.raises(CandleError, match=r"^frame: got a LazyFrame; .* call .collect\(\) first"):
        read_candles(polars.lazy())


class OnlyPandas:
    """A frame of a library that can give itself to pandas and in no other way."""

    def to_pandas(self) -> pd.DataFrame:
        return dated()


def test_a_frame_that_becomes_one_of_pandas() -> None:
    assert columns_of(read_candles(OnlyPandas())) == the_bars(TYPICAL)


@pytest.mark.parametrize("source", [5, None, dated()["close"], iter(ROWS), {"t": TIMES}, b"x.csv"])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(
        CandleError, match=f"got a {type(source).__name__}; expected a path, a Data"
    ):
        read_candles(source)


# ---- funding rates

RATES = [0.0001, -0.00025, 0.0]
INSTANTS = [START + 8 * HOUR * i for i in range(3)]
STAMPS = [str(pd.Timestamp(time, unit="ms")) for time in INSTANTS]


def rates(header: str, layout: str) -> str:
    rows = zip(INSTANTS, STAMPS, RATES, strict=True)
    return header + "\n" + "".join(
        layout.format(ms=ms, s=ms // 1000, iso=iso, late=ms + 3, rate=rate) + "\n"
        for ms, iso, rate in rows
    )  # fmt: skip


FUNDING = {
    "Bybit": rates("symbol,fundingRate,FUNDINGRATETIMESTAMP", "BTCUSDT,{rate},{ms}"),
    "Binance": rates("calc_time,funding_interval_hours,last_funding_rate", "{late},8,{rate}"),
    "Binance's interface": rates("symbol,fundingTime,fundingRate", "BTCUSDT,{late},{rate}"),
    "ccxt": rates("info,symbol,fundingRate,timestamp,datetime", "{{}},BTC/USDT:USDT,{rate},{ms},x"),
    "our store": rates("time_ms,rate", "{ms},{rate}"),
    "floats": rates("fundingRateTimestamp,fundingRate", "{ms}.0,{rate}"),
    "ISO": rates("fundingRateTimestamp,fundingRate", "{iso},{rate}"),
    "seconds": rates("fundingRateTimestamp,fundingRate", "{s},{rate}"),
    "semicolons": rates("fundingRateTimestamp;fundingRate", "{ms};{rate}"),
    "a blank line": "\n" + rates("timestamp\tfunding_rate", "{iso}Z\t{rate}"),
    "an index": rates(",funding_rate", "{iso},{rate}"),
    "no header": rates("", "{s},{rate}"),
}


def check_rates(source: Any) -> None:
    for read in (read_funding(source), open_funding(source)):
        assert not isinstance(read, float)
        assert read.time_ms.tolist() == INSTANTS
        assert read.rate.tolist() == RATES


@pytest.mark.parametrize("case", FUNDING)
def test_funding_as_people_have_it(case: str, tmp_path: Path) -> None:
    (tmp_path / "funding.csv").write_text(FUNDING[case])
    check_rates(tmp_path / "funding.csv")
    first, *rest = FUNDING[case].strip("\n").split("\n")
    newest_first = [first, *rest[::-1]] if case != "no header" else [*rest[::-1], first]
    (tmp_path / "funding.csv.gz").write_bytes(gzip.compress("\n".join(newest_first).encode()))
    check_rates(str(tmp_path / "funding.csv.gz"))


def test_funding_in_frames_lists_and_other_files(tmp_path: Path) -> None:
    index = pd.DatetimeIndex(STAMPS)
    frame = pd.DataFrame({"fundingRate": RATES}, index=index)
    pairs = [list(pair) for pair in zip(INSTANTS, RATES, strict=True)]
    dicts = [{"timestamp": t, "fundingRate": r, "info": {"x": 1}} for t, r in pairs]
    for source in (frame, pl.from_pandas(frame.reset_index(names="time")), pairs, dicts):
        check_rates(source)
    frame.to_parquet(tmp_path / "x.parquet")
    frame.reset_index(names="calc_time").to_feather(tmp_path / "x.feather")
    answer = {
        "result": {
            "list": [{"fundingRateTimestamp": str(t), "fundingRate": str(r)} for t, r in pairs]
        }
    }
    dump(answer)(tmp_path / "x.json")
    zipped(tmp_path / "x.zip", **{"x.csv": FUNDING["Binance"]})
    for name in ("x.parquet", "x.feather", "x.json", "x.zip"):
        check_rates(tmp_path / name)


HEAD = "fundingRateTimestamp,fundingRate\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (HEAD, "there are no rows: expected at least one after the header"),
        (
            "when,what\n1704067200,2\n",
            "there is no column for time: expected one of funding_rate_time",
        ),
        (
            "time,what\n1704067200,2\n",
            "there is no column for rate: expected one of funding_rate, ",
        ),
        ("time,rate\n1,2\n", "row 0: the time 1 is not in 2000–2100 as seconds"),
        (HEAD + f"{START},\n", "funding row 0: rate is nan"),
        (HEAD + f"{START},nan\n", "funding row 0: rate is nan"),
        (HEAD + f"{START},inf\n", "funding row 0: rate is inf"),
        (HEAD + f"{START},0.1%\n", "row 0: rate is '0.1%'; expected a number"),
        (HEAD + f"{START}\n", "row 0 has 1 cells"),
        (HEAD + f"{START},1.5\n", "rate 1.5 is above 10 %"),
        (HEAD + f"{'9' * 30},0.0001\n", r"row 0: the time 1e\+30 is not in 2000–2100"),
        (
            HEAD + f"{START},0.0001\n{START},0.0002\n",
            "funding row 1: .* not later than the row before",
        ),
        ("symbol," + HEAD + f"A,{START},0\nB,{START},0\n", "the rows are of 2 symbols, A, B"),
        (
            f"{START},1,2\n",
            "there are 3 columns without names; expected a header line, or 2 columns",
        ),
        (bytes(range(256)).decode("latin-1"), "no column for time|cannot be read"),
    ],
)
def test_funding_that_is_wrong_names_the_row(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "funding.csv").write_bytes(text.encode("latin-1" if "\xff" in text else "utf-8"))
    with pytest.raises(FundingError, match=f"^funding.csv: .*(?:{message})"):
        read_funding(tmp_path / "funding.csv")


def test_funding_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(FundingError, match=r"^absent.csv: there is no such file"):
        read_funding(tmp_path / "absent.csv")
    with pytest.raises(
        ConfigError, match=r"funding is 'absent.csv'; expected recorded rates, the path"
    ):
        open_funding("absent.csv")
    for wrong in (True, np.True_, float("nan")):
        with pytest.raises(ConfigError, match=f"funding is {wrong!r}; expected recorded rates"):
            open_funding(wrong)


def test_sources_open_what_the_reader_reads(tmp_path: Path) -> None:
    frame = named()
    frame.to_feather(tmp_path / "x.feather")
    dump(ROWS)(tmp_path / "x.json")
    zipped(tmp_path / "x.zip", **{"x.csv": PLAIN})
    assert columns_of(open_candles(str(tmp_path / "x.zip"))) == the_bars()
    for source in (str(tmp_path / "x.feather"), tmp_path / "x.json", ROWS, pl.from_pandas(frame)):
        assert columns_of(open_candles(source)) == the_bars(TYPICAL)
