"""Columns of a table: which one plays which role, by its name, by its place, or as the index."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import IntArray
from ..errors import CandleError, TableError
from ..intervals import INTERVALS_MS
from ..times import format_time
from .cells import is_number, is_time, is_time_of_day

if TYPE_CHECKING:
    import pyarrow as pa

NO_ROWS = "there are no rows: expected at least one after the header"

PATH = "path"
"""The column that says of a table's rows which of several paths they are of."""

_TIMES = (
    *("open_time_ms", "open_time", "timestamp", "timestamp_ms", "time_ms", "start_time", "start"),
    *("datetime", "unix", "unix_timestamp", "unix_time", "gmt_time", "time", "date", "ts", "t"),
)
_SYMBOLS = ("symbol", "pair", "ticker", "tic")
_INDEX_NAMES = ("index", "unnamed0", "indexlevel0")  # as pandas calls one without a name
_BINANCE = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
    *("count", "taker_buy_volume", "taker_buy_quote_volume"),
)
_KRAKEN = ("time", "open", "high", "low", "close", "vwap", "volume", "count")
_QUOTE_COINS = {"USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD", "DAI", "EUR", "GBP", "JPY", "TRY"}
_VOLUME_OF = re.compile(r"vol(?:ume)?[\s_(\[-]+([a-z0-9]{2,10})[)\]]?", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """What one kind of record is made of.

    Attributes:
        what: The kind, in words.
        names: Accepted column names of each role, best first; they are compared in any case,
            letters and digits alone.
        optional: Roles that may be missing.
        unnamed: What columns without names are called, by their number.
    """

    what: str
    names: Mapping[str, tuple[str, ...]]
    optional: frozenset[str]
    unnamed: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """Anything with rows and columns, before its cells are read.

    Attributes:
        names: Of its columns.
        read: Gives the columns at chosen positions, under the roles that they play.
        index: Position of the column that is the rows' labels; None if there is none.
        by_place: Whether its columns have no names, and were named by their place.
        recorded: What it says of itself: ``symbol``, ``interval``.
    """

    names: Sequence[str]
    read: Callable[[Mapping[str, int]], dict[str, pa.ChunkedArray]]
    index: int | None = None
    by_place: bool = False
    recorded: Mapping[str, str] = field(default_factory=dict)


CANDLES = Layout(
    what="candles",
    names={
        "time": _TIMES,
        "open": ("open", "open_price", "o"),
        "high": ("high", "high_price", "h"),
        "low": ("low", "low_price", "l"),
        "close": ("close", "close_price", "c"),
        "volume": ("volume", "vol", "base_volume", "base_asset_volume", "volume_from", "v"),
        "turnover": (
            *("turnover", "quote_volume", "quote_asset_volume", "quote_vol", "volume_to"),
            *("volume_currency", "amount"),
        ),
        "turnover_or_count": ("turnover_or_count",),
        "symbol": _SYMBOLS,
    },
    optional=frozenset(("turnover", "turnover_or_count", "symbol")),
    unnamed={
        6: _BINANCE[:6],  # also ccxt's
        # Bybit's turnover, or the number of trades in Kraken's dumps: the cells tell.
        7: (*_BINANCE[:6], "turnover_or_count"),
        8: _KRAKEN,
        11: _BINANCE,
        12: (*_BINANCE, "ignore"),
    },
)
FUNDING = Layout(
    what="funding rates",
    names={
        "time": (
            *("funding_rate_timestamp", "funding_timestamp", "funding_time", "calc_time"),
            *_TIMES,
        ),
        "rate": ("funding_rate", "last_funding_rate", "rate", "funding"),
        "symbol": _SYMBOLS,
    },
    optional=frozenset(("symbol",)),
    unnamed={2: ("time", "rate")},
)


def choose_columns(
    names: Sequence[str], layout: Layout, index: int | None = None
) -> dict[str, int]:
    """The position of each role's column; the best name wins.

    Besides the layout's roles there may be ``date``, where date and time of day lie in two
    columns, and ``index``, where an index stands beside a column of times.

    Args:
        names: The columns' names.
        layout: What is looked for.
        index: Position of the index, which holds the times if no other column's name says so.

    Raises:
        TableError: A role has no column, or two of one name.
    """
    by_name: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        if position != index:
            by_name.setdefault(_plain(name), []).append(position)
    chosen = {}
    for role, accepted in layout.names.items():
        found = next((alias for alias in map(_plain, accepted) if alias in by_name), None)
        if found is not None:
            chosen[role] = _only(by_name[found], names, role)
    if "volume" in layout.names:
        chosen = {**_volumes_by_coin(names), **chosen}
    if index is not None:
        chosen["index" if "time" in chosen else "time"] = index
    if "time" in chosen and _plain(names[chosen["time"]]) == "time" and "date" in by_name:
        chosen["date"] = _only(by_name["date"], names, "date")
    for role, accepted in layout.names.items():
        if role not in chosen and role not in layout.optional:
            raise TableError(_no_column(role, accepted, names))
    return chosen


def asked_columns(names: Sequence[str], asked: Sequence[str]) -> dict[str, int]:
    """The position of each column that is asked for by name; case and signs do not matter.

    Raises:
        TableError: There is none of that name, or several.
    """
    chosen = {}
    for name in asked:
        found = [i for i, one in enumerate(names) if one == name] or [
            i for i, one in enumerate(names) if _plain(one) == _plain(name)
        ]
        if not found:
            known = ", ".join(repr(one[:40]) for one in names[:20])
            raise TableError(f"there is no column {name!r}: found {known or 'nothing'}")
        chosen[name] = _only(found, names, name)
    return chosen


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _only(positions: list[int], names: Sequence[str], role: str) -> int:
    if len(positions) > 1:
        raise TableError(f"columns {[names[i] for i in positions]} both name {role}; keep one")
    return positions[0]


def _no_column(role: str, accepted: tuple[str, ...], names: Sequence[str]) -> str:
    found = ", ".join(repr(name[:40]) for name in names[:12])
    return (
        f"there is no column for {role}: expected one of {', '.join(accepted)} in the header, "
        f"found {found or 'nothing'}"
    )


def _volumes_by_coin(names: Sequence[str]) -> dict[str, int]:
    """``Volume BTC`` and ``Volume USDT``: traded volume and turnover, told apart by the coin."""
    matches = (
        (position, _VOLUME_OF.fullmatch(name.strip())) for position, name in enumerate(names)
    )
    coins = {position: match[1] for position, match in matches if match}
    turnover = [position for position, coin in coins.items() if coin.upper() in _QUOTE_COINS]
    volume = [position for position in coins if position not in turnover]
    if not turnover:  # in small letters, and without a quote coin beside it, it may be anything
        volume = [position for position in volume if coins[position].isupper()]
        if len(volume) == 2:  # a market quoted in a coin: its base comes first
            volume, turnover = volume[:1], volume[1:]
    roles = {"volume": volume, "turnover": turnover}
    return {role: found[0] for role, found in roles.items() if len(found) == 1}


def index_position(names: Sequence[str]) -> int | None:
    """Where a saved index lies: a first column without a name, or one that pandas named."""
    for position, name in enumerate(names):
        if _plain(name) in _INDEX_NAMES or (not position and not name.strip()):
            return position
    return None


def are_numbered(names: Sequence[object]) -> bool:
    """Whether columns are only counted, as libraries do that were given none: 0, column_1, …."""
    counted = [re.sub(r"^(column_|f)(?=\d)", "", str(name)) for name in names]
    return counted == [str(position) for position in range(len(names))]


def names_by_place(cells: Sequence[object], layout: Layout) -> list[str] | None:
    """What columns without names are, by one of their rows; None if it is no row of numbers.

    Raises:
        TableError: It is one, but its width is none that is known.
    """
    split = len(cells) > 1 and is_time_of_day(cells[1])
    first = 2 if split else 1
    if len(cells) < 2 or not (is_time(cells[0]) and all(map(_is_value, cells[first:]))):
        return None
    names = layout.unnamed.get(len(cells) - first + 1)
    if names is None:
        widths = ", ".join(map(str, layout.unnamed))
        raise TableError(
            f"there are {len(cells)} columns without names; expected a header line, or {widths} "
            f"columns that begin with {', '.join(layout.unnamed[min(layout.unnamed)])}"
        )
    return [*(("date", "time") if split else ("time",)), *names[1:]]


def _is_value(cell: object) -> bool:
    return cell is None or is_number(cell) or str(cell).strip() == ""


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
