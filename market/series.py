"""Series beside candles: numbers of their own clock, each with the time from which it may be used.

What an agent may know at the close of a bar is the newest value that was known by then. A series is
joined to candles as a column of that: `with_series`. Funding has its own: `with_funding`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FloatArray, IntArray
from .candles import Candles
from .errors import CandleError, FundingError
from .funding import FundingRates
from .intervals import INTERVALS_MS
from .times import FIRST_MS, LAST_MS, format_time

FUNDING_RATE, FUNDING_HOURS, FUNDING_DUE = "funding_rate", "funding_hours", "funding_due"
FUNDING_COLUMNS = (FUNDING_RATE, FUNDING_HOURS, FUNDING_DUE)
"""Columns of `with_funding`."""

_HOUR_MS = INTERVALS_MS["60"]
_LONGEST_FUNDING_MS = 8 * _HOUR_MS


@dataclass(frozen=True, eq=False)
class Series:
    """Numbers beside candles, each with the time from which it may be used.

    Attributes:
        name: What the column will be called, such as ``"open_interest"``.
        source: Where it is from, such as ``"bybit:linear:BTCUSDT:open-interest:60"``.
        known_ms: First time at which each value may be used [N], ascending, ms UTC; of equal times
            the last value counts.
        values: Themselves [N], float64; NaN where nothing is known from then on.

    Raises:
        CandleError: The times are none or not ascending, or a value is infinite.
    """

    name: str
    source: str
    known_ms: IntArray
    values: FloatArray

    def __post_init__(self) -> None:
        times = np.array(self.known_ms, dtype=np.int64)
        values = np.array(self.values, dtype=np.float64)
        if times.ndim != 1 or times.shape != values.shape or not len(times):
            raise CandleError(
                f"the series {self.name} has times of shape {times.shape} and values of shape "
                f"{values.shape}; expected as many, and at least one"
            )
        self._check(times, values)
        for name, column in (("known_ms", times), ("values", values)):
            column.setflags(write=False)
            object.__setattr__(self, name, column)

    def _check(self, times: IntArray, values: FloatArray) -> None:
        rules = (
            (
                (times < FIRST_MS) | (times > LAST_MS),
                "is outside 2000–2100: expected ms since 1970",
            ),
            (np.diff(times, prepend=times[0]) < 0, "is earlier than that of the row before"),
            (np.isinf(values), "has an infinite value"),
        )
        for wrong, text in rules:
            if wrong.any():
                row = int(np.argmax(wrong))
                raise CandleError(f"series {self.name} row {row}: time {times[row]} {text}")

    def __len__(self) -> int:
        return len(self.known_ms)

    def __repr__(self) -> str:
        first, last = format_time(int(self.known_ms[0])), format_time(int(self.known_ms[-1]))
        return f"Series({self.name}, {len(self)} values, {first} – {last})"

    def at(self, time_ms: ArrayLike) -> FloatArray:
        """The newest value with ``known_ms`` ≤ each time [...]; NaN before the first."""
        row = np.searchsorted(self.known_ms, np.asarray(time_ms, dtype=np.int64), side="right") - 1
        found: FloatArray = np.where(row >= 0, self.values[np.maximum(row, 0)], np.nan)
        return found

    def at_closes(self, candles: Candles) -> FloatArray:
        """The newest value that may be used at each bar's close [T]; NaN before the first."""
        return self.at(candles.open_time_ms + candles.interval_ms)

    def data_hash(self) -> str:
        """SHA-256 of name and every number, as hexadecimal text."""
        digest = hashlib.sha256(f"{self.name} {len(self)}".encode())
        for column in (self.known_ms, self.values):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()


def with_series(candles: Candles, *series: Series) -> Candles:
    """Candles with a column more for each series: what was known of it at each bar's close.

    A column of the same name is replaced.

    Args:
        candles: T bars.
        series: Of any times of their own; where nothing is known yet a column holds NaN.
    """
    columns = {one.name: one.at_closes(candles) for one in series}
    return _with(candles, columns, {one.name: one.source for one in series})


def funding_series(rates: FundingRates, source: str = "funding") -> Series:
    """The last settled rate, known from its instant on [fraction of notional]."""
    return Series(FUNDING_RATE, source, rates.time_ms, rates.rate)


def with_funding(candles: Candles, rates: FundingRates, source: str = "funding") -> Candles:
    """Candles with what was known of funding at each bar's close.

    Columns ``funding_rate``, the last settled rate; ``funding_hours``, the time between the last two
    instants [h], 8 at most; ``funding_due``, the time until the next one if that goes on, more than 0
    and at most ``funding_hours``. NaN before they can be known; a change of the exchange's interval
    is known from the second instant after it on.

    Args:
        candles: The bars.
        rates: Recorded rates of the symbol.
        source: Where they are from, in words.

    Raises:
        FundingError: The rates are all later than the candles.
    """
    closes = candles.open_time_ms + candles.interval_ms
    if rates.time_ms[0] > closes[-1]:
        raise FundingError(f"the candles {candles!r} end before the first of {rates!r}")
    steps = np.diff(rates.time_ms)
    usual = (steps <= _LONGEST_FUNDING_MS) & (INTERVALS_MS["D"] % steps == 0)
    known = rates.time_ms[1:][usual]
    if len(known):
        hours = Series(FUNDING_HOURS, source, known, steps[usual] / _HOUR_MS).at(closes)
    else:
        hours = np.full(len(candles), np.nan)
    last = Series("instant", source, rates.time_ms, rates.time_ms.astype(np.float64)).at(closes)
    passed = (closes - last) / _HOUR_MS
    columns = {
        FUNDING_RATE: funding_series(rates, source).at(closes),
        FUNDING_HOURS: hours,
        FUNDING_DUE: hours - passed % hours,
    }
    return _with(candles, columns, dict.fromkeys(columns, source))


def _with(candles: Candles, columns: dict[str, FloatArray], sources: dict[str, str]) -> Candles:
    return replace(
        candles,
        columns={**candles.columns, **columns},
        column_sources={**candles.column_sources, **sources},
    )
