"""The archive of trades: made into bars while it comes, in bounded memory, day by day."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bybit_series
import numpy as np
import pytest

from worldmodel_trading.market.bybit import trades as archive
from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.fetch import fetch_bybit
from worldmodel_trading.market.bybit.series import open_series
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.bybit.trades import LOG_STEP, read_day
from worldmodel_trading.market.bybit.transport import RetryPolicy
from worldmodel_trading.market.errors import BybitAnswerError, BybitUnavailableError

HOUR, DAY = 3_600_000, 86_400_000
LAUNCH = 1_585_526_400_000
FAST = RetryPolicy(spacing_s=0.0, connect_timeout_s=2.0, read_timeout_s=2.0)
NAMES = ("taker-imbalance", "point-of-control", "volume-above-close")


@pytest.fixture
def client(bybit: Any) -> Iterator[BybitClient]:
    with BybitClient(bybit.url, FAST, sleep=lambda seconds: None, archive_url=bybit.url) as client:
        yield client


def get(client: BybitClient, store: Store, days: int, name: str = "taker-imbalance") -> Any:
    (report,) = fetch_bybit(
        "BTCUSDT", "60", LAUNCH, LAUNCH + days * DAY, store=store, client=client, series=[name]
    ).series
    return report


def lay_out(bybit: Any, *days: int, count: int = 2_000) -> dict[int, list[Any]]:
    """Days of trades in the archive, by number since the launch."""
    laid = {}
    for day in days:
        date, laid[day] = bybit_series.trades_of(LAUNCH + day * DAY, count, day)
        bybit.series.days[f"BTCUSDT{date}"] = laid[day]
    return laid


def worked_out(trades: list[Any], day_ms: int, step_ms: int) -> np.ndarray[Any, Any]:
    """The five numbers of each bar, by loops."""
    rows = []
    for start in range(day_ms, day_ms + DAY, step_ms):
        inside = [t for t in trades if start <= int(t[0] * 1000) < start + step_ms]
        if not inside:
            rows.append([0.0] * 5)
            continue
        bought = sum(size for _, side, size, _ in inside if side == "Buy")
        sold = sum(size for _, side, size, _ in inside if side == "Sell")
        close = max(inside, key=lambda t: t[0])[3]
        profile: dict[int, float] = {}
        for *_, size, price in inside:
            level = int(np.floor(np.log(price) / LOG_STEP))
            profile[level] = profile.get(level, 0.0) + size
        most = max(profile, key=lambda level: (profile[level], level))
        above = sum(v for level, v in profile.items() if level > np.log(close) // LOG_STEP)
        control = (most + 0.5) * LOG_STEP - np.log(close)
        rows.append([bought, sold, len(inside), control, above / (bought + sold)])
    return np.array(rows)


def unpacked(bybit: Any, trades: list[Any]) -> io.BytesIO:
    return io.BytesIO(gzip.decompress(bybit.series.packed_day(trades)))


@pytest.mark.parametrize("interval", ["60", "5", "D"])
@pytest.mark.parametrize("block", [200, 4_096, 1 << 22])
def test_a_day_is_what_loops_make_of_it(
    bybit: Any, monkeypatch: pytest.MonkeyPatch, interval: str, block: int
) -> None:
    """However it is cut into blocks."""
    monkeypatch.setattr(archive, "_BLOCK_BYTES", block)
    _, trades = bybit_series.trades_of(LAUNCH, 300, 1)
    page = read_day(unpacked(bybit, trades), LAUNCH, interval)
    step_ms = {"60": HOUR, "5": 300_000, "D": DAY}[interval]
    assert page.time_ms.tolist() == list(range(LAUNCH, LAUNCH + DAY, step_ms))
    np.testing.assert_allclose(
        page.values, worked_out(trades, LAUNCH, step_ms), rtol=1e-12, atol=1e-12
    )


def test_a_bar_worked_out_by_hand(bybit: Any) -> None:
    second = LAUNCH / 1000
    trades = [
        (second + 5, "Buy", 3.0, 100.0),
        (second + 3_599.9999, "Sell", 1.0, 101.0),  # the hour's last, and its close
        (second + 9, "Buy", 2.0, 102.0),
        (second + 7, "Sell", 2.0, 102.0),
        (second + 3_600, "Sell", 5.0, 90.0),  # the next hour
        (second - 0.001, "Buy", 50.0, 100.0),  # the day before: left out
        (second + 86_400, "Buy", 50.0, 100.0),  # the day after
    ]
    page = read_day(unpacked(bybit, trades), LAUNCH, "60")
    bought, sold, count, control, above = page.values[0]
    assert (bought, sold, count) == (5.0, 3.0, 4.0)
    assert control == pytest.approx(np.log(102 / 101), abs=LOG_STEP / 2)  # 4 of 8 traded at 102
    assert above == 0.5
    assert page.values[1].tolist()[:3] == [0.0, 5.0, 1.0]
    assert page.values[1, 4] == 0.0
    assert not page.values[2:].any()


def test_days_are_stored_and_read_as_series(
    bybit: Any, client: BybitClient, tmp_path: Path
) -> None:
    laid = lay_out(bybit, 0, 1, 2)
    store = Store(tmp_path)
    report = get(client, store, 3)
    assert (report.rows, report.new_rows, report.missing) == (72, 72, 0)
    table = np.concatenate([worked_out(laid[day], LAUNCH + day * DAY, HOUR) for day in range(3)])
    bought, sold, _, control, above = table.T
    found = {name: open_series(f"bybit:BTCUSDT:{name}:60", store) for name in NAMES}
    for name, numbers in zip(
        NAMES, ((bought - sold) / (bought + sold), control, above), strict=True
    ):
        np.testing.assert_allclose(found[name].values, numbers, rtol=1e-12, atol=1e-12)
        assert found[name].known_ms[0] == LAUNCH + 2 * HOUR
    bybit.log.clear()
    assert get(client, store, 3, "point-of-control").new_rows == 0
    assert [path for path, _ in bybit.log if path.startswith("/trading")] == []
    lay_out(bybit, 3)
    assert get(client, store, 4).new_rows == 24
    assert [path for path, _ in bybit.log if path.startswith("/trading")] == [
        "/trading/BTCUSDT/BTCUSDT2020-04-02.csv.gz"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_bar_s_close_sees_a_value_before_its_time(
    bybit: Any, client: BybitClient, tmp_path: Path, name: str
) -> None:
    """Other trades from a moment on: bars that close within an hour of that hour's end see the same."""
    laid = lay_out(bybit, 0, 1)
    store, other = Store(tmp_path / "a"), Store(tmp_path / "b")
    get(client, store, 2)
    altered_ms = LAUNCH + 30 * HOUR
    date, others = bybit_series.trades_of(LAUNCH + DAY, 2_000, 99)
    kept = [trade for trade in laid[1] if trade[0] * 1_000 < altered_ms]
    later = [trade for trade in others if trade[0] * 1_000 >= altered_ms]
    bybit.series.days[f"BTCUSDT{date}"] = kept + later
    get(client, other, 2)
    candles = store.open("linear", "BTCUSDT", "60")
    seen, now_seen = (
        open_series(f"bybit:BTCUSDT:{name}:60", one).at_closes(candles) for one in (store, other)
    )
    np.testing.assert_array_equal(now_seen[:31], seen[:31])  # bar 30 is the first with others
    assert (now_seen[31:] != seen[31:]).mean() > 0.9


def test_a_bar_without_trades_has_no_imbalance(
    bybit: Any, client: BybitClient, tmp_path: Path
) -> None:
    laid = lay_out(bybit, 0, count=10)
    hours = {int((t[0] * 1000 - LAUNCH) // HOUR) for t in laid[0]}
    store = Store(tmp_path)
    get(client, store, 1)
    for name in NAMES:
        values = open_series(f"bybit:BTCUSDT:{name}:60", store).values
        assert [values[hour] for hour in range(24) if hour not in hours] == [0.0] * (
            24 - len(hours)
        )
    imbalance = open_series("bybit:BTCUSDT:taker-imbalance:60", store).values
    assert all(abs(imbalance[hour]) > 0 for hour in hours)


def test_days_that_are_not_there(bybit: Any, client: BybitClient, tmp_path: Path) -> None:
    """An old day that is absent stays so; one that may still come is asked for again."""
    bybit.now_ms = LAUNCH + 9 * DAY + HOUR
    lay_out(bybit, 1, 3, 7)
    store = Store(tmp_path)
    report = fetch_bybit(
        "BTCUSDT", "60", LAUNCH, store=store, client=client, series=["taker-imbalance"]
    ).series[0]
    assert (report.rows, report.missing) == (72, 24 + 72)
    dates = [path[-17:-7] for path, _ in bybit.log if path.startswith("/trading")]
    assert dates == [f"2020-04-{day:02d}" for day in range(7, 0, -1)] + ["2020-03-31", "2020-03-30"]
    bybit.log.clear()
    lay_out(bybit, 8, 0)
    get(client, store, 9)
    dates = [path[-17:-7] for path, _ in bybit.log if path.startswith("/trading")]
    assert dates == [
        "2020-04-07",
        "2020-04-05",
    ]  # days 8 and 6; 5, 4, 2 and 0 are known to be absent


def test_a_download_that_breaks_off_begins_anew(
    bybit: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    laid = lay_out(bybit, 0)
    path = "/trading/BTCUSDT/BTCUSDT2020-03-30.csv.gz"
    content = bybit.series.packed_day(laid[0])

    def broken(server: Any, handler: Any, body: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True

    def short(server: Any, handler: Any, body: Any) -> None:
        exchange.send(handler, content[: len(content) // 2])

    bybit.fail(path, broken, short, exchange.status(503))
    store = Store(tmp_path)
    assert get(client, store, 1).new_rows == 24
    assert len([1 for asked, _ in bybit.log if asked == path]) == 4
    values = open_series("bybit:BTCUSDT:taker-imbalance:60", store).values
    bought, sold = worked_out(laid[0], LAUNCH, HOUR).T[:2]
    np.testing.assert_allclose(values, (bought - sold) / (bought + sold), rtol=1e-12)
    bybit.fail(path, *[short] * 7)
    with pytest.raises(BybitUnavailableError, match=r"2020-03-30.csv.gz: .*ends early.* 7 times"):
        get(client, Store(tmp_path / "other"), 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"<html>maintenance</html>\n", "no list of trades"),
        (b"", "no list of trades"),
        (b"timestamp,side,size\n1585526400,Buy,1\n", "no list of trades: .*price"),
        (b"timestamp,side,size,price\n1585526400,Buy,x,1\n", "no list of trades"),
        (
            b"timestamp,side,size,price\n1585526400,Buy,1,0\n",
            "a trade that cannot be: .*'price': 0",
        ),
        (b"timestamp,side,size,price\n1585526400,Hold,1,1\n", "cannot be: .*'Hold'"),
        (b"timestamp,side,size,price\n1585526400,Buy,-1,1\n", "cannot be"),
        (b"timestamp,side,size,price\n1585526400,Buy,,1\n", "cannot be"),
        (b"timestamp,side,size,price\n12,Buy,1,1\n", "cannot be"),
    ],
)
def test_what_is_no_trade_is_refused(
    bybit: Any, client: BybitClient, exchange: Any, tmp_path: Path, text: bytes, said: str
) -> None:
    path = "/trading/BTCUSDT/BTCUSDT2020-03-30.csv.gz"
    bybit.fail(path, lambda server, handler, body: exchange.send(handler, gzip.compress(text)))
    with pytest.raises(BybitAnswerError, match=said):
        get(client, Store(tmp_path), 1)


def test_a_file_that_is_packed_badly(
    bybit: Any, client: BybitClient, exchange: Any, tmp_path: Path
) -> None:
    path = "/trading/BTCUSDT/BTCUSDT2020-03-30.csv.gz"
    bybit.fail(path, lambda server, handler, body: exchange.send(handler, b"no gzip at all"))
    with pytest.raises(BybitAnswerError, match=r"2020-03-30\.csv\.gz: the file cannot be unpacked"):
        get(client, Store(tmp_path), 1)


class Many(io.RawIOBase):
    """A day of trades, twenty thousand at a read."""

    def __init__(self, blocks: int) -> None:
        rng = np.random.default_rng(0)
        seconds, prices = (
            LAUNCH / 1000 + rng.uniform(0, 86_400, 20_000),
            rng.normal(6e4, 300, 20_000),
        )
        lines = (f"{s:.4f},Buy,0.01,{p:.1f}\n" for s, p in zip(seconds, prices, strict=True))
        self._block = "".join(lines).encode()
        self._blocks = iter([b"timestamp,side,size,price\n", *[self._block] * blocks])

    def read(self, size: int = -1, /) -> bytes:
        return next(self._blocks, b"")


def test_memory_does_not_grow_with_the_day() -> None:
    def peak(blocks: int) -> tuple[int, int]:
        stream = Many(blocks)
        tracemalloc.start()
        try:
            page = read_day(stream, LAUNCH, "60")  # type: ignore[arg-type]
            return tracemalloc.get_traced_memory()[1], int(page.values[:, 2].sum())
        finally:
            tracemalloc.stop()

    (few, counted), (many, all_counted) = peak(3), peak(30)
    assert (counted, all_counted) == (60_000, 600_000)
    assert many < 1.2 * few
