"""Candles in files and frames: CSV, Parquet and pandas, in and out.

What is accepted, what is refused and what is only flagged is the table of docs/candles.md.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from .candles import Candles
from .columns import (
    choose_columns,
    first_line,
    infer_interval,
    looks_naive,
    parse_numbers,
    parse_times,
)
from .errors import CandleError
from .writer import whole_file

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SYMBOL = re.compile(r"[A-Z0-9]{2,15}(?:USDT|USDC|USD|PERP)")
_LOCAL_TIME_HINT = (
    "; times without an offset are read as UTC, and a local clock's repeated hour looks like this: "
    "give the times in UTC or with their offset"
)
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
        CandleError: Another ending.
        OutputError: It cannot be written.
    """
    import pyarrow as pa

    target = Path(path)
    write = _writer(target)
    names = ("open_time_ms", *_PRICES, "volume", "turnover")
    table = pa.table([getattr(candles, name) for name in names], names=["timestamp", *names[1:]])
    table = table.replace_schema_metadata({"symbol": candles.symbol, "interval": candles.interval})
    with whole_file(target) as temporary:
        write(table, str(temporary))


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
        raise CandleError(f"cannot be read: {first_line(error)}") from None


def _open_parquet(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        chosen = choose_columns(file.schema_arrow.names)
        table = file.read(columns=list(chosen.values()))
        metadata = file.schema_arrow.metadata or {}
    recorded = {key: metadata.get(key.encode(), b"").decode() for key in ("symbol", "interval")}
    return {role: table.column(name) for role, name in chosen.items()}, recorded


def _open_csv(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    import pyarrow as pa

    header, delimiter = _header(path)
    chosen = choose_columns(header)
    positions = {role: header.index(name) for role, name in chosen.items()}
    try:
        table = _read_csv(path, len(header), delimiter, positions, typed=True)
    except pa.ArrowInvalid:
        _refuse_ragged_rows(path, len(header), delimiter)
        # A cell that is no number: read everything as text, so that the row can be named.
        table = _read_csv(path, len(header), delimiter, positions, typed=False)
    return {role: table.column(f"c{i}") for role, i in positions.items()}, {}


def _open_bytes(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _header(path: Path) -> tuple[list[str], str]:
    with _open_bytes(path) as stream:
        line = stream.readline(65_536).decode("utf-8-sig")
    if not line.strip():
        raise CandleError("the file is empty: expected a header line and at least one row")
    delimiter = max(",;\t", key=line.count)
    return next(csv.reader([line], delimiter=delimiter)), delimiter


def _refuse_ragged_rows(path: Path, width: int, delimiter: str) -> None:
    with _open_bytes(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        rows = filter(None, csv.reader(text, delimiter=delimiter))
        for row, cells in enumerate(rows, start=-1):
            if len(cells) != width:
                raise CandleError(
                    f"row {row} has {len(cells)} cells ({first_line(','.join(cells))!r}); expected "
                    f"{width}, as in the header"
                )


def _read_csv(
    path: Path, width: int, delimiter: str, positions: dict[str, int], *, typed: bool
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as pacsv

    types = {f"c{i}": pa.float64() if typed else pa.string() for i in positions.values()}
    if typed:
        del types[f"c{positions['time']}"]  # numbers or ISO text: whatever the first block shows
    # Block by block, since reading all at once holds the whole text beside the numbers.
    with pacsv.open_csv(
        path,
        pacsv.ReadOptions(column_names=[f"c{i}" for i in range(width)], skip_rows=1),
        pacsv.ParseOptions(delimiter=delimiter),
        pacsv.ConvertOptions(
            column_types=types,
            include_columns=[f"c{i}" for i in positions.values()],
            strings_can_be_null=True,
        ),
    ) as reader:
        return pa.Table.from_batches(list(reader), reader.schema)


def _from_frame(frame: pd.DataFrame) -> tuple[dict[str, Any], dict[str, str]]:
    import pandas as pd
    import pyarrow as pa

    if not isinstance(frame, pd.DataFrame):
        raise CandleError(f"got a {type(frame).__name__}; expected a path or a DataFrame")
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.rename_axis("time").drop(columns="time", errors="ignore").reset_index()
    chosen = choose_columns([str(name) for name in frame.columns])
    positions = {role: list(map(str, frame.columns)).index(name) for role, name in chosen.items()}
    columns = {}
    for role, position in positions.items():
        series = frame.iloc[:, position]
        try:
            cells = pa.Array.from_pandas(series)
            columns[role] = (
                cells if isinstance(cells, pa.ChunkedArray) else pa.chunked_array([cells])
            )
        except (pa.ArrowException, TypeError, OverflowError):
            columns[role] = pa.chunked_array([pa.array([str(value) for value in series])])
    recorded = {key: str(frame.attrs.get(key) or "") for key in ("symbol", "interval")}
    return columns, recorded


def _give_back_memory() -> None:
    """Return freed blocks to the system: a large file's cells lie in many small ones."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def _assemble(columns: dict[str, Any], symbol: str, interval: str | None) -> Candles:
    naive = looks_naive(columns["time"])
    times = parse_times(columns.pop("time"))
    if not len(times):
        raise CandleError("there are no candles: expected at least one row after the header")
    values = {role: parse_numbers(columns.pop(role), role) for role in tuple(columns)}
    _give_back_memory()
    reverse = len(times) > 1 and bool((np.diff(times) < 0).all())
    if reverse:
        times = times[::-1]
        values = {role: column[::-1] for role, column in values.items()}
    if "turnover" not in values:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by row
            typical = values["high"] / 3 + values["low"] / 3 + values["close"] / 3
            values["turnover"] = values["volume"] * typical
    interval = interval or infer_interval(times)
    try:
        return Candles(times, **values, symbol=symbol, interval=interval)
    except CandleError as error:
        hint = ""
        if naive and "the time of the row before" in str(error):
            hint = _LOCAL_TIME_HINT
        if reverse:
            hint += "; the record runs newest first, and its rows are counted from the end"
        raise CandleError(f"{error}{hint}") from None
