"""Points in time: the one reader of what users give for them, and how they are written."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TypeAlias

import numpy as np

from .arrays import FloatArray
from .errors import CandleError
from .settings import real_number, scalar

Time: TypeAlias = "str | float | date | np.datetime64 | np.integer | np.floating"
"""ISO 8601 text, a date, a datetime (pandas's too), a ``datetime64``, or a number since 1970."""

FIRST_MS, LAST_MS = 946_684_800_000, 4_102_444_800_000
"""2000-01-01 and 2100-01-01 UTC: markets are recorded between them."""

UNITS_PER_MS = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}
"""Units in which times are counted since 1970, and how many of them make a millisecond."""

_EXPECTED = (
    "expected ISO 8601 text such as 2024-01-01, a date or datetime, or a number of seconds or "
    "milliseconds since 1970"
)
_YEAR_FIRST = re.compile(r"(\d{4})[./-](\d{1,2})[./-](\d{1,2})(?:[T ]+(.*))?")
_TWELVE_HOURS = re.compile(r"(\d{1,2})-([AP])M")  # CryptoDataDownload's "2020-07-22 01-PM"
_UTC = re.compile(r" ?(UTC|GMT)$")
_NUMBER = re.compile(r"\d{9,}(\.\d*)?")  # longer than the digits of any date: 20240101


def numbers_to_ms(numbers: FloatArray) -> FloatArray:
    """Numbers since 1970 as ms, any shape, each read in the unit that puts it in 2000–2100.

    The units are a thousandfold apart and the years are not, so at most one fits; NaN for none.
    """
    in_ms = np.full(numbers.shape, np.nan)
    for per_ms in UNITS_PER_MS.values():
        fits = (numbers >= FIRST_MS * per_ms) & (numbers <= LAST_MS * per_ms)
        np.divide(numbers, per_ms, out=in_ms, where=fits)
    return in_ms


def to_ms(time: Time) -> int:
    """A point in time as ms since 1970 UTC; what names no time zone is UTC.

    Args:
        time: ISO 8601 text (``"2024-01-01"``), a date, a datetime (a pandas ``Timestamp`` is one),
            a numpy ``datetime64``; or a number since 1970, also as text, whose size tells
            seconds, ms, µs and ns apart: ``1704844800`` are seconds, ``1704844800000`` ms.

    Raises:
        CandleError: It is none of these, or a number that no unit places in 2000–2100.
    """
    given = scalar(time)
    if isinstance(given, str):
        text = given.strip()
        return _from_number(float(text), given) if _NUMBER.fullmatch(text) else _from_text(text)
    if isinstance(given, np.datetime64) and not np.isnat(given):
        return round(int(given.astype("datetime64[us]").astype(np.int64)) / 1000)
    if isinstance(given, date) and given == given:  # pandas's NaT is a datetime unequal to itself
        return _from_date(given)
    number = real_number(given)
    if number is None:
        raise CandleError(f"time is {time!r}; {_EXPECTED}")
    return _from_number(number, time)


def format_time(time_ms: int) -> str:
    """Write ms since 1970 as UTC text to the minute, ``2024-03-05 14:00 UTC``."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def iso_text(time: Time) -> str:
    """A time as ISO 8601 text: text that is one stays, anything else is written out in UTC."""
    moment = datetime.fromtimestamp(to_ms(time) / 1000, UTC)
    if isinstance(time, str) and not _NUMBER.fullmatch(time.strip()):
        return time
    return moment.isoformat()


def describe_time(time: Time | None, absent: str) -> str:
    """What a user gave for a time, read and written out; for None, the word for its absence."""
    return absent if time is None else format_time(to_ms(time))


def _from_text(text: str) -> int:
    try:
        return _from_date(datetime.fromisoformat(_as_iso(text)))
    except ValueError:
        raise CandleError(f"time is {text!r}; {_EXPECTED}") from None


def _as_iso(text: str) -> str:
    """Text that begins with year, month and day, as ISO 8601 writes it."""
    found = _YEAR_FIRST.fullmatch(_UTC.sub("+00:00", text))
    if found is None:
        return text
    year, month, day, clock = found.groups()
    twelve = _TWELVE_HOURS.fullmatch(clock or "")
    if twelve is not None:
        clock = f"{int(twelve[1]) % 12 + 12 * (twelve[2] == 'P'):02d}:00"
    padded = f"0{clock}" if clock and clock[1:2] == ":" else clock
    return f"{year}-{month:0>2}-{day:0>2}" + (f"T{padded}" if padded else "")


def _from_date(time: date) -> int:
    if not isinstance(time, datetime):
        time = datetime(time.year, time.month, time.day, tzinfo=UTC)
    elif time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1000)


def _from_number(number: float, given: object) -> int:
    in_ms = float(numbers_to_ms(np.array([number], dtype=np.float64))[0])
    if np.isnan(in_ms):
        raise CandleError(
            f"time is {given!r}, which is not in 2000–2100 as seconds, milliseconds, microseconds "
            f"or nanoseconds since 1970; {_EXPECTED}"
        )
    return round(in_ms)
