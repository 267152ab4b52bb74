"""Hundreds of markets into the store, some at a time: what fails is named and stops no other."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import (
    BybitAnswerError,
    BybitBlockedError,
    BybitError,
    BybitRequestError,
    BybitUnavailableError,
    CandleError,
    ConfigError,
    FundingError,
    StoreError,
)
from ..instruments import Instrument, check_market
from ..intervals import interval_ms
from ..times import Time, format_time, to_ms
from .client import BybitClient
from .kinds import tables_of
from .ranges import bar_start, next_bar_start
from .reports import FetchReport
from .store import Store, last_bar_end
from .table import refuse_unwritable_store
from .universe import Universe, with_rules_of_now
from .update import Update

_OF_ONE_SYMBOL = (BybitRequestError, BybitAnswerError, CandleError, FundingError)
_LIST_HOLDS_MS = 3_600_000  # an older list's rules and ends may have changed
_SHOWN = 20


@dataclass(frozen=True)
class SymbolOutcome:
    """What became of one symbol.

    Attributes:
        symbol: The instrument's name.
        state: ``fetched``; ``outside``, its life and the asked range have no closed bar in common;
            or ``failed``.
        text: What there is to say of it.
        report: What was got, of a fetched one.
    """

    symbol: str
    state: str
    text: str
    report: FetchReport | None = None

    def __str__(self) -> str:
        """A line for the console."""
        return f"{self.symbol}: {self.text}"


@dataclass(frozen=True)
class UniverseReport:
    """What a fetch of a universe got.

    Attributes:
        universe: The list of instruments.
        outcomes: One for each, in order of symbols.
        requests: HTTP requests sent.
        seconds: Wall time.
    """

    universe: Universe
    outcomes: tuple[SymbolOutcome, ...]
    requests: int
    seconds: float

    def of(self, state: str) -> tuple[SymbolOutcome, ...]:
        """The symbols that ended up in a state."""
        return tuple(one for one in self.outcomes if one.state == state)

    def __str__(self) -> str:
        """A few lines for the console: what failed by name and reason."""
        fetched, outside, failed = map(self.of, ("fetched", "outside", "failed"))
        reports = [one.report for one in fetched if one.report is not None]
        lines = [
            str(self.universe),
            f"{len(fetched)} fetched, {sum(one.bars for one in reports):,} bars "
            f"({sum(one.new_bars for one in reports):,} new), {self.requests} requests, "
            f"{self.seconds:.1f} s",
        ]
        if outside:
            names = ", ".join(one.symbol for one in outside[:_SHOWN])
            more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
            lines.append(f"{len(outside)} without a closed bar in the range: {names}{more}")
        if failed:
            lines.append(f"{len(failed)} failed:")
            lines.extend(f"  {one}" for one in failed)
        return "\n".join(lines)


def fetch_universe(
    universe: Universe,
    interval: str,
    start: Time | None = None,
    end: Time | None = None,
    series: Sequence[str] = (),
    store: Store | None = None,
    client: BybitClient | None = None,
    told: Callable[[SymbolOutcome], None] = lambda outcome: None,
    connections: int = 4,
) -> UniverseReport:
    """Bring the store up to date: candles, funding rates, rules and series of a whole universe.

    Only what the store lacks is downloaded, so a fetch that was stopped or killed goes on by the
    same call. All symbols are fetched up to one moment, the exchange's time when it began. A list
    that is older than an hour gives the symbols; their rules and ends are asked for anew.

    Args:
        universe: The instruments, from `list_universe` or `open_universe`.
        interval: Bybit's code.
        start: First bar that is wanted; by default each instrument's launch.
        end: End of the range, exclusive; by default the last closed bar is the last.
        series: What to bring beside candles and funding rates, see `fetch_bybit`.
        store: By default the one in `data_folder`.
        client: A client to use; it is not closed.
        told: Told what became of each symbol, when it is done.
        connections: Symbols that are fetched at a time. They keep the client's limit together; the
            result is the same.

    Raises:
        BybitBlockedError: The exchange shuts this address out; it says how to go on.
        BybitUnavailableError: It stayed unreachable or busy; it says how to go on.
        ConfigError: There is no start, and no launch is known; or a series that is none.
        StoreError: The store cannot be written.
    """
    interval_ms(interval)
    tables_of(series, universe.category, interval)
    if connections < 1:
        raise ConfigError(f"connections is {connections}; expected a whole number, 1 or more")
    if start is None and not all(one.launch_time_ms for one in universe.instruments):
        raise ConfigError(
            f"the exchange publishes no launch of {universe.category} instruments: name a start"
        )
    store = store or Store()
    refuse_unwritable_store(store.root)
    if client is None:
        with BybitClient() as own:
            return fetch_universe(
                universe, interval, start, end, series, store, own, told, connections
            )
    began, sent_before = time.perf_counter(), client.requests_sent
    crew = _Crew(client, connections)
    request = _Request(interval, start, end, tuple(series))
    outcomes: list[SymbolOutcome] = []
    try:
        now_ms = client.server_time_ms()
        if now_ms - universe.listed_ms > _LIST_HOLDS_MS:
            universe = with_rules_of_now(universe, client)
        for outcome in crew.outcomes(universe, request, store, now_ms):
            outcomes.append(outcome)
            told(outcome)
    except (BybitBlockedError, BybitUnavailableError) as error:
        raise _stopped(error, len(outcomes), universe) from None
    finally:
        crew.close()
    in_order = tuple(sorted(outcomes, key=lambda one: one.symbol))
    requests = crew.requests_sent + client.requests_sent - sent_before
    return UniverseReport(universe, in_order, requests, time.perf_counter() - began)


@dataclass(frozen=True)
class _Request:
    """What is asked of every symbol."""

    interval: str
    start: Time | None
    end: Time | None
    series: tuple[str, ...]


class _Crew:
    """Threads with a client each, that keep one limit together.

    Args:
        client: The one whose hosts and limit they share.
        count: How many.
    """

    def __init__(self, client: BybitClient, count: int) -> None:
        self._stop = threading.Event()
        self._clients = [client.beside(self._stop) for _ in range(count)]
        self._pool = ThreadPoolExecutor(count)

    @property
    def requests_sent(self) -> int:
        """HTTP requests of all of them."""
        return sum(client.requests_sent for client in self._clients)

    def close(self) -> None:
        """Have what is under way end after its present request, its complete pages saved."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)
        for client in self._clients:
            client.close()

    def outcomes(
        self, universe: Universe, request: _Request, store: Store, now_ms: int
    ) -> Iterator[SymbolOutcome]:
        """What became of each symbol, as they are done."""
        idle: queue.SimpleQueue[BybitClient] = queue.SimpleQueue()
        done: queue.SimpleQueue[SymbolOutcome | BaseException] = queue.SimpleQueue()
        for client in self._clients:
            idle.put(client)

        def work(instrument: Instrument) -> None:
            client = idle.get()
            try:
                done.put(_one(Update(client, store, now_ms), instrument, request))
            except BaseException as error:  # raised in the thread that waits for it
                done.put(error)
            finally:
                idle.put(client)

        for symbol, reason in universe.unread:
            yield SymbolOutcome(symbol, "failed", reason)
        for instrument in universe.instruments:
            self._pool.submit(work, instrument)
        for _ in universe.instruments:
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome


def _outside(
    instrument: Instrument, interval: str, first: int, end: Time | None, now_ms: int
) -> str:
    """Why no bar of it closed in the range; empty if one may have."""
    try:
        check_market(instrument.category, instrument.symbol)
    except StoreError as error:
        return str(error)
    stop = now_ms if end is None else min(now_ms, to_ms(end))
    if instrument.launch_time_ms > stop:
        return f"opens on {format_time(instrument.launch_time_ms)}"
    ended_ms = last_bar_end(instrument, interval)
    if ended_ms <= next_bar_start(first, interval):
        return f"ended on {format_time(instrument.delivery_time_ms)}"
    first = next_bar_start(max(first, instrument.launch_time_ms), interval)
    if first >= min(bar_start(stop, interval), ended_ms):
        return "has no closed bar there"
    return ""


def _one(update: Update, instrument: Instrument, request: _Request) -> SymbolOutcome:
    symbol, interval, end = instrument.symbol, request.interval, request.end
    launched_ms = instrument.launch_time_ms
    first = launched_ms if request.start is None else to_ms(request.start)
    reason = _outside(instrument, interval, first, end, update.now_ms)
    if reason:
        return SymbolOutcome(symbol, "outside", reason)
    try:
        report = update.market(instrument, interval, max(first, launched_ms), end, request.series)
    except _OF_ONE_SYMBOL as error:
        return SymbolOutcome(symbol, "failed", str(error))
    if not report.bars:
        return SymbolOutcome(symbol, "failed", "the exchange has no bar of it", report)
    missing = sum(gap.missing_bars for gap in report.gaps)
    text = f"{report.bars:,} bars ({report.new_bars:,} new), {missing:,} missing"
    return SymbolOutcome(symbol, "fetched", text, report)


def _stopped(error: BybitError, done: int, universe: Universe) -> BybitError:
    total = len(universe.instruments) + len(universe.unread)
    return type(error)(
        f"{error}. {done} of {total} symbols are done and kept; the same command goes on with the rest"
    )
