"""Bybit's public market data over HTTP: candles, funding rates, trading rules. No key needed.

`BybitClient` asks politely (rate limit, time-outs, bounded retries) and keeps only what is
certain: bars that were closed by the server's own clock before they were asked for, each once,
in order. Endpoints and codes: https://bybit-exchange.github.io/docs/v5/intro
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..arrays import FloatArray, IntArray
from ..candles import Candles
from ..errors import BybitAnswerError, BybitRequestError
from ..instruments import Instrument, check_market
from ..intervals import interval_ms
from ..times import format_time
from . import parse as wire
from .ranges import bar_start
from .transport import BASE_URL, RetryPolicy, Transport

KLINE_LIMIT = 1_000  # bars a page
FUNDING_LIMIT = 200  # rates a page


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


@dataclass(frozen=True)
class FundingPage:
    """All funding rates charged in ``[start_ms, end_ms)``.

    Attributes:
        time_ms: When they were charged [n], ms UTC, increasing.
        rate: Fractions of the position's value [n].
        start_ms: Start of the stretch [ms UTC].
        end_ms: Its end, exclusive [ms UTC].
    """

    time_ms: IntArray
    rate: FloatArray
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

    Raises:
        BybitRequestError: The base URL is none.
    """

    def __init__(
        self,
        base_url: str = BASE_URL,
        retry: RetryPolicy | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = Transport(base_url, retry or RetryPolicy(), seed, clock, sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @property
    def requests_sent(self) -> int:
        """HTTP requests so far, repetitions included."""
        return self._transport.requests_sent

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
            rows = self._rows("/v5/market/instruments-info", params).rows
            if rows:
                return wire.instrument(rows[0], category, symbol)
        raise BybitRequestError(f"Bybit knows no {category} symbol {symbol}")

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
        check_market(category, symbol, interval)
        # Taken before the first page: a bar closed by then is final in everything sent later.
        now_ms = self.server_time_ms()
        upper, asked_again = min(end_ms, bar_start(now_ms, interval)), False
        while upper > start_ms:
            page = self._kline_page(symbol, interval, start_ms, upper, category)
            if page.oldest_ms is not None:
                if page.oldest_ms < page.end_ms:
                    yield self._completed(page, interval, category)
                upper, asked_again = page.oldest_ms, False
            elif asked_again:
                if not page.off_range:
                    yield KlinePage(None, start_ms, upper)
                return
            else:
                asked_again = True

    def candles(
        self, symbol: str, interval: str, start_ms: int, end_ms: int, category: str = "linear"
    ) -> Candles | None:
        """All closed bars that open in ``[start_ms, end_ms)``, or None; as `kline_pages`."""
        pages = self.kline_pages(symbol, interval, start_ms, end_ms, category)
        return _union(page.candles for page in pages)

    def funding_pages(
        self, symbol: str, start_ms: int, end_ms: int, category: str = "linear"
    ) -> Iterator[FundingPage]:
        """Funding rates charged in ``[start_ms, end_ms)``, newest page first, without overlap.

        Raises:
            BybitError: See its subclasses.
        """
        check_market(category, symbol)
        upper, asked_again = end_ms, False
        while upper > start_ms:
            params: dict[str, str | int] = {"category": category, "symbol": symbol}
            params |= {"startTime": start_ms, "endTime": upper - 1, "limit": FUNDING_LIMIT}
            answer = self._rows("/v5/market/funding/history", params)
            times, rates = wire.funding_columns(answer.rows, symbol)
            inside = (times >= start_ms) & (times < upper)
            times, rates = _unique(times[inside], rates[inside][:, None], symbol)
            if len(times):
                asked_again = False
                yield FundingPage(times, rates[:, 0], int(times[0]), upper)
                upper = int(times[0])
            elif asked_again:
                if not answer.rows:
                    yield FundingPage(times, rates[:, 0], start_ms, upper)
                return
            else:
                asked_again = True

    def _completed(self, page: _Page, interval: str, category: str) -> KlinePage:
        """The page, asked for a second time if bars are absent inside it."""
        candles, oldest_ms = page.candles, page.oldest_ms
        assert candles is not None
        assert oldest_ms is not None
        if len(candles) < (page.end_ms - oldest_ms) // interval_ms(interval):
            again = self._kline_page(candles.symbol, interval, oldest_ms, page.end_ms, category)
            candles = _union((candles, again.candles))
        return KlinePage(candles, oldest_ms, page.end_ms)

    def _kline_page(
        self, symbol: str, interval: str, start_ms: int, end_ms: int, category: str
    ) -> _Page:
        params: dict[str, str | int] = {"category": category, "symbol": symbol}
        params |= {"interval": interval, "limit": KLINE_LIMIT}
        params |= {"start": start_ms, "end": end_ms - 1}
        answer = self._rows("/v5/market/kline", params)
        times, values = wire.kline_columns(answer.rows)
        inside = (times >= start_ms) & (times < end_ms)
        times, values = _unique(times[inside], values[inside], symbol)
        oldest = int(times[0]) if len(times) else None
        # Hosts behind one name may disagree about the time: this answer's own must agree, too.
        still_open = times[times + interval_ms(interval) > answer.time_ms]
        if len(still_open):
            end_ms = int(still_open[0])
            times, values = times[times < end_ms], values[times < end_ms]
        candles = wire.to_candles(times, values, symbol, interval) if len(times) else None
        return _Page(candles, oldest, end_ms, off_range=bool(answer.rows) and oldest is None)

    def _rows(self, path: str, params: Mapping[str, str | int]) -> _Rows:
        answer = self._transport.get(path, params)
        for field in ("category", "symbol"):
            sent = answer.result.get(field, params[field])
            if sent != params[field]:
                raise BybitAnswerError(f"{path} answered for {field} {sent!r}, not {params[field]}")
        rows = wire.member(answer.result, "list", list, path)
        return _Rows(rows, answer.time_ms)


@dataclass(frozen=True)
class _Page:
    candles: Candles | None  # closed bars inside the range
    oldest_ms: int | None  # of all bars inside the range, an open one included
    end_ms: int  # end of the range, or where its first open bar starts
    off_range: bool  # bars came, all of them outside the range


@dataclass(frozen=True)
class _Rows:
    rows: list[Any]
    time_ms: int


def _unique(times: IntArray, values: FloatArray, symbol: str) -> tuple[IntArray, FloatArray]:
    """Rows in order of time, each once; two that contradict each other are an error."""
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    repeated = np.zeros(len(times), dtype=bool)
    repeated[1:] = np.diff(times) == 0
    for row in np.flatnonzero(repeated):
        if (values[row] != values[row - 1]).any():
            raise BybitAnswerError(
                f"{symbol} at {format_time(int(times[row]))}: two rows of the same time differ"
            )
    return times[~repeated], values[~repeated]


def _union(parts: Iterable[Candles | None]) -> Candles | None:
    """Bars of all parts, in order, each once."""
    some = [part for part in parts if part is not None]
    if len(some) < 2:
        return some[0] if some else None
    names = ("open", "high", "low", "close", "volume", "turnover")
    times = np.concatenate([part.open_time_ms for part in some])
    values = np.stack(
        [np.concatenate([getattr(part, name) for part in some]) for name in names], axis=1
    )
    times, values = _unique(times, values, some[0].symbol)
    return wire.to_candles(times, values, some[0].symbol, some[0].interval)
