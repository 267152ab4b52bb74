"""Candles: a validated, frozen, columnar record of one symbol's bars."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .arrays import BoolArray, FloatArray, IntArray
from .errors import CandleError
from .intervals import INTERVALS_MS, interval_ms
from .times import FIRST_MS, LAST_MS, Time, describe_time, format_time, to_ms

if TYPE_CHECKING:
    from .instruments import Instrument

UNNAMED = "UNKNOWN"
"""The symbol of candles whose source does not name it."""

_MONDAY_MS = 4 * INTERVALS_MS["D"]  # 1970-01-05, the first Monday: weekly bars open on Mondays
_PRICE_COLUMNS = ("open", "high", "low", "close")
_COLUMNS = (*_PRICE_COLUMNS, "volume", "turnover")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Gap:
    """Bars missing between two recorded ones.

    Attributes:
        row: Index of the first bar after the gap.
        missing_bars: How many bars the grid has between it and the bar before.
        after_ms: Open time of the last bar before the gap [ms UTC].
        before_ms: Open time of the first bar after it [ms UTC].
    """

    row: int
    missing_bars: int
    after_ms: int
    before_ms: int


@dataclass(frozen=True, eq=False)
class Candles:
    """Bars of one symbol, validated on construction; the arrays are read-only.

    Attributes:
        open_time_ms: Bar open times [T], int64 ms UTC, strictly increasing, on the interval's grid.
        open: Opening prices [T], quote currency per base unit; float64, like all that follow.
        high: Highest prices [T].
        low: Lowest prices [T].
        close: Closing prices [T].
        volume: Traded volume [T], base currency.
        turnover: Traded value [T], quote currency.
        symbol: The instrument's name, ``BTCUSDT``.
        interval: Bybit's code: minutes as ``"1"`` … ``"720"``, or ``"D"``, ``"W"``.
        instrument: The symbol's trading rules, where they are known: the store's candles carry them.
        columns: More numbers by name, each [T], as they were known at each bar's close; NaN where
            nothing was. See `market.series`.
        column_sources: Where each of them is from, in words.

    Raises:
        CandleError: Naming the first row that breaks a rule, its time, and what is wrong.
    """

    open_time_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    turnover: FloatArray
    symbol: str = UNNAMED
    interval: str = "60"
    instrument: Instrument | None = None
    columns: Mapping[str, FloatArray] = field(default_factory=dict)
    column_sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "open_time_ms", _column(self.open_time_ms, np.int64))
        for name in _COLUMNS:
            object.__setattr__(self, name, _column(getattr(self, name), np.float64))
        more = {name: _column(values, np.float64) for name, values in self.columns.items()}
        object.__setattr__(self, "columns", more)
        lengths = {name: len(getattr(self, name)) for name in ("open_time_ms", *_COLUMNS)}
        lengths |= {name: len(values) for name, values in more.items()}
        if len(set(lengths.values())) != 1:
            raise CandleError(f"candle columns differ in length: {lengths}")
        if not len(self):
            raise CandleError("there are no candles: expected at least one row")
        if self.instrument is not None and self.instrument.symbol != self.symbol:
            raise CandleError(
                f"the instrument is {self.instrument.symbol} and the candles are of {self.symbol}: "
                "give the rules of the symbol that is traded"
            )
        _validate(self)
        _check_columns(self)
        for name in ("open_time_ms", *_COLUMNS):
            getattr(self, name).setflags(write=False)
        for values in more.values():
            values.setflags(write=False)

    def __len__(self) -> int:
        return len(self.open_time_ms)

    def __repr__(self) -> str:
        return (
            f"Candles({self.symbol} {self.interval}, {len(self)} bars, "
            f"{format_time(int(self.open_time_ms[0]))} – {format_time(int(self.open_time_ms[-1]))})"
        )

    @property
    def interval_ms(self) -> int:
        """Length of one bar [ms]."""
        return interval_ms(self.interval)

    @property
    def bars_per_year(self) -> float:
        """Bars in 365 days of a market that never closes."""
        return 365 * INTERVALS_MS["D"] / self.interval_ms

    @property
    def delivery_row(self) -> int | None:
        """Row of the bar with which the contract ended; None where it lives on after the record.

        It is the last bar that opened before the instrument's ``delivery_time_ms``, if the record
        gets there. Candles that merely end are no delivery.

        Raises:
            CandleError: The contract ended before the first bar.
        """
        ended_ms = 0 if self.instrument is None else self.instrument.delivery_time_ms
        if not ended_ms:
            return None
        opened = int(np.searchsorted(self.open_time_ms, ended_ms))
        if not opened:
            raise CandleError(
                f"{self.symbol} ended on {format_time(ended_ms)}, before the first of its candles, "
                f"{format_time(int(self.open_time_ms[0]))}: give the candles of its life"
            )
        reached = opened < len(self) or ended_ms <= self.open_time_ms[-1] + self.interval_ms
        return opened - 1 if reached else None

    def log_returns(self) -> FloatArray:
        """Close-to-close log returns [T]: row t is earned by bar t; row 0 is NaN."""
        returns = np.full(len(self), np.nan)
        returns[1:] = np.diff(np.log(self.close))
        return returns

    def rows(self, start: int, stop: int) -> Candles:
        """Bars ``start`` up to, not including, ``stop``, as candles of their own."""
        columns = {name: getattr(self, name)[start:stop] for name in ("open_time_ms", *_COLUMNS)}
        more = {name: values[start:stop] for name, values in self.columns.items()}
        return replace(self, **columns, columns=more)

    def row_range(self, start: Time | None = None, end: Time | None = None) -> tuple[int, int]:
        """Rows ``[i, j)`` of the bars that open in ``[start, end)``; None is the open end."""
        first = 0 if start is None else int(np.searchsorted(self.open_time_ms, to_ms(start)))
        last = len(self) if end is None else int(np.searchsorted(self.open_time_ms, to_ms(end)))
        if first >= last:
            raise CandleError(
                f"no candles between {describe_time(start, 'the first')} and "
                f"{describe_time(end, 'the last')}: {self.symbol} has "
                f"{format_time(int(self.open_time_ms[0]))} to {format_time(int(self.open_time_ms[-1]))}"
            )
        return first, last

    def between(self, start: Time | None = None, end: Time | None = None) -> Candles:
        """The bars that open in ``[start, end)``."""
        return self.rows(*self.row_range(start, end))

    def gaps(self) -> list[Gap]:
        """The gaps in the record, in order."""
        return [
            Gap(
                row=int(row),
                missing_bars=int(
                    (self.open_time_ms[row] - self.open_time_ms[row - 1]) // self.interval_ms - 1
                ),
                after_ms=int(self.open_time_ms[row - 1]),
                before_ms=int(self.open_time_ms[row]),
            )
            for row in self._gap_rows()
        ]

    def segments(self) -> Iterator[tuple[int, int]]:
        """Row ranges ``(start, stop)`` without a gap inside, in order."""
        edges = [0, *map(int, self._gap_rows()), len(self)]
        return itertools.pairwise(edges)

    def data_hash(self) -> str:
        """SHA-256 of symbol, interval and every number, as hexadecimal text.

        Candles without `columns` have the same hash whether or not others could have some.
        """
        digest = hashlib.sha256(f"{self.symbol} {self.interval} {len(self)}".encode())
        for part in fields(self)[:7]:
            digest.update(np.ascontiguousarray(getattr(self, part.name)).tobytes())
        for name in sorted(self.columns):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self.columns[name]).tobytes())
        return digest.hexdigest()

    def _gap_rows(self) -> IntArray:
        return np.flatnonzero(np.diff(self.open_time_ms) != self.interval_ms) + 1


def join_candles(parts: Sequence[Candles]) -> Candles:
    """Records of one symbol one after the other, with the columns that all of them have.

    Raises:
        CandleError: One does not begin after the one before it has ended.
    """
    names = ("open_time_ms", *_COLUMNS)
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in names
    }
    shared = [name for name in parts[-1].columns if all(name in one.columns for one in parts)]
    more = {name: np.concatenate([one.columns[name] for one in parts]) for name in shared}
    return replace(parts[-1], **columns, columns=more)


def _column(values: object, dtype: type) -> NDArray[Any]:
    try:
        column: NDArray[Any] = np.array(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise CandleError(f"candle columns must be numbers: {error}") from None
    if column.ndim != 1:
        raise CandleError(f"candle columns must be one-dimensional; got shape {column.shape}")
    return column


def _check_columns(candles: Candles) -> None:
    """Refuse names that are no names, and numbers that are infinite."""
    for name, values in candles.columns.items():
        if not _NAME.fullmatch(name) or name in ("open_time_ms", *_COLUMNS):
            raise CandleError(
                f"a column is called {name!r}; expected letters, digits and underscores, 64 at most, "
                f"and none of {', '.join(_COLUMNS)}"
            )
        if np.isinf(values).any():
            raise CandleError(
                _describe(candles, np.isinf(values), _saying("{name} is {value}", name, values))
            )
    sources = {name: candles.column_sources.get(name, "") for name in candles.columns}
    object.__setattr__(candles, "column_sources", sources)


_Rule = tuple[BoolArray, Callable[[int], str]]


def _validate(candles: Candles) -> None:
    for wrong, say in itertools.chain(_time_rules(candles), _value_rules(candles)):
        if wrong.any():
            raise CandleError(_describe(candles, wrong, say))


def _time_rules(candles: Candles) -> Iterator[_Rule]:
    times = candles.open_time_ms

    def disorder(i: int) -> str:
        if times[i] == times[i - 1]:
            return "repeats the time of the row before"
        return f"is earlier than the row before ({format_time(int(times[i - 1]))})"

    yield (
        (times < FIRST_MS) | (times > LAST_MS),
        lambda i: f"open time {times[i]} is outside 2000–2100: expected ms since 1970",
    )
    yield np.diff(times, prepend=times[0] - 1) <= 0, disorder
    origin = _MONDAY_MS if candles.interval == "W" else 0
    yield (
        (times - origin) % candles.interval_ms != 0,
        lambda i: f"open time {times[i]} ms is not on the grid of interval {candles.interval}",
    )


def _value_rules(candles: Candles) -> Iterator[_Rule]:
    columns: dict[str, FloatArray] = {name: getattr(candles, name) for name in _COLUMNS}
    for name, values in columns.items():
        yield ~np.isfinite(values), _saying("{name} is {value}", name, values)
    for name in _PRICE_COLUMNS:
        values = columns[name]
        yield values <= 0, _saying("{name} {value} is not a positive price", name, values)
    for name in ("volume", "turnover"):
        values = columns[name]
        yield values < 0, _saying("{name} {value} is negative", name, values)
    for name in ("open", "close"):
        values, high, low = columns[name], candles.high, candles.low
        yield high < values, _saying("high {bound} is below {name} {value}", name, values, high)
        yield low > values, _saying("low {bound} is above {name} {value}", name, values, low)


def _saying(
    text: str, name: str, values: FloatArray, bounds: FloatArray | None = None
) -> Callable[[int], str]:
    shown = values if bounds is None else bounds
    return lambda row: text.format(name=name, value=values[row], bound=shown[row])


def _describe(candles: Candles, wrong: BoolArray, say: Callable[[int], str]) -> str:
    row = int(np.argmax(wrong))
    time_ms = int(candles.open_time_ms[row])
    when = format_time(time_ms) if FIRST_MS <= time_ms <= LAST_MS else f"{time_ms} ms"
    more = int(wrong.sum()) - 1
    also = f" (and {more} more such rows)" if more else ""
    return f"candles row {row} ({when}): {say(row)}{also}"
