"""A server on loopback that answers as Bybit's public market data does, faults on demand.

Faults are functions of (server, handler, honest answer); `BybitServer.fail` queues them for the
next requests to a path, one each. `None` in the queue lets a request through.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import random
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import bybit_series
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

KLINE = "/v5/market/kline"
FUNDING = "/v5/market/funding/history"
INSTRUMENTS = "/v5/market/instruments-info"
TIME = "/v5/market/time"

HOUR_MS = 3_600_000
LAUNCH_MS = 1_585_526_400_000  # 2020-03-30 00:00 UTC
FAR_MS = 1 << 62

Rows = list[list[str]]
Fault = Callable[["BybitServer", BaseHTTPRequestHandler, dict[str, Any]], None]


def bar(time_ms: int) -> list[str]:
    """The bar that opens then, as text; a fixed function of the time."""
    return list(_bar(time_ms))


@functools.cache
def _bar(time_ms: int) -> tuple[str, ...]:
    rng = random.Random(time_ms)
    opening = 6000 + rng.randrange(-2000, 2000) / 2
    close = opening + rng.randrange(-100, 100) / 2
    high = max(opening, close) + rng.randrange(0, 40) / 2
    low = min(opening, close) - rng.randrange(0, 40) / 2
    volume = rng.randrange(0, 10**6) / 1000
    numbers = (opening, high, low, close, volume, volume * (high + low) / 2)
    return (str(time_ms), *map(str, numbers))


def assert_honest(found: Any, start_ms: int, end_ms: int) -> None:
    """Every hourly bar of the range, once, in order, with the exchange's numbers."""
    times = list(range(start_ms, end_ms, HOUR_MS))
    assert found.open_time_ms.tolist() == times
    rows = [list(map(float, bar(t)[1:])) for t in times]
    columns = (found.open, found.high, found.low, found.close, found.volume, found.turnover)
    np.testing.assert_array_equal(np.stack(columns, axis=1), rows)


@dataclass(frozen=True)
class Listed:
    """An instrument beside BTCUSDT: its life, its coin, and whether it was ever traded."""

    launch_ms: int = LAUNCH_MS
    ended_ms: int | None = None
    quote: str = "USDT"
    traded: bool = True


class BybitServer:
    """The exchange: BTCUSDT linear, hourly bars and 8-hourly funding; others if a test lists them."""

    symbol = "BTCUSDT"

    def __init__(self) -> None:
        self.step_ms = HOUR_MS
        self.now_ms = LAUNCH_MS + 4_000 * HOUR_MS + 1_800_000  # half-way through a bar
        self.skew_ms = 0  # added to the time that candle answers state
        self.absent: set[int] = set()  # bars that the exchange itself does not have
        self.faults: dict[str, deque[Fault | None]] = defaultdict(deque)
        self.log: list[tuple[str, dict[str, str]]] = []
        self.alive = True  # False: the symbol has vanished
        self.ended_ms: int | None = None  # when the contract was delisted
        self.others: dict[str, Listed] = {}  # further instruments, by symbol
        self.instruments_a_page = 1_000
        self.series = bybit_series.SeriesOf(self)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.stream = Stream(self)
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True),
            threading.Thread(target=self.stream.server.serve_forever, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def last_closed(self) -> int:
        """Open time of the newest closed bar [ms]."""
        return self.now_ms // self.step_ms * self.step_ms - self.step_ms

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self.stream.close()
        for thread in self._threads:
            thread.join(5)

    def fail(self, path: str, *faults: Fault | None) -> None:
        self.faults[path].extend(faults)

    def asked(self, path: str) -> list[dict[str, str]]:
        return [params for where, params in self.log if where == path]

    def answer(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        if path == TIME:
            seconds = str(self.now_ms // 1000)
            return self.ok({"timeSecond": seconds, "timeNano": str(self.now_ms * 1_000_000)})
        if path not in (KLINE, FUNDING, INSTRUMENTS, *bybit_series.PATHS):
            return self.error(10017, "Route not found.")
        if params.get("category") not in ("linear", "inverse", "spot"):
            return self.error(10001, "Illegal category")
        if path == INSTRUMENTS:
            return self._instruments(params)
        life = self.life(params.get("symbol", ""))
        if life is None:
            return self.error(10001, "Not supported symbols")
        if path == KLINE:
            return self._kline(params, life)
        if path == FUNDING:
            return self._funding(params, life)
        return self.series.answer(path, params, life)

    def life(self, symbol: str) -> Listed | None:
        """Of an instrument that is known."""
        if symbol == self.symbol:
            return Listed(ended_ms=self.ended_ms) if self.alive else None
        return self.others.get(symbol)

    def _instruments(self, params: dict[str, str]) -> dict[str, Any]:
        """A page of those of a status, or the one that is asked for."""
        status = params.get("status", "Trading")
        symbols = [params["symbol"]] if "symbol" in params else sorted([self.symbol, *self.others])
        lives = {symbol: self.life(symbol) for symbol in symbols}
        rules = [self._rules(symbol, life) for symbol, life in lives.items() if life is not None]
        rules = [each for each in rules if each["status"] == status]
        first = int(params.get("cursor") or 0)
        after = first + min(self.instruments_a_page, int(params.get("limit", 500)))
        cursor = str(after) if after < len(rules) else ""
        page = {"category": params["category"], "list": rules[first:after]}
        return self.ok({**page, "nextPageCursor": cursor})

    def ok(self, result: dict[str, Any]) -> dict[str, Any]:
        now = self.now_ms + self.skew_ms
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now}

    def error(self, code: int, message: str) -> dict[str, Any]:
        return {**self.ok({}), "retCode": code, "retMsg": message}

    def bar_times(self, first: int, last: int, life: Listed, step_ms: int) -> list[int]:
        """When the bars of a life opened, of those in a range, newest first."""
        first = max(first // step_ms * step_ms, life.launch_ms)
        last = min(last, self.now_ms, (life.ended_ms or FAR_MS) - 1)
        times = range(first, last + 1, step_ms) if life.traded else ()
        return [t for t in reversed(times) if t not in self.absent]

    def _kline(self, params: dict[str, str], life: Listed) -> dict[str, Any]:
        step_ms = {"240": 4 * HOUR_MS}.get(params.get("interval", "60"), self.step_ms)
        newest = self.bar_times(int(params["start"]), int(params["end"]), life, step_ms)
        rows = [bar(t) for t in newest[: int(params["limit"])]]
        asked = {name: params[name] for name in ("symbol", "category")}
        return self.ok({**asked, "list": rows})

    def _funding(self, params: dict[str, str], life: Listed) -> dict[str, Any]:
        if "endTime" not in params:
            return self.error(10001, "params error: endTime is missing")
        first = max(int(params["startTime"]), life.launch_ms)
        first += -first % (8 * HOUR_MS)
        last = min(int(params["endTime"]), self.now_ms, life.ended_ms or FAR_MS)
        times = range(first, last + 1, 8 * HOUR_MS) if life.traded else ()
        rows = [
            {
                "symbol": params["symbol"],
                "fundingRate": f"{random.Random(t).randrange(-375, 375) / 100_000:.5f}",
                "fundingRateTimestamp": str(t),
            }
            for t in list(reversed(times))[: int(params["limit"])]
        ]
        return self.ok({"category": params["category"], "list": rows})

    def _status(self, life: Listed) -> str:
        if self.now_ms < life.launch_ms:
            return "PreLaunch"
        return "Trading" if self.now_ms < (life.ended_ms or FAR_MS) else "Closed"

    def _rules(self, symbol: str, life: Listed) -> dict[str, Any]:
        return {
            "symbol": symbol,
            "contractType": "LinearPerpetual",
            "status": self._status(life),
            "quoteCoin": life.quote,
            "launchTime": str(life.launch_ms),
            "deliveryTime": str(life.ended_ms or 0),
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
            "lotSizeFilter": {
                "maxOrderQty": "1190.000",
                "minOrderQty": "0.001",
                "qtyStep": "0.001",
                "minNotionalValue": "5",
            },
            "fundingInterval": 480,
        }


class Stream:
    """The WebSocket side: clients subscribe to klines, the test pushes bars."""

    def __init__(self, exchange: BybitServer) -> None:
        self.exchange = exchange
        self.pings = 0
        self.deaf = False  # True: says nothing, not even to a ping
        self.refuse = False
        self.evasive = False  # True: answers pings, and no subscription
        self.subscribed: list[ServerConnection] = []
        self.connections = 0
        self.status: int | None = None  # answers handshakes with it
        self.server = serve(self._talk, "127.0.0.1", 0, process_request=self._greet)
        self.url = f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}/v5/public"

    def _greet(self, connection: ServerConnection, request: Request) -> Response | None:
        return None if self.status is None else connection.respond(self.status, "denied")

    def _talk(self, connection: ServerConnection) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionClosed, OSError):
            for text in connection:
                message = json.loads(text)
                if self.deaf:
                    continue
                if message["op"] == "ping":
                    self.pings += 1
                    connection.send(json.dumps({"success": True, "ret_msg": "pong", "op": "ping"}))
                elif message["op"] == "subscribe":
                    answer = {"success": not self.refuse, "ret_msg": "", "op": "subscribe"}
                    self.subscribed.append(connection)
                    if not self.evasive:
                        connection.send(json.dumps(answer))
        if connection in self.subscribed:
            self.subscribed.remove(connection)

    def wait(self, count: int = 1) -> None:
        """Until so many connections were made and the newest is subscribed."""
        deadline = time.monotonic() + 60
        while self.connections < count or not self.subscribed:
            assert time.monotonic() < deadline, "the feed did not connect"
            time.sleep(0.005)

    def push(self, time_ms: int, confirm: bool = True, **changes: Any) -> None:
        """Send a bar."""
        cells = dict(
            zip(
                ("open", "high", "low", "close", "volume", "turnover"),
                bar(time_ms)[1:],
                strict=True,
            )
        )
        step = self.exchange.step_ms
        candle = {
            "start": time_ms,
            "end": time_ms + step - 1,
            "interval": "60",
            **cells,
            "confirm": confirm,
            "timestamp": time_ms + step,
            **changes,
        }
        self.send(
            json.dumps(
                {
                    "topic": f"kline.60.{self.exchange.symbol}",
                    "type": "snapshot",
                    "ts": time_ms + step,
                    "data": [candle],
                }
            )
        )

    def send(self, text: str) -> None:
        for connection in list(self.subscribed):
            connection.send(text)

    def drip(self, content: bytes) -> None:
        """Send bytes as they are, past the protocol: part of a message."""
        for connection in list(self.subscribed):
            with contextlib.suppress(OSError):
                connection.socket.sendall(content)

    def drop(self) -> None:
        """Cut every connection without a goodbye."""
        for connection in list(self.subscribed):
            self.subscribed.remove(connection)
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.drop()
        self.server.shutdown()


def _handler(exchange: BybitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            params = dict(parse_qsl(parts.query))
            exchange.log.append((parts.path, params))
            queue = exchange.faults[parts.path]
            fault = queue.popleft() if queue else None
            if parts.path.startswith(bybit_series.ARCHIVE) and fault is None:
                exchange.series.send_day(self, parts.path)
                return
            body = exchange.answer(parts.path, params)
            if fault is None:
                send(self, json.dumps(body))
            else:
                fault(exchange, self, body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    return Handler


def send(
    handler: BaseHTTPRequestHandler, text: str | bytes, status: int = 200, **headers: str | int
) -> None:
    content = text.encode() if isinstance(text, str) else text
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(content)


def html(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    send(handler, "<html><body>We are under maintenance</body></html>")


def truncated(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    text = json.dumps(body)
    send(handler, text[: len(text) // 2])


def reset(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """Half of the body, then a reset."""
    content = json.dumps(body).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def hang_up(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def slow(seconds: float) -> Fault:
    def fault(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        with contextlib.suppress(OSError):
            send(handler, json.dumps(body))

    return fault


def status(code: int, **headers: str | int) -> Fault:
    return lambda server, handler, body: send(handler, "denied", code, **headers)


def ret_code(code: int, message: str = "", **headers: str | int) -> Fault:
    return lambda server, handler, body: send(
        handler, json.dumps(server.error(code, message)), 200, **headers
    )


def edit(change: Callable[[Rows], Any]) -> Fault:
    """The honest answer with its list of rows changed."""

    def fault(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        body["result"]["list"] = change(body["result"]["list"])
        send(handler, json.dumps(body))

    return fault


def endless(head: str, block: bytes) -> Fault:
    """An answer that never ends: a head, then the same block until the client hangs up."""

    def fault(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(head.replace("\n", "\r\n").encode())
            while True:
                handler.wfile.write(block)

    return fault


def packed(text: str, encoding: str = "gzip", keep: int | None = None) -> Fault:
    """A text packed by gzip, or said to be packed in another way, cut off after some bytes."""
    content = gzip.compress(text.encode())[:keep]

    def fault(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        send(handler, content, Content_Encoding=encoding)

    return fault


def vanish(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    server.alive = False
    send(handler, json.dumps(server.error(10001, "Not supported symbols")))


empty = edit(lambda rows: [])
shuffled = edit(lambda rows: random.Random(0).sample(rows, len(rows)))
short = edit(lambda rows: rows[:100])
holed = edit(lambda rows: rows[:200] + rows[203:])


def overlapping(server: BybitServer, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
    """Ten bars of the page before come again, and the page's first row twice."""
    rows = body["result"]["list"]
    newest = int(rows[0][0])
    again = [bar(newest + i * server.step_ms) for i in range(10, 0, -1)]
    body["result"]["list"] = [*again, rows[0], *rows]
    send(handler, json.dumps(body))
