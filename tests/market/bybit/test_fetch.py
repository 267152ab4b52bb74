from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.fetch import FetchReport, fetch_bybit, open_bybit
from worldmodel_trading.market.bybit.ranges import bar_start, join_ranges, missing_ranges
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.bybit.transport import RetryPolicy
from worldmodel_trading.market.errors import BybitRequestError, FundingError, StoreError

HOUR = 3_600_000
LAUNCH = 1_585_526_400_000
FAST = RetryPolicy(spacing_s=0.0, connect_timeout_s=2.0, read_timeout_s=2.0)


def get(bybit: Any, store: Store, start: int, end: int | None, **options: Any) -> FetchReport:
    with BybitClient(bybit.url, FAST, sleep=lambda seconds: None) as client:
        return fetch_bybit("BTCUSDT", "60", start, end, store=store, client=client, **options)


def test_fetch_says_what_it_got(bybit: Any, exchange: Any, tmp_path: Path) -> None:
    bybit.absent = {LAUNCH + 30 * HOUR}
    store, done = Store(tmp_path), []
    report = get(
        bybit, store, LAUNCH - 24 * HOUR, None, progress=lambda at, of: done.append((at, of))
    )
    assert (report.bars, report.new_bars) == (3_999, 3_999)
    assert (report.start_ms, report.end_ms) == (LAUNCH, bybit.last_closed() + HOUR)
    assert [gap.missing_bars for gap in report.gaps] == [1]
    assert report.funding_rates == report.new_funding_rates == 501
    assert done[-1] == (4_024, 4_024)
    assert "3,999 bars (3,999 new)" in str(report)
    assert "2020-03-30 00:00 UTC" in str(report)
    stored = store.open("linear", "BTCUSDT", "60")
    assert len(stored) == 3_999
    assert store.instrument("linear", "BTCUSDT").tick_size == 0.1
    rates = store.funding("linear", "BTCUSDT")
    assert rates.time_ms[1] - rates.time_ms[0] == 8 * HOUR


def test_a_second_call_fetches_only_what_is_missing(
    bybit: Any, exchange: Any, tmp_path: Path
) -> None:
    bybit.absent = {LAUNCH + 1_020 * HOUR}
    store, middle = Store(tmp_path), LAUNCH + 1_000 * HOUR
    get(bybit, store, middle, middle + 500 * HOUR)
    bybit.log.clear()
    again = get(bybit, store, middle, middle + 500 * HOUR)
    assert (again.new_bars, again.bars) == (0, 499)
    assert not bybit.asked(exchange.KLINE)
    assert not bybit.asked(exchange.FUNDING)
    wider = get(bybit, store, middle - 10 * HOUR, middle + 520 * HOUR)
    assert (wider.new_bars, wider.bars) == (30, 529)
    asked = [(int(p["start"]), int(p["end"]) + 1) for p in bybit.asked(exchange.KLINE)]
    assert asked == [
        (middle + 500 * HOUR, middle + 520 * HOUR),
        (middle - 10 * HOUR, middle),
    ]


def test_emptiness_before_the_launch_is_remembered(
    bybit: Any, exchange: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    get(bybit, store, LAUNCH - 100 * HOUR, LAUNCH + 10 * HOUR)
    bybit.log.clear()
    report = get(bybit, store, LAUNCH - 100 * HOUR, LAUNCH + 10 * HOUR)
    assert (report.bars, report.new_bars) == (10, 0)
    assert not bybit.asked(exchange.KLINE)
    nothing = get(bybit, Store(tmp_path / "other"), LAUNCH - 100 * HOUR, LAUNCH - 50 * HOUR)
    assert (nothing.bars, nothing.start_ms, nothing.gaps) == (0, None, ())


def test_a_later_call_brings_what_has_closed_since(
    bybit: Any, exchange: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    get(bybit, store, LAUNCH + 3_990 * HOUR, None)
    bybit.now_ms += 17 * HOUR
    report = get(bybit, store, LAUNCH + 3_990 * HOUR, None)
    assert (report.new_bars, report.new_funding_rates) == (17, 2)
    exchange.assert_honest(
        store.open("linear", "BTCUSDT", "60"),
        LAUNCH + 3_990 * HOUR,
        bybit.last_closed() + HOUR,
    )
    assert np.diff(store.funding("linear", "BTCUSDT").time_ms).tolist() == [8 * HOUR] * 3


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_same_range_twice_is_the_same_bytes(bybit: Any, tmp_path: Path) -> None:
    whole, parts = Store(tmp_path / "a"), Store(tmp_path / "b")
    get(bybit, whole, LAUNCH, LAUNCH + 2_500 * HOUR)
    for i in (1, 0, 2):  # in another order, piece by piece
        get(bybit, parts, LAUNCH + i * 800 * HOUR, LAUNCH + (i + 1) * 900 * HOUR)
    get(bybit, parts, LAUNCH, LAUNCH + 2_700 * HOUR)
    get(bybit, whole, LAUNCH, LAUNCH + 2_700 * HOUR)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    before = tree(tmp_path / "a")
    get(bybit, whole, LAUNCH, LAUNCH + 2_700 * HOUR)
    assert tree(tmp_path / "a") == before


@pytest.mark.parametrize("page", [1, 3])
def test_ctrl_c_keeps_complete_pages(bybit: Any, exchange: Any, tmp_path: Path, page: int) -> None:
    def interrupt(server: Any, handler: Any, body: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)  # while the client waits for this very answer
        exchange.slow(0.3)(server, handler, body)

    store = Store(tmp_path)
    get(bybit, store, LAUNCH, LAUNCH + 300 * HOUR)
    bybit.fail(exchange.KLINE, *[None] * page, interrupt)
    with pytest.raises(KeyboardInterrupt):
        get(bybit, store, LAUNCH, LAUNCH + 4_000 * HOUR)
    hole = 3_700 - page * 1_000
    assert [g.missing_bars for g in store.open("linear", "BTCUSDT", "60").gaps()] == [hole]
    report = get(bybit, store, LAUNCH, LAUNCH + 4_000 * HOUR)
    assert report.new_bars == hole
    exchange.assert_honest(store.open("linear", "BTCUSDT", "60"), LAUNCH, LAUNCH + 4_000 * HOUR)


def test_a_symbol_that_vanishes_keeps_complete_pages(
    bybit: Any, exchange: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    bybit.fail(exchange.KLINE, None, None, exchange.vanish)
    with pytest.raises(BybitRequestError, match="Not supported symbols"):
        get(bybit, store, LAUNCH, LAUNCH + 4_000 * HOUR)
    assert len(store.open("linear", "BTCUSDT", "60")) == 2_000
    with pytest.raises(BybitRequestError, match="knows no linear symbol"):
        get(bybit, store, LAUNCH, LAUNCH + 4_000 * HOUR)


def test_a_funding_rate_that_is_none_is_not_stored(
    bybit: Any, exchange: Any, tmp_path: Path
) -> None:
    percent = exchange.edit(lambda rows: [{**row, "fundingRate": "1.25"} for row in rows])
    bybit.fail(exchange.FUNDING, percent)
    store = Store(tmp_path)
    with pytest.raises(FundingError, match=r"rate 1\.25"):
        get(bybit, store, LAUNCH, LAUNCH + 100 * HOUR)
    assert get(bybit, store, LAUNCH, LAUNCH + 100 * HOUR).new_funding_rates == 13


def test_ranges_without_a_closed_bar(bybit: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for start, end in [(LAUNCH + 9_000 * HOUR, None), (LAUNCH, LAUNCH), (LAUNCH + HOUR, LAUNCH)]:
        with pytest.raises(BybitRequestError, match="no closed bar"):
            get(bybit, store, start, end)


def test_open_bybit_uses_the_network_only_when_asked(
    bybit: Any, exchange: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    start, end = LAUNCH, LAUNCH + 50 * HOUR
    with pytest.raises(
        StoreError, match="worldmodel-trading fetch --category linear --symbol BTCUSDT"
    ):
        open_bybit("bybit:BTCUSDT:60", start, end, store=store)
    assert not bybit.log
    got = open_bybit(
        "bybit:BTCUSDT:60", start, end, fetch_missing=True, store=store, base_url=bybit.url
    )
    exchange.assert_honest(got, start, end)
    bybit.log.clear()
    exchange.assert_honest(open_bybit("bybit:linear:BTCUSDT:60", store=store), start, end)
    exchange.assert_honest(
        open_bybit("bybit:BTCUSDT:60", start + HOUR, store=store), start + HOUR, end
    )
    whole = open_bybit(
        "bybit:BTCUSDT:60", start, end, fetch_missing=True, store=store, base_url=bybit.url
    )
    assert len(whole) == 50  # nothing was missing: still no request
    with pytest.raises(StoreError, match="is not stored from 2020-04-01 02:00 UTC"):
        open_bybit("bybit:BTCUSDT:60", start, end + HOUR, store=store)
    assert not bybit.log
    for source in ("BTCUSDT:60", "bybit:BTCUSDT", "bybit:a:b:c:d", "bybit:linear:../x:60"):
        with pytest.raises(StoreError):
            open_bybit(source, store=store)


def test_ranges() -> None:
    assert join_ranges(((5, 7), (0, 3)), ((3, 4), (6, 9), (2, 2))) == ((0, 4), (5, 9))
    assert missing_ranges(((0, 4), (5, 9)), -2, 12) == ((-2, 0), (4, 5), (9, 12))
    assert missing_ranges(((0, 4), (5, 9)), 1, 4) == ()
    assert missing_ranges((), 1, 4) == ((1, 4),)
    assert bar_start(LAUNCH + 1, "60") == LAUNCH
    assert bar_start(LAUNCH + 24 * HOUR, "W") == LAUNCH  # 2020-03-30 was a Monday
