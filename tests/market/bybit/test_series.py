"""Series beside candles: pages and cursors, the store, and nobody sees one before its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bybit_series
import numpy as np
import pytest

from worldmodel_trading.cli import main
from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.fetch import fetch_bybit
from worldmodel_trading.market.bybit.kinds import SERIES, TABLES
from worldmodel_trading.market.bybit.reports import FetchReport
from worldmodel_trading.market.bybit.series import open_series
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.bybit.transport import RetryPolicy
from worldmodel_trading.market.errors import (
    BybitAnswerError,
    BybitRequestError,
    CandleError,
    ConfigError,
    StoreError,
)
from worldmodel_trading.market.series import Series
from worldmodel_trading.market.sources import open_candles

HOUR = 3_600_000
LAUNCH = 1_585_526_400_000
NOW = LAUNCH + 4_000 * HOUR  # the server's is half an hour later
RATIOS = 1_595_203_200_000  # 2020-07-20
FAST = RetryPolicy(spacing_s=0.0, connect_timeout_s=2.0, read_timeout_s=2.0)
BY_REST = ("premium-index", "mark", "index", "open-interest", "account-ratio")


@pytest.fixture
def client(bybit: Any) -> Iterator[BybitClient]:
    with BybitClient(bybit.url, FAST, sleep=lambda seconds: None, archive_url=bybit.url) as client:
        yield client


def get(
    client: BybitClient, store: Store, start: int, *series: str, end: int | None = None
) -> FetchReport:
    return fetch_bybit("BTCUSDT", "60", start, end, store=store, client=client, series=series)


def stored(store: Store, name: str) -> Series:
    return open_series(f"bybit:BTCUSDT:{name}:60", store)


def opens(series: Series) -> list[int]:
    """Starts of the periods."""
    return [int(known) - 2 * HOUR for known in series.known_ms]


@pytest.mark.parametrize("name", BY_REST)
def test_every_period_once_with_the_exchange_s_number(
    bybit: Any, client: BybitClient, tmp_path: Path, name: str
) -> None:
    store = Store(tmp_path)
    start = LAUNCH + 2_700 * HOUR + 1
    (report,) = get(client, store, start, name).series
    first = max(LAUNCH + 2_701 * HOUR, RATIOS if name == "account-ratio" else 0)
    times = list(range(first, NOW - HOUR, HOUR))  # the newest period that closed is left for later
    series = stored(store, name)
    assert opens(series) == times
    assert series.values.tolist() == [expected(name, time) for time in times]
    assert series.name == name.replace("-", "_")
    assert series.source == f"bybit:linear:BTCUSDT:{name}:60"
    assert (report.rows, report.new_rows, report.missing) == (len(times), len(times), 0)
    assert (report.start_ms, report.end_ms) == (times[0], times[-1])
    path = TABLES[name].path
    limits = {"open-interest": 200, "account-ratio": 500}
    assert {int(p["limit"]) for p in bybit.asked(path)} == {limits.get(name, 1_000)}
    pages = -(-len(times) // limits.get(name, 1_000))
    assert len(bybit.asked(path)) == pages  # a full page is not asked for its cursor
    bybit.log.clear()
    (again,) = get(client, store, start, name).series
    assert (again.new_rows, again.rows) == (0, len(times))
    assert not bybit.asked(path)


def expected(name: str, time_ms: int) -> float:
    if name == "open-interest":
        return float(bybit_series.interest(time_ms))
    if name == "account-ratio":
        return float(bybit_series.ratio(time_ms))
    return float(bybit_series.price_row(f"/v5/market/{name}-price-kline", time_ms)[4])


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("name", ["open-interest", "account-ratio"])
def test_cursors_are_followed_from_either_side(
    bybit: Any, client: BybitClient, tmp_path: Path, name: str, oldest_first: bool
) -> None:
    bybit.series.oldest_first, bybit.series.rows_a_page = oldest_first, 70
    store = Store(tmp_path)
    start = NOW - 450 * HOUR
    get(client, store, start, name)
    assert opens(stored(store, name)) == list(range(start, NOW - HOUR, HOUR))
    cursors = [params.get("cursor") for params in bybit.asked(TABLES[name].path)]
    assert cursors[:3] == [None, "70", "140"]


@pytest.mark.parametrize("fault", ["html", "reset", "empty", "shuffled", "holed"])
@pytest.mark.parametrize("name", ["open-interest", "premium-index"])
def test_faulty_pages_lose_nothing(
    bybit: Any, client: BybitClient, exchange: Any, tmp_path: Path, name: str, fault: str
) -> None:
    store, start = Store(tmp_path), NOW - 500 * HOUR
    bybit.fail(TABLES[name].path, None, getattr(exchange, fault))
    if name == "premium-index":
        bybit.fail(TABLES[name].path, getattr(exchange, fault))
    get(client, store, start, name)
    assert opens(stored(store, name)) == list(range(start, NOW - HOUR, HOUR))


def test_what_the_exchange_lacks_is_a_gap_and_not_asked_for_again(
    bybit: Any, client: BybitClient, tmp_path: Path
) -> None:
    lacked = range(NOW - 700 * HOUR, NOW - 250 * HOUR, HOUR)  # more than two pages long
    bybit.absent = set(lacked)
    store, start = Store(tmp_path), NOW - 800 * HOUR
    (report,) = get(client, store, start, "open-interest").series
    assert (report.missing, report.rows) == (450, 349)
    bybit.log.clear()
    get(client, store, start, "open-interest")
    assert not bybit.asked(bybit_series.INTEREST)
    assert "349 periods (349 new), 450 missing, 2020-08-10 08:00 UTC to" in str(report)


def test_a_period_that_is_late_is_asked_for_again(
    bybit: Any, client: BybitClient, tmp_path: Path
) -> None:
    store, start = Store(tmp_path), NOW - 50 * HOUR
    late = [NOW - 3 * HOUR, NOW - 2 * HOUR]
    bybit.absent = set(late)
    get(client, store, start, "open-interest")
    assert opens(stored(store, "open-interest"))[-1] == NOW - 4 * HOUR
    bybit.absent = set()
    bybit.log.clear()
    get(client, store, start, "open-interest")
    assert opens(stored(store, "open-interest")) == list(range(start, NOW - HOUR, HOUR))
    assert {int(p["startTime"]) for p in bybit.asked(bybit_series.INTEREST)} == {late[0]}


def test_numbers_that_cannot_be_are_named(
    bybit: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    def edited(name: str, change: Any, said: str) -> None:
        bybit.fail(TABLES[name].path, exchange.edit(change))
        with pytest.raises(BybitAnswerError, match=said):
            get(client, Store(tmp_path / name), NOW - 9 * HOUR, name)

    def row(**more: str) -> Any:
        return lambda rows: [{**rows[0], **more}, *rows[1:]]

    edited("open-interest", row(openInterest="-1"), "2020-09-12 14:00 UTC: open_interest cannot be")
    edited("open-interest", row(openInterest=""), "openInterest of row 0")
    edited("account-ratio", row(buyRatio="1.2"), "buy_ratio cannot be")
    edited("account-ratio", row(symbol="ETHUSDT"), "account-ratio row 0 .* expected one of BTCUSDT")
    edited("mark", lambda rows: [[*rows[0][:2], "1", *rows[0][3:]]], "high or low cannot be")
    edited("index", lambda rows: [rows[0][:4]], "candle 0 is .*; expected 5 cells")


def test_what_there_is_not_is_refused_before_anything_is_asked(
    bybit: Any, client: BybitClient, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    for name, settings, said in (
        ("open_interest", {}, "no series 'open_interest'; did you mean 'open-interest'"),
        ("premium-index", {"category": "inverse"}, "no premium-index of inverse markets"),
        ("mark", {"category": "spot"}, "no mark of spot markets; expected one of linear, inverse"),
        ("open-interest", {"interval": "120"}, "no open-interest of interval 120; expected one of"),
        ("taker-imbalance", {"interval": "W"}, "no trades of interval W"),
    ):
        asked: dict[str, Any] = {"interval": "60", **settings}
        with pytest.raises(ConfigError, match=said):
            fetch_bybit("BTCUSDT", start=LAUNCH, series=[name], store=store, client=client, **asked)
    assert not bybit.log


def test_what_is_not_stored_says_how_to_get_it(
    bybit: Any, client: BybitClient, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=r"fetch .*--symbol BTCUSDT --interval 60 --series mark"):
        stored(store, "mark")
    for source in ("bybit:BTCUSDT:mark", "BTCUSDT:mark:60", "bybit:option:BTCUSDT:mark:60"):
        with pytest.raises(StoreError, match="expected bybit:SYMBOL:SERIES:INTERVAL"):
            open_series(source, store)
    with pytest.raises(ConfigError, match="no series 'marks'"):
        stored(store, "marks")
    with pytest.raises(StoreError, match="symbol is"):
        open_series("bybit:../x:mark:60", store)
    get(client, store, LAUNCH - 9 * HOUR, "account-ratio", end=LAUNCH + 9 * HOUR)
    with pytest.raises(StoreError, match="account-ratio"):
        stored(store, "account-ratio")  # it begins only later
    (report,) = get(client, store, LAUNCH, "account-ratio", end=LAUNCH + 9 * HOUR).series
    assert str(report) == "account-ratio: the exchange has none"


def test_interrupted_downloads_keep_complete_pages(
    bybit: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    store, start = Store(tmp_path), NOW - 900 * HOUR
    bybit.fail(bybit_series.INTEREST, None, None, exchange.ret_code(10001, "gone"))
    with pytest.raises(BybitRequestError, match="gone"):
        get(client, store, start, "open-interest")
    assert len(stored(store, "open-interest")) == 400
    (report,) = get(client, store, start, "open-interest").series
    assert (report.new_rows, report.rows) == (499, 899)


def test_damage_is_repaired_by_fetching(bybit: Any, client: BybitClient, tmp_path: Path) -> None:
    store, start = Store(tmp_path), NOW - 300 * HOUR
    get(client, store, start, "open-interest")
    good = stored(store, "open-interest")
    (path,) = (store.folder("linear", "BTCUSDT") / "60").glob("open-interest-*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"altered.*--interval 60 --series open-interest"):
        stored(store, "open-interest")
    report = get(client, store, NOW - 20 * HOUR, "open-interest")  # all that the file covered
    assert [("altered" in text) for text in report.repaired] == [True]
    assert stored(store, "open-interest").data_hash() == good.data_hash()


@pytest.mark.parametrize("name", BY_REST)
def test_no_bar_s_close_sees_a_value_before_its_time(
    bybit: Any, client: BybitClient, tmp_path: Path, name: str
) -> None:
    """Alter all that is stamped later than one period before a bar opened: its close sees the same."""
    store, start = Store(tmp_path), NOW - 40 * HOUR
    get(client, store, start, name)
    candles = store.open("linear", "BTCUSDT", "60")
    table = store.series_table(SERIES[name].table, "linear", "BTCUSDT", "60")
    columns, ranges = table.read()
    seen = stored(store, name).at_closes(candles)
    assert np.isnan(seen[0])
    assert np.isfinite(seen[1:]).all()
    times = columns["time_ms"]
    for bar in (5, 20, 39):
        open_ms = int(candles.open_time_ms[bar])
        later = times > open_ms - HOUR
        altered = {
            key: column if key == "time_ms" else np.where(later, column * 0.5 + 0.1, column)
            for key, column in columns.items()
        }
        table.add([altered], ranges)
        now_seen = stored(store, name).at_closes(candles)
        np.testing.assert_array_equal(now_seen[: bar + 1], seen[: bar + 1])
        if later.any():
            assert now_seen[bar + 1] != seen[bar + 1]
        allowed = {
            key: column if key == "time_ms" else np.where(times == open_ms - HOUR, 0.3, column)
            for key, column in columns.items()
        }
        table.add([allowed], ranges)
        assert stored(store, name).at_closes(candles)[bar] == 0.3
        table.add([columns], ranges)


def test_coarser_series_lag_by_their_own_period(
    bybit: Any, client: BybitClient, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    start = NOW // (24 * HOUR) * (24 * HOUR) - 10 * 24 * HOUR
    bybit.absent = {start + 5 * HOUR}
    get(client, store, start)
    fetch_bybit("BTCUSDT", "240", start, series=["open-interest"], store=store, client=client)
    candles = store.open("linear", "BTCUSDT", "60")
    series = open_series("bybit:BTCUSDT:open-interest:240", store)
    seen = series.at_closes(candles)
    for row in (8, 11, 100):
        close_ms = int(candles.open_time_ms[row]) + HOUR
        period = (close_ms - 8 * HOUR) // (4 * HOUR) * (4 * HOUR)
        assert seen[row] == float(bybit_series.interest(period))


def test_stored_candles_bring_their_series_as_columns(
    bybit: Any, client: BybitClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDMODEL_TRADING_DATA", str(tmp_path))
    store, start = Store(), NOW - 40 * HOUR
    get(client, store, start, "open-interest", "mark")
    bybit.log.clear()
    candles = open_candles("bybit:BTCUSDT:60", columns=["open_interest", "funding_hours"])
    plain = open_candles("bybit:linear:BTCUSDT:60")
    assert not plain.columns
    np.testing.assert_array_equal(
        candles.columns["open_interest"], stored(store, "open-interest").at_closes(plain)
    )
    assert candles.columns["funding_hours"][-1] == 8.0
    assert "mark" not in candles.columns
    assert candles.column_sources["open_interest"] == "bybit:linear:BTCUSDT:open-interest:60"
    assert not bybit.log
    with pytest.raises(StoreError, match=r"--symbol BTCUSDT --interval 60 --series index"):
        open_candles("bybit:BTCUSDT:60", columns=["index"])
    with pytest.raises(CandleError, match="no column rsi"):
        open_candles("bybit:BTCUSDT:60", columns=["mark", "rsi"])


def test_the_command(
    bybit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLDMODEL_TRADING_DATA", str(tmp_path))
    date, trades = bybit_series.trades_of(LAUNCH + 24 * HOUR, 50, 1)
    bybit.series.days = {f"BTCUSDT{date}": trades}
    names = ",".join([*BY_REST, "taker-imbalance", "volume-above-close"])
    start, end = str(LAUNCH + 24 * HOUR), str(LAUNCH + 48 * HOUR)
    command = ["fetch", "--symbol", "BTCUSDT", "--start", start, "--end", end, "--series", names]
    assert main([*command, "--base-url", bybit.url, "--archive-url", bybit.url]) == 0
    told = capsys.readouterr().out
    assert "premium-index: 24 periods (24 new), 0 missing, 2020-03-31 00:00 UTC to" in told
    assert "account-ratio: the exchange has none" in told
    assert told.count("trades: 24 periods (24 new)") == 1
    assert main(["data", "list", "--symbol", "BTCUSDT"]) == 0
    assert "open-interest" in capsys.readouterr().out
    assert main([*command[:-1], "open-intrest"]) == 2
    assert "did you mean 'open-interest'?" in capsys.readouterr().err


def test_the_command_s_help_names_every_series(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fetch", "--help"])
    shown = "".join(capsys.readouterr().out.split())
    assert [name for name in SERIES if name not in shown] == []


def test_a_table_is_what_its_series_say() -> None:
    assert {kind.table.name for kind in SERIES.values()} == set(TABLES)
    for kind in SERIES.values():
        columns = {name: np.ones(3) for name in kind.table.columns}
        assert kind.value(columns).shape == (3,)
    assert TABLES["open-interest"].intervals == ("5", "15", "30", "60", "240", "D")
    assert "W" in TABLES["mark"].intervals
    assert "W" not in TABLES["trades"].intervals
