"""From the exchange into the store: what is missing, and nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..candles import Candles, Gap
from ..errors import BybitRequestError, CandleError, StoreError
from ..funding import FundingRates
from ..instruments import Instrument
from ..intervals import interval_ms
from ..times import Time, format_time, to_ms
from .client import BybitClient, FundingPage, KlinePage
from .ranges import Ranges, bar_start, join_ranges, missing_ranges, next_bar_start
from .store import Store, last_bar_end, open_stored, parse_source
from .table import refuse_unwritable_store
from .transport import BASE_URL

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` in bars of the stretches that are being fetched."""

_FIRST_BATCH_PAGES = 100  # so that even a killed process keeps most of a long download
_SETTLING_MS = 600_000  # a funding rate may be published minutes after it was charged

_PageT = TypeVar("_PageT", KlinePage, FundingPage)


@dataclass(frozen=True)
class FetchReport:
    """What a fetch got.

    Attributes:
        symbol: The instrument's name.
        interval: Bybit's code.
        category: ``linear``, ``inverse`` or ``spot``.
        bars: Bars of the asked range now in the store.
        start_ms: Open time of the first of them [ms UTC]; None without bars.
        end_ms: End of the last of them, exclusive [ms UTC]; None without bars.
        ended_ms: When the contract ends or ended [ms UTC]; None where no end is known.
        gaps: Bars that the exchange does not have inside that range.
        new_bars: Bars downloaded by this call.
        funding_rates: Funding rates of the asked range now in the store.
        new_funding_rates: Funding rates downloaded by this call.
        repaired: What was damaged in the store and fetched anew, in words.
        requests: HTTP requests sent.
        seconds: Wall time.
        folder: Where the candles lie.
    """

    symbol: str
    interval: str
    category: str
    bars: int
    start_ms: int | None
    end_ms: int | None
    ended_ms: int | None
    gaps: tuple[Gap, ...]
    new_bars: int
    funding_rates: int
    new_funding_rates: int
    repaired: tuple[str, ...]
    requests: int
    seconds: float
    folder: str

    def __str__(self) -> str:
        """A few lines for the console."""
        lines = [f"repaired: {text}" for text in self.repaired]
        lines.append(
            f"{self.category} {self.symbol} {self.interval}: {self.bars:,} bars "
            f"({self.new_bars:,} new), {self.funding_rates:,} funding rates "
            f"({self.new_funding_rates:,} new), {self.requests} requests, {self.seconds:.1f} s"
        )
        if self.start_ms is not None and self.end_ms is not None:
            lines.append(f"range: {format_time(self.start_ms)} to {format_time(self.end_ms)}")
        if self.ended_ms is not None:
            lines.append(f"the contract's end: {format_time(self.ended_ms)}")
        missing = sum(gap.missing_bars for gap in self.gaps)
        lines.append(f"gaps: {len(self.gaps)} ({missing:,} bars missing)")
        lines.extend(
            f"  {gap.missing_bars:,} bars after {format_time(gap.after_ms)}"
            for gap in self.gaps[:10]
        )
        return "\n".join([*lines, f"folder: {self.folder}"])


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
) -> FetchReport:
    """Bring the store up to date: candles, funding rates and trading rules of one symbol.

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

    Raises:
        BybitError: The exchange refuses, is out of reach, or answers nonsense.
        CandleError: It published a bar that breaks the rules; the bar is named.
        FundingError: It published a rate that breaks them.
        StoreError: The market's name is none, or the store cannot be written.
    """
    store = store or Store()
    store.folder(category, symbol, interval)  # refuses impossible names before the network is used
    refuse_unwritable_store(store.root)
    if client is None:
        with BybitClient(base_url) as own:
            return fetch_bybit(
                symbol, interval, start, end, category, store=store, progress=progress, client=own
            )
    began, sent_before = time.perf_counter(), client.requests_sent
    instrument = client.instrument(symbol, category)
    store.save_instrument(instrument)
    job = _Job(client, store, instrument, interval, progress)
    now_ms = client.server_time_ms()
    ended_ms = instrument.delivery_time_ms or now_ms  # there is nothing to ask for after the end
    first, stop = _bar_range(start, end, now_ms, instrument, interval)
    job.fetch_candles(first, stop)
    # What is charged at the very end is charged on the last bar.
    charged_until = min(now_ms, ended_ms + 1, now_ms if end is None else to_ms(end) + 1)
    if instrument.funding_interval_minutes:
        job.fetch_funding(first, charged_until, now_ms)
    return _report(job, first, stop, charged_until, sent_before, began)


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


@dataclass
class _Job:
    client: BybitClient
    store: Store
    instrument: Instrument
    interval: str
    progress: Progress | None
    new_bars: int = 0
    new_rates: int = 0
    repaired: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        return self.instrument.category

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    def fetch_candles(self, first: int, stop: int) -> None:
        wanted = self._wanted(self.interval, first, stop)
        step = interval_ms(self.interval)
        total = sum(end - start for start, end in wanted) // step

        def pages() -> Iterator[KlinePage]:
            done = 0
            for start, end in reversed(wanted):
                for page in self.client.kline_pages(
                    self.symbol, self.interval, start, end, self.category
                ):
                    yield page
                    done += (page.end_ms - page.start_ms) // step
                    if self.progress:
                        self.progress(done, total)

        def save(pages: list[KlinePage]) -> None:
            bars = [page.candles for page in pages if page.candles is not None]
            self.store.add_candles(
                self.category, self.symbol, self.interval, bars, _stretches(pages)
            )
            self.new_bars += sum(map(len, bars))

        _keep(pages(), save)

    def fetch_funding(self, first: int, stop: int, now_ms: int) -> None:
        def pages() -> Iterator[FundingPage]:
            for start, end in reversed(self._wanted(None, first, stop)):
                yield from self.client.funding_pages(self.symbol, start, end, self.category)

        def save(pages: list[FundingPage]) -> None:
            rates = [(page.time_ms, page.rate) for page in pages if len(page.time_ms)]
            for times, values in rates:
                FundingRates(times, values)  # refuses what is no rate, before it is stored
            newest = max((int(times[-1]) + 1 for times, _ in rates), default=first)
            settled = max(newest, now_ms - _SETTLING_MS)
            ranges = tuple((start, min(end, settled)) for start, end in _stretches(pages))
            self.store.add_funding(self.category, self.symbol, rates, join_ranges(ranges))
            self.new_rates += sum(len(times) for times, _ in rates)

        _keep(pages(), save)

    def _wanted(self, interval: str | None, first: int, stop: int) -> Ranges:
        """What to download: the missing, and all of it again if the stored file is damaged."""
        market = (self.category, self.symbol, interval)
        damage = self.store.damage(*market)
        if damage is None:
            return missing_ranges(self.store.fetched(*market), first, stop)
        self.repaired += (damage,)
        return join_ranges(self.store.fetched(*market, damaged=True), ((first, stop),))


def _keep(pages: Iterable[_PageT], save: Callable[[list[_PageT]], None]) -> None:
    """Save pages in batches; the last ones also when something interrupts."""
    unsaved: list[_PageT] = []
    batch = _FIRST_BATCH_PAGES
    try:
        for page in pages:
            unsaved.append(page)
            if len(unsaved) >= batch:
                save(unsaved)
                unsaved = []
                batch *= 2  # a save rewrites the file: doubling keeps their sum in proportion
    finally:
        if unsaved:
            save(unsaved)


def _stretches(pages: Iterable[KlinePage | FundingPage]) -> Ranges:
    return join_ranges(tuple((page.start_ms, page.end_ms) for page in pages))


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


def _report(
    job: _Job, first: int, stop: int, charged_until: int, sent_before: int, began: float
) -> FetchReport:
    market = (job.category, job.symbol, job.interval)
    try:
        candles = job.store.open(*market).between(first, stop)
    except (StoreError, CandleError):  # the exchange has no bar there
        candles = None
    try:
        charged = job.store.funding(job.category, job.symbol).time_ms
    except StoreError:  # spot, or nothing charged so far
        charged = np.empty(0, dtype=np.int64)
    return FetchReport(
        symbol=job.symbol,
        interval=job.interval,
        category=job.category,
        bars=0 if candles is None else len(candles),
        start_ms=None if candles is None else int(candles.open_time_ms[0]),
        end_ms=None if candles is None else int(candles.open_time_ms[-1]) + candles.interval_ms,
        ended_ms=job.instrument.delivery_time_ms or None,
        gaps=() if candles is None else tuple(candles.gaps()),
        new_bars=job.new_bars,
        funding_rates=int(((charged >= first) & (charged < charged_until)).sum()),
        new_funding_rates=job.new_rates,
        repaired=job.repaired,
        requests=job.client.requests_sent - sent_before,
        seconds=time.perf_counter() - began,
        folder=str(job.store.folder(*market)),
    )
