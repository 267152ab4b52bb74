"""Bybit's markets by name: fetched into the store, and opened from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from ..candles import Candles
from ..times import Time, to_ms
from .client import BybitClient
from .filling import Progress
from .kinds import tables_of
from .ranges import missing_ranges, next_bar_start
from .reports import FetchReport
from .store import (
    Store,
    open_stored,
    parse_source,
)
from .table import refuse_unwritable_store
from .transport import BASE_URL
from .update import Update


def fetch_bybit(
    symbol: str,
    interval: str,
    start: Time,
    end: Time | None = None,
    category: str = "linear",
    base_url: str = BASE_URL,
    store: Store | None = None,
    progress: Progress | None = None,
    client: BybitClient | None = None,
    series: Sequence[str] = (),
) -> FetchReport:
    """Bring the store up to date: candles, funding rates, trading rules and series of one symbol.

    Only what the store lacks is downloaded; damaged files are fetched anew. Whatever interrupts
    (Ctrl-C, the network, a symbol that vanishes), complete pages are kept before it is raised.

    Args:
        symbol: ``BTCUSDT``.
        interval: Bybit's code: ``1`` … ``720`` minutes, ``D``, ``W``.
        start: First bar that is wanted.
        end: End of the range, exclusive; by default the last closed bar is the last.
        category: ``linear``, ``inverse`` or ``spot``.
        base_url: The host to ask, if no client is given.
        store: By default the one in `data_folder`.
        progress: Told how far the download is.
        client: A client to use; it is not closed.
        series: What to bring beside, such as ``open-interest``: names of `SERIES`.

    Raises:
        BybitError: The exchange refuses, is out of reach, or answers nonsense.
        ConfigError: A series that is none, or that there is not of this category or interval.
        CandleError: It published a bar that breaks the rules; the bar is named.
        FundingError: It published a rate that breaks them.
        StoreError: The market's name is none, or the store cannot be written.
    """
    store = store or Store()
    store.folder(category, symbol, interval)  # refuses impossible names before the network is used
    tables_of(series, category, interval)
    refuse_unwritable_store(store.root)
    if client is None:
        with BybitClient(base_url) as own:
            return fetch_bybit(
                symbol, interval, start, end, category, store=store, progress=progress, client=own,
                series=series,
            )  # fmt: skip
    began, sent_before = time.perf_counter(), client.requests_sent
    instrument = client.instrument(symbol, category)
    update = Update(client, store, client.server_time_ms(), progress)
    report = update.market(instrument, interval, start, end, series)
    return replace(
        report,
        requests=client.requests_sent - sent_before,
        seconds=time.perf_counter() - began,
    )


def open_bybit(
    source: str,
    start: Time | None = None,
    end: Time | None = None,
    fetch_missing: bool = False,
    store: Store | None = None,
    base_url: str = BASE_URL,
    progress: Progress | None = None,
) -> Candles:
    """Stored candles by name; the network is used only when asked for.

    Args:
        source: ``bybit:BTCUSDT:60``, or with the category ``bybit:inverse:BTCUSD:60``.
        start: First bar that is wanted; by default all that is stored.
        end: End of the range, exclusive; by default all that is stored, or with
            ``fetch_missing`` and a start everything up to now.
        fetch_missing: Download what the store lacks of the range; needs a ``start``, or a store
            that has the symbol already.
        store: By default the one in `data_folder`.
        base_url: The host to ask.
        progress: Told how far a download is.

    Raises:
        StoreError: The name is none, or the range is not stored; it says how to fetch it.
        BybitError: From the download.
    """
    category, symbol, interval = parse_source(source)
    store = store or Store()
    if fetch_missing and start is not None:
        if _lacks(store, category, symbol, interval, start, end):
            fetch_bybit(symbol, interval, start, end, category, base_url, store, progress)
    elif fetch_missing and store.damage(category, symbol, interval):
        stretches = store.fetched(category, symbol, interval, damaged=True)
        if stretches:
            first, last = stretches[0][0], stretches[-1][1]
            fetch_bybit(symbol, interval, first, last, category, base_url, store, progress)
    if not fetch_missing:
        return open_stored(source, start, end, store)
    candles = store.open(category, symbol, interval)
    return candles if start is None and end is None else candles.between(start, end)


def _lacks(
    store: Store, category: str, symbol: str, interval: str, start: Time, end: Time | None
) -> bool:
    """Whether a download would bring anything; an open end always might."""
    if end is None or store.damage(category, symbol, interval):
        return True
    first, stop = next_bar_start(to_ms(start), interval), next_bar_start(to_ms(end), interval)
    stop = store.lived_until(category, symbol, interval, stop)
    return bool(missing_ranges(store.fetched(category, symbol, interval), first, stop))
