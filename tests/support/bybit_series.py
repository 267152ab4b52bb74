"""The loopback exchange's series beside candles, and its archive of trades: functions of the time."""

from __future__ import annotations

import gzip
import random
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bybit_server import BybitServer, Listed

PREMIUM = "/v5/market/premium-index-price-kline"
MARK = "/v5/market/mark-price-kline"
INDEX = "/v5/market/index-price-kline"
INTEREST = "/v5/market/open-interest"
RATIO = "/v5/market/account-ratio"
PATHS = (PREMIUM, MARK, INDEX, INTEREST, RATIO)
ARCHIVE = "/trading/"

_LEVELS = {PREMIUM: 0.0, MARK: 6_000.0, INDEX: 6_010.0}
_MINUTES = {"5min": 5, "15min": 15, "30min": 30, "1h": 60, "4h": 240, "1d": 1_440}
_DAY_MS = 86_400_000
_HEADER = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
    "foreignNotional"
)

Trade = tuple[float, str, float, float]
"""Seconds since 1970, the taker's side, size and price."""


def price_row(path: str, time_ms: int) -> list[str]:
    """An hour's premium, mark or index."""
    rng = random.Random(f"{path} {time_ms}")
    opening, close = (_LEVELS[path] + rng.randrange(-50, 50) / 10_000 for _ in range(2))
    high, low = max(opening, close) + 0.001, min(opening, close) - 0.001
    return [str(time_ms), *(f"{number:.4f}" for number in (opening, high, low, close))]


def interest(time_ms: int) -> str:
    """Open interest."""
    return f"{random.Random(time_ms + 1).randrange(40_000, 60_000)}.123"


def ratio(time_ms: int) -> str:
    """Share of accounts that are long."""
    return f"{random.Random(time_ms + 2).randrange(3_000, 7_000) / 10_000:.4f}"


class SeriesOf:
    """What an exchange publishes beside candles."""

    def __init__(self, exchange: BybitServer) -> None:
        self.exchange = exchange
        self.oldest_first = False  # which side a page of a cursor's endpoint begins from
        self.rows_a_page = 1_000  # fewer than are asked for: then the cursor goes on
        self.days: dict[
            str, list[Trade]
        ] = {}  # of the archive, by symbol and date: BTCUSDT2020-04-01
        self.columns = _HEADER

    def answer(self, path: str, params: dict[str, str], life: Listed) -> dict[str, Any]:
        """One page."""
        if path in _LEVELS:
            return self._prices(path, params, life)
        word = params["intervalTime" if path == INTEREST else "period"]
        step_ms = _MINUTES[word] * 60_000
        bounds = int(params["startTime"]), int(params["endTime"])
        times = self.exchange.bar_times(bounds[0] + step_ms - 1, bounds[1], life, step_ms)
        if self.oldest_first:
            times = times[::-1]
        first = int(params.get("cursor") or 0)
        after = first + min(int(params["limit"]), self.rows_a_page)
        rows = [self._row(path, params["symbol"], time) for time in times[first:after]]
        cursor = str(after) if rows else ""  # also behind the last page, which the next one tells
        asked = {name: params[name] for name in ("symbol", "category")} if path == INTEREST else {}
        return self.exchange.ok({**asked, "list": rows, "nextPageCursor": cursor})

    def _prices(self, path: str, params: dict[str, str], life: Listed) -> dict[str, Any]:
        bounds = int(params["start"]), int(params["end"])
        times = self.exchange.bar_times(*bounds, life, self.exchange.step_ms)
        rows = [price_row(path, time) for time in times[: int(params["limit"])]]
        asked = {name: params[name] for name in ("symbol", "category")}
        return self.exchange.ok({**asked, "list": rows})

    def _row(self, path: str, symbol: str, time_ms: int) -> dict[str, str]:
        if path == INTEREST:
            return {"openInterest": interest(time_ms), "timestamp": str(time_ms)}
        share = ratio(time_ms)
        sold = f"{1 - float(share):.4f}"
        return {"symbol": symbol, "buyRatio": share, "sellRatio": sold, "timestamp": str(time_ms)}

    def send_day(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """A day of the archive."""
        trades = self.days.get(path.rsplit("/", 1)[1].removesuffix(".csv.gz"))
        content = b"<html>404</html>" if trades is None else self.packed_day(trades)
        handler.send_response(404 if trades is None else 200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def packed_day(self, trades: list[Trade]) -> bytes:
        """As the archive packs it."""
        lines = [
            f"{seconds:.4f},BTCUSDT,{side},{size},{price},PlusTick,id,0,0,0"
            for seconds, side, size, price in trades
        ]
        return gzip.compress("\n".join([self.columns, *lines, ""]).encode())


def trades_of(day_ms: int, count: int, seed: int) -> tuple[str, list[Trade]]:
    """A day's date, and trades at random moments of it in no order."""
    rng = random.Random(seed)
    date = datetime.fromtimestamp(day_ms / 1000, UTC)
    trades = [
        (
            (day_ms + rng.randrange(_DAY_MS)) / 1000,
            rng.choice(("Buy", "Sell")),
            rng.randrange(1, 5_000) / 1_000,
            6_000.0 + rng.randrange(-400, 400) / 10,
        )
        for _ in range(count)
    ]
    return f"{date:%Y-%m-%d}", trades
