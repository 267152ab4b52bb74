"""Columns of a candle file: which one is which, and their cells as numbers and times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from .candles import INTERVALS_MS, FloatArray, IntArray, format_time, to_ms
from .errors import CandleError
from .times import FIRST_MS, LAST_MS, UNITS_PER_MS, unit_of

if TYPE_CHECKING:
    import pyarrow as pa

_NAMES: dict[str, tuple[str, ...]] = {
    "time": (
        *("open_time_ms", "open_time", "timestamp", "timestamp_ms", "start_time", "start"),
        *("datetime", "time", "date", "ts"),
    ),
    "open": ("open", "open_price", "o"),
    "high": ("high", "high_price", "h"),
    "low": ("low", "low_price", "l"),
    "close": ("close", "close_price", "c"),
    "volume": ("volume", "vol", "base_volume", "v"),
    "turnover": ("turnover", "quote_volume", "quote_asset_volume", "quote_vol", "amount"),
}
"""Accepted column names, best first; compared in any case, without spaces, ``_`` and ``-``."""


def choose_columns(names: list[str]) -> dict[str, str]:
    """Which column plays which role; the best name wins, turnover may be missing."""
    by_name: dict[str, list[str]] = {}
    for name in names:
        by_name.setdefault(_plain(name), []).append(name)
    chosen = {}
    for role, accepted in _NAMES.items():
        found = next((alias for alias in map(_plain, accepted) if alias in by_name), None)
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


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]", "", name).lower()


def infer_interval(open_time_ms: IntArray) -> str:
    """The interval code of the most common spacing of open times.

    Raises:
        CandleError: Fewer than two bars, or a spacing that no interval has.
    """
    spacings = np.diff(open_time_ms)
    spacings = spacings[spacings > 0]
    if len(open_time_ms) > 1 and not len(spacings):
        raise CandleError(
            f"row 1 ({format_time(int(open_time_ms[1]))}): is not later than the row before, "
            "and no other row is later than its own"
        )
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


def parse_numbers(column: pa.ChunkedArray, role: str) -> FloatArray:
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


def looks_naive(column: pa.ChunkedArray) -> bool:
    """Whether a time column may hold local times: text or stamps without a time zone."""
    import pyarrow as pa

    kind = column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(text or (pa.types.is_timestamp(kind) and kind.tz is None))


def parse_times(column: pa.ChunkedArray) -> IntArray:
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

    # Microseconds hold every year of a calendar; what is finer is cut off.
    stamps = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
    return _whole_ms(stamps / 1000, _in_range(stamps // 1000))


def _from_numbers(stamps: Any) -> IntArray:
    """Numbers since 1970; the first row's size tells the unit, and the rest must agree."""
    if not len(stamps):
        return np.empty(0, dtype=np.int64)
    values = stamps.astype(np.float64)
    unit = _unit(float(values[0]))
    in_ms = values / UNITS_PER_MS[unit]
    wrong = ~((in_ms >= FIRST_MS) & (in_ms < LAST_MS))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise CandleError(
            f"row {row}: the time {stamps[row]} is not in 2000–2100 when read as {unit} since 1970, "
            "which is how the first row reads"
        )
    return _whole_ms(in_ms, np.rint(in_ms).astype(np.int64))


def _unit(first: float) -> str:
    unit = unit_of(first)
    if unit is None:
        raise CandleError(
            f"row 0: the time {first:.15g} is not in 2000–2100 as seconds, milliseconds, "
            "microseconds or nanoseconds since 1970"
        )
    return unit


def _whole_ms(exact: FloatArray, rounded: IntArray) -> IntArray:
    off = np.abs(exact - rounded) > 1e-3
    if off.any():
        row = int(np.argmax(off))
        raise CandleError(f"row {row}: the time {exact[row]:.4f} ms is not a whole millisecond")
    return rounded


def _from_text(column: pa.ChunkedArray) -> IntArray:
    import pyarrow as pa

    if len(column) and _is_number(column[0].as_py()):
        return _from_numbers(_parse_each(column, "time").to_numpy())
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
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
    return _in_range(times)


def _in_range(times: IntArray) -> IntArray:
    wrong = (times < FIRST_MS) | (times >= LAST_MS)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise CandleError(f"row {row}: the time {times[row]} ms since 1970 is outside 2000–2100")
    return times


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def _shown(cell: object) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}…"


def first_line(text: object) -> str:
    """The first line of an error or a text, at most 200 characters."""
    return (str(text).splitlines() or [type(text).__name__])[0][:200]
