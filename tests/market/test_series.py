from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.market.candles import Candles, join_candles
from worldmodel_trading.market.errors import CandleError, FundingError
from worldmodel_trading.market.files.export import to_frame, write_candles
from worldmodel_trading.market.files.reader import read_candles
from worldmodel_trading.market.funding import FundingRates
from worldmodel_trading.market.series import Series, with_funding, with_series
from worldmodel_trading.market.sources import open_candles

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01 00:00 UTC


def bars(count: int = 20, **more: Any) -> Candles:
    close = 100.0 + np.arange(count)
    times = START + HOUR * np.arange(count)
    return Candles(
        times, close - 1, close + 2, close - 2, close, np.ones(count), close, "BTCUSDT", **more
    )


def test_the_newest_value_that_was_known_at_the_close() -> None:
    # known at 01:00, the close of bar 0; at 01:30, inside bar 1; at 05:00
    known = START + HOUR * np.array([1.0, 1.5, 5.0])
    series = Series("depth", "a test", known, np.array([1.0, 2.0, 3.0]))
    candles = with_series(bars(6), series)
    np.testing.assert_array_equal(candles.columns["depth"], [1, 2, 2, 2, 3, 3])
    assert candles.column_sources == {"depth": "a test"}
    late = Series("depth", "a test", known + 1, series.values)  # a millisecond after the close
    np.testing.assert_array_equal(late.at_closes(bars(6)), [np.nan, 2, 2, 2, 2, 3])


def test_of_equal_times_the_last_value_counts() -> None:
    series = Series("depth", "", np.full(2, START + HOUR), np.array([1.0, 2.0]))
    assert series.at_closes(bars(1)).tolist() == [2.0]


@pytest.mark.parametrize(
    ("known", "values", "what"),
    [
        ([START, START - 1], [1.0, 2.0], "row 1.* earlier"),
        ([START, START + 1], [1.0, np.inf], "row 1.* infinite"),
        ([START], [1.0, 2.0], "as many"),
        ([12], [1.0], "outside 2000"),
        ([], [], "at least one"),
    ],
)
def test_series_that_are_none(known: list[int], values: list[float], what: str) -> None:
    with pytest.raises(CandleError, match=what):
        Series("depth", "", np.array(known), np.array(values))


def test_columns_go_wherever_the_bars_go() -> None:
    candles = bars(8, columns={"depth": np.arange(8.0)}, column_sources={"depth": "mine"})
    part = candles.rows(2, 5)
    assert part.columns["depth"].tolist() == [2, 3, 4]
    assert part.column_sources == {"depth": "mine"}
    whole = join_candles([candles.rows(0, 3), candles.rows(3, 8)])
    assert whole.data_hash() == candles.data_hash()
    assert join_candles([bars(8).rows(0, 3), candles.rows(3, 8)]).columns == {}
    for again in (pickle.loads(pickle.dumps(candles)), copy.deepcopy(candles)):
        assert again.data_hash() == candles.data_hash()
    with pytest.raises(ValueError, match="read-only"):
        candles.columns["depth"][0] = 1.0


def test_the_hash_has_the_columns_in_it_and_is_the_old_one_without() -> None:
    plain = bars(5)
    # of the same numbers before candles could carry more
    assert plain.data_hash() == "ab8de2876d7ca89959630eba7c9637062a0bc1438d0dae9514e0fcd55c3d37fa"
    one = replace(plain, columns={"depth": np.arange(5.0)})
    other = replace(plain, columns={"depth": np.arange(5.0)[::-1]})
    renamed = replace(plain, columns={"width": np.arange(5.0)})
    assert len({each.data_hash() for each in (plain, one, other, renamed)}) == 4


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"close": np.ones(3)}, "called 'close'"),
        ({"a b": np.ones(3)}, "called 'a b'"),
        ({"depth": np.ones(2)}, "differ in length"),
        ({"depth": np.array([0.0, np.inf, 0.0])}, "row 1 .*depth is inf"),
        ({"depth": ["x", "y", "z"]}, "must be numbers"),
    ],
)
def test_columns_that_are_none(columns: dict[str, Any], what: str) -> None:
    with pytest.raises(CandleError, match=what):
        bars(3, columns=columns)


@pytest.mark.parametrize("name", ["BTCUSDT.csv", "BTCUSDT.csv.gz", "BTCUSDT.parquet"])
def test_files_keep_the_columns_that_are_asked_for(tmp_path: Path, name: str) -> None:
    values = np.array([np.nan, 0.1, 1 / 3, -5e-9])
    candles = bars(4, columns={"depth": values, "book_imbalance": values[::-1]})
    write_candles(candles, tmp_path / name)
    read = read_candles(tmp_path / name, columns=("book_imbalance",))
    np.testing.assert_array_equal(read.columns["book_imbalance"], values[::-1])
    assert list(read.columns) == ["book_imbalance"]
    assert read.column_sources == {"book_imbalance": name}
    assert open_candles(str(tmp_path / name)).data_hash() == bars(4).data_hash()


def test_a_frame_and_a_name_written_otherwise() -> None:
    frame = to_frame(bars(4, columns={"depth": np.arange(4.0)})).rename(
        columns={"depth": "Book Depth"}
    )
    assert read_candles(frame, columns=["book_depth"]).columns["book_depth"].tolist() == [
        0,
        1,
        2,
        3,
    ]


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    write_candles(bars(4), tmp_path / "a.csv")
    with pytest.raises(CandleError, match=r"a\.csv: there is no column 'depth': found 'timestamp'"):
        open_candles(str(tmp_path / "a.csv"), columns=["depth"])
    with pytest.raises(CandleError, match=r"no column depth .*with_series"):
        open_candles(bars(4), columns=["depth"])


def test_funding_as_it_was_known() -> None:
    # instants 8 h apart, then an hour apart from 24:00 on
    hours = np.array([0, 8, 16, 24, 25, 26])
    rates = FundingRates(START + HOUR * hours, 1e-4 * np.arange(1, 7))
    columns = with_funding(bars(28), rates, "mine").columns
    closes = np.arange(1, 29)
    assert np.isnan(columns["funding_hours"][:7]).all()  # one instant tells no interval
    np.testing.assert_allclose(columns["funding_rate"][[0, 6, 7, 23, 24]] * 1e4, [1, 1, 2, 4, 5])
    assert columns["funding_hours"][closes == 24].tolist() == [8]
    assert columns["funding_hours"][closes == 25].tolist() == [1]  # and not before
    np.testing.assert_allclose(columns["funding_due"][7:16], [8, 7, 6, 5, 4, 3, 2, 1, 8])


def test_later_rates_change_nothing_before_them() -> None:
    hours = 8 * np.arange(12)
    rates = FundingRates(START + HOUR * hours, np.linspace(-1e-4, 1e-4, 12))
    known = with_funding(bars(60), rates)
    fewer = with_funding(bars(60), rates.between(None, START + 40 * HOUR))
    for name, values in known.columns.items():
        np.testing.assert_array_equal(values[:39], fewer.columns[name][:39])


def test_funding_after_the_candles() -> None:
    with pytest.raises(FundingError, match="end before the first"):
        with_funding(bars(4), FundingRates(np.array([START + 90 * HOUR]), np.array([1e-4])))
