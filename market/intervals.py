"""The lengths of bars."""

from __future__ import annotations

from .errors import CandleError

_MINUTE_MS = 60_000
INTERVALS_MS: dict[str, int] = {
    **{str(m): m * _MINUTE_MS for m in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": 1_440 * _MINUTE_MS,
    "W": 10_080 * _MINUTE_MS,
}
"""Bybit's interval codes and their lengths [ms]. Months have no fixed length and are left out."""


def interval_ms(interval: str) -> int:
    """Length of an interval code [ms]; raises `CandleError` for an unknown one."""
    try:
        return INTERVALS_MS[interval]
    except KeyError:
        known = ", ".join(INTERVALS_MS)
        raise CandleError(f"interval is {interval!r}; expected one of {known}") from None


def describe_interval(interval: str) -> str:
    """Length of an interval code as people say it, such as ``1 hour``."""
    minutes = interval_ms(interval) // _MINUTE_MS
    lengths = ((10_080, "week"), (1_440, "day"), (60, "hour"), (1, "minute"))
    length, word = next(each for each in lengths if minutes % each[0] == 0)
    count = minutes // length
    return f"{count} {word}{'s' if count > 1 else ''}"
