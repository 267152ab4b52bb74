"""Generators beside the world model: built in, of a module, of a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from worldmodel_trading.evaluation.baselines.bars import Bars
from worldmodel_trading.evaluation.fidelity.generators import (
    BLOCKS,
    GENERATORS,
    ONE_BY_ONE,
    comparison_dreams,
    open_generator,
)
from worldmodel_trading.evaluation.fidelity.stylised import autocorrelation
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.market.files.paths import write_paths
from worldmodel_trading.market.synthetic import synthetic_candles


@pytest.fixture(scope="module")
def train() -> Candles:
    return synthetic_candles(seed=2, bars=6_000)


def test_all_of_them_repeat_and_keep_the_record_s_scale(train: Candles) -> None:
    first, again = (comparison_dreams(train, 30, 300, seed=5) for _ in range(2))
    assert list(first) == list(GENERATORS)
    recorded = np.nanstd(train.log_returns())
    for name, dreams in first.items():
        assert dreams.log_return.shape == (30, 300)
        assert dreams.log_return.std() == pytest.approx(recorded, rel=0.35), name
        np.testing.assert_array_equal(dreams.log_return, again[name].log_return)
        assert dreams.whole is not None
        assert (np.diff(dreams.whole.open_time_ms, axis=1) == train.interval_ms).all()


def test_blocks_keep_the_memory_that_single_bars_lose(train: Candles) -> None:
    dreams = comparison_dreams(train, 40, 500, seed=0)
    known = train.log_returns()[1:].reshape(-1, 5_999)

    def memory(returns: np.ndarray) -> float:
        return float(autocorrelation(np.abs(returns), 6)[:, 4:].mean())

    assert memory(dreams[BLOCKS].log_return) == pytest.approx(memory(known), abs=0.05)
    assert memory(dreams[ONE_BY_ONE].log_return) < 0.5 * memory(known)


def test_too_few_bars_are_named(train: Candles) -> None:
    with pytest.raises(ConfigError, match="at least 1000"):
        comparison_dreams(train.rows(0, 500), 2, 5, seed=0)


def test_a_function_of_a_module(
    train: Candles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside_model.py").write_text(
        "import numpy as np\n"
        "from worldmodel_trading.evaluation import Bars\n"
        "def noise(train, rows, bars, rng):\n"
        "    times = train.open_time_ms[rows, None] + train.interval_ms * np.arange(1, bars + 1)\n"
        "    return Bars(times, 0.01 * rng.standard_normal(times.shape))\n"
        "def wrong(train, rows, bars, rng):\n"
        "    return np.zeros((len(rows), bars))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    name, generator = open_generator("outside_model:noise")
    drawn = comparison_dreams(train, 8, 200, seed=0, others={name: generator})["noise"]
    assert drawn.log_return.std() == pytest.approx(0.01, rel=0.1)
    wrong = open_generator("outside_model:wrong")[1]
    with pytest.raises(ConfigError, match="wrong drew a ndarray; expected Bars"):
        comparison_dreams(train, 8, 200, seed=0, others={"wrong": wrong})
    sys.modules.pop("outside_model")


def test_a_folder_of_candle_files(train: Candles, tmp_path: Path) -> None:
    pieces = [train.rows(0, 300), train.rows(500, 750)]
    for number, piece in enumerate(pieces):
        write_candles(piece, tmp_path / f"path-{number}.csv")
    name, generator = open_generator(str(tmp_path))
    drawn = generator(train, np.array([0]), 10, np.random.default_rng(0))
    assert name == tmp_path.name
    assert drawn.log_return.shape == (2, 249)  # the shorter file's bars but the first
    expected = Bars.of(pieces[1])
    assert drawn.log_return[1] == pytest.approx(expected.log_return[0])
    assert drawn.upper is not None
    assert expected.upper is not None
    assert drawn.upper[1] == pytest.approx(expected.upper[0], abs=1e-9)


def test_a_table_of_paths(train: Candles, tmp_path: Path) -> None:
    pieces = [train.rows(0, 300), train.rows(500, 750)]
    with write_paths(tmp_path / "dreams.csv") as paths:
        for piece in pieces:
            paths.add(piece)
    name, generator = open_generator(str(tmp_path / "dreams.csv"))
    drawn = generator(train, np.array([0]), 10, np.random.default_rng(0))
    assert name == "dreams.csv"
    assert drawn.log_return[1] == pytest.approx(Bars.of(pieces[1]).log_return[0])


@pytest.mark.parametrize("source", ["nowhere", "numpy:no_such_thing", "numpy:pi", ":x"])
def test_what_is_no_generator_is_refused(source: str) -> None:
    with pytest.raises(ConfigError, match="--generator is"):
        open_generator(source)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no candle files"):
        open_generator(str(tmp_path))
