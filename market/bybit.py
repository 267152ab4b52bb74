"""Bybit's public market data over HTTP: candles, funding rates, trading rules. No key needed.

`BybitClient` asks politely (rate limit, time-outs, bounded retries) and keeps only what is
certain: bars that were closed by the server's own clock before they were asked for, each once,
in order. Endpoints and codes: https://bybit-exchange.github.io/docs/v5/intro
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import requests

from . import wire
from .candles import INTERVALS_MS, Candles, FloatArray, IntArray, format_time, interval_ms
from .errors import (
    BybitAnswerError,
    BybitBlockedError,
    BybitError,
    BybitRequestError,
    BybitUnavailableError,
)
from .instruments import Instrument, check_market

BASE_URL = "https://api.bybit.com"
KLINE_LIMIT = 1_000  # bars a page
FUNDING_LIMIT = 200  # rates a page

_MAX_HINT_S = 60.0  # a server's "wait until" is believed up to here
_TRANSIENT_CODES = {
    10000: "it timed out",
    10002: "it disagrees about the time",
    10006: "too many requests",
    10016: "it has an internal error",
}
_REFUSED_CODES = {
    10001: "a parameter is wrong, or the symbol is unknown",
    10017: "the address is no endpoint of Bybit's",
    10029: "the symbol is unknown or not tradable",
}


@dataclass(frozen=True)
class RetryPolicy:
    """How a request is paced and repeated.

    Attributes:
        max_attempts: Tries of one request.
        first_delay_s: Longest wait before the second try; it doubles with each further one.
        max_delay_s: Longest wait.
        spacing_s: Shortest time between two requests. 0.05 s is 100 requests in 5 s, a sixth
            of what Bybit allows an address.
        connect_timeout_s: Longest wait for a connection.
        read_timeout_s: Longest silence while an answer is read.
    """

    max_attempts: int = 7
    first_delay_s: float = 0.5
    max_delay_s: float = 30.0
    spacing_s: float = 0.05
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0


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


def bar_start(time_ms: int, interval: str) -> int:
    """Open time of the bar in which a time falls [ms UTC]; weekly bars open on Mondays."""
    origin_ms = 4 * INTERVALS_MS["D"] if interval == "W" else 0
    step = interval_ms(interval)
    return (time_ms - origin_ms) // step * step + origin_ms


@dataclass(frozen=True)
class _Answer:
    result: dict[str, Any]
    time_ms: int


class _TransientError(Exception):
    """A failure worth another try; ``error`` is what it becomes when the tries are used up."""

    def __init__(
        self, message: str, wait_s: float = 0.0, error: type[BybitError] = BybitUnavailableError
    ) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.error = error


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
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BybitRequestError(f"base URL is {base_url!r}; expected one such as {BASE_URL}")
        self.base_url = base_url.rstrip("/")
        self.retry = retry or RetryPolicy()
        self.requests_sent = 0
        self._rng = np.random.default_rng(seed)
        self._clock, self._sleep = clock, sleep
        self._next_request = clock()
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "worldmodel-trading"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def server_time_ms(self) -> int:
        """The exchange's clock [ms UTC]."""
        result = self._get("/v5/market/time", {}).result
        return wire.integer(result.get("timeNano"), "timeNano") // 1_000_000

    def instrument(self, symbol: str, category: str = "linear") -> Instrument:
        """A symbol's trading rules.

        Raises:
            BybitRequestError: There is no such symbol.
        """
        check_market(category, symbol)
        params = {"category": category, "symbol": symbol}
        rows = self._rows("/v5/market/instruments-info", params).rows
        if not rows:
            raise BybitRequestError(f"Bybit knows no {category} symbol {symbol}")
        return wire.instrument(rows[0], category, symbol)

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
        step = interval_ms(interval)
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
        found: Candles | None = None
        for page in self.kline_pages(symbol, interval, start_ms, end_ms, category):
            found = _union(found, page.candles)
        return found

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
            params = {"category": category, "symbol": symbol, "limit": FUNDING_LIMIT}
            params |= {"startTime": start_ms, "endTime": upper - 1}
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
        assert candles is not None and oldest_ms is not None
        if len(candles) < (page.end_ms - oldest_ms) // interval_ms(interval):
            again = self._kline_page(candles.symbol, interval, oldest_ms, page.end_ms, category)
            candles = _union(candles, again.candles)
        return KlinePage(candles, oldest_ms, page.end_ms)

    def _kline_page(
        self, symbol: str, interval: str, start_ms: int, end_ms: int, category: str
    ) -> _Page:
        params = {"category": category, "symbol": symbol, "interval": interval}
        params |= {"start": start_ms, "end": end_ms - 1, "limit": KLINE_LIMIT}
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
        candles = (
            Candles(times, *values.T, symbol=symbol, interval=interval) if len(times) else None
        )
        return _Page(candles, oldest, end_ms, off_range=bool(answer.rows) and oldest is None)

    def _rows(self, path: str, params: Mapping[str, str | int]) -> _Rows:
        answer = self._get(path, params)
        for field in ("category", "symbol"):
            sent = answer.result.get(field, params[field])
            if sent != params[field]:
                raise BybitAnswerError(f"{path} answered for {field} {sent!r}, not {params[field]}")
        rows = wire.member(answer.result, "list", list, path)
        return _Rows(rows, answer.time_ms)

    def _get(self, path: str, params: Mapping[str, str | int]) -> _Answer:
        fault = _TransientError("no try was allowed")
        for attempt in range(self.retry.max_attempts):
            if attempt:
                self._sleep(max(self._back_off(attempt), min(fault.wait_s, _MAX_HINT_S)))
            self._keep_pace()
            try:
                return self._ask(path, params)
            except _TransientError as error:
                fault = error
        raise fault.error(
            f"{self.base_url}{path}: {fault} (tried {self.retry.max_attempts} times); "
            "try later, or another host with --base-url"
        )

    def _back_off(self, attempt: int) -> float:
        longest = min(self.retry.max_delay_s, self.retry.first_delay_s * 2.0 ** (attempt - 1))
        return longest * float(self._rng.uniform(0.5, 1.0))

    def _keep_pace(self) -> None:
        wait = self._next_request - self._clock()
        if wait > 0:
            self._sleep(wait)
        self._next_request = self._clock() + self.retry.spacing_s
        self.requests_sent += 1

    def _ask(self, path: str, params: Mapping[str, str | int]) -> _Answer:
        timeout = (self.retry.connect_timeout_s, self.retry.read_timeout_s)
        try:
            response = self._session.get(
                self.base_url + path, params=dict(params), timeout=timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            raise _TransientError(f"{type(error).__name__}: {error}") from None
        _check_status(response)
        try:
            body = wire.json_object(response.content)
            code = wire.integer(body.get("retCode"), "retCode")
            time_ms = wire.integer(body.get("time"), "time")
        except BybitAnswerError as error:
            # A maintenance page or a body cut short: worth asking again.
            raise _TransientError(str(error), error=BybitAnswerError) from None
        if code:
            _raise_code(code, body, response, time_ms, params)
        return _Answer(wire.member(body, "result", dict, path), time_ms)


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


def _check_status(response: requests.Response) -> None:
    status, url = response.status_code, response.url
    if status == 200:
        return
    if status == 403:
        raise BybitBlockedError(
            f"{url}: refused (HTTP 403). Either this address sent too many requests: wait ten "
            "minutes. Or Bybit does not serve its country: use a regional host (--base-url)"
        )
    if status == 429 or status >= 500:
        hint = response.headers.get("Retry-After", "")
        raise _TransientError(f"HTTP {status}", float(hint) if hint.isdecimal() else 0.0)
    raise BybitRequestError(f"{url}: HTTP {status}; check the base URL")


def _raise_code(
    code: int,
    body: Mapping[str, Any],
    response: requests.Response,
    time_ms: int,
    params: Mapping[str, str | int],
) -> None:
    message = f"Bybit says {str(body.get('retMsg'))[:200]!r} (retCode {code})"
    if code in _TRANSIENT_CODES:
        wait_s = _until_reset(response, time_ms) if code == 10006 else 0.0
        raise _TransientError(f"{message}: {_TRANSIENT_CODES[code]}", wait_s)
    if code == 10009:
        raise BybitBlockedError(
            f"{message}: it does not serve this address's country; "
            "use the host of your region (--base-url)"
        )
    asked = ", ".join(f"{name} {value}" for name, value in params.items())
    raise BybitRequestError(f"{message}: {_REFUSED_CODES.get(code, 'refused')}; asked for {asked}")


def _until_reset(response: requests.Response, time_ms: int) -> float:
    """Seconds until the limit resets; 0 without the header, or when that is past."""
    reset = response.headers.get("X-Bapi-Limit-Reset-Timestamp", "")
    return max(0.0, (int(reset) - time_ms) / 1000) if reset.isdecimal() else 0.0


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


def _union(first: Candles | None, second: Candles | None) -> Candles | None:
    """Bars of both, in order."""
    if first is None or second is None:
        return second if first is None else first
    names = ("open", "high", "low", "close", "volume", "turnover")
    times = np.concatenate([first.open_time_ms, second.open_time_ms])
    values = np.concatenate(
        [np.stack([getattr(c, name) for name in names], axis=1) for c in (first, second)]
    )
    times, values = _unique(times, values, first.symbol)
    return Candles(times, *values.T, symbol=first.symbol, interval=first.interval)
