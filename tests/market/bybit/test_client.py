from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.market.bybit import parse as wire
from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.transport import RetryPolicy
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import (
    BybitAnswerError,
    BybitBlockedError,
    BybitRequestError,
    BybitUnavailableError,
    CandleError,
    StoreError,
)

HOUR = 3_600_000
LAUNCH = 1_585_526_400_000
FAST = RetryPolicy(spacing_s=0.0, connect_timeout_s=2.0, read_timeout_s=2.0)


class Waits(list[float]):
    """Takes the place of sleeping: waits are written down."""

    def __call__(self, seconds: float) -> None:
        assert seconds >= 0
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def client(bybit: Any, waits: Waits) -> Iterator[BybitClient]:
    with BybitClient(bybit.url, FAST, sleep=waits) as client:
        yield client


def candles(client: BybitClient, start: int, end: int) -> Candles:
    found = client.candles("BTCUSDT", "60", start, end)
    assert found is not None
    return found


def test_pages_go_backward_and_lose_nothing(bybit: Any, client: BybitClient, exchange: Any) -> None:
    end = bybit.last_closed() + HOUR
    exchange.assert_honest(candles(client, LAUNCH, end), LAUNCH, end)
    pages = bybit.asked(exchange.KLINE)
    assert [int(p["limit"]) for p in pages] == [1000] * 4
    ends = [int(p["end"]) for p in pages]
    assert ends == [end - i * 1000 * HOUR - 1 for i in range(4)]
    assert all(int(p["start"]) == LAUNCH for p in pages)


@pytest.mark.parametrize(
    "fault",
    ["html", "truncated", "reset", "hang_up", "empty", "shuffled", "short", "overlapping", "holed"],
)
@pytest.mark.parametrize("page", [0, 2])
def test_faulty_pages_lose_nothing(
    bybit: Any, client: BybitClient, exchange: Any, fault: str, page: int
) -> None:
    end = bybit.last_closed() + HOUR - 50 * HOUR  # so that newer bars exist to overlap with
    bybit.fail(exchange.KLINE, *[None] * page, getattr(exchange, fault))
    exchange.assert_honest(candles(client, LAUNCH, end), LAUNCH, end)


@pytest.mark.parametrize("code", [10000, 10002, 10006, 10016])
def test_passing_codes_are_asked_again(
    bybit: Any, client: BybitClient, exchange: Any, waits: Waits, code: int
) -> None:
    bybit.fail(exchange.KLINE, exchange.ret_code(code), exchange.ret_code(code))
    found = candles(client, LAUNCH, LAUNCH + 10 * HOUR)
    exchange.assert_honest(found, LAUNCH, LAUNCH + 10 * HOUR)
    assert 0.25 <= waits[0] <= 0.5
    assert 0.5 <= waits[1] <= 1.0


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_passing_statuses_are_asked_again(
    bybit: Any, client: BybitClient, exchange: Any, status: int
) -> None:
    bybit.fail(exchange.KLINE, exchange.status(status))
    assert len(candles(client, LAUNCH, LAUNCH + 10 * HOUR)) == 10


@pytest.mark.parametrize(
    ("reset_in_ms", "low", "high"),
    [(None, 0.25, 0.5), (-5_000, 0.25, 0.5), (3_000, 3.0, 3.0), (86_400_000, 60.0, 60.0)],
)
def test_rate_limit_with_and_without_its_header(
    bybit: Any,
    client: BybitClient,
    exchange: Any,
    waits: Waits,
    reset_in_ms: int | None,
    low: float,
    high: float,
) -> None:
    headers = (
        {} if reset_in_ms is None else {"X_Bapi_Limit_Reset_Timestamp": bybit.now_ms + reset_in_ms}
    )
    bybit.fail(exchange.KLINE, exchange.ret_code(10006, "Too many visits!", **headers))
    assert len(candles(client, LAUNCH, LAUNCH + 10 * HOUR)) == 10
    assert low <= waits[0] <= high


def test_garbled_rate_limit_headers_are_ignored(
    bybit: Any, client: BybitClient, exchange: Any, waits: Waits
) -> None:
    bybit.fail(
        exchange.KLINE,
        exchange.ret_code(10006, X_Bapi_Limit_Reset_Timestamp="soon"),
        exchange.status(429, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"),
        exchange.status(429, Retry_After="7"),
    )
    assert len(candles(client, LAUNCH, LAUNCH + 10 * HOUR)) == 10
    assert waits[0] <= 0.5
    assert waits[1] <= 1.0
    assert waits[2] == 7.0


def test_retries_end(bybit: Any, client: BybitClient, exchange: Any, waits: Waits) -> None:
    bybit.fail(exchange.KLINE, *[exchange.status(503)] * 20)
    with pytest.raises(BybitUnavailableError, match=r"HTTP 503 \(tried 7 times\)"):
        candles(client, LAUNCH, LAUNCH + HOUR)
    assert len(bybit.asked(exchange.KLINE)) == 7
    assert len(waits) == 6
    assert sum(waits) <= 0.5 * (2**6 - 1)


def test_html_forever_is_an_answer_error(bybit: Any, client: BybitClient, exchange: Any) -> None:
    bybit.fail(exchange.KLINE, *[exchange.html] * 7)
    with pytest.raises(BybitAnswerError, match=r"no JSON.*html"):
        candles(client, LAUNCH, LAUNCH + HOUR)


def test_nobody_listens(waits: Waits) -> None:
    with (
        BybitClient("http://127.0.0.1:9", FAST, sleep=waits) as client,
        pytest.raises(BybitUnavailableError, match=r"127\.0\.0\.1:9.*Connection"),
    ):
        client.server_time_ms()
    assert len(waits) == 6


def test_a_silent_server_is_timed_out(bybit: Any, exchange: Any, waits: Waits) -> None:
    quick = RetryPolicy(spacing_s=0.0, read_timeout_s=0.2)
    bybit.fail(exchange.TIME, exchange.slow(0.5))
    with BybitClient(bybit.url, quick, sleep=waits) as client:
        assert client.server_time_ms() == bybit.now_ms
    assert len(waits) == 1


# ---- answers without end

HEAD = "HTTP/1.1 {status}\nContent-Type: application/json\n{more}\n"
MEGABYTE = 1_000_000


def ticking() -> Any:
    """A clock that goes on by a second whenever it is read: time passes with every read."""
    return itertools.count().__next__


@pytest.mark.parametrize(
    ("head", "block"),
    [
        ("", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("HTTP/1.1 200 OK\nX-Slow: ", b" "),
        (HEAD.format(status="200 OK", more="Content-Length: 1000000000\n"), b" "),
        (HEAD.format(status="200 OK", more="Transfer-Encoding: chunked\n"), b"1\r\n \r\n"),
        (HEAD.format(status="200 OK", more=""), b" "),
    ],
)
def test_a_dripping_answer_ends_at_its_deadline(
    bybit: Any, exchange: Any, waits: Waits, head: str, block: bytes
) -> None:
    policy = RetryPolicy(spacing_s=0.0, answer_timeout_s=6.5, max_attempts=2)
    bybit.fail(exchange.TIME, *[exchange.endless(head, block)] * 2)
    with BybitClient(bybit.url, policy, clock=ticking(), sleep=waits) as client:
        with pytest.raises(BybitUnavailableError, match=r"no whole answer within 6.5 s \(tried 2"):
            client.server_time_ms()
        assert client.server_time_ms() == bybit.now_ms  # over a new connection
    assert len(bybit.asked(exchange.TIME)) == 3


@pytest.mark.parametrize(
    "more", ["", "Transfer-Encoding: chunked\n", "Content-Length: 4000000000\n"]
)
def test_an_endless_answer_is_not_read_to_its_end(
    bybit: Any, client: BybitClient, exchange: Any, waits: Waits, more: str
) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    head = HEAD.format(status="200 OK", more=more)
    bybit.fail(exchange.TIME, exchange.endless(head, chunk))
    with pytest.raises(
        BybitAnswerError, match=r"v5/market/time: the answer is larger than 4,194,304"
    ):
        client.server_time_ms()
    assert client.server_time_ms() == bybit.now_ms
    assert not waits


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found", "503 Busy"])
def test_the_body_of_a_refusal_is_not_read(
    bybit: Any, client: BybitClient, exchange: Any, status: str
) -> None:
    head = HEAD.format(status=status, more="Location: http://127.0.0.1:9/\n")
    bybit.fail(exchange.TIME, *[exchange.endless(head, b" " * 65_536)] * 7)
    with pytest.raises((BybitRequestError, BybitUnavailableError), match=f"HTTP {status[:3]}"):
        client.server_time_ms()


def test_a_gzip_bomb_is_not_unpacked(bybit: Any, client: BybitClient, exchange: Any) -> None:
    bybit.fail(exchange.TIME, exchange.packed(" " * (64 * MEGABYTE)))
    bybit.fail(exchange.TIME, exchange.packed(json.dumps(bybit.answer(exchange.TIME, {}))))
    tracemalloc.start()
    try:
        with pytest.raises(BybitAnswerError, match="the answer is larger than 4,194,304 bytes"):
            client.server_time_ms()
        assert tracemalloc.get_traced_memory()[1] < 20 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert client.server_time_ms() == bybit.now_ms  # packed, and whole


def test_answers_that_are_packed_badly(bybit: Any, client: BybitClient, exchange: Any) -> None:
    text = json.dumps(bybit.answer(exchange.TIME, {}))
    bybit.fail(exchange.TIME, exchange.packed(text, encoding="br"))
    with pytest.raises(BybitAnswerError, match="packed as 'br'; asked for was gzip"):
        client.server_time_ms()
    bybit.fail(exchange.TIME, exchange.packed(text, keep=30))  # cut short: asked for again
    assert client.server_time_ms() == bybit.now_ms
    bybit.fail(
        exchange.TIME,
        lambda server, handler, body: exchange.send(handler, text, Content_Encoding="gzip"),
    )
    with pytest.raises(BybitAnswerError, match="the answer cannot be unpacked"):
        client.server_time_ms()


def test_a_page_is_far_below_the_largest_answer(bybit: Any, client: BybitClient) -> None:
    answer = json.dumps(bybit.answer("/v5/market/kline", kline_params()))
    assert 20 * len(answer) < RetryPolicy().max_answer_bytes


def kline_params() -> dict[str, str]:
    """The largest page there is."""
    end = str(LAUNCH + 2_000 * HOUR)
    return {
        "category": "linear",
        "symbol": "BTCUSDT",
        "start": str(LAUNCH),
        "end": end,
        "limit": "1000",
    }


def test_jitter_comes_from_the_seed(bybit: Any, exchange: Any) -> None:
    taken = []
    for seed in (1, 1, 2):
        waits = Waits()
        bybit.fail(exchange.TIME, *[exchange.status(500)] * 3)
        with BybitClient(bybit.url, FAST, seed=seed, sleep=waits) as client:
            client.server_time_ms()
        taken.append(waits)
    assert taken[0] == taken[1] != taken[2]


def test_shut_out_is_said_in_words_and_not_repeated(
    bybit: Any, client: BybitClient, exchange: Any, waits: Waits
) -> None:
    bybit.fail(exchange.KLINE, exchange.status(403), exchange.ret_code(10009, "not in service"))
    with pytest.raises(BybitBlockedError, match=r"wait ten minutes.*country"):
        candles(client, LAUNCH, LAUNCH + HOUR)
    with pytest.raises(BybitBlockedError, match=r"country.*--base-url"):
        candles(client, LAUNCH, LAUNCH + HOUR)
    assert not waits


@pytest.mark.parametrize("code", [10001, 10017, 10029, 33004])
def test_refusals_are_not_repeated(
    bybit: Any, client: BybitClient, exchange: Any, waits: Waits, code: int
) -> None:
    bybit.fail(exchange.KLINE, exchange.ret_code(code, "no such thing"))
    with pytest.raises(BybitRequestError, match=rf"no such thing.*{code}.*BTCUSDT"):
        candles(client, LAUNCH, LAUNCH + HOUR)
    assert not waits


def test_wrong_addresses(bybit: Any, client: BybitClient, exchange: Any) -> None:
    for url in ("", "api.bybit.com", "ftp://api.bybit.com", "http://"):
        with pytest.raises(BybitRequestError, match="base URL is"):
            BybitClient(url)
    bybit.fail(exchange.TIME, exchange.status(404), exchange.status(302, Location="http://x/"))
    for status in (404, 302):
        with pytest.raises(BybitRequestError, match=f"HTTP {status}.*base URL"):
            client.server_time_ms()


def test_unknown_symbol(client: BybitClient) -> None:
    with pytest.raises(BybitRequestError, match="knows no linear symbol NOPEUSDT"):
        client.instrument("NOPEUSDT")
    with pytest.raises(BybitRequestError, match=r"Not supported symbols.*NOPEUSDT"):
        list(client.kline_pages("NOPEUSDT", "60", LAUNCH, LAUNCH + HOUR))


@pytest.mark.parametrize(
    "symbol", ["btcusdt", "", "../BTC", "BTC/USDT", "A" * 41, "BTC USDT", "..", "-"]
)
def test_names_that_are_no_symbols(client: BybitClient, symbol: str) -> None:
    with pytest.raises(StoreError, match="symbol is"):
        client.instrument(symbol)


def test_impossible_markets(client: BybitClient) -> None:
    with pytest.raises(StoreError, match="category is 'option'"):
        client.instrument("BTCUSDT", "option")
    with pytest.raises(CandleError, match="interval is '7'"):
        list(client.kline_pages("BTCUSDT", "7", LAUNCH, LAUNCH + HOUR))


@pytest.mark.parametrize(
    "cell",
    [
        "NaN",
        "nan",
        "inf",
        "-Infinity",
        "",
        " 1",
        "1_000",
        "1,5",
        "0x10",
        "१",
        None,
        6000.5,
        [],
        "1e999",
    ],
)
def test_a_cell_that_is_no_number(
    bybit: Any, client: BybitClient, exchange: Any, cell: object
) -> None:
    def spoil(rows: list[list[Any]]) -> list[list[Any]]:
        rows[3][4] = cell
        return rows

    bybit.fail(exchange.KLINE, exchange.edit(spoil))
    when = LAUNCH + 6 * HOUR
    with pytest.raises(BybitAnswerError, match=rf"close of candle 3 \({when}\) is"):
        candles(client, LAUNCH, LAUNCH + 10 * HOUR)


def test_a_time_that_is_no_number_or_a_row_that_is_none(
    bybit: Any, client: BybitClient, exchange: Any
) -> None:
    bad: list[Any] = [
        ["x", *"123456"],
        ["-1", *"123456"],
        ["9" * 19, *"123456"],
        ["1", "2"],
        {},
        None,
    ]
    for row in bad:
        bybit.fail(exchange.KLINE, exchange.edit(lambda rows, row=row: [row, *rows]))
        with pytest.raises(BybitAnswerError, match="candle 0"):
            candles(client, LAUNCH, LAUNCH + 10 * HOUR)


def test_a_bar_that_breaks_the_rules_is_named(
    bybit: Any, client: BybitClient, exchange: Any
) -> None:
    def spoil(rows: list[list[str]]) -> list[list[str]]:
        rows[0][2] = "1"
        return rows

    bybit.fail(exchange.KLINE, exchange.edit(spoil))
    with pytest.raises(CandleError, match=r"2020-03-30 09:00 UTC\): high 1.0 is below open"):
        candles(client, LAUNCH, LAUNCH + 10 * HOUR)


def test_two_different_rows_of_one_time(bybit: Any, client: BybitClient, exchange: Any) -> None:
    twice = exchange.edit(lambda rows: [[*rows[0][:5], "123.0", rows[0][6]], *rows])
    bybit.fail(exchange.KLINE, twice)
    with pytest.raises(BybitAnswerError, match="2020-03-30 09:00 UTC: two rows"):
        candles(client, LAUNCH, LAUNCH + 10 * HOUR)


def test_an_answer_for_another_symbol(bybit: Any, client: BybitClient, exchange: Any) -> None:
    def other(server: Any, handler: Any, body: Any) -> None:
        body["result"]["symbol"] = "ETHUSDT"
        exchange.send(handler, exchange.json.dumps(body))

    bybit.fail(exchange.KLINE, other)
    with pytest.raises(BybitAnswerError, match="ETHUSDT"):
        candles(client, LAUNCH, LAUNCH + HOUR)


def test_the_open_bar_is_never_kept(bybit: Any, client: BybitClient) -> None:
    far = bybit.now_ms + 100 * HOUR
    found = candles(client, LAUNCH, far // HOUR * HOUR)
    assert found.open_time_ms[-1] == bybit.last_closed()
    bybit.now_ms = bybit.last_closed() + 2 * HOUR  # the last millisecond of a bar has passed
    assert candles(client, LAUNCH, far // HOUR * HOUR).open_time_ms[-1] == bybit.now_ms - HOUR
    bybit.now_ms -= 1
    assert (
        candles(client, LAUNCH, far // HOUR * HOUR).open_time_ms[-1] == bybit.now_ms - 2 * HOUR + 1
    )


def test_a_bar_that_one_host_says_is_open_is_not_kept(bybit: Any, client: BybitClient) -> None:
    """The time endpoint runs an hour ahead of the candle endpoint's own statement."""
    bybit.skew_ms = -HOUR
    pages = list(client.kline_pages("BTCUSDT", "60", LAUNCH, bybit.now_ms // HOUR * HOUR))
    assert pages[0].end_ms == bybit.last_closed()
    assert pages[0].candles is not None
    assert pages[0].candles.open_time_ms[-1] == bybit.last_closed() - HOUR


def test_our_own_clock_does_not_matter(
    bybit: Any, client: BybitClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for skew_s in (-86_400, 86_400):
        monkeypatch.setattr("time.time", lambda skew_s=skew_s: bybit.now_ms / 1000 + skew_s)
        found = candles(client, LAUNCH + 3_900 * HOUR, LAUNCH + 9_000 * HOUR)
        assert found.open_time_ms[-1] == bybit.last_closed()


def test_bars_the_exchange_lacks_are_asked_for_twice(
    bybit: Any, client: BybitClient, exchange: Any
) -> None:
    bybit.absent = {LAUNCH + 5 * HOUR, LAUNCH + 6 * HOUR, LAUNCH + 9 * HOUR}
    pages = list(client.kline_pages("BTCUSDT", "60", LAUNCH, LAUNCH + 10 * HOUR))
    assert [(p.start_ms, p.end_ms) for p in pages] == [(LAUNCH, LAUNCH + 10 * HOUR)]
    assert pages[0].candles is not None
    assert len(pages[0].candles) == 7
    assert len(bybit.asked(exchange.KLINE)) == 2


def test_before_the_launch_there_is_nothing(bybit: Any, client: BybitClient) -> None:
    pages = list(client.kline_pages("BTCUSDT", "60", LAUNCH - 5 * HOUR, LAUNCH + HOUR))
    assert [(p.start_ms, p.end_ms) for p in pages] == [
        (LAUNCH, LAUNCH + HOUR),
        (LAUNCH - 5 * HOUR, LAUNCH),
    ]
    assert pages[1].candles is None


def test_a_server_that_repeats_itself_ends(bybit: Any, client: BybitClient, exchange: Any) -> None:
    """A page of stamps outside the range claims nothing about the range."""
    stuck = exchange.edit(lambda rows: [exchange.bar(LAUNCH + 3_000 * HOUR)])
    bybit.fail(exchange.KLINE, None, stuck, stuck)
    pages = list(client.kline_pages("BTCUSDT", "60", LAUNCH, LAUNCH + 2_000 * HOUR))
    assert [(p.start_ms, p.end_ms) for p in pages] == [
        (LAUNCH + 1_000 * HOUR, LAUNCH + 2_000 * HOUR)
    ]


def test_funding_pages(bybit: Any, client: BybitClient, exchange: Any) -> None:
    bybit.fail(exchange.FUNDING, None, exchange.reset, exchange.empty, exchange.shuffled)
    pages = list(client.funding_pages("BTCUSDT", LAUNCH, LAUNCH + 4_000 * HOUR))
    times = np.concatenate([p.time_ms for p in reversed(pages)])
    assert times.tolist() == list(range(LAUNCH, LAUNCH + 4_000 * HOUR, 8 * HOUR))
    assert all(p["limit"] == "200" for p in bybit.asked(exchange.FUNDING))
    assert (pages[0].end_ms, pages[-1].start_ms) == (LAUNCH + 4_000 * HOUR, LAUNCH)
    bybit.fail(exchange.FUNDING, exchange.edit(lambda rows: [{**rows[0], "fundingRate": "?"}]))
    with pytest.raises(BybitAnswerError, match="fundingRate of row 0"):
        list(client.funding_pages("BTCUSDT", LAUNCH, LAUNCH + 80 * HOUR))


def test_instrument(client: BybitClient) -> None:
    rules = client.instrument("BTCUSDT")
    assert (rules.tick_size, rules.quantity_step, rules.min_notional) == (0.1, 0.001, 5.0)
    assert (rules.max_leverage, rules.funding_interval_minutes) == (100.0, 480)
    assert rules.launch_time_ms == LAUNCH


def test_instrument_of_the_spot_market() -> None:
    row = {
        "symbol": "BTCUSDT",
        "lotSizeFilter": {
            "basePrecision": "0.000001",
            "minOrderQty": "0.00004",
            "minOrderAmt": "1",
        },
        "priceFilter": {"tickSize": "0.01"},
    }
    rules = wire.instrument(row, "spot", "BTCUSDT")
    assert (rules.quantity_step, rules.min_notional) == (0.000001, 1.0)
    assert (rules.max_leverage, rules.funding_interval_minutes) == (0.0, 0)
    with pytest.raises(BybitAnswerError, match="priceFilter is None; expected an object"):
        wire.instrument({**row, "priceFilter": None}, "spot", "BTCUSDT")


def test_answers_of_the_wrong_shape(bybit: Any, client: BybitClient, exchange: Any) -> None:
    start, end = LAUNCH, LAUNCH + 10 * HOUR
    bybit.fail(exchange.KLINE, exchange.edit(lambda rows: {"0": rows[0]}))
    with pytest.raises(BybitAnswerError, match=r"list is \{.*; expected a list"):
        candles(client, start, end)
    bybit.fail(exchange.FUNDING, exchange.edit(lambda rows: [{**rows[0], "symbol": "ETHUSDT"}]))
    with pytest.raises(BybitAnswerError, match=r"funding row 0 .*expected one of BTCUSDT"):
        list(client.funding_pages("BTCUSDT", start, end))
    bybit.fail(exchange.INSTRUMENTS, exchange.edit(lambda rows: [{**rows[0], "symbol": "X"}]))
    with pytest.raises(BybitAnswerError, match="expected BTCUSDT"):
        client.instrument("BTCUSDT")
    bybit.fail(exchange.INSTRUMENTS, exchange.edit(lambda rows: [{**rows[0], "leverageFilter": 1}]))
    with pytest.raises(BybitAnswerError, match="leverageFilter is 1"):
        client.instrument("BTCUSDT")
    with pytest.raises(BybitAnswerError, match="live candle is 'x'"):
        wire.stream_candle("x", "60")
    with pytest.raises(BybitAnswerError, match="no JSON object"):
        wire.json_object("[1]")


def test_the_pace_stays_under_the_limit(bybit: Any) -> None:
    """Simulated clock: in no window of 5 s more than a sixth of the 600 allowed."""
    now, sent = [0.0], []

    def clock() -> float:
        return now[0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with BybitClient(bybit.url, clock=clock, sleep=sleep) as client:
        for _ in range(150):
            client.server_time_ms()
            sent.append(now[0])
    for i, first in enumerate(sent):
        assert sum(first <= t < first + 5.0 for t in sent[i:]) <= 101


def test_one_connection_serves_all(bybit: Any, client: BybitClient) -> None:
    for _ in range(5):
        client.server_time_ms()
    pool = client._transport._session.get_adapter(bybit.url).poolmanager  # type: ignore[attr-defined]
    key = next(iter(pool.pools.keys()))
    assert pool.pools[key].num_connections == 1
    assert client.requests_sent == 5
