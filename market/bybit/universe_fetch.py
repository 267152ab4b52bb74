"""Hundreds of markets into the store, one after the other: what fails is named and stops no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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
from .universe import Universe
from .update import Update

_OF_ONE_SYMBOL = (BybitRequestError, BybitAnswerError, CandleError, FundingError)
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
) -> UniverseReport:
    """Bring the store up to date: candles, funding rates, rules and series of a whole universe.

    Only what the store lacks is downloaded, so a fetch that was stopped or killed goes on by the
    same call. All symbols are fetched up to one moment, the exchange's time when it began.

    Args:
        universe: The instruments, from `list_universe` or `open_universe`.
        interval: Bybit's code.
        start: First bar that is wanted; by default each instrument's launch.
        end: End of the range, exclusive; by default the last closed bar is the last.
        series: What to bring beside candles and funding rates, see `fetch_bybit`.
        store: By default the one in `data_folder`.
        client: A client to use; it is not closed.
        told: Told what became of each symbol, when it is done.

    Raises:
        BybitBlockedError: The exchange shuts this address out; it says how to go on.
        BybitUnavailableError: It stayed unreachable or busy; it says how to go on.
        ConfigError: There is no start, and no launch is known; or a series that is none.
        StoreError: The store cannot be written.
    """
    interval_ms(interval)
    tables_of(series, universe.category, interval)
    if start is None and not all(one.launch_time_ms for one in universe.instruments):
        raise ConfigError(
            f"the exchange publishes no launch of {universe.category} instruments: name a start"
        )
    store = store or Store()
    refuse_unwritable_store(store.root)
    if client is None:
        with BybitClient() as own:
            return fetch_universe(universe, interval, start, end, series, store, own, told)
    began, sent_before = time.perf_counter(), client.requests_sent
    update = Update(client, store, client.server_time_ms())
    outcomes: list[SymbolOutcome] = []
    try:
        for outcome in _each(update, universe, interval, start, end, series):
            outcomes.append(outcome)
            told(outcome)
    except (BybitBlockedError, BybitUnavailableError) as error:
        raise _stopped(error, len(outcomes), universe) from None
    return UniverseReport(
        universe,
        tuple(sorted(outcomes, key=lambda one: one.symbol)),
        client.requests_sent - sent_before,
        time.perf_counter() - began,
    )


def _each(
    update: Update,
    universe: Universe,
    interval: str,
    start: Time | None,
    end: Time | None,
    series: Sequence[str],
) -> Iterator[SymbolOutcome]:
    for symbol, reason in universe.unread:
        yield SymbolOutcome(symbol, "failed", reason)
    for instrument in universe.instruments:
        first = instrument.launch_time_ms if start is None else to_ms(start)
        reason = _outside(instrument, interval, first, end, update.now_ms)
        if reason:
            yield SymbolOutcome(instrument.symbol, "outside", reason)
        else:
            yield _one(
                update, instrument, interval, max(first, instrument.launch_time_ms), end, series
            )


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


def _one(
    update: Update,
    instrument: Instrument,
    interval: str,
    start_ms: int,
    end: Time | None,
    series: Sequence[str],
) -> SymbolOutcome:
    try:
        report = update.market(instrument, interval, start_ms, end, series)
    except _OF_ONE_SYMBOL as error:
        return SymbolOutcome(instrument.symbol, "failed", str(error))
    if not report.bars:
        return SymbolOutcome(instrument.symbol, "failed", "the exchange has no bar of it", report)
    missing = sum(gap.missing_bars for gap in report.gaps)
    text = f"{report.bars:,} bars ({report.new_bars:,} new), {missing:,} missing"
    return SymbolOutcome(instrument.symbol, "fetched", text, report)


def _stopped(error: BybitError, done: int, universe: Universe) -> BybitError:
    total = len(universe.instruments) + len(universe.unread)
    return type(error)(
        f"{error}. {done} of {total} symbols are done and kept; the same command goes on with the rest"
    )
