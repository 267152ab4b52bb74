from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.fetch import fetch_bybit, open_bybit
from worldmodel_trading.market.bybit.store import Store, open_stored
from worldmodel_trading.market.bybit.table import sealed
from worldmodel_trading.market.bybit.transport import RetryPolicy
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import StoreError, StoreFormatError
from worldmodel_trading.market.instruments import Instrument

HOUR = 3_600_000
LAUNCH = 1_585_526_400_000
BTC = ("linear", "BTCUSDT", "60")


def some_bars(first: int, count: int, price: float = 100.0) -> Candles:
    prices = price + np.arange(count)
    times = LAUNCH + (first + np.arange(count)) * HOUR
    ones = np.ones(count)
    return Candles(times, prices, prices + 1, prices - 1, prices, ones, ones, "BTCUSDT", "60")


def add(store: Store, first: int, count: int, price: float = 100.0) -> None:
    span = (LAUNCH + first * HOUR, LAUNCH + (first + count) * HOUR)
    store.add_candles(*BTC, [some_bars(first, count, price)], (span,))


def data_file(store: Store) -> Path:
    (path,) = store.folder(*BTC).glob("candles-*.parquet")
    return path


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 10, 5)
    add(store, 0, 3)
    candles = store.open(*BTC)
    assert [g.missing_bars for g in candles.gaps()] == [7]
    np.testing.assert_array_equal(candles.close, [100, 101, 102, 100, 101, 102, 103, 104])
    assert (candles.symbol, candles.interval) == ("BTCUSDT", "60")
    assert store.fetched(*BTC) == (
        (LAUNCH, LAUNCH + 3 * HOUR),
        (LAUNCH + 10 * HOUR, LAUNCH + 15 * HOUR),
    )
    assert [p.name for p in store.folder(*BTC).iterdir() if p.suffix == ".parquet"] == [
        data_file(store).name
    ]


def test_newly_fetched_bars_take_the_place_of_stored_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 6)
    add(store, 2, 2, price=500.0)
    np.testing.assert_array_equal(store.open(*BTC).close, [100, 101, 500, 501, 104, 105])
    store.add_candles(*BTC, [], ((LAUNCH, LAUNCH + HOUR),))  # the exchange has it no more
    assert len(store.open(*BTC)) == 5


def test_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLDMODEL_TRADING_DATA", raising=False)
    assert Store().root.name == "worldmodel-trading"
    monkeypatch.setenv("WORLDMODEL_TRADING_DATA", str(tmp_path / "env"))
    assert Store().root == tmp_path / "env"
    assert Store(tmp_path / "arg").root == tmp_path / "arg"
    assert Store("x").folder(*BTC) == Path("x", "bybit", "linear", "BTCUSDT", "60")


@pytest.mark.parametrize(
    ("category", "symbol", "interval"),
    [
        ("..", "BTCUSDT", "60"),
        ("linear", "..", "60"),
        ("linear", "../../etc", "60"),
        ("linear", "/etc", "60"),
        ("linear", "C:\\x", "60"),
        ("linear", "BTC\0", "60"),
        ("linear", "BTCUSDT\n", "60"),
        ("linear", "BTCUSDT", "../60"),
        ("linear", "", "60"),
    ],
)
def test_no_name_leaves_the_folder(
    tmp_path: Path, category: str, symbol: str, interval: str
) -> None:
    store = Store(tmp_path / "data")
    with pytest.raises(ValueError, match="expected"):
        store.open(category, symbol, interval)
    with pytest.raises(ValueError, match="expected"):
        store.add_candles(category, symbol, interval, [some_bars(0, 1)], ())
    assert list(tmp_path.iterdir()) == []


def test_what_was_never_fetched(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for ask in (
        lambda: store.open(*BTC),
        lambda: store.funding("linear", "BTCUSDT"),
        lambda: store.instrument("linear", "BTCUSDT"),
        lambda: open_stored("bybit:BTCUSDT:60", store=store),
    ):
        with pytest.raises(StoreError, match=r"fetch .*worldmodel-trading fetch .*BTCUSDT"):
            ask()
    assert store.fetched(*BTC) == ()
    assert list(tmp_path.iterdir()) == []
    store.add_candles(*BTC, [], ((LAUNCH, LAUNCH + HOUR),))
    with pytest.raises(StoreError, match="holds no linear BTCUSDT 60 candles"):
        store.open(*BTC)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def truncate(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:at])


def test_every_altered_byte_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 3)
    for path in (data_file(store), store.folder(*BTC) / "candles.json"):
        whole = path.read_bytes()
        for at in range(0, len(whole), max(1, len(whole) // 40)):
            for harm in (flip, truncate):
                path.write_bytes(whole)
                harm(path, at)
                with pytest.raises(StoreError, match=r"fetch .*--symbol BTCUSDT --interval 60"):
                    store.open(*BTC)
        path.write_bytes(whole)
    assert len(store.open(*BTC)) == 3


def test_manifests_that_lie(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 3)
    path = store.folder(*BTC) / "candles.json"
    body = json.loads(path.read_text())
    assert body["fetched_ms"] == [[LAUNCH, LAUNCH + 3 * HOUR]]
    for text in (
        "[]",
        "{}",
        "null",
        "",
        "[" * 100_000,
        json.dumps({**body, "file": "../x.parquet"}),
    ):
        path.write_text(text)
        with pytest.raises(StoreError, match="altered"):
            store.open(*BTC)
    data_file(store).unlink()
    path.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")
    with pytest.raises(StoreError, match="is gone"):
        store.open(*BTC)


def test_another_version_s_files_are_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 3)
    path = store.folder(*BTC) / "candles.json"
    body = json.loads(path.read_text())
    del body["seal"]
    path.write_bytes(sealed({**body, "format": 2}))
    for use in (
        lambda: store.open(*BTC),
        lambda: add(store, 3, 1),
        lambda: store.damage(*BTC),
        lambda: store.fetched(*BTC, damaged=True),
    ):
        with pytest.raises(StoreFormatError, match="format 2, this version reads 1"):
            use()
    path.write_bytes(sealed({"format": 1, "file": "/etc/passwd"}))
    with pytest.raises(StoreError, match="no manifest of this version"):
        store.open(*BTC)


def test_readers_never_wait_for_writers_and_see_whole_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 0, 10)
    counts: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counts.append(len(store.open(*BTC)))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(60):
        add(store, 10 + i, 1)
    done.set()
    reader.join()
    assert counts == sorted(counts)
    assert set(counts) <= set(range(10, 71))


def test_damage_is_repaired_by_fetching(bybit: Any, exchange: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)

    def get(count: int) -> Any:
        with BybitClient(bybit.url, RetryPolicy(spacing_s=0.0)) as client:
            return fetch_bybit(
                "BTCUSDT", "60", LAUNCH, LAUNCH + count * HOUR, store=store, client=client
            )

    get(1_500)
    good = store.open(*BTC)
    truncate(data_file(store), 1_000)
    truncate(next((store.folder("linear", "BTCUSDT") / "funding").glob("*.parquet")), 100)
    report = get(10)  # a short range: the rest of the damaged file comes back, too
    assert len(report.repaired) == 2
    assert "repaired: " in str(report)
    assert store.open(*BTC).data_hash() == good.data_hash()
    assert len(store.funding("linear", "BTCUSDT")) == 188
    flip(data_file(store), 500)
    again = open_bybit("bybit:BTCUSDT:60", fetch_missing=True, store=store, base_url=bybit.url)
    assert again.data_hash() == good.data_hash()
    (store.folder(*BTC) / "candles.json").write_text("{")
    assert get(1_500).new_bars == 1_500
    (store.folder("linear", "BTCUSDT") / "instrument.json").write_text("{")
    with pytest.raises(StoreError, match="altered"):
        store.instrument("linear", "BTCUSDT")
    get(1_500)
    assert store.instrument("linear", "BTCUSDT").symbol == "BTCUSDT"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"--data-dir or WORLDMODEL_TRADING_DATA"):
        add(Store(tmp_path / "file"), 0, 3)


def test_funding_rates_and_rules(tmp_path: Path) -> None:
    store = Store(tmp_path)
    times = LAUNCH + 8 * HOUR * np.arange(3)
    rates = np.array([1e-4, -2e-4, 3e-4])
    store.add_funding("linear", "BTCUSDT", [(times, rates)], ((LAUNCH, LAUNCH + 24 * HOUR),))
    np.testing.assert_array_equal(store.funding("linear", "BTCUSDT").rate, rates)
    assert store.fetched("linear", "BTCUSDT", None) == ((LAUNCH, LAUNCH + 24 * HOUR),)
    rules = Instrument("BTCUSDT", "linear", 0.1, 0.001, 0.001, 5.0, 1.0, 100.0, 480, LAUNCH)
    store.save_instrument(rules)
    assert store.instrument("linear", "BTCUSDT") == rules
    store.add_funding("linear", "ETHUSDT", [], ((LAUNCH, LAUNCH + HOUR),))
    with pytest.raises(StoreError, match="holds no linear ETHUSDT funding rates"):
        store.funding("linear", "ETHUSDT")


def script(text: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
        **options,
    )


def test_two_processes_end_with_one_valid_file(bybit: Any, exchange: Any, tmp_path: Path) -> None:
    work = """
        import sys
        from worldmodel_trading.market.bybit.client import BybitClient
        from worldmodel_trading.market.bybit.fetch import fetch_bybit
        from worldmodel_trading.market.bybit.store import Store
        url, folder, start, end = sys.argv[1:]
        print("ready", flush=True)
        sys.stdin.readline()
        print(fetch_bybit("BTCUSDT", "60", int(start), int(end), base_url=url, store=Store(folder)).bars)
    """
    ranges = [(LAUNCH, LAUNCH + 2_500 * HOUR), (LAUNCH + 1_500 * HOUR, LAUNCH + 4_000 * HOUR)]
    workers = [
        script(work, bybit.url, str(tmp_path), str(start), str(end), stdin=subprocess.PIPE)
        for start, end in ranges
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        output, _ = worker.communicate("\n", timeout=600)
        assert (worker.returncode, output) == (0, "2500\n")
    store = Store(tmp_path)
    candles = store.open(*BTC)
    assert candles.open_time_ms.tolist() == list(range(LAUNCH, LAUNCH + 4_000 * HOUR, HOUR))
    assert candles.close[3_999] == float(exchange.bar(LAUNCH + 3_999 * HOUR)[4])
    assert store.fetched(*BTC) == ((LAUNCH, LAUNCH + 4_000 * HOUR),)
    assert len(list(store.folder(*BTC).glob("*.parquet"))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_kill_9_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """A nursery forks writers and kills each at a random moment of its writing."""
    nursery = """
        import os, random, signal, sys, time
        import numpy as np
        from worldmodel_trading.market.candles import Candles
        from worldmodel_trading.market.bybit.store import Store

        HOUR, LAUNCH, BTC = 3_600_000, 1_585_526_400_000, ("linear", "BTCUSDT", "60")
        store, rng = Store(sys.argv[1]), random.Random(5)

        def add(first, count):
            prices = 100.0 + first + np.arange(count)
            times = LAUNCH + (first + np.arange(count)) * HOUR
            bars = Candles(times, prices, prices, prices, prices, prices, prices, "BTCUSDT", "60")
            store.add_candles(*BTC, [bars], ((int(times[0]), int(times[-1]) + HOUR),))

        add(0, 2_000)
        before = 2_000
        for added in (1, 2, 3) * 5:
            told, tell = os.pipe()
            writer, began = os.fork(), time.monotonic()
            if not writer:
                for i in range(1_000):
                    add(before + i, 1)
                    os.write(tell, b".")
                os._exit(0)
            os.close(tell)
            for _ in range(added):
                assert os.read(told, 1) == b"."
            # At work on the next; killed at any moment of it, however long one takes here.
            time.sleep(rng.uniform(0.0, (time.monotonic() - began) / added))
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
            os.close(told)
            candles = store.open(*BTC)  # raises if it is neither the old nor the new
            count = len(candles)
            assert count >= before + added, (count, before, added)
            assert store.fetched(*BTC) == ((LAUNCH, LAUNCH + count * HOUR),)
            assert (candles.close == 100.0 + np.arange(count)).all()
            before = count
        add(before, 1)
        left = sorted(p.suffix for p in store.folder(*BTC).iterdir() if p.name != ".lock")
        print(before, left)
    """
    worker = script(nursery, str(tmp_path))
    output, _ = worker.communicate(timeout=600)
    assert worker.returncode == 0
    count, left = output.split(" ", 1)
    assert int(count) >= 2_000 + 5 * (1 + 2 + 3)  # writers were killed at work, not before it
    assert left.strip() == "['.json', '.parquet']"
