"""The catalogue: what the store holds by its manifests, and whether all of it is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worldmodel_trading.cli import main
from worldmodel_trading.market.bybit.catalogue import StoredTable, list_data, verify_data
from worldmodel_trading.market.bybit.client import BybitClient
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.bybit.table import FORMAT, read_sealed, sealed
from worldmodel_trading.market.bybit.transport import RetryPolicy
from worldmodel_trading.market.bybit.universe import list_universe
from worldmodel_trading.market.bybit.universe_fetch import fetch_universe

HOUR = 3_600_000
LAUNCH = 1_585_526_400_000
NOW = LAUNCH + 4_000 * HOUR
START, ENDED = NOW - 60 * HOUR, NOW - 10 * HOUR
FOLDER = Path("bybit", "linear", "ETHUSDT")


@pytest.fixture
def store(bybit: Any, exchange: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three fetched markets: one with gaps and a series, one that has ended."""
    monkeypatch.setenv("WORLDMODEL_TRADING_DATA", str(tmp_path))
    bybit.others = {"ETHUSDT": exchange.Listed(), "OLDUSDT": exchange.Listed(ended_ms=ENDED)}
    bybit.absent = {START + hour * HOUR for hour in (5, 6, 20)}
    store = Store()
    with BybitClient(bybit.url, RetryPolicy(spacing_s=0.0)) as client:
        universe = list_universe("linear", "USDT", "all", store, client)
        fetch_universe(universe, "60", START, series=["open-interest"], store=store, client=client)
    return store


def one(store: Store, symbol: str, series: str) -> StoredTable:
    (found,) = [each for each in list_data(store, symbol) if each.series == series]
    return found


def file(store: Store, pattern: str) -> Path:
    (path,) = (store.root / FOLDER).glob(pattern)
    return path


def test_what_is_stored(store: Store) -> None:
    names = [(each.symbol, each.series, each.interval) for each in list_data(store)]
    each_has = [("funding", ""), ("candles", "60"), ("open-interest", "60")]
    assert names == [
        (symbol, *rest) for symbol in ("BTCUSDT", "ETHUSDT", "OLDUSDT") for rest in each_has
    ]
    candles = one(store, "ETHUSDT", "candles")
    assert (candles.rows, candles.gaps, candles.missing) == (57, 2, 3)
    assert (candles.first_ms, candles.last_ms) == (START, NOW - HOUR)
    assert candles.fetched == ((START, NOW),)
    assert (candles.launch_ms, candles.ended_ms, candles.status) == (LAUNCH, 0, "Trading")
    assert candles.bytes == sum(
        path.stat().st_size for path in (store.root / FOLDER / "60").glob("candles*")
    )
    old = one(store, "OLDUSDT", "candles")
    assert (old.ended_ms, old.status, old.rows) == (ENDED, "Closed", 47)
    assert old.last_ms == ENDED - HOUR
    funding = one(store, "BTCUSDT", "funding")
    assert (funding.rows, funding.gaps, funding.interval) == (8, 0, "")
    assert not any(each.damage for each in list_data(store))


def test_a_list_reads_no_data(store: Store) -> None:
    before = list_data(store)
    path = file(store, "60/candles-*.parquet")
    path.write_bytes(b"?" * path.stat().st_size)
    assert list_data(store) == before


def test_tables_of_an_earlier_version_are_read_for_their_times(store: Store) -> None:
    manifest = store.root / FOLDER / "60" / "candles.json"
    body = read_sealed(manifest, "", "")
    del body["extent"]
    manifest.write_bytes(sealed(body))
    found = one(store, "ETHUSDT", "candles")
    assert (found.rows, found.gaps, found.missing) == (57, 2, 3)
    assert not verify_data(store).damage
    file(store, "60/candles-*.parquet").write_bytes(b"nothing")
    assert "gone, truncated or altered; fetch them" in one(store, "ETHUSDT", "candles").damage


def test_all_is_read(store: Store) -> None:
    told: list[str] = []
    found = verify_data(store, told.append)
    assert told == ["linear BTCUSDT", "linear ETHUSDT", "linear OLDUSDT"]
    assert found.damage == ()
    assert found.files == 3 + 2 * 9 + 1  # rules; tables, two files each; a list of instruments
    assert found.bytes == sum(each.bytes for each in list_data(store))


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def lie(path: Path) -> None:
    """Seal what is not so."""
    body = read_sealed(path, "", "")
    path.write_bytes(sealed({**body, "rows": body["rows"] + 1}))


CURE = "fetch --category linear --symbol ETHUSDT"
HARM: list[tuple[str, Callable[[Path], object], str]] = [
    ("60/candles-*.parquet", alter, f"truncated or altered.*{CURE} --interval 60 --start"),
    ("60/candles-*.parquet", cut, f"truncated or altered.*{CURE} --interval 60 --start"),
    ("60/candles-*.parquet", Path.unlink, "is gone"),
    ("60/candles.json", alter, "truncated or altered"),
    ("60/candles.json", lie, "is of another table"),
    ("60/open-interest-*.parquet", alter, f"{CURE} --interval 60 --series open-interest"),
    ("funding/funding.json", cut, f"{CURE} --start"),
    ("funding/funding-*.parquet", cut, f"{CURE} --start"),
    ("instrument.json", alter, "truncated or altered; fetch it"),
]


@pytest.mark.parametrize("case", range(len(HARM)))
def test_damage_is_found_and_cured(
    bybit: Any, store: Store, case: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern, harm, said = HARM[case]
    harm(file(store, pattern))
    found = verify_data(store)
    assert any(re.search(said, text, re.DOTALL) for text in found.damage)
    assert main(["data", "verify"]) == 1
    assert "damaged: " in capsys.readouterr().out
    assert all("ETHUSDT" in text for text in found.damage)
    with BybitClient(bybit.url, RetryPolicy(spacing_s=0.0)) as client:
        universe = list_universe("linear", "USDT", "all", store, client)
        fetch_universe(universe, "60", START, series=["open-interest"], store=store, client=client)
    assert verify_data(store).damage == ()


def test_a_damaged_list_of_instruments(store: Store) -> None:
    (path,) = (store.root / "bybit" / "linear" / "universe").glob("*.json")
    cut(path)
    (text,) = verify_data(store).damage
    assert "list them with: worldmodel-trading fetch --universe linear --quote USDT" in text


def test_bars_that_break_the_rules_under_a_good_checksum(store: Store) -> None:
    table = store.candle_table("linear", "ETHUSDT", "60")
    columns, ranges = table.read()
    table.add([{**columns, "high": columns["low"] - 1}], ranges)
    (text,) = verify_data(store).damage
    assert "is below open" in text
    assert "remove candles.json there, and fetch them again" in text


def test_the_commands(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *("market", "series", "first", "last", "rows", "gaps", "missing", "MB", "instrument")
    ]
    (candles,) = [line for line in lines if line.startswith("linear ETHUSDT 60  candles ")]
    first, last = "2020-09-10 04:00", "2020-09-12 15:00"
    assert candles.split("  ", 2)[2].split() == [
        *(*first.split(), *last.split(), "57", "2", "3", "0.0", "Trading", "2020-03-30", "–")
    ]
    assert "Closed 2020-03-30 – 2020-09-12" in "\n".join(lines)
    assert lines[-2].startswith("universe: linear USDT, all: 3 instruments, 1 of them ended")
    assert lines[-1].startswith("3 markets, 9 tables, 0.0 MB in ")
    assert main(["data", "list", "--json", "--symbol", "OLDUSDT"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["series"] for each in told["tables"]] == ["funding", "candles", "open-interest"]
    assert told["tables"][1]["fetched"] == [[START, ENDED]]
    assert main(["data", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["universes"][0]["symbols"] == [
        *("BTCUSDT", "ETHUSDT", "OLDUSDT")
    ]
    assert main(["data", "verify", "--quiet"]) == 0
    assert capsys.readouterr().out == "22 files, 0.0 MB of data: all whole\n"
    assert main(["data", "verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["damage"] == []


def test_another_version_s_table_is_said_to_be_one(store: Store) -> None:
    manifest = store.root / FOLDER / "60" / "candles.json"
    body = read_sealed(manifest, "", "")
    manifest.write_bytes(sealed({**body, "format": FORMAT + 1}))
    assert f"format {FORMAT + 1}" in one(store, "ETHUSDT", "candles").damage
    assert any(f"format {FORMAT + 1}" in text for text in verify_data(store).damage)


def test_an_empty_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_data(Store(tmp_path)) == ()
    assert verify_data(Store(tmp_path)).files == 0
    assert main(["data", "list", "--data-dir", str(tmp_path)]) == 0
    assert "nothing is stored in" in capsys.readouterr().out
