"""The series of numbers beside candles that Bybit publishes: where from, how kept, what is read.

A *table* is what the store keeps of one endpoint; a *series* is what is read from a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..arrays import FloatArray
from ..errors import BybitAnswerError, ConfigError
from ..intervals import INTERVALS_MS, interval_ms
from ..settings import nearest
from ..times import format_time
from . import parse as wire
from .pages import Listing, SeriesPage
from .table import Columns

TIME = "time_ms"
_PRICES = ("open", "high", "low", "close")
_DERIVATIVES = ("linear", "inverse")
_WORDS = {"5": "5min", "15": "15min", "30": "30min", "60": "1h", "240": "4h", "D": "1d"}
_RATIOS_BEGIN_MS = 1_595_203_200_000  # 2020-07-20


@dataclass(frozen=True)
class Table:
    """What the store keeps of one endpoint, a row a period.

    Attributes:
        name: What its files are called after.
        columns: Names of its numbers.
        path: The REST endpoint; empty for the archive of trades.
        limit: Rows a page.
        period: What the endpoint calls the interval.
        words: How it writes intervals, by code; empty where it takes the codes.
        fields: Names of the numbers in its rows; empty where rows are lists, as of candles.
        categories: The markets that have it.
        bounds: Least and greatest number there can be.
        begins_ms: First time that the exchange has [ms UTC].
    """

    name: str
    columns: tuple[str, ...]
    path: str = ""
    limit: int = 1_000
    period: str = "interval"
    words: Mapping[str, str] | None = None
    fields: tuple[str, ...] = ()
    categories: tuple[str, ...] = _DERIVATIVES
    bounds: tuple[float, float] = (0.0, math.inf)
    begins_ms: int = 0

    @property
    def intervals(self) -> tuple[str, ...]:
        """The intervals that there are."""
        codes = tuple(code for code in INTERVALS_MS if self.path or code != "W")
        return codes if self.words is None else tuple(self.words)

    def listing(self, category: str, symbol: str, interval: str) -> Listing:
        """How the endpoint is asked for a symbol."""
        word = interval if self.words is None else self.words[interval]
        params = {"category": category, "symbol": symbol, self.period: word}
        step_ms = interval_ms(interval)
        if not self.fields:
            read = partial(wire.kline_columns, fields=wire.KLINE_FIELDS[:5])
            bounds = ("start", "end")
            return Listing(self.path, params, read, self.limit, bounds, step_ms, subject=symbol)
        fields = partial(
            wire.field_columns, symbol=symbol, time="timestamp", fields=self.fields, what=self.name
        )
        return Listing(
            self.path, params, fields, self.limit, step_ms=step_ms, cursor=True, subject=symbol
        )

    def rows(self, page: SeriesPage) -> Columns:
        """A page as columns.

        Raises:
            BybitAnswerError: A number that cannot be; it is named.
        """
        low, high = self.bounds
        for wrong, column in zip(
            ((page.values < low) | (page.values > high)).T, self.columns, strict=True
        ):
            if wrong.any():
                self._refuse(page, int(np.argmax(wrong)), column)
        if self.columns == _PRICES:
            opening, top, bottom, close = page.values.T
            wrong = (top < np.maximum(opening, close)) | (bottom > np.minimum(opening, close))
            if wrong.any():
                self._refuse(page, int(np.argmax(wrong)), "high or low")
        return {TIME: page.time_ms, **dict(zip(self.columns, page.values.T, strict=True))}

    def _refuse(self, page: SeriesPage, row: int, column: str) -> None:
        raise BybitAnswerError(
            f"{self.name} at {format_time(int(page.time_ms[row]))}: {column} cannot be, in "
            f"{', '.join(map(str, page.values[row]))}"
        )


@dataclass(frozen=True)
class SeriesKind:
    """A series that is read from a table.

    Attributes:
        table: The table.
        value: Takes the number of each period [N] from the table's columns.
        about: What it is, in words.
    """

    table: Table
    value: Callable[[Columns], FloatArray]
    about: str


def _column(name: str) -> Callable[[Columns], FloatArray]:
    return lambda columns: columns[name]


def _imbalance(columns: Columns) -> FloatArray:
    bought, sold = columns["buy_volume"], columns["sell_volume"]
    total = bought + sold
    imbalance: FloatArray = np.zeros(len(total))
    np.divide(bought - sold, total, out=imbalance, where=total > 0)
    return imbalance


def _prices(name: str, *categories: str, low: float = 0.0) -> Table:
    path = f"/v5/market/{name}-price-kline"
    return Table(name, _PRICES, path, categories=categories, bounds=(low, math.inf))


TRADES = Table(
    "trades",
    ("buy_volume", "sell_volume", "trades", "point_of_control", "volume_above_close"),
    bounds=(-math.inf, math.inf),
)
_OPEN_INTEREST = Table(
    "open-interest",
    ("open_interest",),
    "/v5/market/open-interest",
    200,
    "intervalTime",
    _WORDS,
    ("openInterest",),
)
_RATIO = Table(
    "account-ratio",
    ("buy_ratio", "sell_ratio"),
    "/v5/market/account-ratio",
    500,
    "period",
    _WORDS,
    ("buyRatio", "sellRatio"),
    bounds=(0.0, 1.0),
    begins_ms=_RATIOS_BEGIN_MS,
)

SERIES: dict[str, SeriesKind] = {
    "premium-index": SeriesKind(
        _prices("premium-index", "linear", low=-math.inf),
        _column("close"),
        "premium of the contract over its index, fraction; the period's last",
    ),
    "mark": SeriesKind(
        _prices("mark", *_DERIVATIVES), _column("close"), "mark price; the period's last"
    ),
    "index": SeriesKind(
        _prices("index", *_DERIVATIVES), _column("close"), "index price; the period's last"
    ),
    "open-interest": SeriesKind(
        _OPEN_INTEREST, _column("open_interest"), "open contracts: base coin, inverse US dollars"
    ),
    "account-ratio": SeriesKind(_RATIO, _column("buy_ratio"), "share of accounts that are long"),
    "taker-imbalance": SeriesKind(
        TRADES, _imbalance, "(bought − sold) ÷ (bought + sold) by takers; 0 without trades"
    ),
    "point-of-control": SeriesKind(
        TRADES,
        _column("point_of_control"),
        "ln of the period's most traded price ÷ its last; 0 without trades",
    ),
    "volume-above-close": SeriesKind(
        TRADES, _column("volume_above_close"), "share of the period's volume above its last price"
    ),
}
"""By the names that ``fetch --series`` and `open_series` take."""

TABLES: dict[str, Table] = {kind.table.name: kind.table for kind in SERIES.values()}
"""The tables behind them, by name."""


def series_kind(name: str) -> SeriesKind:
    """A series by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in SERIES:
        near = nearest(name, list(SERIES))
        hint = f"did you mean {near!r}?" if near else f"expected one of {', '.join(SERIES)}"
        raise ConfigError(f"there is no series {name!r}; {hint}")
    return SERIES[name]


def tables_of(names: Sequence[str], category: str, interval: str) -> tuple[Table, ...]:
    """The tables behind series, each once.

    Raises:
        ConfigError: A series that is none, or that there is not of that category or interval.
    """
    tables = {kind.table.name: kind.table for kind in map(series_kind, names)}
    for table in tables.values():
        if category not in table.categories:
            raise ConfigError(
                f"the exchange has no {table.name} of {category} markets; expected one of "
                f"{', '.join(table.categories)}"
            )
        if interval not in table.intervals:
            raise ConfigError(
                f"the exchange has no {table.name} of interval {interval}; expected one of "
                f"{', '.join(table.intervals)}"
            )
    return tuple(tables.values())
