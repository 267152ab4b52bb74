"""Malformed candle files: each gives a typed error that names the row, or a documented treatment.

The same cases as the table in docs/candles.md.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError
from worldmodel_trading.market.files.export import read_candles, to_frame, write_candles
from worldmodel_trading.market.inspection import inspect_candles
from worldmodel_trading.market.synthetic import synthetic_candles

HOUR_MS = 3_600_000
START_MS = 1_704_067_200_000  # 2024-01-01 00:00 UTC
BARS = 800

Frame = pd.DataFrame


@pytest.fixture(scope="module")
def clean() -> Frame:
    frame = to_frame(synthetic_candles(seed=1, bars=BARS, start="2024-01-01")).round(4)
    frame.attrs = {}
    frame["turnover"] = frame["volume"] * frame[["open", "high", "low", "close"]].mean(axis=1)
    frame.insert(0, "timestamp", START_MS + HOUR_MS * np.arange(BARS))
    return frame.reset_index(drop=True)


def load(frame: Frame, folder: Path) -> Candles:
    path = folder / "market.csv"
    frame.to_csv(path, index=False)
    return read_candles(path)


def put(row: int, **cells: object) -> Callable[[Frame], Frame]:
    """A change that writes cells into one row."""

    def change(frame: Frame) -> Frame:
        frame = frame.astype({name: object for name in cells})
        for name, value in cells.items():
            frame.loc[row, name] = value
        return frame

    return change


def swap_rows(frame: Frame) -> Frame:
    order = np.arange(len(frame))
    order[[100, 101]] = order[[101, 100]]
    return frame.iloc[order]


def repeat_row(frame: Frame) -> Frame:
    return frame.iloc[np.insert(np.arange(len(frame)), 100, 99)]


def high_below_low(frame: Frame) -> Frame:
    return frame.rename(columns={"high": "low", "low": "high"})


def local_clock(frame: Frame) -> Frame:
    """Berlin's clock through the last Sunday of October, without saying so."""
    local = pd.date_range("2024-10-20", periods=len(frame), freq="h", tz="UTC").tz_convert(
        "Europe/Berlin"
    )
    return frame.assign(timestamp=local.strftime("%Y-%m-%d %H:%M"))


def half_hours(frame: Frame) -> Frame:
    frame = frame.copy()
    frame.loc[77, "timestamp"] += HOUR_MS // 2
    return frame


REFUSED = {
    "header only": (lambda f: f.iloc[:0], "there are no rows: expected at least one after"),
    "one row": (lambda f: f.iloc[:1], r"1 row\(s\) at 2024-01-01 00:00 UTC; give it"),
    "no close": (lambda f: f.drop(columns="close"), "no column for close: expected one of close"),
    "no time": (lambda f: f.drop(columns="timestamp"), "no column for time"),
    "close twice": (lambda f: f.assign(Close=1.0), r"columns \['close', 'Close'\] both name close"),
    "empty cell": (put(7, close=""), r"row 7 \(2024-01-01 07:00 UTC\): close is nan"),
    "NaN": (put(7, close="NaN"), r"row 7 \(2024-01-01 07:00 UTC\): close is nan"),
    "infinite": (put(8, high="inf"), r"row 8 \(2024-01-01 08:00 UTC\): high is inf"),
    "too large": (put(8, high="1e999"), r"row 8 \(2024-01-01 08:00 UTC\): high is inf"),
    "infinite, to be averaged": (
        lambda f: put(8, high="inf", volume=0)(f.drop(columns="turnover")),
        r"row 8 \(2024-01-01 08:00 UTC\): high is inf",
    ),
    "negative": (put(9, low=-5.0), r"row 9 \(2024-01-01 09:00 UTC\): low -5.0 is not a positive"),
    "zero": (put(10, low=0.0), r"row 10 \(2024-01-01 10:00 UTC\): low 0.0 is not a positive"),
    "negative volume": (put(11, volume=-1), r"row 11 \(.* 11:00 UTC\): volume -1.0 is negative"),
    "high below low": (high_below_low, r"row 0 \(2024-01-01 00:00 UTC\): high .* is below open"),
    "high below close": (
        put(12, high=1.0, low=0.5),
        r"row 12 \(2024-01-01 12:00 UTC\): high 1.0 is below open",
    ),
    "text in a cell": (put(13, volume="many"), "row 13: volume is 'many'; expected a number"),
    "thousands": (put(14, close="10,000.5"), "row 14: close is '10,000.5'; expected a number"),
    "unsorted": (swap_rows, r"row 101 \(2024-01-05 04:00 UTC\): is earlier than the row before"),
    "duplicated": (repeat_row, r"row 100 \(2024-01-05 03:00 UTC\): repeats the time of the row"),
    "off the grid": (half_hours, r"row 77 \(2024-01-04 05:30 UTC\): open time \d+ ms is not on"),
    "one time in days": (put(5, timestamp=19_723), "row 5: the time 19723 is not in 2000–2100 as"),
    "one other time in s": (
        put(5, timestamp=1_704_081_600),
        r"row 5 \(2024-01-01 04:00 UTC\): repeats the time of the row before",
    ),
    "time in days": (lambda f: f.assign(timestamp=19_723), "row 0: the time 19723 is not in 2000"),
    "time empty": (put(6, timestamp=""), "row 6: the time is empty"),
    "time in words": (put(6, timestamp="noon"), "row 6: time is 'noon'; expected a number"),
    "one ISO time wrong": (
        lambda f: put(6, timestamp="2024-02-31")(f.assign(timestamp="2024-02-01")),
        "row 6: the time is '2024-02-31'; expected seconds or milliseconds since 1970, or ISO 8601",
    ),
    "one time for all": (
        lambda f: f.assign(timestamp=START_MS),
        r"row 1 \(.*not later than the row",
    ),
    "time day first": (lambda f: f.assign(timestamp="25.03.2020 10:00"), "row 0: the time is '25"),
    "far future": (
        lambda f: f.assign(timestamp="2345-01-01"),
        "row 0: the time 11833862400000 ms .* is outside 2000–2100",
    ),
    "local clock": (local_clock, r"row 169 \(2024-10-27 02:00 UTC\): repeats .* with their offset"),
    "odd spacing": (
        lambda f: f.assign(timestamp=START_MS + 7 * 60_000 * np.arange(len(f))),
        "row 1: the most common spacing is 7 minutes, which is none of 1, 3, 5",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_row_named(case: str, clean: Frame, tmp_path: Path) -> None:
    change, message = REFUSED[case]
    with pytest.raises(CandleError, match=f"^market.csv: .*{message}"):
        load(change(clean), tmp_path)


def seconds(frame: Frame) -> Frame:
    return frame.assign(timestamp=frame["timestamp"] // 1000)


def microseconds(frame: Frame) -> Frame:
    return frame.assign(timestamp=frame["timestamp"] * 1000)


def offsets(frame: Frame) -> Frame:
    """Berlin's clock with its offset, across the night on which an hour comes twice."""
    utc = pd.date_range("2024-10-20", periods=len(frame), freq="h", tz="UTC")
    return frame.assign(timestamp=[str(time) for time in utc.tz_convert("Europe/Berlin")])


SAME = {
    "seconds": seconds,
    "microseconds": microseconds,
    "one time in s": put(5, timestamp=1_704_085_200),
    "half of the times in µs": lambda f: f.assign(
        timestamp=np.where(f.index < BARS // 2, f["timestamp"], f["timestamp"] * 1000)
    ),
    "decimal milliseconds": lambda f: f.assign(timestamp=f["timestamp"].map("{}.0".format)),
    "newest first": lambda f: f.iloc[::-1],
    "spaces around numbers": lambda f: f.assign(close=f["close"].map(" {!r} ".format)),
    "columns shuffled": lambda f: f[f.columns[::-1]],
}


@pytest.mark.parametrize("case", SAME)
def test_treated_as_documented(case: str, clean: Frame, tmp_path: Path) -> None:
    assert load(SAME[case](clean), tmp_path).data_hash() == load(clean, tmp_path).data_hash()


def test_offsets_carry_the_clock_across_the_doubled_hour(clean: Frame, tmp_path: Path) -> None:
    candles = load(offsets(clean), tmp_path)
    assert not candles.gaps()
    assert candles.open_time_ms[0] == pd.Timestamp("2024-10-20", tz="UTC").value // 1_000_000


def findings(frame: Frame, folder: Path) -> list[tuple[str, int, int]]:
    return [(f.kind, f.row, f.bars) for f in inspect_candles(load(frame, folder))]


def test_a_clean_file_has_no_findings(clean: Frame, tmp_path: Path) -> None:
    assert findings(clean, tmp_path) == []


def test_missing_bars_are_flagged_not_filled(clean: Frame, tmp_path: Path) -> None:
    holed = clean.drop(index=[50, *range(200, 700)])
    assert findings(holed, tmp_path) == [("gap", 50, 1), ("gap", 199, 500)]
    candles = load(holed, tmp_path)
    assert len(candles) == BARS - 501
    one, many = inspect_candles(candles)
    assert str(one).startswith(
        "row 50 (2024-01-03 03:00 UTC): 1 bar missing after 2024-01-03 01:00"
    )
    assert "500 bars missing" in many.message


def test_volume_and_turnover_swapped_are_flagged(clean: Frame, tmp_path: Path) -> None:
    swapped = clean.rename(columns={"volume": "turnover", "turnover": "volume"})
    assert findings(swapped, tmp_path) == [("volume_turnover_swapped", 0, BARS)]


def test_an_average_price_outside_its_bar_is_flagged(clean: Frame, tmp_path: Path) -> None:
    odd = clean.copy()
    odd.loc[[30, 40], "turnover"] *= 1.5
    assert findings(odd, tmp_path) == [("vwap_outside_bar", 30, 2)]


def test_a_thousandfold_jump_is_flagged(clean: Frame, tmp_path: Path) -> None:
    columns = ["open", "high", "low", "close", "turnover"]
    jump = clean.copy()
    jump.loc[60:, columns] *= 1000
    assert findings(jump, tmp_path) == [("price_jump", 60, 1)]
    spike = clean.copy()
    spike.loc[60, columns] *= 1000
    assert findings(spike, tmp_path) == [("price_jump", 60, 1), ("price_jump", 61, 1)]
    wick = clean.copy()
    wick.loc[60, "high"] *= 1000
    (found,) = inspect_candles(load(wick, tmp_path))
    assert (found.kind, found.row) == ("price_jump", 60)
    assert "the bar reaches from" in found.message


def test_idle_and_stale_runs_are_flagged(clean: Frame, tmp_path: Path) -> None:
    idle = clean.copy()
    idle.loc[100:123, ["volume", "turnover"]] = 0.0
    idle.loc[200:222, ["volume", "turnover"]] = 0.0  # 23 bars: too short
    assert findings(idle, tmp_path) == [("zero_volume", 100, 24)]
    stale = clean.copy()
    stale.loc[100:130, ["open", "high", "low", "close"]] = 10_000.0
    stale.loc[100:130, "turnover"] = stale.loc[100:130, "volume"] * 10_000.0
    assert findings(stale, tmp_path) == [("stale_price", 101, 30)]


# ---- files that are no tables


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        ("timestamp,open".encode("utf-16"), "it is no text in UTF-8; save it as such"),
        (b"\x00\x01\x02\xff", "cannot be read"),
        (b"{}", "no column for time"),
        (b"<html><body>no</body></html>", "no column for time"),
        (b"timestamp,open,high,low,close,volume\n1,2,3\n", "row 0 has 3 cells .* expected 6"),
        (
            b"timestamp,open,high,low,close,volume\n1704067200000,1,1,1,1,1\n1,2,3,4,5,6,7\n",
            "row 1 has 7 cells .'1,2,3,4,5,6,7'.; expected 6",
        ),
    ],
)
def test_no_table(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(CandleError, match=message):
        read_candles(path)


@pytest.mark.parametrize("name", ["x.csv.gz", "x.parquet", "x.zip", "x.feather", "x.json"])
@pytest.mark.parametrize("keep", [0, 10, 2_000])
def test_truncated_compressed_files(name: str, keep: int, tmp_path: Path) -> None:
    path = tmp_path / name
    save(synthetic_candles(bars=500), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CandleError, match=f"^{name}: "):
        read_candles(path)


def test_a_folder_a_missing_file_and_another_ending(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, message in [
        ("folder.csv", "there is no such file"),
        ("none.csv", "there is no such file"),
        ("market.xlsx", "expected a name ending in"),
    ]:
        with pytest.raises(CandleError, match=f"^{name}: {message}"):
            read_candles(tmp_path / name)


# ---- fuzzing

LINES = (
    "timestamp,open,high,low,close,volume,turnover\n"
    "1704067200000,100,101,99,100.5,3,300\n"
    "1704070800000,100.5,102,100,101,4,404\n"
    "1704074400000,101,101,98,98.5,0,0\n"
    "1704078000000,98.5,99,98,99,1e3,98500\n"
)
TIMES = "1704070800 1704070800000 1704070800000.5 2024-01-01 2024-01-01T01:00+25:00 99999999999999999999"
NUMBERS = "nan -inf 0 -1 1e308 1e-320 1e999 1_0 0x10 NULL x ٣ 0001-01-01T00:00+14:00 9999-12-31T23:59-14:00"
CELLS = st.sampled_from(["", '"', "\0", " 100 ", "9" * 400, *TIMES.split(), *NUMBERS.split()])
quiet = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def is_refused_or_sound(path: Path) -> bool:
    """Reading gives a CandleError, or valid candles that can be inspected; no other error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            candles = read_candles(path)
        except CandleError:
            return True
        findings = inspect_candles(candles)
    inside = all(0 <= finding.row < len(candles) and str(finding) for finding in findings)
    return bool(np.isfinite(candles.turnover).all()) and inside


@quiet
@given(
    changes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), CELLS), min_size=1, max_size=3)
)
def test_fuzzed_cells(changes: list[tuple[int, int, str]], tmp_path: Path) -> None:
    table = [line.split(",") for line in LINES.splitlines()]
    for row, column, cell in changes:
        table[row][column] = cell
    path = tmp_path / "fuzz.csv"
    path.write_text("\n".join(",".join(row) for row in table) + "\n", encoding="utf-8")
    assert is_refused_or_sound(path)


@quiet
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(LINES)), st.integers(0, 12), st.binary(max_size=8)),
        min_size=1,
        max_size=4,
    )
)
def test_fuzzed_bytes(edits: list[tuple[int, int, bytes]], tmp_path: Path) -> None:
    content = LINES.encode()
    for position, length, replacement in edits:
        content = content[:position] + replacement + content[position + length :]
    path = tmp_path / "fuzz.csv"
    path.write_bytes(content)
    assert is_refused_or_sound(path)


def save(candles: Candles, path: Path) -> None:
    """Candles in a format that `write_candles` has, or in one that is only read."""
    frame = to_frame(candles).reset_index()
    if path.suffix == ".feather":
        frame.to_feather(path)
    elif path.suffix == ".json":
        frame.assign(time=candles.open_time_ms).to_json(path, orient="records")
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("fuzz.csv", frame.to_csv(index=False))
    else:
        write_candles(candles, path)


@settings(parent=quiet, max_examples=200)
@given(
    name=st.sampled_from(["fuzz.parquet", "fuzz.csv.gz", "fuzz.zip", "fuzz.feather", "fuzz.json"]),
    position=st.floats(0, 1),
    replacement=st.binary(min_size=1, max_size=4),
)
def test_fuzzed_compressed_bytes(
    name: str, position: float, replacement: bytes, tmp_path: Path
) -> None:
    path = tmp_path / name
    save(synthetic_candles(bars=50), path)
    content = path.read_bytes()
    at = int(position * len(content))
    path.write_bytes(content[:at] + replacement + content[at + len(replacement) :])
    assert is_refused_or_sound(path)


# ---- size


READ_AND_MEASURE = """
import resource, sys
from worldmodel_trading.market.files import read_candles
candles = read_candles(sys.argv[1])
print(len(candles), candles.interval, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_ten_million_rows_fit_in_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "minutes.csv"
    million = 1_000_000
    close = np.round(30_000 + np.random.default_rng(0).standard_normal(million), 1)
    names = ("timestamp", "open", "high", "low", "close", "volume", "turnover")
    kinds = [(name, pa.float64() if name != "timestamp" else pa.int64()) for name in names]
    with pacsv.CSVWriter(path, pa.schema(kinds)) as writer:
        for block in range(10):
            minutes = 20_000_000 + block * million + np.arange(million)
            columns = (60_000 * minutes, close, close + 5, close - 5, close, close / 3e4, close)
            writer.write(pa.table(list(columns), names=list(names)))
    answer = subprocess.run(
        [sys.executable, "-c", READ_AND_MEASURE, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    rows, interval, peak_kib = answer.stdout.split()
    assert (int(rows), interval) == (10_000_000, "1")
    assert int(peak_kib) * 1024 < 2e9
