"""Candles and funding rates from files, frames and lists: one reader for both.

What is accepted, what is refused and what is only flagged is the table of docs/candles.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from ..arrays import FloatArray, IntArray
from ..candles import UNNAMED, Candles
from ..errors import CandleError, FundingError, TableError, WorldModelTradingError
from ..funding import FundingRates
from .cells import looks_naive, parse_numbers, parse_times
from .columns import (
    CANDLES,
    FUNDING,
    NO_ROWS,
    PATH,
    Layout,
    asked_columns,
    choose_columns,
    infer_interval,
)
from .tables import open_table, readable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class ArrowFrame(Protocol):
    """A frame that gives itself to Arrow, as those of polars, DuckDB and pyarrow do."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The frame as a stream of Arrow's C interface."""


TableSource: TypeAlias = "str | os.PathLike[str] | pd.DataFrame | ArrowFrame | Sequence[Any]"

_MORE = "column "
"""Before the name of a column that was asked for, among the roles."""
_SYMBOL = re.compile(r"[A-Z0-9]{2,15}(?:USDT|USDC|USD|PERP)")
_PAIR = re.compile(r"([A-Z0-9]+)[/_-]([A-Z]{3,5})(?::[A-Z0-9]+)?")
_INDEX_HINT = "; no column is named as one of times, and so the index was read"
_LOCAL_TIME_HINT = (
    "times without an offset are read as UTC, and a local clock's repeated hour looks like this: "
    "give the times in UTC or with their offset"
)
_PLACE_HINT = (
    "the columns have no names and were read as {names}: if they are others, give them a header"
)
_PATHS_HINT = "the table holds several paths: open one as 'FILE#0', or all by read_paths"
_NEWEST_FIRST_HINT = "the record runs newest first, and its rows are counted from the end"


def read_candles(
    source: TableSource,
    symbol: str | None = None,
    interval: str | None = None,
    columns: Sequence[str] = (),
) -> Candles:
    """Read candles from a file, a frame or a list.

    Columns are found by name in any case (``timestamp``, ``open_time``, ``startTime``, ``date``,
    ``vol``, ``quote_volume``, ``Volume BTC``, …), without names by their place; others are ignored.
    Times are seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their
    size, or ISO 8601 text; an offset is converted to UTC, and a time without one is UTC. A record
    that runs newest first is reversed. A missing turnover becomes volume × (high + low + close)/3.

    Args:
        source: Path of a CSV, JSON, Parquet or Feather file, also packed by gzip or zip; a
            DataFrame of pandas, polars or Arrow (the time may be its index); a list of rows, such
            as ccxt's.
        symbol: The instrument's name; by default what `write_candles` or `to_frame` recorded,
            else that of a symbol column, else the part of the file name that looks like
            ``BTCUSDT``, else ``"UNKNOWN"``.
        interval: Bybit's interval code; by default the recorded one, else the most common spacing.
        columns: More columns to keep, by their names: numbers that were known at each bar's close.

    Raises:
        CandleError: Naming the file, the row (0 is the first after the header), its time, and what
            is wrong with it.
    """
    with _refused_as(CandleError, source):
        record = _read(source, CANDLES, columns)
        more = {name: record.values.pop(_MORE + name) for name in columns}
        turnover = record.values.pop("turnover_or_count", None)
        if turnover is not None and _is_turnover(turnover, record.values):
            record.values["turnover"] = turnover
        if "turnover" not in record.values:
            record.values["turnover"] = _typical_turnover(record.values)
        with _hints(record):
            return Candles(
                record.time_ms,
                **record.values,
                symbol=symbol or record.symbol or _symbol_in_name(source) or UNNAMED,
                interval=interval or record.interval or infer_interval(record.time_ms),
                instrument=None,  # a file carries no trading rules
                columns=more,
                column_sources=dict.fromkeys(columns, _name_of(source)),
            )


def read_funding(source: TableSource) -> FundingRates:
    """Read funding rates from a file, a frame or a list, with the freedom of `read_candles`.

    Columns are found by name: Bybit's (``fundingRateTimestamp``, ``fundingRate``), Binance's
    (``calc_time``, ``last_funding_rate``), ccxt's (``timestamp``, ``fundingRate``), ….

    Args:
        source: As for `read_candles`.

    Raises:
        FundingError: Naming the file, the row and what is wrong with it.
    """
    with _refused_as(FundingError, source):
        record = _read(source, FUNDING)
        with _hints(record):
            return FundingRates(record.time_ms, record.values["rate"])


def guess_symbol(file_name: str) -> str:
    """The part of a file name that looks like ``BTCUSDT``, else ``"UNKNOWN"``."""
    parts = re.split(r"[^A-Z0-9]+", file_name.upper())
    return next((part for part in parts if _SYMBOL.fullmatch(part)), UNNAMED)


@contextmanager
def _refused_as(kind: type[WorldModelTradingError], source: object) -> Iterator[None]:
    """Refuse a source as one kind of error, with its name before what is wrong with it."""
    try:
        yield
    except (TableError, CandleError, FundingError) as error:
        raise kind(f"{_name_of(source)}: {error}") from None


def _name_of(source: object) -> str:
    """What a source is called."""
    if isinstance(source, str | os.PathLike):
        return Path(source).name
    return "rows" if isinstance(source, list | tuple) else "frame"


@dataclass
class _Record:
    """A table's cells, oldest first, and what was noticed while reading them.

    Attributes:
        time_ms: Times [T], ms UTC.
        values: The other columns [T], by role.
        symbol: What it calls its instrument; empty if it does not say.
        interval: What it calls its interval; empty likewise.
        hints: What may have gone wrong, should the record be refused.
    """

    time_ms: IntArray
    values: dict[str, FloatArray]
    symbol: str
    interval: str
    hints: list[str]


def _read(source: object, layout: Layout, more: Sequence[str] = ()) -> _Record:
    with readable():
        table = open_table(source, layout)
        chosen = choose_columns(table.names, layout, table.index)
        asked = asked_columns(table.names, more)
        chosen |= {_MORE + name: position for name, position in asked.items()}
        columns = table.read(chosen)
        symbol = _one_symbol(columns.pop("symbol", None))
    naive = looks_naive(columns["time"])
    try:
        times = parse_times(
            columns.pop("time"), columns.pop("date", None), columns.pop("index", None)
        )
    except TableError as error:
        hint = _INDEX_HINT if chosen["time"] == table.index else ""
        raise TableError(f"{error}{hint}") from None
    if not len(times):
        raise TableError(NO_ROWS)
    values = {role: parse_numbers(columns.pop(role), role) for role in tuple(columns)}
    _give_back_memory()
    hints = [_LOCAL_TIME_HINT] if naive else []
    if table.by_place:
        hints.append(_PLACE_HINT.format(names=", ".join(table.names[:6])))
    if PATH in table.names:
        hints.append(_PATHS_HINT)
    if len(times) > 1 and bool((np.diff(times) < 0).all()):
        times = times[::-1]
        values = {role: column[::-1] for role, column in values.items()}
        hints.append(_NEWEST_FIRST_HINT)
    recorded = table.recorded
    return _Record(
        times, values, recorded.get("symbol") or symbol, recorded.get("interval", ""), hints
    )


@contextmanager
def _hints(record: _Record) -> Iterator[None]:
    """Add to a refusal what the reader noticed that may be its cause."""
    try:
        yield
    except (CandleError, FundingError) as error:
        local = "the row before" in str(error)
        hints = [hint for hint in record.hints if local or hint is not _LOCAL_TIME_HINT]
        raise type(error)("; ".join((str(error), *hints))) from None


def _one_symbol(column: pa.ChunkedArray | None) -> str:
    """The one instrument of a symbol column as exchanges name it: ``BTC/USDT`` is ``BTCUSDT``."""
    if column is None:
        return ""
    names = [
        str(name)
        for name in column.unify_dictionaries().unique().to_pylist()
        if name not in (None, "")
    ]
    if len(names) > 1:
        raise TableError(
            f"the rows are of {len(names)} symbols, {', '.join(names[:4])}; keep those of one"
        )
    name = names[0].strip().upper() if names else ""
    pair = _PAIR.fullmatch(name)
    return f"{pair[1]}{pair[2]}" if pair else name


def _symbol_in_name(source: object) -> str:
    return guess_symbol(Path(source).name) if isinstance(source, str | os.PathLike) else ""


def _is_turnover(column: FloatArray, values: dict[str, FloatArray]) -> bool:
    """Whether column ÷ volume is a price inside most bars: else it counts something, as trades."""
    volume = values["volume"]
    with np.errstate(invalid="ignore", over="ignore"):
        inside = (column >= 0.999 * values["low"] * volume) & (
            column <= 1.001 * values["high"] * volume
        )
        traded = volume > 0
    return bool(2 * np.count_nonzero(inside & traded) > np.count_nonzero(traded))


def _typical_turnover(values: dict[str, FloatArray]) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by row
        typical: FloatArray = values["high"] / 3 + values["low"] / 3 + values["close"] / 3
        return values["volume"] * typical


def _give_back_memory() -> None:
    """Return freed blocks to the system: a large file's cells lie in many small ones."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
