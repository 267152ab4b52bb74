"""Contracts that have ended, at the exchange and in the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.fetch import FetchReport, fetch_bybit, open_bybit
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.bybit.transport import RetryPolicy
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import BybitRequestError, CandleError
from worldmodel_trading.market.inspection import inspect_candles
from worldmodel_trading.market.instruments import Instrument
from worldmodel_trading.market.synthetic import synthetic_candles

HOUR = 3_600_000
LAUNCH = 1_585_526_400_000
ENDED = LAUNCH + 500 * HOUR + 1_800_000  # half-way through a bar
FAST = RetryPolicy(spacing_s=0.0, connect_timeout_s=2.0, read_timeout_s=2.0)


def get(bybit: Any, store: Store, start: int, end: int | None = None) -> FetchReport:
    with BybitClient(bybit.url, FAST, sleep=lambda seconds: None) as client:
        return fetch_bybit("BTCUSDT", "60", start, end, store=store, client=client)


def test_a_closed_contract_is_found_and_its_end_kept(bybit: Any, exchange: Any) -> None:
    bybit.ended_ms = ENDED
    with BybitClient(bybit.url, FAST) as client:
        rules = client.instrument("BTCUSDT")
    assert (rules.status, rules.delivery_time_ms) == ("Closed", ENDED)
    asked = [params.get("status") for params in bybit.asked(exchange.INSTRUMENTS)]
    assert asked == [None, "Closed"]


def test_nothing_is_asked_for_after_the_end(bybit: Any, exchange: Any, tmp_path: Path) -> None:
    bybit.ended_ms = ENDED
    store = Store(tmp_path)
    report = get(bybit, store, LAUNCH + 400 * HOUR)
    # Hours 400 to 500; the bar of hour 500 ended with the contract.
    assert (report.bars, report.end_ms) == (101, LAUNCH + 501 * HOUR)
    assert report.gaps == ()
    assert "the contract's end: 2020-04-19 20:30 UTC" in str(report)
    for where, key in ((exchange.KLINE, "end"), (exchange.FUNDING, "endTime")):
        assert max(int(params[key]) for params in bybit.asked(where)) <= LAUNCH + 501 * HOUR
    assert store.funding("linear", "BTCUSDT").time_ms[-1] == LAUNCH + 496 * HOUR
    bybit.log.clear()
    again = get(bybit, store, LAUNCH + 400 * HOUR, LAUNCH + 900 * HOUR)
    assert (again.bars, again.new_bars) == (101, 0)
    assert not bybit.asked(exchange.KLINE)
    source = "bybit:BTCUSDT:60"
    late = open_bybit(source, LAUNCH + 450 * HOUR, LAUNCH + 900 * HOUR, store=store)
    assert len(late) == 51
    assert late.delivery_row == 50


def test_a_start_after_the_end_says_when_that_was(bybit: Any, tmp_path: Path) -> None:
    bybit.ended_ms = ENDED
    with pytest.raises(BybitRequestError, match=r"BTCUSDT ended on 2020-04-19 20:30 UTC"):
        get(bybit, Store(tmp_path), LAUNCH + 600 * HOUR)


def test_a_contract_whose_end_is_to_come_is_fetched_up_to_now(bybit: Any, tmp_path: Path) -> None:
    bybit.ended_ms = bybit.now_ms + 100 * HOUR
    store = Store(tmp_path)
    report = get(bybit, store, LAUNCH + 3_990 * HOUR)
    assert report.end_ms == bybit.last_closed() + HOUR
    candles = store.open("linear", "BTCUSDT", "60")
    assert candles.instrument is not None
    assert candles.instrument.delivery_time_ms == bybit.ended_ms
    assert candles.delivery_row is None


def test_rules_stored_before_ends_were_known_are_still_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rules = Instrument("BTCUSDT", tick_size=0.1, quantity_step=0.001, funding_interval_minutes=480)
    store.save_instrument(rules)
    assert store.instrument("linear", "BTCUSDT") == rules
    path = store.folder("linear", "BTCUSDT") / "instrument.json"
    from worldmodel_trading.market.bybit.table import FORMAT, read_sealed, sealed

    body = read_sealed(path, "rules", "")["instrument"]
    del body["delivery_time_ms"], body["status"]
    path.write_bytes(sealed({"format": FORMAT, "instrument": body}))
    assert store.instrument("linear", "BTCUSDT") == rules


def ending(candles: Candles, ended_ms: int) -> Candles:
    assert candles.instrument is not None
    return replace(candles, instrument=replace(candles.instrument, delivery_time_ms=ended_ms))


@pytest.mark.parametrize(
    ("end_hours", "row"),
    [
        (0.5, 0),
        (1.0, 0),  # the first bar closes at the very end
        (57.0, 56),
        (56.25, 56),  # the bar in which it ends still closed
        (100.0, 99),  # the record's last bar closes with it
        (99.5, 99),
        (100.5, None),  # a record that ends before
        (1_000.0, None),
    ],
)
def test_the_last_bar_opened_before_the_end(end_hours: float, row: int | None) -> None:
    candles = synthetic_candles(bars=100)
    ended = int(candles.open_time_ms[0] + end_hours * HOUR)
    assert ending(candles, ended).delivery_row == row
    assert candles.delivery_row is None


def test_candles_of_another_life_are_refused() -> None:
    candles = synthetic_candles(bars=100)
    with pytest.raises(CandleError, match=r"SYNTH ended on .*, before the first of its candles"):
        _ = ending(candles, int(candles.open_time_ms[0])).delivery_row


def test_an_end_inside_the_record_is_found() -> None:
    candles = synthetic_candles(bars=100)
    ended = ending(candles, int(candles.open_time_ms[57]))
    (found,) = [f for f in inspect_candles(ended) if f.kind == "delivery"]
    assert (found.row, found.bars) == (56, 43)
    assert "accounts are closed at this bar's close, and the 43 bars after it" in str(found)
    assert not [f for f in inspect_candles(candles) if f.kind == "delivery"]
