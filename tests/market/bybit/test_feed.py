from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from queue import Queue
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.feed import FeedSettings, KlineFeed
from worldmodel_trading.market.bybit.transport import RetryPolicy
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import (
    BybitBlockedError,
    BybitRequestError,
    BybitUnavailableError,
    StoreError,
)

HOUR = 3_600_000
LAUNCH = 1_585_526_400_000
NOW = LAUNCH + 100 * HOUR  # the exchange's clock at the start of each test: bar 99 has just closed
QUICK = FeedSettings(
    ping_interval_s=0.1,
    silence_s=10.0,
    open_timeout_s=5.0,
    first_delay_s=0.01,
    max_delay_s=0.02,
    max_failures=5,
)


class Follower:
    """A feed in a thread, as `watch` runs it; what it yields is put in a queue."""

    def __init__(self, bybit: Any, after: int | None, settings: FeedSettings = QUICK) -> None:
        self.client = BybitClient(bybit.url, RetryPolicy(spacing_s=0.0, first_delay_s=0.01))
        self.told: list[str] = []
        self.feed = KlineFeed(
            self.client,
            "BTCUSDT",
            "60",
            url=bybit.stream.url,
            settings=settings,
            tell=self.told.append,
        )
        self.error: Exception | None = None
        self.queue: Queue[Candles | None] = Queue()
        self._stop = False
        self.thread = threading.Thread(target=self._follow, args=(after,), daemon=True)
        self.thread.start()

    def _follow(self, after: int | None) -> None:
        try:
            for candle in self.feed.closed_candles(after):
                self.queue.put(candle)
                if self._stop:
                    break
        except Exception as error:
            self.error = error
        finally:
            self.queue.put(None)

    def take(self, count: int) -> list[int]:
        """The next candles, as numbers of their bars since launch."""
        taken = []
        for _ in range(count):
            candle = self.queue.get(timeout=120)
            assert candle is not None, self.error
            assert len(candle) == 1
            taken.append(candle)
        return [(int(c.open_time_ms[0]) - LAUNCH) // HOUR for c in taken]

    def end(self, bybit: Any) -> None:
        """One more bar, so that the generator wakes up and stops."""
        self._stop = True
        if self.thread.is_alive():
            bybit.stream.wait(bybit.stream.connections)
            bybit.now_ms += 500 * HOUR
            bybit.stream.push(LAUNCH + 500 * HOUR)
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.client.close()


@pytest.fixture
def follow(bybit: Any) -> Iterator[Any]:
    bybit.now_ms = NOW
    followers: list[Follower] = []

    def start(after: int | None, settings: FeedSettings = QUICK) -> Follower:
        followers.append(Follower(bybit, after, settings))
        return followers[-1]

    yield start
    for follower in followers:
        follower.end(bybit)


def close_bar(bybit: Any, number: int) -> None:
    """The exchange closes a bar and says so."""
    bybit.now_ms = max(bybit.now_ms, LAUNCH + (number + 1) * HOUR)
    bybit.stream.push(LAUNCH + number * HOUR)


def at(number: int) -> int:
    return LAUNCH + number * HOUR


def test_only_closed_candles_each_once_and_in_order(bybit: Any, follow: Any) -> None:
    feed = follow(at(99))
    bybit.stream.wait()
    bybit.stream.push(at(100), confirm=False)
    close_bar(bybit, 100)
    bybit.stream.push(at(100))  # a second time
    bybit.stream.push(at(100), close="1.0", low="1.0")  # and again, as something else
    bybit.stream.push(at(98))  # an old one
    bybit.stream.push(at(101), confirm=False)
    close_bar(bybit, 101)
    assert feed.take(2) == [100, 101]
    assert feed.queue.empty()


def test_the_numbers_are_the_exchange_s(bybit: Any, exchange: Any, follow: Any) -> None:
    feed = follow(None)
    bybit.stream.wait()
    close_bar(bybit, 100)
    candle = feed.queue.get(timeout=120)
    columns = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    assert [getattr(candle, c)[0] for c in columns] == list(map(float, exchange.bar(at(100))))
    assert (candle.symbol, candle.interval) == ("BTCUSDT", "60")


def test_what_closed_before_it_connected_comes_first(bybit: Any, follow: Any) -> None:
    feed = follow(at(89))
    assert feed.take(10) == list(range(90, 100))


def test_without_a_past_it_starts_with_the_next_bar(bybit: Any, exchange: Any, follow: Any) -> None:
    feed = follow(None)
    bybit.stream.wait()
    close_bar(bybit, 100)
    assert feed.take(1) == [100]
    assert not bybit.asked(exchange.KLINE)


def test_a_dropped_connection_loses_and_repeats_nothing(bybit: Any, follow: Any) -> None:
    feed = follow(at(99))
    bybit.stream.wait()
    close_bar(bybit, 100)
    assert feed.take(1) == [100]
    for drop in range(1, 4):
        first = 100 + 3 * drop
        bybit.stream.drop()
        bybit.now_ms = at(first)  # two bars close while nobody listens
        bybit.stream.wait(drop + 1)
        close_bar(bybit, first)
        assert feed.take(3) == [first - 2, first - 1, first]
    assert feed.feed.connections == 4
    assert len(feed.told) == 3
    assert "connection lost" in feed.told[0]


def test_a_skipped_bar_comes_by_http_before_the_next(bybit: Any, follow: Any) -> None:
    feed = follow(at(99))
    bybit.stream.wait()
    close_bar(bybit, 103)
    assert feed.take(4) == [100, 101, 102, 103]
    assert feed.feed.connections == 1


def test_a_bar_that_the_exchange_lacks_is_left_out(bybit: Any, follow: Any) -> None:
    bybit.absent = {at(101)}
    feed = follow(at(99))
    bybit.stream.wait()
    close_bar(bybit, 102)
    assert feed.take(2) == [100, 102]


def test_it_pings_and_a_silent_connection_is_replaced(bybit: Any, follow: Any) -> None:
    feed = follow(at(99), replace(QUICK, silence_s=1.0))
    bybit.stream.wait()
    pinged = threading.Event()
    while bybit.stream.pings < 3:
        assert not pinged.wait(0.01)
        assert feed.thread.is_alive()
    assert feed.feed.connections == 1  # pongs keep it alive
    bybit.stream.deaf = True
    while not feed.told:
        assert not pinged.wait(0.01)
    bybit.stream.deaf = False
    assert "no message for 1 s" in feed.told[0]
    bybit.stream.wait(2)
    close_bar(bybit, 100)
    assert feed.take(1) == [100]


@pytest.mark.parametrize(
    "changes",
    [
        {"close": "NaN"},
        {"close": None},
        {"high": "1"},
        {"end": at(100)},
        {"interval": "1"},
        {"start": "soon"},
        {"confirm": "true"},
    ],
)
def test_a_malformed_candle_is_replaced_by_http(
    bybit: Any, exchange: Any, follow: Any, changes: dict[str, Any]
) -> None:
    feed = follow(at(98))
    assert feed.take(1) == [99]  # it is connected and has caught up
    bybit.now_ms = at(101)
    bybit.stream.push(at(100), **changes)
    candle = feed.queue.get(timeout=120)
    assert candle is not None
    assert candle.close[0] == float(exchange.bar(at(100))[4])
    assert feed.feed.connections == 2


@pytest.mark.parametrize("text", ["<html>", "[]", '{"topic": "kline.60.BTCUSDT"', "5"])
def test_nonsense_starts_a_new_connection(bybit: Any, follow: Any, text: str) -> None:
    feed = follow(at(99))
    bybit.stream.wait()
    bybit.stream.send('{"topic": "kline.60.ETHUSDT", "data": "of another symbol"}')
    bybit.stream.send('{"op": "pong"}')
    bybit.stream.send(text)
    bybit.stream.wait(2)
    close_bar(bybit, 100)
    assert feed.take(1) == [100]


def test_a_message_too_long_starts_a_new_connection(bybit: Any, follow: Any) -> None:
    feed = follow(at(99), replace(QUICK, max_message_bytes=10_000))
    bybit.stream.wait()
    bybit.stream.send(f'{{"op": "pong", "more": "{"x" * 9_000}"}}')
    bybit.stream.send(f'{{"op": "pong", "more": "{"x" * 10_000}"}}')  # packed to a fraction
    bybit.stream.wait(2)
    close_bar(bybit, 100)
    assert feed.take(1) == [100]
    assert len(feed.told) == 1
    assert "1009" in feed.told[0]  # the protocol's code for a message too big


def test_a_message_that_drips_is_silence(bybit: Any, follow: Any) -> None:
    feed = follow(at(99), replace(QUICK, silence_s=0.5))
    bybit.stream.wait()
    bybit.stream.deaf = True
    bybit.stream.drip(b"\x81\x7e\xff\xff")  # the head of a text of 65,535 bytes
    pause = threading.Event()
    while not feed.told:
        bybit.stream.drip(b" ")
        assert not pause.wait(0.01)
    bybit.stream.deaf = False
    assert "no message for 0.5 s" in feed.told[0]
    bybit.stream.wait(2)
    close_bar(bybit, 100)
    assert feed.take(1) == [100]


def test_a_subscription_without_an_answer_is_tried_again(bybit: Any, follow: Any) -> None:
    bybit.stream.evasive = True
    feed = follow(at(98), replace(QUICK, open_timeout_s=0.5, max_failures=50))
    pause = threading.Event()
    while not feed.told:
        assert not pause.wait(0.01)
    bybit.stream.evasive = False
    assert "the subscription has no answer after 0.5 s" in feed.told[0]
    assert bybit.stream.pings  # it was alive all the time
    assert feed.take(1) == [99]


def test_a_server_that_never_shakes_hands(bybit: Any, follow: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        bybit.stream.url = f"ws://127.0.0.1:{mute.getsockname()[1]}"
        feed = follow(at(99), replace(QUICK, open_timeout_s=0.1, max_failures=2))
        assert feed.queue.get(timeout=120) is None
    assert isinstance(feed.error, BybitUnavailableError)
    assert re.search("2 failures in a row, the last one timed out", str(feed.error))


def test_http_trouble_while_resynchronising_loses_nothing(
    bybit: Any, exchange: Any, follow: Any
) -> None:
    bybit.fail(exchange.KLINE, *[exchange.status(503)] * 8)
    feed = follow(at(89))
    assert feed.take(10) == list(range(90, 100))
    assert feed.feed.connections == 2


def test_too_many_failures_end_it(bybit: Any, follow: Any) -> None:
    bybit.stream.deaf = True
    feed = follow(at(99), FeedSettings(silence_s=0.05, first_delay_s=0.001, max_failures=3))
    assert feed.queue.get(timeout=120) is None
    assert isinstance(feed.error, BybitUnavailableError)
    assert "3 failures in a row" in str(feed.error)


def test_a_refused_subscription_ends_it(bybit: Any, follow: Any) -> None:
    bybit.stream.refuse = True
    feed = follow(at(99))
    assert feed.queue.get(timeout=120) is None
    assert isinstance(feed.error, BybitRequestError)
    assert "refuses kline.60.BTCUSDT" in str(feed.error)


@pytest.mark.parametrize(
    ("status", "kind", "what"),
    [
        (403, BybitBlockedError, "wait ten minutes.*country"),
        (404, BybitRequestError, "no such stream"),
        (503, BybitUnavailableError, "5 failures in a row.*503"),
    ],
)
def test_a_refused_connection(
    bybit: Any, follow: Any, status: int, kind: type[Exception], what: str
) -> None:
    bybit.stream.status = status
    feed = follow(at(99))
    assert feed.queue.get(timeout=120) is None
    assert isinstance(feed.error, kind)
    assert re.search(what, str(feed.error))


def test_wrong_arguments(bybit: Any) -> None:
    with BybitClient(bybit.url) as client:
        with pytest.raises(BybitRequestError, match="stream URL is 'http://x'"):
            KlineFeed(client, "BTCUSDT", "60", url="http://x")
        with pytest.raises(StoreError, match="symbol is"):
            KlineFeed(client, "btcusdt", "60")


def test_a_long_run_of_drops_equals_the_record(bybit: Any, exchange: Any, follow: Any) -> None:
    """Drops, duplicates and skips at random: the feed gives the exchange's record."""
    rng = np.random.default_rng(3)
    feed = follow(at(99))
    bybit.stream.wait()
    for number in range(100, 160):
        fate = rng.integers(6)
        if fate == 0:
            bybit.stream.drop()
        if fate == 1:
            continue  # closed, and never said
        close_bar(bybit, number)
        if fate == 2:
            close_bar(bybit, number)
    bybit.stream.wait()
    close_bar(bybit, 160)
    assert feed.take(61) == list(range(100, 161))
    assert feed.queue.empty()
