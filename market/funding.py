"""Funding: the rates that longs pay to shorts at recorded instants, and which bars they fall on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import FloatArray, IntArray
from .errors import FundingError
from .times import FIRST_MS, LAST_MS, Time, describe_time, format_time, to_ms

FUNDING_INTERVAL_MS = 8 * 3_600_000
"""Bybit's usual distance between two funding instants [ms]: 00:00, 08:00 and 16:00 UTC."""

_MINUTE_MS = 60_000
_CLOCK_NOISE_MS = 1_000  # some sources stamp a rate a little after its instant
_MAX_RATE = 0.1  # fraction of notional; beyond it the column is in percent, or another one


@dataclass(frozen=True, eq=False)
class FundingRates:
    """Recorded funding rates of one symbol; the arrays are read-only.

    A time within a second of a whole minute is taken for that minute, so that a late stamp does
    not move a rate to the next bar.

    Attributes:
        time_ms: Funding instants [K], int64 ms UTC, strictly increasing.
        rate: Fraction of notional that a long pays and a short receives at the instant [K].

    Raises:
        FundingError: Naming the first row that is wrong.
    """

    time_ms: IntArray
    rate: FloatArray

    def __post_init__(self) -> None:
        times, rates = _column(self.time_ms, np.int64), _column(self.rate, np.float64)
        if len(times) != len(rates) or not len(times):
            raise FundingError(
                f"there are {len(times)} funding times and {len(rates)} rates; "
                "expected as many, and at least one"
            )
        whole = (times + _MINUTE_MS // 2) // _MINUTE_MS * _MINUTE_MS
        times = np.where(np.abs(times - whole) <= _CLOCK_NOISE_MS, whole, times)
        _check(times, rates)
        for name, column in (("time_ms", times), ("rate", rates)):
            column.setflags(write=False)
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.time_ms)

    def __repr__(self) -> str:
        first, last = format_time(int(self.time_ms[0])), format_time(int(self.time_ms[-1]))
        return f"FundingRates({len(self)} rates, {first} – {last})"

    def data_hash(self) -> str:
        """SHA-256 of every instant and rate, as hexadecimal text."""
        digest = hashlib.sha256(f"{len(self)}".encode())
        for column in (self.time_ms, self.rate):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()

    def between(self, start: Time | None = None, end: Time | None = None) -> FundingRates:
        """The rates at instants in ``[start, end)``; raises `FundingError` where there are none."""
        first = 0 if start is None else int(np.searchsorted(self.time_ms, to_ms(start)))
        last = len(self) if end is None else int(np.searchsorted(self.time_ms, to_ms(end)))
        if first >= last:
            raise FundingError(
                f"no funding rates between {describe_time(start, 'the first')} and "
                f"{describe_time(end, 'the last')}: there are {self!r}"
            )
        return FundingRates(self.time_ms[first:last], self.rate[first:last])

    def per_bar(
        self,
        open_time_ms: ArrayLike,
        interval_ms: int,
        unrecorded_rate: float = 0.0,
        funding_interval_ms: int = FUNDING_INTERVAL_MS,
    ) -> FloatArray:
        """Rate charged on a position held during each bar [T]; 0 without a funding instant.

        An instant belongs to the bar that ends with it or holds it inside: open < instant ≤ open +
        interval. A position taken at that very close was not held yet and does not pay; one that
        is closed there still does. A bar with several instants is charged their sum.

        Args:
            open_time_ms: Bar open times [T], increasing.
            interval_ms: Length of a bar [ms].
            unrecorded_rate: Charged at every multiple of the funding interval without a record.
            funding_interval_ms: Where unrecorded instants lie, in multiples since 1970 UTC.
        """
        opens = np.asarray(open_time_ms, dtype=np.int64)
        charged = _charge(opens, interval_ms, self.time_ms, self.rate)
        missing = self.unrecorded(opens, interval_ms, funding_interval_ms)
        if unrecorded_rate and len(missing):
            charged += _charge(
                opens, interval_ms, missing, np.full(len(missing), float(unrecorded_rate))
            )
        return charged

    def unrecorded(
        self,
        open_time_ms: ArrayLike,
        interval_ms: int,
        funding_interval_ms: int = FUNDING_INTERVAL_MS,
    ) -> IntArray:
        """Instants [ms] on the funding grid within the bars for which no rate is recorded."""
        grid = _grid(np.asarray(open_time_ms, dtype=np.int64), interval_ms, funding_interval_ms)
        return np.setdiff1d(grid, self.time_ms)


def constant_funding(
    open_time_ms: ArrayLike,
    interval_ms: int,
    rate: float,
    funding_interval_ms: int = FUNDING_INTERVAL_MS,
) -> FloatArray:
    """`FundingRates.per_bar` with the same rate at every instant of the grid, none recorded."""
    opens = np.asarray(open_time_ms, dtype=np.int64)
    grid = _grid(opens, interval_ms, funding_interval_ms)
    return _charge(opens, interval_ms, grid, np.full(len(grid), float(rate)))


def _grid(opens: IntArray, interval_ms: int, funding_interval_ms: int) -> IntArray:
    """Funding instants in (first open, last close] that some bar holds."""
    if not len(opens):
        return np.empty(0, dtype=np.int64)
    first = int(opens[0]) // funding_interval_ms + 1
    last = (int(opens[-1]) + interval_ms) // funding_interval_ms
    instants = np.arange(first, last + 1, dtype=np.int64) * funding_interval_ms
    return instants[_bar_of(opens, interval_ms, instants) >= 0]


def _bar_of(opens: IntArray, interval_ms: int, instants: IntArray) -> NDArray[np.intp]:
    """The bar [K] that holds each instant, −1 for none."""
    bar = np.searchsorted(opens, instants, side="left") - 1
    held = (bar >= 0) & (instants <= opens[bar] + interval_ms)
    return np.where(held, bar, -1)


def _charge(opens: IntArray, interval_ms: int, instants: IntArray, rates: FloatArray) -> FloatArray:
    charged = np.zeros(len(opens))
    if len(opens):
        bar = _bar_of(opens, interval_ms, instants)
        np.add.at(charged, bar[bar >= 0], rates[bar >= 0])
    return charged


def _column(values: object, dtype: type) -> NDArray[Any]:
    try:
        column: NDArray[Any] = np.array(values, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise FundingError(f"funding times and rates must be numbers: {error}") from None
    if column.ndim != 1:
        raise FundingError(f"funding columns must be one-dimensional; got shape {column.shape}")
    return column


def _check(times: IntArray, rates: FloatArray) -> None:
    steps = np.diff(times, prepend=np.int64(-1))
    rules = (
        ((times < FIRST_MS) | (times > LAST_MS), "time {time} is outside 2000–2100: expected ms"),
        (steps <= 0, "time {time} is not later than the row before"),
        (~np.isfinite(rates), "rate is {rate}"),
        (np.abs(rates) > _MAX_RATE, "rate {rate} is above 10 %: expected a fraction of notional"),
    )
    for wrong, text in rules:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise FundingError(
                f"funding row {row}: {text.format(time=times[row], rate=rates[row])}"
            )
