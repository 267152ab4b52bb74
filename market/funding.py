"""Funding: the rates that longs pay to shorts at recorded instants, and which bars they fall on.

When funding was due is a question of its own: `market.funding_clock`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import FloatArray, IntArray
from .errors import FundingError
from .funding_clock import FUNDING_INTERVAL_MS, FundingClock, FundingGrid, read_clock
from .instruments import Instrument
from .times import FIRST_MS, LAST_MS, Time, describe_time, format_time, to_ms

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

    @cached_property
    def clock(self) -> FundingClock:
        """When the symbol is charged, read from the record; its last interval goes on after it."""
        return read_clock(self.time_ms)

    def per_bar(
        self,
        open_time_ms: ArrayLike,
        interval_ms: int,
        unrecorded_rate: float = 0.0,
        instrument: Instrument | None = None,
    ) -> FloatArray:
        """Rate charged on a position held during each bar [T]; 0 without a funding instant.

        An instant belongs to the bar that ends with it or holds it inside: open < instant ≤ open +
        interval. A position taken at that very close was not held yet and does not pay; one that
        is closed there still does. A bar with several instants is charged their sum.

        Args:
            open_time_ms: Bar open times [T], increasing.
            interval_ms: Length of a bar [ms].
            unrecorded_rate: Charged at every instant that was due and is not recorded.
            instrument: Whose rates they are; see `unrecorded`. Nothing is charged once it has ended.
        """
        opens = np.asarray(open_time_ms, dtype=np.int64)
        times, rates = self.time_ms, self.rate
        if unrecorded_rate:
            missing = self.unrecorded(opens, interval_ms, instrument)
            times = np.concatenate([times, missing])
            rates = np.concatenate([rates, np.full(len(missing), float(unrecorded_rate))])
        lived = times <= _end_of(instrument)
        return _charge(opens, interval_ms, times[lived], rates[lived])

    def unrecorded(
        self, open_time_ms: ArrayLike, interval_ms: int, instrument: Instrument | None = None
    ) -> IntArray:
        """Instants [ms] within the bars at which funding was due and no rate is recorded.

        What was due is read from the record itself, stretch by stretch, however often its interval
        changes (`read_clock`). Before the record its first interval holds; after its end the
        instrument's present one, or where that is unknown the record's last.

        Args:
            open_time_ms: Bar open times [T], increasing.
            interval_ms: Length of a bar [ms].
            instrument: Whose rates they are: its present funding interval, and when it ended.
        """
        present_ms = _interval_of(instrument)
        clock = self.clock if present_ms is None else self._clock_until_now(present_ms)
        opens = np.asarray(open_time_ms, dtype=np.int64)
        return np.setdiff1d(_due(opens, interval_ms, clock, instrument), self.time_ms)

    def _clock_until_now(self, present_ms: int) -> FundingClock:
        """The record's clock, with an interval of its own after the record's end."""
        clock = read_clock(self.time_ms, default_ms=present_ms)
        last = clock.grids[-1]
        phase_ms = last.phase_ms if last.interval_ms == present_ms else 0
        return clock.then(int(self.time_ms[-1]), FundingGrid(present_ms, phase_ms))


def constant_funding(
    open_time_ms: ArrayLike,
    interval_ms: int,
    rate: float,
    instrument: Instrument | None = None,
) -> FloatArray:
    """`FundingRates.per_bar` with the same rate at every instant, none recorded.

    Args:
        open_time_ms: Bar open times [T], increasing.
        interval_ms: Length of a bar [ms].
        rate: Fraction of notional an instant.
        instrument: Whose funding interval it is, and when it ended; 8 h and never by default.
    """
    opens = np.asarray(open_time_ms, dtype=np.int64)
    due = _due(opens, interval_ms, constant_clock(instrument), instrument)
    return _charge(opens, interval_ms, due, np.full(len(due), float(rate)))


def constant_clock(instrument: Instrument | None = None) -> FundingClock:
    """The clock of a market without a record: the instrument's interval, or every 8 h."""
    return FundingClock.every(_interval_of(instrument) or FUNDING_INTERVAL_MS)


def _interval_of(instrument: Instrument | None) -> int | None:
    """The present funding interval [ms], if it is known."""
    minutes = 0 if instrument is None else instrument.funding_interval_minutes
    return minutes * _MINUTE_MS or None


def _end_of(instrument: Instrument | None) -> int:
    """When the contract ended [ms UTC]; beyond all time where it has not."""
    ended = None if instrument is None else instrument.delivery_time_ms
    return ended or LAST_MS


def _due(
    opens: IntArray, interval_ms: int, clock: FundingClock, instrument: Instrument | None
) -> IntArray:
    """Instants of a clock that some bar holds, while the contract lives."""
    if not len(opens):
        return np.empty(0, dtype=np.int64)
    last = min(int(opens[-1]) + interval_ms, _end_of(instrument))
    instants = clock.instants(int(opens[0]), max(last, int(opens[0])))
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
