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
