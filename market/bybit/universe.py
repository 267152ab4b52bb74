"""A universe: the instruments of one market and quote coin as the exchange listed them on a date.

Those that have ended belong to it where it is asked for ``all``: a universe of survivors would know
which contracts were going to last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import BybitAnswerError, BybitRequestError, ConfigError, StoreError, StoreFormatError
from ..files.writer import write_whole
from ..instruments import CATEGORIES, Instrument
from ..times import Time, format_time, to_ms
from . import parse as wire
from .client import BybitClient
from .store import Store
from .table import FORMAT, read_sealed, sealed, writing

STATUSES = {
    "trading": ("Trading",),
    "all": ("Trading", "PreLaunch", "Delivering", "Closed"),
}
"""What may be asked for, and the exchange's own words for it."""

_ANY = "any"
_FOLDER = "universe"  # no symbol: those have capital letters


@dataclass(frozen=True)
class Universe:
    """Instruments of one market, by symbol.

    Attributes:
        category: ``linear``, ``inverse`` or ``spot``.
        quote: The coin that prices are in, ``USDT``; empty for any.
        status: One of `STATUSES`.
        listed_ms: When the exchange listed them so [ms UTC].
        instruments: The instruments, in order of their symbols.
        unread: Those whose rules could not be read, and why.
    """

    category: str
    quote: str
    status: str
    listed_ms: int
    instruments: tuple[Instrument, ...]
    unread: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """A line for the console."""
        ended = sum(0 < one.delivery_time_ms <= self.listed_ms for one in self.instruments)
        return (
            f"{self.category} {self.quote or 'any quote coin'}, {self.status}: "
            f"{len(self.instruments)} instruments, {ended} of them ended, as listed on "
            f"{format_time(self.listed_ms)}"
        )

    @property
    def symbols(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(one.symbol for one in self.instruments)

    def alive(self, at: Time) -> tuple[str, ...]:
        """The symbols that were traded at a time: launched by then, and not yet ended.

        Of the past only a universe of status ``all`` tells this without looking ahead.
        """
        moment = to_ms(at)
        return tuple(
            one.symbol
            for one in self.instruments
            if one.launch_time_ms <= moment
            and (not one.delivery_time_ms or moment < one.delivery_time_ms)
        )


def list_universe(
    category: str = "linear",
    quote: str = "",
    status: str = "trading",
    store: Store | None = None,
    client: BybitClient | None = None,
) -> Universe:
    """Ask the exchange for its instruments, and write the list into the store.

    A list that is the same as the newest stored one is not written again.

    Args:
        category: ``linear``, ``inverse`` or ``spot``.
        quote: The coin that prices are in, such as ``USDT``; empty for any.
        status: ``trading``; or ``all``, those to come and those that have ended as well.
        store: By default the one in `data_folder`.
        client: A client to use; it is not closed.

    Raises:
        BybitError: The exchange refuses, is out of reach, answers nonsense, or lists none.
        ConfigError: A category or status that is none.
        StoreError: The store cannot be written.
    """
    _check(category, quote, status)
    store = store or Store()
    if client is None:
        with BybitClient() as own:
            return list_universe(category, quote, status, store, own)
    universe = _asked(client, category, quote, status)
    if not universe.instruments:
        raise BybitRequestError(f"the exchange lists no {category} instrument quoted in {quote}")
    if _newest_content(store, category, quote, status) != _content(universe):
        _write(store, universe)
    return universe


def open_universe(
    category: str = "linear",
    quote: str = "",
    status: str = "trading",
    as_of: Time | None = None,
    store: Store | None = None,
) -> Universe:
    """A stored list of instruments: the newest, or the one that held at a time. No network.

    Args:
        category: ``linear``, ``inverse`` or ``spot``.
        quote: The coin that prices are in, such as ``USDT``; empty for any.
        status: ``trading`` or ``all``, as it was asked for.
        as_of: The newest list that was stored by then.
        store: By default the one in `data_folder`.

    Raises:
        ConfigError: A category or status that is none.
        StoreError: There is none, or the file is truncated or altered.
    """
    _check(category, quote, status)
    store = store or Store()
    moment = None if as_of is None else to_ms(as_of)
    dates = _dates(store, category, quote, status)
    known = [date for date in dates if moment is None or date <= moment]
    if not known:
        others = f"; the first is of {format_time(dates[0])}" if dates else ""
        when = "" if moment is None else f" of {format_time(moment)} or before"
        raise StoreError(
            f"the store has no list of {category} {quote} instruments, {status}{when}{others}; "
            f"{_cure(category, quote, status)}"
        )
    return _read(store, category, quote, status, known[-1])


def with_rules_of_now(universe: Universe, client: BybitClient) -> Universe:
    """A list's symbols with the rules, the life and the state that the exchange tells of today.

    Raises:
        BybitError: See its subclasses.
    """
    now = _asked(client, universe.category, universe.quote, "all")
    told, unread = {one.symbol: one for one in now.instruments}, dict(now.unread)
    known = {one.symbol: one for one in universe.instruments} | told
    symbols = sorted({*universe.symbols, *(symbol for symbol, _ in universe.unread)})
    return replace(
        universe,
        instruments=tuple(known[symbol] for symbol in symbols if symbol in known),
        unread=tuple(
            (symbol, unread.get(symbol, "its rules were never read"))
            for symbol in symbols
            if symbol not in known
        ),
    )


def stored_universes(store: Store) -> tuple[tuple[Universe, ...], tuple[str, ...]]:
    """All stored lists, by market and date, and what is wrong with those that cannot be read."""
    found: list[Universe] = []
    broken: list[str] = []
    for category in CATEGORIES:
        for path in sorted(_folder(store, category).glob("*-*-*.json")):
            quote, status, date = path.stem.split("-")
            try:
                found.append(_read(store, category, quote.replace(_ANY, ""), status, int(date)))
            except (StoreError, ValueError) as error:
                broken.append(str(error))
    return tuple(found), tuple(broken)


def _check(category: str, quote: str, status: str) -> None:
    if category not in CATEGORIES:
        raise ConfigError(f"universe is {category!r}; expected one of {', '.join(CATEGORIES)}")
    if status not in STATUSES:
        raise ConfigError(f"status is {status!r}; expected one of {', '.join(STATUSES)}")
    if quote and not (quote.isascii() and quote.isalnum() and quote.isupper()):
        raise ConfigError(f"quote is {quote!r}; expected a coin in capital letters, such as USDT")


def _asked(client: BybitClient, category: str, quote: str, status: str) -> Universe:
    listed_ms = client.server_time_ms()
    found: dict[str, Instrument] = {}
    unread: dict[str, str] = {}
    for symbol, row in _rows(client, category, quote, status):
        if symbol not in found:  # a name that was given anew is that of the contract that trades
            try:
                found[symbol] = wire.instrument(row, category, symbol)
            except BybitAnswerError as error:
                unread.setdefault(symbol, str(error))
    instruments = tuple(found[symbol] for symbol in sorted(found))
    missed = tuple((symbol, unread[symbol]) for symbol in sorted(unread.keys() - found.keys()))
    return Universe(category, quote, status, listed_ms, instruments, missed)


def _rows(
    client: BybitClient, category: str, quote: str, status: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    statuses = STATUSES[status] if category != "spot" else STATUSES["trading"]
    for word in statuses:
        for row in client.instrument_rows(category, word):
            if not isinstance(row, dict):
                raise BybitAnswerError(f"an instrument is {row!r:.80}; expected an object")
            symbol = wire.member(row, "symbol", str, "an instrument")
            if not quote or row.get("quoteCoin") == quote:
                yield symbol, row


def _content(universe: Universe) -> tuple[object, ...]:
    return universe.instruments, universe.unread


def _newest_content(
    store: Store, category: str, quote: str, status: str
) -> tuple[object, ...] | None:
    """That of the newest stored list; None where there is none, or it is damaged."""
    dates = _dates(store, category, quote, status)
    try:
        return _content(_read(store, category, quote, status, dates[-1])) if dates else None
    except StoreFormatError:
        raise
    except StoreError:
        return None


def _folder(store: Store, category: str) -> Path:
    return store.root / "bybit" / category / _FOLDER


def _name(quote: str, status: str) -> str:
    return f"{quote or _ANY}-{status}-"


def _dates(store: Store, category: str, quote: str, status: str) -> list[int]:
    """When lists were stored [ms UTC], as the files' names have it, in order."""
    start = _name(quote, status)
    files = _folder(store, category).glob(f"{start}*.json")
    names = (path.stem.removeprefix(start) for path in files)
    return sorted(int(name) for name in names if name.isdecimal())


def _cure(category: str, quote: str, status: str) -> str:
    option = f" --quote {quote}" if quote else ""
    return (
        f"list them with: worldmodel-trading fetch --universe {category}{option} --status {status}"
    )


def _write(store: Store, universe: Universe) -> None:
    folder = _folder(store, universe.category)
    name = f"{_name(universe.quote, universe.status)}{universe.listed_ms}.json"
    body = {"format": FORMAT, "universe": asdict(universe)}
    with writing(folder):
        write_whole(folder / name, sealed(body))


def _read(store: Store, category: str, quote: str, status: str, date: int) -> Universe:
    path = _folder(store, category) / f"{_name(quote, status)}{date}.json"
    cure = _cure(category, quote, status)
    body = read_sealed(path, f"list of {category} {quote} instruments", cure)
    try:
        fields = dict(body["universe"])
        fields["instruments"] = tuple(Instrument(**one) for one in fields["instruments"])
        fields["unread"] = tuple((symbol, reason) for symbol, reason in fields["unread"])
        return Universe(**fields)
    except (KeyError, TypeError, ValueError):
        raise StoreError(f"{path} is no list of this version; {cure}") from None
