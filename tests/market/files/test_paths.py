"""Many paths of candles in one table or folder: written as they come, read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError, OutputError
from worldmodel_trading.market.files import paths
from worldmodel_trading.market.files.paths import check_target, read_path, read_paths, write_paths
from worldmodel_trading.market.files.reader import read_candles
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.market.synthetic import synthetic_candles

TARGETS = ("dreams.parquet", "dreams.csv", "dreams")


@pytest.fixture(scope="module")
def some() -> list[Candles]:
    whole = synthetic_candles(seed=1, bars=300)
    return [whole.rows(0, 40), whole.rows(10, 50), whole.rows(100, 300), whole.rows(0, 2)]


def write(target: Path, some: Iterable[Candles]) -> Path:
    with write_paths(target) as written:
        for path in some:
            written.add(path)
    return target


def same(one: Candles, other: Candles) -> bool:
    columns = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in columns)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("rows", [1, 60, 1 << 17])  # of a row group
def test_paths_come_back_bit_for_bit(
    target: str, rows: int, some: list[Candles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "_ROWS", rows)
    file = write(tmp_path / target, some)
    again = list(read_paths(file))
    assert [same(*pair) for pair in zip(again, some, strict=True)] == [True] * 4
    assert same(read_path(file, 2), some[2])
    assert same(open_candles(f"{file}#1"), some[1])
    if target == "dreams.csv":  # which keeps no names
        assert again[0].symbol == "UNKNOWN"
    else:
        assert (again[0].symbol, again[0].interval) == (some[0].symbol, some[0].interval)


def test_a_table_has_further_columns(some: list[Candles], tmp_path: Path) -> None:
    with write_paths(tmp_path / "dreams.parquet") as written:
        written.add(some[0], ood=np.linspace(0, 1, 40))
    table = pd.read_parquet(tmp_path / "dreams.parquet")
    assert table.ood.tolist() == np.linspace(0, 1, 40).tolist()
    assert (table.path == 0).all()


def broken() -> Iterator[Candles]:
    yield synthetic_candles(seed=2, bars=30)
    raise CandleError("no more")


@pytest.mark.parametrize("target", TARGETS)
def test_what_fails_leaves_what_was_there(target: str, some: list[Candles], tmp_path: Path) -> None:
    write(tmp_path / target, some[:1])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(CandleError, match="no more"):
        write(tmp_path / target, broken())
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    write(tmp_path / target, some)  # replaces it
    assert len(list(read_paths(tmp_path / target))) == 4


def test_a_table_of_paths_is_no_record(some: list[Candles], tmp_path: Path) -> None:
    file = write(tmp_path / "dreams.parquet", some)
    with pytest.raises(CandleError, match="several paths: open one as 'FILE#0'"):
        read_candles(file)
    with pytest.raises(CandleError, match=r"dreams.parquet holds no path 4"):
        open_candles(f"{file}#4")
    record = tmp_path / "record.csv"
    record.write_text("time,open,high,low,close,volume\n2024-01-01,1,1,1,1,1\n")
    with pytest.raises(CandleError, match="no column path"):
        list(read_paths(record))
    with pytest.raises(CandleError, match="there is no file"):
        list(read_paths(tmp_path / "nowhere.csv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CandleError, match="holds no files path-000000"):
        list(read_paths(tmp_path / "empty"))


def test_a_target_that_is_taken_is_refused(some: list[Candles], tmp_path: Path) -> None:
    assert check_target(tmp_path / "dreams.csv")
    assert not check_target(tmp_path / "dreams")
    for target in TARGETS[1:]:
        write(tmp_path / target, some)
        with pytest.raises(OutputError, match=r"is there already: .* --overwrite"):
            check_target(tmp_path / target)
        check_target(tmp_path / target, overwrite=True)
    (tmp_path / "dreams" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds notes.txt, which is none of the files"):
        check_target(tmp_path / "dreams", overwrite=True)
    with pytest.raises(OutputError, match=r"holds notes.txt"):
        write(tmp_path / "dreams", some)
    assert (tmp_path / "dreams" / "notes.txt").read_text() == "mine"
    with pytest.raises(CandleError, match="expected a name ending in"):
        check_target(tmp_path / "dreams.xlsx")
