"""Universes: listed by pages with the contracts that ended, fetched symbol by symbol, resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.cli import main
from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.pace import Pace, StoppedError
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.bybit.transport import RetryPolicy
from worldmodel_trading.market.bybit.universe import Universe, list_universe, open_universe
from worldmodel_trading.market.bybit.universe_fetch import UniverseReport, fetch_universe
from worldmodel_trading.market.errors import (
    BybitAnswerError,
    BybitBlockedError,
    BybitRequestError,
    BybitUnavailableError,
    ConfigError,
    StoreError,
)

HOUR = 3_600_000
LAUNCH = 1_585_526_400_000
NOW = LAUNCH + 4_000 * HOUR  # the server's is half an hour later
START = NOW - 60 * HOUR
FAST = RetryPolicy(spacing_s=0.0, connect_timeout_s=2.0, read_timeout_s=2.0)

LIVING = [f"A{i:02d}USDT" for i in range(20)]
ENDED = [f"C{i}USDT" for i in range(6)]  # two of them after START


@pytest.fixture
def many(bybit: Any, exchange: Any) -> Any:
    """The exchange with several dozen instruments, in pages of seven."""
    bybit.instruments_a_page = 7
    life = exchange.Listed
    bybit.others = {
        **{symbol: life(LAUNCH + i * HOUR) for i, symbol in enumerate(LIVING)},
        **{symbol: life(ended_ms=NOW - 50 * HOUR * i) for i, symbol in enumerate(ENDED)},
        "C0USDT": life(ended_ms=NOW - 10 * HOUR),
        "YOUNGUSDT": life(NOW - 5 * HOUR),
        "NEWUSDT": life(NOW),  # none of its bars has closed
        "SOONUSDT": life(NOW + 24 * HOUR),
        "BTCPERP": life(quote="USDC"),
    }
    return bybit


@pytest.fixture
def client(bybit: Any) -> Iterator[BybitClient]:
    with BybitClient(bybit.url, FAST, sleep=lambda seconds: None) as client:
        yield client


def fetched(client: BybitClient, store: Store, status: str = "all", **more: Any) -> UniverseReport:
    universe = list_universe("linear", "USDT", status, store, client)
    more = {"connections": 1, **more}
    return fetch_universe(universe, "60", START, store=store, client=client, **more)


def test_a_list_has_those_to_come_and_those_that_ended(
    many: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    everyone = list_universe("linear", "USDT", "all", store, client)
    trading = [*LIVING, "BTCUSDT", "NEWUSDT", "YOUNGUSDT"]
    assert everyone.symbols == tuple(sorted([*trading, *ENDED, "SOONUSDT"]))
    assert list_universe("linear", "USDT", "trading", store, client).symbols == tuple(
        sorted(trading)
    )
    assert list_universe("linear", "USDC", "all", store, client).symbols == ("BTCPERP",)
    assert len(list_universe("linear", "", "all", store, client).symbols) == 31
    pages = [p for p in many.asked(exchange.INSTRUMENTS) if p["status"] == "Trading"]
    assert [p.get("cursor") for p in pages[:4]] == [None, "7", "14", "21"]
    rules = dict(zip(everyone.symbols, everyone.instruments, strict=True))
    assert (rules["A03USDT"].launch_time_ms, rules["A03USDT"].tick_size) == (LAUNCH + 3 * HOUR, 0.1)
    assert (rules["C2USDT"].status, rules["C2USDT"].delivery_time_ms) == (
        "Closed",
        NOW - 100 * HOUR,
    )
    assert rules["SOONUSDT"].status == "PreLaunch"
    assert rules["A00USDT"].funding_interval_minutes == 480


def test_the_living_of_a_day_are_known_later(many: Any, client: BybitClient) -> None:
    everyone = list_universe("linear", "USDT", "all", client=client)
    then = everyone.alive(NOW - 120 * HOUR)
    assert set(then) == {*LIVING, "BTCUSDT", "C0USDT", "C1USDT", "C2USDT"}
    assert "C2USDT" not in everyone.alive(NOW - 100 * HOUR)  # ended at that very moment
    assert "SOONUSDT" in everyone.alive(NOW + 24 * HOUR)
    assert "30 instruments, 6 of them ended, as listed on 2020-09-12 16:30 UTC" in str(everyone)


def test_lists_are_kept_by_date(
    many: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    first = list_universe("linear", "USDT", "all", store, client)
    listed = many.now_ms
    many.now_ms += HOUR
    same = list_universe("linear", "USDT", "all", store, client)
    assert len(list((tmp_path / "bybit" / "linear" / "universe").glob("*.json"))) == 1
    many.now_ms += HOUR
    many.others["A00USDT"] = exchange.Listed(ended_ms=many.now_ms)
    changed = list_universe("linear", "USDT", "all", store, client)
    many.log.clear()
    assert open_universe("linear", "USDT", "all", store=store) == changed
    assert open_universe("linear", "USDT", "all", listed, store) == first
    assert open_universe("linear", "USDT", "all", many.now_ms - 1, store).symbols == same.symbols
    with pytest.raises(
        StoreError, match=r"no list .* 2020-09-12 16:29 .* first is of .* 16:30 UTC"
    ):
        open_universe("linear", "USDT", "all", listed - 60_000, store)
    with pytest.raises(StoreError, match=r"fetch --universe linear --quote USDT --status trading"):
        open_universe("linear", "USDT", "trading", store=store)
    assert not many.log


def test_a_damaged_list_is_refused_and_listed_anew(
    many: Any, client: BybitClient, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    list_universe("linear", "USDT", "all", store, client)
    (path,) = (tmp_path / "bybit" / "linear" / "universe").glob("*.json")
    path.write_text(path.read_text().replace("A03USDT", "A04USDT"))
    with pytest.raises(StoreError, match=r"truncated or altered; list them with: .*--status all"):
        open_universe("linear", "USDT", "all", store=store)
    anew = list_universe("linear", "USDT", "all", store, client)
    assert open_universe("linear", "USDT", "all", store=store) == anew


def test_what_is_no_universe(bybit: Any, client: BybitClient, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for settings, said in (
        (("option", "USDT", "all"), "universe is 'option'; expected one of linear"),
        (("linear", "../x", "all"), "quote is '../x'; expected a coin"),
        (("linear", "usdt", "all"), "quote is 'usdt'"),
        (("linear", "USDT", "dead"), "status is 'dead'; expected one of trading, all"),
    ):
        with pytest.raises(ConfigError, match=said):
            list_universe(*settings, store, client)
        with pytest.raises(ConfigError, match=said):
            open_universe(*settings, store=store)
    assert not bybit.log
    with pytest.raises(BybitRequestError, match="lists no linear instrument quoted in DOGE"):
        list_universe("linear", "DOGE", "all", store, client)
    unlaunched = replace(client.instrument("BTCUSDT"), launch_time_ms=0)
    universe = Universe("spot", "", "trading", NOW, (unlaunched,))
    with pytest.raises(ConfigError, match="publishes no launch of spot instruments: name a start"):
        fetch_universe(universe, "60", store=store, client=client)
    assert list(tmp_path.iterdir()) == []


def test_every_symbol_is_fetched_in_its_life(
    many: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    store, told = Store(tmp_path), []
    report = fetched(client, store, told=told.append)
    assert [one.symbol for one in told] == list(report.universe.symbols)
    assert not report.of("failed")
    outside = {one.symbol: one.text for one in report.of("outside")}
    assert outside == {
        "C2USDT": "ended on 2020-09-08 12:00 UTC",
        "C3USDT": "ended on 2020-09-06 10:00 UTC",
        "C4USDT": "ended on 2020-09-04 08:00 UTC",
        "C5USDT": "ended on 2020-09-02 06:00 UTC",
        "NEWUSDT": "has no closed bar there",
        "SOONUSDT": "opens on 2020-09-13 16:00 UTC",
    }
    assert len(report.of("fetched")) == 24
    for symbol in ("A17USDT", "BTCUSDT"):
        exchange.assert_honest(store.open("linear", symbol, "60"), START, NOW)
    exchange.assert_honest(store.open("linear", "C0USDT", "60"), START, NOW - 10 * HOUR)
    exchange.assert_honest(store.open("linear", "YOUNGUSDT", "60"), NOW - 5 * HOUR, NOW)
    assert len(store.funding("linear", "A05USDT")) == 8
    asked = {params["symbol"] for params in many.asked(exchange.KLINE)}
    assert not asked & outside.keys()
    text = str(report)
    assert "24 fetched, 1,325 bars (1,325 new)" in text
    assert "6 without a closed bar in the range: C2USDT" in text


def test_without_a_start_each_begins_with_its_launch(
    many: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    many.others = {"A01USDT": exchange.Listed(NOW - 30 * HOUR), "C0USDT": many.others["C0USDT"]}
    many.now_ms -= 3_900 * HOUR  # all of BTCUSDT's life is short then
    many.others = {"A01USDT": exchange.Listed(LAUNCH + 40 * HOUR)}
    store = Store(tmp_path)
    universe = list_universe("linear", "USDT", "trading", store, client)
    report = fetch_universe(universe, "60", store=store, client=client)
    assert [one.report.start_ms for one in report.outcomes if one.report] == [
        LAUNCH + 40 * HOUR,
        LAUNCH,
    ]


def test_failures_are_named_and_stop_nobody(
    many: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    many.others["GHOSTUSDT"] = exchange.Listed(traded=False)
    many.others["币安USDT"] = exchange.Listed()
    store = Store(tmp_path)

    def without_tick(rows: list[Any]) -> list[Any]:
        return [{**row, "priceFilter": {}} if row["symbol"] == "A01USDT" else row for row in rows]

    many.fail(exchange.INSTRUMENTS, exchange.edit(without_tick))
    universe = list_universe("linear", "USDT", "trading", store, client)
    vanished = universe.symbols[3]
    life = many.others.pop(vanished)  # it goes after the list was made
    broken = exchange.edit(lambda rows: [[*rows[0][:2], "1", *rows[0][3:]], *rows[1:]])
    many.fail(exchange.KLINE, broken)  # of the first
    one = {"store": store, "client": client, "connections": 1}
    report = fetch_universe(universe, "60", START, **one)
    failed = {one.symbol: one.text for one in report.of("failed")}
    assert set(failed) == {"A01USDT", universe.symbols[0], vanished, "GHOSTUSDT"}
    assert "tickSize is None" in failed["A01USDT"]
    assert "high 1.0 is below" in failed["A00USDT"]
    assert "Not supported symbols" in failed[vanished]
    assert failed["GHOSTUSDT"] == "the exchange has no bar of it"
    assert "symbol is '币安USDT'" in {o.symbol: o.text for o in report.of("outside")}["币安USDT"]
    assert len(report.of("fetched")) == 19
    assert "4 failed:\n  A00USDT: candles row" in str(report)
    many.others[vanished] = life
    many.log.clear()
    again = fetch_universe(universe, "60", START, store=store, client=client)
    assert {one.symbol for one in again.of("failed")} == {"A01USDT", "GHOSTUSDT"}
    assert {p["symbol"] for p in many.asked(exchange.KLINE)} == {"A00USDT", vanished}


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("403", BybitBlockedError, "wait ten minutes"),
        ("10006", BybitUnavailableError, r"tried 7 times\)"),
    ],
)
def test_a_limit_stops_it_and_says_how_to_go_on(
    many: Any,
    client: BybitClient,
    exchange: Any,
    tmp_path: Path,
    fault: str,
    error: type[Exception],
    said: str,
) -> None:
    store = Store(tmp_path)
    answer = (
        exchange.status(403) if fault == "403" else exchange.ret_code(10006, "Too many visits!")
    )
    many.fail(exchange.KLINE, *[None] * 12, *[answer] * 7)
    rest = r"12 of 30 symbols are done and kept; the same command goes on with the rest"
    with pytest.raises(error, match=f"{said}.*{rest}"):
        fetched(client, store)
    many.faults[exchange.KLINE].clear()
    done = {params["symbol"] for params in many.asked(exchange.KLINE)[:12]}
    many.log.clear()
    report = fetched(client, store)
    assert len(report.of("fetched")) == 24
    assert not done & {params["symbol"] for params in many.asked(exchange.KLINE)}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_fetch_goes_on(
    many: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    work = """
        import sys
        from worldmodel_trading.market.bybit.client import BybitClient
        from worldmodel_trading.market.bybit.universe_fetch import fetch_universe
        from worldmodel_trading.market.bybit.store import Store
        from worldmodel_trading.market.bybit.transport import RetryPolicy
        from worldmodel_trading.market.bybit.universe import list_universe
        url, folder, start = sys.argv[1:]
        store = Store(folder)
        with BybitClient(url, RetryPolicy(spacing_s=0.0)) as client:
            universe = list_universe("linear", "USDT", "all", store, client)
            fetch_universe(universe, "60", int(start), store=store, client=client, connections=1)
    """
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    code = [sys.executable, "-c", textwrap.dedent(work), many.url, str(tmp_path), str(START)]
    killed: list[int] = []

    def kill(server: Any, handler: Any, body: Any) -> None:
        killed.append(worker.pid)
        os.kill(worker.pid, signal.SIGKILL)  # while it waits for this very answer

    many.fail(exchange.KLINE, *[None] * 15, kill)
    worker = subprocess.Popen(code, env=environment)
    assert worker.wait(120) == -signal.SIGKILL
    assert killed == [worker.pid]
    asked = [params["symbol"] for params in many.asked(exchange.KLINE)]
    assert len(asked) == 16
    many.log.clear()
    store = Store(tmp_path)
    report = fetched(client, store)
    assert len(report.of("fetched")) == 24
    assert not report.of("failed")
    again = [params["symbol"] for params in many.asked(exchange.KLINE)]
    assert sorted([*asked[:15], *again]) == sorted(one.symbol for one in report.of("fetched"))
    exchange.assert_honest(store.open("linear", asked[15], "60"), START, NOW)


def tree(root: Path) -> dict[str, bytes]:
    """All data and manifests."""
    files = [path for path in root.rglob("*") if path.suffix in (".json", ".parquet")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_several_at_a_time_store_the_same_bytes(
    many: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    for symbol in LIVING[4:]:
        del many.others[symbol]
    many.others["GHOSTUSDT"] = exchange.Listed(traded=False)
    reports = {}
    for count in (1, 3):
        reports[count] = fetched(client, Store(tmp_path / str(count)), connections=count)
    assert tree(tmp_path / "1") == tree(tmp_path / "3")
    outcomes = [[(o.symbol, o.state, o.text) for o in r.outcomes] for r in reports.values()]
    assert outcomes[0] == outcomes[1]
    assert reports[1].requests == reports[3].requests
    sent = client.requests_sent
    assert client.server_time_ms() == many.now_ms  # it may be used on
    assert client.requests_sent == sent + 1


def test_several_at_a_time_stop_together(
    many: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    """Ctrl-C comes while one waits for an answer: whole pages of all are kept, and no more asked."""
    store = Store(tmp_path)

    def interrupt(server: Any, handler: Any, body: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        exchange.slow(0.2)(server, handler, body)

    many.fail(exchange.KLINE, *[None] * 6, interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetched(client, store, connections=3)
    asked = [params["symbol"] for params in many.asked(exchange.KLINE)]
    assert len(asked) < 20
    many.log.clear()
    report = fetched(client, store, connections=3)
    assert len(report.of("fetched")) == 24
    again = [params["symbol"] for params in many.asked(exchange.KLINE)]
    assert sorted(asked + again) == sorted(one.symbol for one in report.of("fetched"))
    assert all(len(store.open("linear", symbol, "60")) == 60 for symbol in (*LIVING, "BTCUSDT"))
    with pytest.raises(ConfigError, match="connections is 0"):
        fetched(client, store, connections=0)


def test_a_client_that_is_stopped_waits_no_longer(bybit: Any, exchange: Any) -> None:
    """While it backs off for half a minute."""
    stop = threading.Event()

    def stopping(server: Any, handler: Any, body: Any) -> None:
        stop.set()
        exchange.send(handler, "busy", 503)

    bybit.fail(exchange.TIME, stopping)
    patient = RetryPolicy(spacing_s=0.0, first_delay_s=1e6, max_delay_s=1e6)
    with BybitClient(bybit.url, patient) as client, client.beside(stop) as beside:
        with pytest.raises(StoppedError):
            beside.server_time_ms()
        with pytest.raises(StoppedError):
            beside.server_time_ms()
        assert len(bybit.asked(exchange.TIME)) == 1
        assert client.server_time_ms() == bybit.now_ms


def test_an_old_list_gives_the_symbols_and_today_the_rules(
    bybit: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    life = exchange.Listed
    bybit.others = {"A00USDT": life(), "A01USDT": life(), "GONEUSDT": life()}
    store = Store(tmp_path)

    def without_tick(rows: list[Any]) -> list[Any]:
        return [{**row, "priceFilter": {}} if row["symbol"] == "A01USDT" else row for row in rows]

    bybit.fail(exchange.INSTRUMENTS, exchange.edit(without_tick))
    then = list_universe("linear", "USDT", "trading", store, client)
    assert then.symbols == ("A00USDT", "BTCUSDT", "GONEUSDT")
    bybit.now_ms += 40 * HOUR
    ended = NOW + 20 * HOUR
    bybit.others = {"A00USDT": life(ended_ms=ended), "A01USDT": life(), "NEWUSDT": life()}
    old = open_universe("linear", "USDT", "trading", store=store)
    report = fetch_universe(old, "60", START, store=store, client=client)
    assert [(one.symbol, one.state) for one in report.outcomes] == [
        ("A00USDT", "fetched"),
        ("A01USDT", "fetched"),
        ("BTCUSDT", "fetched"),
        ("GONEUSDT", "failed"),
    ]
    rules = store.instrument("linear", "A00USDT")
    assert (rules.status, rules.delivery_time_ms) == ("Closed", ended)
    exchange.assert_honest(store.open("linear", "A00USDT", "60"), START, ended)


def test_spot_markets_are_one_page_and_need_a_start(
    bybit: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    universe = list_universe("spot", "USDT", "all", store, client)
    assert universe.symbols == ("BTCUSDT",)
    assert [sorted(params) for params in bybit.asked(exchange.INSTRUMENTS)] == [
        ["category", "status"]
    ]
    report = fetch_universe(universe, "60", START, store=store, client=client)
    assert len(report.of("fetched")) == 1
    assert len(store.open("spot", "BTCUSDT", "60")) == 60


def test_clients_beside_each_other_keep_one_pace() -> None:
    now = [100.0]
    pace = Pace(0.05, lambda: now[0])
    with ThreadPoolExecutor(8) as pool:
        delays = sorted(pool.map(lambda _: pace.delay_s(), range(200)))
    np.testing.assert_allclose(delays, 0.05 * np.arange(200), atol=1e-9)
    now[0] += 20.0
    assert pace.delay_s() == 0.0


def test_the_command(
    bybit: Any,
    exchange: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WORLDMODEL_TRADING_DATA", str(tmp_path))
    bybit.others = {
        "ETHUSDT": exchange.Listed(),
        "OLDUSDT": exchange.Listed(ended_ms=NOW - 3_000 * HOUR),
    }
    whole = ["fetch", "--universe", "linear", "--quote", "USDT", "--status", "all"]
    command = [*whole, "--start", str(START), "--base-url", bybit.url]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "/3 ETHUSDT: 60 bars (60 new), 0 missing" in told
    assert "1 without a closed bar in the range: OLDUSDT" in told
    asked = bybit.now_ms
    bybit.now_ms += 10 * 60_000
    bybit.others["GHOSTUSDT"] = exchange.Listed(traded=False)
    assert main([*command, "--quiet"]) == 1
    told = capsys.readouterr().out
    assert "1 failed:\n  GHOSTUSDT: the exchange has no bar of it" in told
    assert "1/4" not in told
    bybit.log.clear()
    assert main([*command, "--as-of", str(asked)]) == 0
    assert not bybit.asked(exchange.INSTRUMENTS)
    bybit.fail(exchange.KLINE, exchange.status(403))
    bybit.now_ms += HOUR
    assert main(command) == 2
    assert " of 4 symbols are done and kept" in capsys.readouterr().err
    assert main(["fetch", "--symbol", "BTCUSDT"]) == 2
    assert "--symbol takes --start" in capsys.readouterr().err


def test_a_row_that_is_no_instrument(bybit: Any, client: BybitClient, exchange: Any) -> None:
    bybit.fail(exchange.INSTRUMENTS, exchange.edit(lambda rows: ["x"]))
    with pytest.raises(BybitAnswerError, match="an instrument is 'x'; expected an object"):
        list_universe(client=client)
