"""One market of the store brought up to date: what is missing, and nothing twice."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..errors import BybitRequestError, CandleError, StoreError
from ..funding import FundingRates
from ..instruments import Instrument
from ..intervals import interval_ms
from ..times import Time, format_time, to_ms
from .client import BybitClient, KlinePage
from .filling import Filling, Progress
from .kinds import Table, tables_of
from .pages import SeriesPage
from .ranges import bar_start, next_bar_start
from .reports import FetchReport, SeriesReport
from .store import (
    CANDLE_COLUMNS,
    FUNDING_COLUMNS,
    Store,
    last_bar_end,
)
from .table import Columns

_SETTLING_MS = 600_000  # what is published of a moment may be published minutes after it
_ARCHIVE_BATCH = 4  # days of trades, each of which is a long download


@dataclass(frozen=True)
class Update:
    """Brings the store up to date, market by market, as of one moment.

    Attributes:
        client: Asks the exchange.
        store: Where to.
        now_ms: The exchange's time when it began [ms UTC].
        progress: Told how far each download is.
    """

    client: BybitClient
    store: Store
    now_ms: int
    progress: Progress | None = None

    def market(
        self,
        instrument: Instrument,
        interval: str,
        start: Time,
        end: Time | None = None,
        series: Sequence[str] = (),
    ) -> FetchReport:
        """Candles, funding rates, rules and series of one instrument; see `fetch_bybit`."""
        began, sent_before = time.perf_counter(), self.client.requests_sent
        tables = tables_of(series, instrument.category, interval)
        self.store.save_instrument(instrument)
        first, stop = _bar_range(start, end, self.now_ms, instrument, interval)
        candles = self._candles(instrument, interval, first, stop)
        # There is nothing to ask for after a contract's end; what is charged at the very end is
        # charged on the last bar.
        ended_ms = instrument.delivery_time_ms or self.now_ms
        asked_ms = self.now_ms if end is None else to_ms(end) + 1
        charged = (first, min(self.now_ms, ended_ms + 1, asked_ms))
        funding = self._funding(instrument, *charged)
        beside = [self._series(table, instrument, interval, first, stop) for table in tables]
        repaired = (candles.repaired, funding.repaired, *(one.repaired for one in beside))
        got = _what_is_there(self.store, instrument, interval, (first, stop), charged)
        return FetchReport(
            symbol=instrument.symbol,
            interval=interval,
            category=instrument.category,
            ended_ms=instrument.delivery_time_ms or None,
            new_bars=candles.new_rows,
            new_funding_rates=funding.new_rows,
            repaired=tuple(itertools.chain(*repaired)),
            series=tuple(beside),
            requests=self.client.requests_sent - sent_before,
            seconds=time.perf_counter() - began,
            folder=str(self.store.folder(instrument.category, instrument.symbol, interval)),
            **got,
        )

    def _candles(self, instrument: Instrument, interval: str, first: int, stop: int) -> Filling:
        market = (instrument.category, instrument.symbol, interval)
        filling = Filling(self.store.candle_table(*market), self.progress)

        def pages(start: int, end: int) -> Iterator[KlinePage]:
            return self.client.kline_pages(
                instrument.symbol, interval, start, end, instrument.category
            )

        def columns(page: KlinePage) -> Columns | None:
            bars = page.candles
            return None if bars is None else {c: getattr(bars, c) for c in CANDLE_COLUMNS}

        filling.fill(first, stop, pages, columns)
        return filling

    def _funding(self, instrument: Instrument, first: int, stop: int) -> Filling:
        market = (instrument.category, instrument.symbol)
        settled_ms = self.now_ms - _SETTLING_MS
        filling = Filling(self.store.funding_table(*market), settled_ms=settled_ms)

        def pages(start: int, end: int) -> Iterator[SeriesPage]:
            return self.client.funding_pages(instrument.symbol, start, end, instrument.category)

        def columns(page: SeriesPage) -> Columns | None:
            if not len(page.time_ms):
                return None
            rates = FundingRates(page.time_ms, page.values[:, 0])  # refuses what is no rate
            return dict(zip(FUNDING_COLUMNS, (rates.time_ms, rates.rate), strict=True))

        if instrument.funding_interval_minutes:
            filling.fill(first, stop, pages, columns)
        return filling

    def _series(
        self, table: Table, instrument: Instrument, interval: str, first: int, stop: int
    ) -> SeriesReport:
        """One table of series, up to a period before the candles: the newest may come late."""
        category, symbol, step_ms = instrument.category, instrument.symbol, interval_ms(interval)
        kept = self.store.series_table(table, category, symbol, interval)
        begins = max(first, table.begins_ms, instrument.launch_time_ms)
        first = next_bar_start(begins, interval)
        stop = min(stop, bar_start(self.now_ms, interval) - step_ms)
        filling = Filling(kept, self.progress)
        if table.path:
            filling.settled_ms = self.now_ms - 4 * step_ms - _SETTLING_MS
            listing = table.listing(category, symbol, interval)
            pages = partial(self.client.closed_pages, listing, interval)
        else:
            filling.batch = _ARCHIVE_BATCH
            pages = partial(self.client.trade_pages, symbol, interval)
        if first < stop:
            filling.fill(first, stop, pages, table.rows)
        if not kept.manifest_path.exists():
            return SeriesReport(table.name, 0, 0, None, None, 0)
        extent = kept.extent()
        return SeriesReport(
            name=table.name,
            rows=kept.read_manifest().rows,
            new_rows=filling.new_rows,
            start_ms=extent.first_ms,
            end_ms=extent.last_ms,
            missing=extent.missing,
            repaired=filling.repaired,
        )


def _bar_range(
    start: Time, end: Time | None, now_ms: int, instrument: Instrument, interval: str
) -> tuple[int, int]:
    """Open times of the first bar wanted and of the first not wanted, or not yet or never closed."""
    first, stop = next_bar_start(to_ms(start), interval), bar_start(now_ms, interval)
    if end is not None:
        stop = min(stop, next_bar_start(to_ms(end), interval))
    last = last_bar_end(instrument, interval)
    if last <= first:
        raise BybitRequestError(
            f"{instrument.symbol} ended on {format_time(instrument.delivery_time_ms)}; "
            f"expected a start before that, not {format_time(to_ms(start))}"
        )
    stop = min(stop, last)
    if first >= stop:
        raise BybitRequestError(
            f"no closed bar of interval {interval} opens between {format_time(to_ms(start))} and "
            f"{format_time(min(now_ms, to_ms(end)) if end is not None else now_ms)}"
        )
    return first, stop


def _what_is_there(
    store: Store,
    instrument: Instrument,
    interval: str,
    bars: tuple[int, int],
    charged: tuple[int, int],
) -> dict[str, Any]:
    """What the store has of the asked range, as fields of `FetchReport`."""
    market = (instrument.category, instrument.symbol)
    try:
        candles = store.open(*market, interval).between(*bars)
    except (StoreError, CandleError):  # the exchange has no bar there
        candles = None
    try:
        times = store.funding(*market).time_ms
    except StoreError:  # spot, or nothing charged so far
        times = np.empty(0, dtype=np.int64)
    return {
        "bars": 0 if candles is None else len(candles),
        "start_ms": None if candles is None else int(candles.open_time_ms[0]),
        "end_ms": None if candles is None else int(candles.open_time_ms[-1]) + candles.interval_ms,
        "gaps": () if candles is None else tuple(candles.gaps()),
        "funding_rates": int(((times >= charged[0]) & (times < charged[1])).sum()),
    }
