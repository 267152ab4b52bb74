"""Candles in files and frames: CSV, Parquet and pandas, in and out.

What is accepted, what is refused and what is only flagged is the table of docs/candles.md.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .candles import INTERVALS_MS, Candles, FloatArray, IntArray, format_time, to_ms
from .errors import CandleError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TIME_NAMES = (
    *("opentimems", "opentime", "timestamp", "timestampms", "starttime", "start"),
    *("datetime", "time", "date", "ts"),
)
_NAMES: dict[str, tuple[str, ...]] = {
    "time": TIME_NAMES,
    "open": ("open", "openprice", "o"),
    "high": ("high", "highprice", "h"),
    "low": ("low", "lowprice", "l"),
    "close": ("close", "closeprice", "c"),
    "volume": ("volume", "vol", "basevolume", "v"),
    "turnover": ("turnover", "quotevolume", "quoteassetvolume", "quotevol", "amount"),
}
"""Accepted column names, best first, in lower case without spaces, underscores and hyphens."""

_UNITS_PER_MS = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}
_FIRST_MS, _LAST_MS = 946_684_800_000, 4_102_444_800_000  # 2000-01-01, 2100-01-01
_SYMBOL = re.compile(r"[A-Z0-9]{2,15}(?:USDT|USDC|USD|PERP)")
_PRICES = ("open", "high", "low", "close")


def read_candles(
    source: str | os.PathLike[str] | pd.DataFrame,
    symbol: str | None = None,
    interval: str | None = None,
) -> Candles:
    """Read candles from a file or a frame.

    Columns are found by name in any case (``timestamp``, ``open_time``, ``startTime``, ``date``,
    ``vol``, ``quote_volume``, …); others are ignored. Times are seconds, milliseconds,
    microseconds or nanoseconds since 1970, told apart by their size, or ISO 8601 text; an offset
    is converted to UTC, and a time without one is UTC. A record that runs newest first is
    reversed. A missing turnover becomes volume × (high + low + close)/3.

    Args:
        source: Path of a ``.csv``, ``.csv.gz`` or ``.parquet`` file, or a DataFrame (the time may
            be its index).
        symbol: The instrument's name; by default what `write_candles` or `to_frame` recorded,
            else the part of the file name that looks like ``BTCUSDT``, else ``"UNKNOWN"``.
        interval: Bybit's interval code; by default the recorded one, else the most common spacing.

    Raises:
        CandleError: Naming the file, the row (0 is the first after the header), its time, and what
            is wrong with it.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        with _naming(path.name):
            columns, recorded = _open(path)
            symbol = symbol or recorded.get("symbol") or guess_symbol(path.name)
            return _assemble(columns, symbol, interval or recorded.get("interval"))
    with _naming("frame"):
        columns, recorded = _from_frame(source)
        symbol = symbol or recorded.get("symbol") or "UNKNOWN"
        return _assemble(columns, symbol, interval or recorded.get("interval"))


def guess_symbol(file_name: str) -> str:
    """The part of a file name that looks like ``BTCUSDT``, else ``"UNKNOWN"``."""
    parts = re.split(r"[^A-Z0-9]+", file_name.upper())
    return next((part for part in parts if _SYMBOL.fullmatch(part)), "UNKNOWN")


def to_frame(candles: Candles) -> pd.DataFrame:
    """A DataFrame indexed by open time (UTC); ``attrs`` keep symbol and interval."""
    import pandas as pd

    index = pd.DatetimeIndex(candles.open_time_ms.astype("datetime64[ms]"), tz="UTC", name="time")
    names = (*_PRICES, "volume", "turnover")
    frame = pd.DataFrame({name: getattr(candles, name) for name in names}, index=index)
    frame.attrs = {"symbol": candles.symbol, "interval": candles.interval}
    return frame


def write_candles(candles: Candles, path: str | os.PathLike[str]) -> None:
    """Write candles so that `read_candles` gives every number back bit for bit.

    The file appears whole or not at all. Parquet also keeps symbol and interval; of a CSV they
    are read from its name and its spacing.

    Args:
        candles: What to write.
        path: Ends in ``.csv``, ``.csv.gz`` or ``.parquet``; an existing file is replaced.

    Raises:
        CandleError: Another ending, or a folder that cannot be written.
    """
    import pyarrow as pa

    target = Path(path)
    write = _writer(target)
    names = ("open_time_ms", *_PRICES, "volume", "turnover")
    table = pa.table([getattr(candles, name) for name in names], names=["timestamp", *names[1:]])
    table = table.replace_schema_metadata({"symbol": candles.symbol, "interval": candles.interval})
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise CandleError(f"{target} cannot be written: {error.strerror}") from None
    os.close(handle)
    try:
        write(table, temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        raise CandleError(f"{target} cannot be written: {error.strerror}") from None
    finally:
        Path(temporary).unlink(missing_ok=True)


def _writer(path: Path) -> Callable[[pa.Table, str], None]:
    name = path.name.lower()
    if name.endswith(".parquet"):
        return _write_parquet
    if name.endswith((".csv", ".csv.gz")):
        return _write_gzip_csv if name.endswith(".gz") else _write_csv
    raise CandleError(f"{path.name}: expected a name ending in .csv, .csv.gz or .parquet")


def _write_parquet(table: pa.Table, path: str) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")


def _write_csv(table: pa.Table, path: str) -> None:
    import pyarrow as pa

    with pa.OSFile(path, "wb") as stream:
        _write_csv_to(table, stream)


def _write_gzip_csv(table: pa.Table, path: str) -> None:
    import pyarrow as pa

    with pa.CompressedOutputStream(path, "gzip") as stream:
        _write_csv_to(table, stream)


def _write_csv_to(table: pa.Table, stream: Any) -> None:
    import pyarrow.csv as pacsv

    stream.write((",".join(table.column_names) + "\n").encode())
    pacsv.write_csv(table, stream, pacsv.WriteOptions(include_header=False))


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Put the file's name before the message of what is wrong with it."""
    try:
        yield
    except CandleError as error:
        raise CandleError(f"{what}: {error}") from None


def _open(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The needed columns of a file as arrow arrays, and what it records of itself."""
    import pyarrow as pa

    name = path.name.lower()
    if not name.endswith((".csv", ".csv.gz", ".parquet")):
        raise CandleError("expected a name ending in .csv, .csv.gz or .parquet")
    if not path.is_file():
        raise CandleError(f"there is no such file in {path.parent}")
    try:
        return _open_parquet(path) if name.endswith(".parquet") else _open_csv(path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise CandleError(f"cannot be read: {error}") from None
    except pa.ArrowException as error:
        raise CandleError(f"cannot be read: {_first_line(error)}") from None


def _open_parquet(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        chosen = _choose(file.schema_arrow.names)
        table = file.read(columns=list(chosen.values()))
        metadata = file.schema_arrow.metadata or {}
    recorded = {key: metadata.get(key.encode(), b"").decode() for key in ("symbol", "interval")}
    return {role: table.column(name) for role, name in chosen.items()}, recorded


def _open_csv(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    import pyarrow as pa

    header, delimiter = _header(path)
    chosen = _choose(header)
    positions = {role: header.index(name) for role, name in chosen.items()}
    try:
        table = _read_csv(path, len(header), delimiter, positions, typed=True)
    except pa.ArrowInvalid:
        # A cell that is no number: read everything as text, so that the row can be named.
        table = _read_csv(path, len(header), delimiter, positions, typed=False)
    return {role: table.column(f"c{i}") for role, i in positions.items()}, {}


def _header(path: Path) -> tuple[list[str], str]:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
        line = stream.readline(65_536)
    if not line.strip():
        raise CandleError("the file is empty: expected a header line and at least one row")
    delimiter = max(",;\t", key=line.count)
    return next(csv.reader([line], delimiter=delimiter)), delimiter


def _read_csv(
    path: Path, width: int, delimiter: str, positions: dict[str, int], *, typed: bool
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as pacsv

    types = {f"c{i}": pa.float64() if typed else pa.string() for i in positions.values()}
    if typed:
        del types[f"c{positions['time']}"]  # numbers or ISO text: whatever the first block shows
    # The system's allocator gives memory back as soon as a column has been copied out.
    return pacsv.read_csv(
        path,
        pacsv.ReadOptions(column_names=[f"c{i}" for i in range(width)], skip_rows=1),
        pacsv.ParseOptions(delimiter=delimiter),
        pacsv.ConvertOptions(
            column_types=types,
            include_columns=[f"c{i}" for i in positions.values()],
            strings_can_be_null=True,
        ),
        memory_pool=pa.system_memory_pool(),
    )


def _from_frame(frame: pd.DataFrame) -> tuple[dict[str, Any], dict[str, str]]:
    import pandas as pd
    import pyarrow as pa

    if not isinstance(frame, pd.DataFrame):
        raise CandleError(f"got a {type(frame).__name__}; expected a path or a DataFrame")
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.rename_axis("time").drop(columns="time", errors="ignore").reset_index()
    chosen = _choose([str(name) for name in frame.columns])
    positions = {role: list(map(str, frame.columns)).index(name) for role, name in chosen.items()}
    columns = {}
    for role, position in positions.items():
        series = frame.iloc[:, position]
        try:
            columns[role] = pa.chunked_array([pa.Array.from_pandas(series)])
        except (pa.ArrowException, TypeError, OverflowError):
            columns[role] = pa.chunked_array([pa.array([str(value) for value in series])])
    recorded = {key: str(frame.attrs.get(key) or "") for key in ("symbol", "interval")}
    return columns, recorded


def _choose(names: list[str]) -> dict[str, str]:
    """Which column plays which role; the best name wins, turnover may be missing."""
    by_name: dict[str, list[str]] = {}
    for name in names:
        by_name.setdefault(re.sub(r"[\s_\-]", "", name).lower(), []).append(name)
    chosen = {}
    for role, accepted in _NAMES.items():
        found = next((alias for alias in accepted if alias in by_name), None)
        if found is None:
            if role == "turnover":
                continue
            shown = ", ".join(repr(name[:40]) for name in names[:12])
            raise CandleError(
                f"there is no column for {role}: expected one of {', '.join(accepted)} in the "
                f"header, found {shown}"
            )
        if len(by_name[found]) > 1:
            raise CandleError(f"columns {by_name[found]} both name {role}; keep one")
        chosen[role] = by_name[found][0]
    return chosen


def _assemble(columns: dict[str, Any], symbol: str, interval: str | None) -> Candles:
    naive = _looks_naive(columns["time"])
    times = _times(columns.pop("time"))
    if not len(times):
        raise CandleError("there are no candles: expected at least one row after the header")
    # One column at a time, so that a large file is never in memory twice.
    values = {role: _numbers(columns.pop(role), role) for role in tuple(columns)}
    if len(times) > 1 and (np.diff(times) < 0).all():
        times = times[::-1]
        values = {role: column[::-1] for role, column in values.items()}
    if "turnover" not in values:
        typical = (values["high"] + values["low"] + values["close"]) / 3
        values["turnover"] = values["volume"] * typical
    interval = interval or infer_interval(times)
    try:
        return Candles(times, **values, symbol=symbol, interval=interval)
    except CandleError as error:
        if naive and "repeats the time" in str(error):
            raise CandleError(
                f"{error}; times without an offset are read as UTC, and a local clock's repeated "
                "hour looks like this: give the times in UTC or with their offset"
            ) from None
        raise


def infer_interval(open_time_ms: IntArray) -> str:
    """The interval code of the most common spacing of open times.

    Raises:
        CandleError: Fewer than two bars, or a spacing that no interval has.
    """
    spacings = np.diff(open_time_ms)
    spacings = spacings[spacings > 0]
    if not len(spacings):
        raise CandleError(
            f"the interval cannot be told from {len(open_time_ms)} row(s) at "
            f"{format_time(int(open_time_ms[0]))}; give it, such as interval='60'"
        )
    found, counts = np.unique(spacings, return_counts=True)
    spacing = int(found[np.argmax(counts)])
    for code, length in INTERVALS_MS.items():
        if length == spacing:
            return code
    row = int(np.argmax(np.diff(open_time_ms) == spacing)) + 1
    raise CandleError(
        f"row {row}: the most common spacing is {spacing / 60_000:g} minutes, which is none of "
        f"{', '.join(INTERVALS_MS)}"
    )


def _numbers(column: pa.ChunkedArray, role: str) -> FloatArray:
    """A column as float64 [T]; empty cells are NaN, which `Candles` refuses by row."""
    import pyarrow as pa

    try:
        values = column.cast(pa.float64(), safe=False)
    except pa.ArrowException:
        values = _parse_each(column, role)
    array: FloatArray = values.to_numpy()
    return array


def _parse_each(column: pa.ChunkedArray, role: str) -> pa.ChunkedArray:
    import pyarrow as pa

    numbers = []
    for row, cell in enumerate(column.to_pylist()):
        try:
            text = "nan" if cell is None else str(cell)
            numbers.append(float(text if "_" not in text else "no number"))
        except ValueError:
            raise CandleError(f"row {row}: {role} is {_shown(cell)}; expected a number") from None
    return pa.chunked_array([pa.array(numbers, pa.float64())])


def _looks_naive(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    kind = column.type
    return bool(pa.types.is_timestamp(kind) and kind.tz is None) or bool(pa.types.is_string(kind))


def _times(column: pa.ChunkedArray) -> IntArray:
    """A time column as ms since 1970 UTC [T], int64."""
    import pyarrow as pa

    kind = column.type
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise CandleError(f"row {row}: the time is empty")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _from_timestamps(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _from_numbers(column.to_numpy())
    return _from_text(column)


def _from_timestamps(column: pa.ChunkedArray) -> IntArray:
    import pyarrow as pa

    try:
        stamps = column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
    except pa.ArrowException as error:
        raise CandleError(f"a time is out of range: {_first_line(error)}") from None
    return _whole_ms(stamps / 1_000_000 if len(stamps) else stamps, stamps // 1_000_000)


def _from_numbers(stamps: Any) -> IntArray:
    """Numbers since 1970; the first row's size tells the unit, and the rest must agree."""
    if not len(stamps):
        return np.empty(0, dtype=np.int64)
    values = stamps.astype(np.float64)
    unit = _unit(float(values[0]))
    in_ms = values / _UNITS_PER_MS[unit]
    wrong = ~((in_ms >= _FIRST_MS) & (in_ms < _LAST_MS))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise CandleError(
            f"row {row}: the time {stamps[row]} is not in 2000–2100 when read as {unit} since 1970, "
            "which is how the first row reads"
        )
    return _whole_ms(in_ms, np.rint(in_ms).astype(np.int64))


def _unit(first: float) -> str:
    for unit, per_ms in _UNITS_PER_MS.items():
        if _FIRST_MS * per_ms <= first < _LAST_MS * per_ms:
            return unit
    raise CandleError(
        f"row 0: the time {first:.15g} is not in 2000–2100 as seconds, milliseconds, microseconds "
        "or nanoseconds since 1970"
    )


def _whole_ms(exact: FloatArray, rounded: IntArray) -> IntArray:
    off = np.abs(exact - rounded) > 1e-3
    if off.any():
        row = int(np.argmax(off))
        raise CandleError(f"row {row}: the time {exact[row]:.4f} ms is not a whole millisecond")
    return rounded


def _from_text(column: pa.ChunkedArray) -> IntArray:
    import pyarrow as pa

    for kind in (pa.int64(), pa.float64()):
        try:
            return _from_numbers(column.cast(kind).to_numpy())
        except pa.ArrowException:
            continue
    for kind in (pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            return _from_timestamps(column.cast(kind))
        except pa.ArrowException:
            continue
    times = np.empty(len(column), dtype=np.int64)
    for row, cell in enumerate(column.to_pylist()):
        try:
            times[row] = to_ms(str(cell).strip())
        except (CandleError, OverflowError):
            raise CandleError(
                f"row {row}: the time is {_shown(cell)}; expected seconds or milliseconds since "
                "1970, or ISO 8601 such as 2024-01-01T00:00"
            ) from None
    return times


def _shown(cell: object) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
