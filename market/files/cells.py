"""Cells of a table as numbers and times: what a person reads in them, or the row that is wrong."""

from __future__ import annotations

import re
from datetime import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import FloatArray, IntArray
from ..errors import CandleError, TableError
from ..times import FIRST_MS, LAST_MS, format_time, numbers_to_ms, to_ms

if TYPE_CHECKING:
    import pyarrow as pa

_DAY_MS = 86_400_000
_FIRST_DATE, _LAST_DATE = 20_000_101, 20_991_231  # as numbers; no unit reads them in 2000–2100
_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,9}))?)?")
_EXPECTED = (
    "expected seconds or milliseconds since 1970, or ISO 8601 such as 2024-01-01T00:00; of a day "
    "and a time in two columns, call them date and time"
)


def as_column(values: Any) -> pa.ChunkedArray:
    """Values of any kind as one arrow column; what arrow has no type for becomes text."""
    import pyarrow as pa

    try:
        cells = pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        cells = pa.array([None if value is None else str(value) for value in values])
    return cells if isinstance(cells, pa.ChunkedArray) else pa.chunked_array([cells])


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with plain text in the place of arrow's other ways to hold text."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_text = pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type)
    return column.cast(pa.string()) if is_text else column


def parse_numbers(column: pa.ChunkedArray, role: str) -> FloatArray:
    """A column as float64 [T]; empty cells are NaN, which the record refuses by row."""
    import pyarrow as pa

    try:
        values = plain_column(column).cast(pa.float64(), safe=False)
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
            raise TableError(f"row {row}: {role} is {shortened(cell)}; expected a number") from None
    return pa.chunked_array([pa.array(numbers, pa.float64())])


def parse_times(
    column: pa.ChunkedArray,
    days: pa.ChunkedArray | None = None,
    index: pa.ChunkedArray | None = None,
) -> IntArray:
    """A time column as ms since 1970 UTC [T], int64; what names no time zone is UTC.

    Args:
        column: Numbers since 1970, each in the unit that its size tells; dates and times of any
            kind; text.
        days: The dates beside it, if it holds times of day.
        index: Labels beside it. Where they are times, too, the two must agree; one may be only
            the day or the hour of the other.

    Raises:
        TableError: Naming the first row that is no time.
    """
    labels = None if index is None else _labels(index)
    column = _filled(column)
    clock = _times_of_day(column)
    if clock is None:
        times = _parse_moments(column)
    elif days is not None:
        times = _joined(_parse_moments(_filled(days)), clock)
    elif labels is not None:
        times = labels // _DAY_MS * _DAY_MS + clock
    else:
        raise TableError(f"row 0: the time is {shortened(str(column[0]))}; {_EXPECTED}")
    return times if labels is None else _agreed(labels, times)


def looks_naive(column: pa.ChunkedArray) -> bool:
    """Whether a time column may hold local times: text or stamps without a time zone."""
    import pyarrow as pa

    kind = plain_column(column).type
    is_stamp = pa.types.is_timestamp(kind) and kind.tz is None
    return bool(pa.types.is_string(kind) or pa.types.is_time(kind) or is_stamp)


def is_time(cell: object) -> bool:
    """Whether a cell by itself is a point in time between 2000 and 2100."""
    try:
        return len(_parse_moments(_filled(as_column([cell])))) == 1
    except TableError:
        return False


def is_time_of_day(cell: object) -> bool:
    """Whether a cell is a time without its day."""
    return isinstance(cell, time) or _TIME_OF_DAY.fullmatch(str(cell).strip()) is not None


def is_number(cell: object) -> bool:
    """Whether a cell is a number or the text of one."""
    try:
        float(str(cell))
    except ValueError:
        return False
    return True


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise TableError(f"row {row}: the time is empty")
    return plain_column(column)


def _labels(index: pa.ChunkedArray) -> IntArray | None:
    """An index as times, if it holds any."""
    try:
        return parse_times(index)
    except TableError:
        return None


def _agreed(labels: IntArray, times: IntArray) -> IntArray:
    """The finer of two columns of the same times."""
    differ = np.flatnonzero(labels != times)
    if not len(differ):
        return times
    for fine, coarse in ((labels, times), (times, labels)):
        repeats = len(np.unique(coarse)) < len(coarse)  # else it is a time of its own
        if repeats and np.array_equal(fine // _DAY_MS * _DAY_MS, coarse):
            return fine
    row = int(differ[0])
    raise TableError(
        f"row {row}: the index says {format_time(int(labels[row]))} and the time column "
        f"{format_time(int(times[row]))}; drop the one that is not the bars' "
        "open time (an index with frame.reset_index(drop=True))"
    )


def _times_of_day(column: pa.ChunkedArray) -> IntArray | None:
    """Times without a day as ms since midnight [T]; None if the column holds something else."""
    import pyarrow as pa

    if pa.types.is_time(column.type):
        since_midnight = column.cast(pa.time64("us"), safe=False).cast(pa.int64())
        clock: IntArray = since_midnight.to_numpy() // 1000
        return clock
    if not (pa.types.is_string(column.type) and len(column) and is_time_of_day(column[0])):
        return None
    clock = np.empty(len(column), dtype=np.int64)
    for row, cell in enumerate(column.to_pylist()):
        found = _TIME_OF_DAY.fullmatch(cell.strip())
        if found is None:
            raise TableError(f"row {row}: the time is {shortened(cell)}; expected a time of day")
        hours, minutes, seconds, fraction = found.groups("0")
        in_seconds = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
        clock[row] = in_seconds * 1000 + int(fraction[:3].ljust(3, "0"))
    return clock


def _joined(days: IntArray, clock: IntArray) -> IntArray:
    """Day and time of day as one; a day that has its time already must agree."""
    since_midnight = days % _DAY_MS
    if not since_midnight.any():
        return days + clock
    if (since_midnight == clock).all():
        return days
    row = int(np.argmax(since_midnight != clock))
    raise TableError(
        f"row {row}: the date is {format_time(int(days[row]))} and its time another; keep one of "
        "the columns date and time"
    )


def _parse_moments(column: pa.ChunkedArray) -> IntArray:
    import pyarrow as pa

    kind = column.type
    if not len(column):
        return np.empty(0, dtype=np.int64)
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
    """Numbers since 1970, each in the one unit that puts it between 2000 and 2100."""
    values = stamps.astype(np.float64)
    if ((values >= _FIRST_DATE) & (values <= _LAST_DATE)).all():
        return _from_text(as_column([f"{value:.0f}" for value in values]), numbers=False)
    in_ms = numbers_to_ms(values)
    wrong = np.isnan(in_ms)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TableError(
            f"row {row}: the time {stamps[row]:.15g} is not in 2000–2100 as seconds, milliseconds, "
            "microseconds or nanoseconds since 1970"
        )
    return _whole_ms(in_ms, np.rint(in_ms).astype(np.int64))


def _whole_ms(exact: FloatArray, rounded: IntArray) -> IntArray:
    off = np.abs(exact - rounded) > 1e-3
    if off.any():
        row = int(np.argmax(off))
        raise TableError(f"row {row}: the time {exact[row]:.4f} ms is not a whole millisecond")
    return rounded


def _from_text(column: pa.ChunkedArray, numbers: bool = True) -> IntArray:
    import pyarrow as pa

    if numbers and is_number(column[0].as_py()):
        return _from_numbers(_parse_each(column, "time").to_numpy())
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return _from_timestamps(column.cast(kind))
        except pa.ArrowException:
            continue
    times = np.empty(len(column), dtype=np.int64)
    for row, cell in enumerate(column.to_pylist()):
        try:
            times[row] = to_ms(str(cell))
        except (CandleError, OverflowError):
            raise TableError(f"row {row}: the time is {shortened(cell)}; {_EXPECTED}") from None
    return _in_range(times)


def _in_range(times: IntArray) -> IntArray:
    wrong = (times < FIRST_MS) | (times > LAST_MS)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TableError(f"row {row}: the time {times[row]} ms since 1970 is outside 2000–2100")
    return times


def shortened(cell: object) -> str:
    """A cell or a row as it is written in an error."""
    text = repr(cell)
    return text if len(text) <= 60 else f"{text[:57]}…"


def first_line(text: object) -> str:
    """The first line of an error or a text, at most 200 characters."""
    return (str(text).splitlines() or [type(text).__name__])[0][:200]
