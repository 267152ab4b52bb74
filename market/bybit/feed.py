"""The live feed: each candle once, in order, as soon as the exchange calls it closed.

It follows the public WebSocket topic ``kline.{interval}.{symbol}``. After every connection, and
whenever a bar was skipped, what was missed comes by HTTP. No key, no orders.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from ..arrays import FloatArray
from ..candles import Candles
from ..errors import (
    BybitAnswerError,
    BybitBlockedError,
    BybitRequestError,
    BybitUnavailableError,
    CandleError,
)
from ..extras import require
from ..instruments import check_market
from ..intervals import interval_ms
from . import parse as wire
from .client import BybitClient

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

STREAM_URL = "wss://stream.bybit.com/v5/public"

_MAX_QUEUE = 256  # messages that wait to be read; beyond them the sender has to
_FAR_MS = 2**53  # the client stops at the newest closed bar
_PASSING_ERRORS = (OSError, BybitAnswerError, BybitUnavailableError, CandleError)


@dataclass(frozen=True)
class FeedSettings:
    """How a feed keeps its connection.

    Attributes:
        ping_interval_s: Time between two pings, at most 20 s by Bybit's rule.
        silence_s: A connection without one whole message for so long, not even to a ping, is dead.
        open_timeout_s: Longest wait for a connection, and then for the subscription's answer.
        max_message_bytes: Of one message, also unpacked; a candle has 0.3 kB.
        first_delay_s: Longest wait before the first new connection; it doubles with each failure.
        max_delay_s: Longest wait.
        max_failures: Failures in a row, without a candle between them, that end the feed.
    """

    ping_interval_s: float = 20.0
    silence_s: float = 45.0
    open_timeout_s: float = 10.0
    max_message_bytes: int = 65_536
    first_delay_s: float = 1.0
    max_delay_s: float = 60.0
    max_failures: int = 30


class KlineFeed:
    """Closed candles of one symbol, live.

    Args:
        client: For the bars that were missed.
        symbol: ``BTCUSDT``.
        interval: Bybit's code.
        category: ``linear``, ``inverse`` or ``spot``.
        url: The stream's address without the category.
        settings: Pings, time-outs, reconnections.
        seed: Of the jitter in the waits.
        sleep: Waits seconds; for tests.
        tell: Told in words about lost and new connections; silent by default.

    Raises:
        MissingPackageError: ``websockets`` is not installed (the extra ``live``).
    """

    def __init__(
        self,
        client: BybitClient,
        symbol: str,
        interval: str,
        category: str = "linear",
        url: str = STREAM_URL,
        settings: FeedSettings | None = None,
        seed: int = 0,
        sleep: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        require("websockets", "the live feed")
        check_market(category, symbol, interval)
        if urlsplit(url).scheme not in ("ws", "wss"):
            raise BybitRequestError(f"stream URL is {url!r}; expected one such as {STREAM_URL}")
        self.symbol, self.interval, self.category = symbol, interval, category
        self.url = f"{url.rstrip('/')}/{category}"
        self.connections = 0
        self._client, self._settings = client, settings or FeedSettings()
        self._rng = np.random.default_rng(seed)
        self._sleep, self._tell = sleep, tell
        self._last_ms: int | None = None
        self._failures = 0

    @property
    def topic(self) -> str:
        """The stream's name for these candles."""
        return f"kline.{self.interval}.{self.symbol}"

    def closed_candles(self, after_ms: int | None = None) -> Iterator[Candles]:
        """Closed candles, one at a time, without end.

        Args:
            after_ms: Open time of the newest bar that is known already [ms UTC]; what closed
                since then comes first, by HTTP. None starts with the next bar that closes.

        Yields:
            Candles of one bar. Bars that the exchange does not have are left out.

        Raises:
            BybitUnavailableError: Too many failures in a row.
            BybitError: The symbol is unknown, or the address is shut out.
        """
        from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException

        self._last_ms = after_ms
        while True:
            try:
                yield from self._connection()
            except InvalidURI as error:
                raise BybitRequestError(f"{self.url}: {error}") from None
            except InvalidStatus as error:
                self._check_refused(error.response.status_code)
                self._wait_after(error)
            except (WebSocketException, *_PASSING_ERRORS) as error:
                self._wait_after(error)

    def _connection(self) -> Iterator[Candles]:
        from websockets.sync.client import connect

        settings = self._settings
        with connect(
            self.url,
            open_timeout=settings.open_timeout_s,
            close_timeout=1.0,
            max_size=settings.max_message_bytes,
            max_queue=_MAX_QUEUE,
        ) as socket:
            self.connections += 1
            socket.send(json.dumps({"op": "subscribe", "args": [self.topic]}))
            for message in self._messages(socket):
                if message.get("op") == "subscribe":
                    self._check_subscribed(message)
                    # Bars that close from here on come by the stream; those before, by HTTP.
                    yield from self._missed(None)
                elif message.get("topic") == self.topic:
                    for row in wire.member(message, "data", list, self.topic):
                        yield from self._live(wire.stream_candle(row, self.interval))

    def _messages(self, socket: ClientConnection) -> Iterator[dict[str, Any]]:
        """Messages as they come, the subscription's answer in time; pings in between."""
        settings = self._settings
        last = pinged = time.monotonic()
        answer_due = last + settings.open_timeout_s
        while True:
            now = time.monotonic()
            if now - last >= settings.silence_s:
                raise TimeoutError(f"no message for {settings.silence_s:g} s")
            if now >= answer_due:
                raise TimeoutError(
                    f"the subscription has no answer after {settings.open_timeout_s:g} s"
                )
            if now - pinged >= settings.ping_interval_s:
                socket.send('{"op":"ping"}')
                pinged = now
            try:
                due = min(pinged + settings.ping_interval_s, last + settings.silence_s, answer_due)
                text = socket.recv(timeout=max(0.0, due - now))
            except TimeoutError:
                continue
            last = time.monotonic()
            message = wire.json_object(text)
            if message.get("op") == "subscribe":
                answer_due = math.inf
            yield message

    def _check_refused(self, status: int) -> None:
        if status == 403:
            raise BybitBlockedError(
                f"{self.url}: refused (HTTP 403). Either this address connected too often: wait "
                "ten minutes. Or Bybit does not serve its country: use a regional host"
            )
        if status == 404:
            raise BybitRequestError(f"{self.url}: there is no such stream (HTTP 404)")

    def _check_subscribed(self, message: dict[str, Any]) -> None:
        if message.get("success") is not True:
            raise BybitRequestError(
                f"{self.url} refuses {self.topic}: {message.get('ret_msg')!r}; "
                "check the symbol and the interval"
            )

    def _live(self, candle: tuple[int, FloatArray] | None) -> Iterator[Candles]:
        if candle is None:
            return
        start_ms, values = candle
        if self._last_ms is not None and start_ms > self._last_ms + interval_ms(self.interval):
            yield from self._missed(start_ms)
        if self._last_ms is None or start_ms > self._last_ms:
            times = np.array([start_ms])
            yield self._emit(wire.to_candles(times, values, self.symbol, self.interval))

    def _missed(self, before_ms: int | None) -> Iterator[Candles]:
        """Bars after the last one that was given out, up to a time or to the exchange's now."""
        if self._last_ms is None:
            return
        first_ms = self._last_ms + interval_ms(self.interval)
        end_ms = _FAR_MS if before_ms is None else before_ms
        bars = self._client.candles(self.symbol, self.interval, first_ms, end_ms, self.category)
        for row in range(0 if bars is None else len(bars)):
            assert bars is not None
            yield self._emit(bars.rows(row, row + 1))

    def _emit(self, candle: Candles) -> Candles:
        self._last_ms, self._failures = int(candle.open_time_ms[0]), 0
        return candle

    def _wait_after(self, error: Exception) -> None:
        settings = self._settings
        self._failures += 1
        if self._failures >= settings.max_failures:
            raise BybitUnavailableError(
                f"{self.url}: {self._failures} failures in a row, the last one {error}; try later"
            ) from None
        longest = settings.first_delay_s * 2.0 ** min(self._failures - 1, 30)
        delay = min(settings.max_delay_s, longest) * float(self._rng.uniform(0.5, 1.0))
        self._tell(f"connection lost ({error}); trying again in {delay:.1f} s")
        self._sleep(delay)
