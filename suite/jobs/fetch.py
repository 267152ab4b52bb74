"""Bybit's data into the store: one symbol, or a universe of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.fetch import fetch_bybit
from worldmodel_trading.market.bybit.reports import FetchReport
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.bybit.transport import ARCHIVE_URL, BASE_URL
from worldmodel_trading.market.bybit.universe import list_universe, open_universe
from worldmodel_trading.market.bybit.universe_fetch import (
    SymbolOutcome,
    UniverseReport,
    fetch_universe,
)
from worldmodel_trading.market.times import Time
from worldmodel_trading.progress import Amount, Counter, say, tell


@dataclass(frozen=True)
class Hosts:
    """Where is asked; None for Bybit's own.

    Attributes:
        base_url: Of the REST interface.
        archive_url: Of the public archive of trades.
    """

    base_url: str | None = None
    archive_url: str | None = None

    def client(self) -> BybitClient:
        """A client of them."""
        return BybitClient(self.base_url or BASE_URL, archive_url=self.archive_url or ARCHIVE_URL)


def fetch_symbol(
    symbol: str,
    interval: str,
    start: Time,
    end: Time | None = None,
    category: str = "linear",
    series: Sequence[str] = (),
    hosts: Hosts | None = None,
) -> FetchReport:
    """Fetch one symbol, with a bar where there is a terminal; see `fetch_bybit`."""
    with (hosts or Hosts()).client() as client, Amount(f"{symbol} {interval}", "bar") as amount:
        report = fetch_bybit(
            symbol,
            interval,
            start,
            end,
            category,
            store=Store(),
            progress=amount,
            client=client,
            series=series,
        )
    tell(str(report))
    return report


def fetch_symbols(
    category: str,
    quote: str,
    status: str,
    as_of: Time | None,
    interval: str,
    start: Time | None = None,
    end: Time | None = None,
    series: Sequence[str] = (),
    hosts: Hosts | None = None,
) -> UniverseReport:
    """Fetch a universe, symbol by symbol; see `list_universe` and `fetch_universe`.

    Args:
        category: ``linear``, ``inverse`` or ``spot``.
        quote: The coin that prices are in; empty for any.
        status: ``trading`` or ``all``.
        as_of: Take the stored list that held then, and ask for none.
        interval: Bybit's code.
        start: First bar that is wanted; by default each instrument's launch.
        end: End of the range, exclusive.
        series: What to bring beside candles and funding rates.
        hosts: Where to ask.
    """
    store = Store()
    with (hosts or Hosts()).client() as client:
        if as_of is None:
            universe = list_universe(category, quote, status, store, client)
        else:
            universe = open_universe(category, quote, status, as_of, store)
        say(str(universe))
        total = len(universe.instruments) + len(universe.unread)
        with Counter("symbols", total, "symbol") as counter:
            told = _Told(counter, total)
            report = fetch_universe(universe, interval, start, end, series, store, client, told)
    tell(str(report))
    return report


class _Told:
    """Says of each symbol what became of it, and how many there are still."""

    def __init__(self, counter: Counter, total: int) -> None:
        self._counter, self._total, self._done = counter, total, 0

    def __call__(self, outcome: SymbolOutcome) -> None:
        self._done += 1
        self._counter(f"  {self._done}/{self._total} {outcome}")
