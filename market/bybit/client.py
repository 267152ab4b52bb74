"""Bybit's public market data over HTTP: candles, funding rates, trading rules. No key needed.

`BybitClient` asks politely (rate limit, time-outs, bounded retries) and keeps only what is
certain: bars that were closed by the server's own clock before they were asked for, each once,
in order. Endpoints and codes: https://bybit-exchange.github.io/docs/v5/intro
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np

from ..candles import Candles
from ..errors import BybitAnswerError, BybitRequestError
from ..instruments import Instrument, check_market
from ..intervals import interval_ms
from ..times import format_time
from . import parse as wire
from .pace import Pace, Rest
from .pages import Listing, Rows, SeriesPage, newest_first
from .ranges import bar_start
from .trades import DAY_MS, read_day
from .transport import ARCHIVE_URL, BASE_URL, RetryPolicy, Transport

INSTRUMENTS = "/v5/market/instruments-info"
KLINE_LIMIT = 1_000  # bars a page
FUNDING_LIMIT = 200  # rates a page
INSTRUMENT_LIMIT = 1_000  # instruments a page

_ARCHIVE_LATE_MS = 4 * DAY_MS  # a day of trades that is not there so long after it began has none


@dataclass(frozen=True)
class KlinePage:
    """Everything that the exchange has of one stretch of time.

    Attributes:
        candles: The closed bars that open in ``[start_ms, end_ms)``; None if there are none.
        start_ms: Start of the stretch [ms UTC].
        end_ms: Its end, exclusive [ms UTC].
    """

    candles: Candles | None
    start_ms: int
    end_ms: int


class BybitClient:
    """One connection pool to one of Bybit's hosts; a context manager.

    Args:
        base_url: The host: ``https://api.bybit.com``, ``https://api.bytick.com``, a regional one.
        retry: Pace, retries and time-outs.
        seed: Of the jitter in the waits.
        clock: Monotonic seconds; for tests.
        sleep: Waits seconds; for tests.
        archive_url: The host of the public archive of trades.
        pace: Kept together with other clients; by default alone, as the policy says.
        stopped: Ends all its requests when it is set; see `beside`.

    Raises:
        BybitRequestError: A base URL is none.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        retry: RetryPolicy | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        archive_url: str = ARCHIVE_URL,
        pace: Pace | None = None,
        stopped: threading.Event | None = None,
    ) -> None:
        policy = retry or RetryPolicy()
        self._settings = (base_url, policy, seed, clock, sleep, archive_url)
        self._pace = pace or Pace(policy.spacing_s, clock)
        rest = Rest(sleep, stopped or threading.Event())
        self._transport = Transport(base_url, policy, seed, clock, rest, self._pace)
        # A day of trades may have hundreds of megabytes.
        patient = replace(policy, answer_timeout_s=3_600.0, max_answer_bytes=1 << 32)
        self._archive = Transport(archive_url, patient, seed, clock, rest, self._pace)

    def beside(self, stopped: threading.Event) -> BybitClient:
        """Another client of the same hosts, for another thread: both keep one pace.

        Args:
            stopped: Once this is set, it sends nothing more, and raises `StoppedError`.
        """
        return BybitClient(*self._settings, self._pace, stopped)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
        self._archive.close()

    @property
    def requests_sent(self) -> int:
        """HTTP requests so far, repetitions included."""
        return self._transport.requests_sent + self._archive.requests_sent

    def server_time_ms(self) -> int:
        """The exchange's clock [ms UTC]."""
        result = self._transport.get("/v5/market/time", {}).result
        return wire.integer(result.get("timeNano"), "timeNano") // 1_000_000

    def instrument(self, symbol: str, category: str = "linear") -> Instrument:
        """A symbol's trading rules, also of one that is traded no more.

        Raises:
            BybitRequestError: There is no such symbol, and never was.
        """
        check_market(category, symbol)
        # Contracts that have ended are left out of the answer unless it is asked for them.
        for status in ({}, {"status": "Closed"}) if category != "spot" else ({},):
            params = {"category": category, "symbol": symbol, **status}
            rows = self._rows(INSTRUMENTS, params).rows
            if rows:
                return wire.instrument(rows[0], category, symbol)
        raise BybitRequestError(f"Bybit knows no {category} symbol {symbol}")

    def instrument_rows(self, category: str, status: str) -> Iterator[Any]:
        """The exchange's list of instruments of one status, row by row, as sent.

        Args:
            category: One of ``linear``, ``inverse``, ``spot``.
            status: ``Trading``, ``PreLaunch``, ``Delivering`` or ``Closed``.

        Raises:
            BybitError: See its subclasses.
        """
        params: dict[str, str | int] = {"category": category, "status": status}
        if category != "spot":  # whose list is one page
            params["limit"] = INSTRUMENT_LIMIT
        seen = {""}
        answer = self._rows(INSTRUMENTS, params)
        yield from answer.rows
        while answer.cursor not in seen:
            seen.add(answer.cursor)
            answer = self._rows(INSTRUMENTS, {**params, "cursor": answer.cursor})
            yield from answer.rows

    def kline_pages(
        self, symbol: str, interval: str, start_ms: int, end_ms: int, category: str = "linear"
    ) -> Iterator[KlinePage]:
        """Closed bars that open in ``[start_ms, end_ms)``, newest page first, without overlap.

        Together the pages cover the range down to where the exchange stops answering. A bar
        counts as absent only after the exchange has left it out twice.

        Args:
            symbol: ``BTCUSDT``.
            interval: Bybit's code.
            start_ms: Open time of the first bar, on the interval's grid [ms UTC].
            end_ms: End of the range, on the grid, exclusive [ms UTC].
            category: One of ``linear``, ``inverse``, ``spot``.

        Raises:
            BybitError: See its subclasses.
            CandleError: A bar that breaks the rules of candles; it is named.
        """
        for page in self._klines(symbol, interval, start_ms, end_ms, category):
            candles = None
            if len(page.time_ms):
                candles = wire.to_candles(page.time_ms, page.values, symbol, interval)
            yield KlinePage(candles, page.start_ms, page.end_ms)

    def candles(
        self, symbol: str, interval: str, start_ms: int, end_ms: int, category: str = "linear"
    ) -> Candles | None:
        """All closed bars that open in ``[start_ms, end_ms)``, or None; as `kline_pages`."""
        pages = [*self._klines(symbol, interval, start_ms, end_ms, category)][::-1]
        if not any(len(page.time_ms) for page in pages):
            return None
        times = np.concatenate([page.time_ms for page in pages])
        values = np.concatenate([page.values for page in pages])
        return wire.to_candles(times, values, symbol, interval)

    def funding_pages(
        self, symbol: str, start_ms: int, end_ms: int, category: str = "linear"
    ) -> Iterator[SeriesPage]:
        """Funding rates charged in ``[start_ms, end_ms)`` [n, 1], newest page first.

        Raises:
            BybitError: See its subclasses.
        """
        check_market(category, symbol)
        listing = Listing(
            "/v5/market/funding/history",
            {"category": category, "symbol": symbol},
            partial(wire.funding_columns, symbol=symbol),
            FUNDING_LIMIT,
            subject=symbol,
        )
        return newest_first(self._rows, listing, start_ms, end_ms)

    def closed_pages(
        self, listing: Listing, interval: str, start_ms: int, end_ms: int
    ) -> Iterator[SeriesPage]:
        """Rows of the periods in ``[start_ms, end_ms)`` that have closed, newest page first.

        Args:
            listing: The endpoint, whose rows are of periods.
            interval: Bybit's code for their length.
            start_ms: Start of the range, on the grid [ms UTC].
            end_ms: Its end, on the grid, exclusive [ms UTC].
        """
        # Taken before the first page: a bar closed by then is final in everything sent later.
        now_ms = self.server_time_ms()
        end_ms = min(end_ms, bar_start(now_ms, interval))
        yield from newest_first(self._rows, listing, start_ms, end_ms)

    def trade_pages(
        self, symbol: str, interval: str, start_ms: int, end_ms: int
    ) -> Iterator[SeriesPage]:
        """The public archive's trades by bar [n, 5], a day a page, newest first; see `DayOfTrades`.

        Days are whole: those that have ended and that the range touches.

        Args:
            symbol: ``BTCUSDT``.
            interval: Bybit's code, at most a day.
            start_ms: Start of the range [ms UTC].
            end_ms: Its end, exclusive [ms UTC].
        """
        now_ms = self.server_time_ms()
        newest = min(end_ms - 1, now_ms // DAY_MS * DAY_MS - 1) // DAY_MS * DAY_MS
        for day_ms in range(newest, start_ms - DAY_MS, -DAY_MS):
            date = f"{format_time(day_ms)[:10]}"
            path = f"/trading/{symbol}/{symbol}{date}.csv.gz"
            read = partial(read_day, day_ms=day_ms, interval=interval)
            page = self._archive.download(path, read)
            if page is not None:
                yield page
            elif day_ms + _ARCHIVE_LATE_MS < now_ms:  # else it is still to come
                yield SeriesPage(np.empty(0, np.int64), np.empty((0, 5)), day_ms, day_ms + DAY_MS)

    def _klines(
        self, symbol: str, interval: str, start_ms: int, end_ms: int, category: str
    ) -> Iterator[SeriesPage]:
        check_market(category, symbol, interval)
        listing = Listing(
            "/v5/market/kline",
            {"category": category, "symbol": symbol, "interval": interval},
            wire.kline_columns,
            KLINE_LIMIT,
            ("start", "end"),
            interval_ms(interval),
            subject=symbol,
        )
        return self.closed_pages(listing, interval, start_ms, end_ms)

    def _rows(self, path: str, params: Mapping[str, str | int]) -> Rows:
        answer = self._transport.get(path, params)
        for field in {"category", "symbol"} & params.keys():
            sent = answer.result.get(field, params[field])
            if sent != params[field]:
                raise BybitAnswerError(f"{path} answered for {field} {sent!r}, not {params[field]}")
        rows = wire.member(answer.result, "list", list, path)
        cursor = answer.result.get("nextPageCursor") or ""
        return Rows(rows, answer.time_ms, str(cursor))
