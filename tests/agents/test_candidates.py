"""Candidates on disk: every one and its score, and searches that go on from them to the bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from worldmodel_trading.agents.candidates import FOLDER
from worldmodel_trading.agents.cma_es import CMAESConfig, Generation
from worldmodel_trading.agents.dream_search import (
    DreamSearchConfig,
    Searches,
    train_controller,
    train_controllers,
)
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.policies import spread_inputs
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.scoring import Scores
from worldmodel_trading.envs.recorded import RecordedMarket, latent_record, restrict
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import TrainingError
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.models.world_model import WorldModel

CONFIG = DreamSearchConfig(
    CMAESConfig(population=6, generations=5, restarts=1, validate_every=2, diagonal=False),
    dreams=3,
    horizon=12,
    inputs="latent_account",
    hidden_size=2,
)


def recorded_of(candles: Candles, model: WorldModel) -> RecordedMarket:
    return restrict(latent_record(candles, model), "2020-03-01", "2020-03-20")


class Counting(DreamWorkers):
    """Scores in this process, and knows how often; breaks when told to."""

    def __init__(self, model: WorldModel, until: int = 1_000) -> None:
        super().__init__(model, num_workers=0)
        self.until, self.calls = until, list[FloatArray]()

    def score(self, parameters: FloatArray, dreams: Dreams, broker: BrokerConfig) -> Scores:
        """Score, or break."""
        if len(self.calls) == self.until:
            raise KeyboardInterrupt
        scores = super().score(parameters, dreams, broker)
        self.calls.append(scores.log_return.mean(axis=1))
        return scores


def assert_same(one: Searches, two: Searches) -> None:
    for first, second in zip(one.trained, two.trained, strict=True):
        np.testing.assert_array_equal(
            first.controller.parameters, second.controller.parameters, strict=True
        )
        assert first.found.history == second.found.history
        assert first.found.validation == second.found.validation
        assert first.found.looks == second.found.looks
        assert first.found.evaluations == second.found.evaluations


def test_a_search_that_broke_off_goes_on_to_the_bit(
    candles: Candles, tiny_model: WorldModel, tmp_path: Path
) -> None:
    validation = recorded_of(candles, tiny_model)
    settings: dict[str, Any] = {"searches": 2, "seed": 5, "validation": validation}
    whole = train_controllers(tiny_model, CONFIG, **settings)
    settings["checkpoint_dir"] = tmp_path
    first = Counting(tiny_model, until=13)  # of 10 generations in each search
    with pytest.raises(KeyboardInterrupt):
        train_controllers(tiny_model, CONFIG, scorer=first, **settings)
    names = sorted(path.name for path in (tmp_path / FOLDER).iterdir())
    parts = [f"search-001-generation-{number:05d}.parquet" for number in range(3)]
    assert names == ["search-000.parquet", *parts]
    second, rows = Counting(tiny_model), list[Generation]()
    again = train_controllers(
        tiny_model, CONFIG, scorer=second, resume=True, callback=rows.append, **settings
    )
    assert len(second.calls) == 7
    assert_same(again, whole)
    assert [(row.search, row.generation) for row in rows] == [
        (search, number) for search in range(2) for number in range(10)
    ]
    table = pd.read_parquet(tmp_path / FOLDER)
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [
        "search-000.parquet",
        "search-001.parquet",
    ]
    assert len(table) == 2 * 5 * (6 + 12)
    np.testing.assert_array_equal(table["score"], np.concatenate(first.calls + second.calls))
    third = Counting(tiny_model)  # nothing is left to do
    assert_same(train_controllers(tiny_model, CONFIG, scorer=third, resume=True, **settings), whole)
    assert third.calls == []


def test_the_table_says_what_was_tried(market_model: WorldModel, tmp_path: Path) -> None:
    scorer = Counting(market_model)
    train_controller(market_model, CONFIG, seed=1, scorer=scorer, checkpoint_dir=tmp_path, number=3)
    table = pd.read_parquet(tmp_path / FOLDER)
    columns = ["search", "restart", "generation", "candidate", "score", "penalised", "parameters"]
    assert list(table.columns) == columns
    assert (table["search"] == 3).all()
    assert table.groupby("generation")["candidate"].apply(list).tolist() == [
        *[list(range(6))] * 5,
        *[list(range(12))] * 5,
    ]
    assert table.groupby("restart")["generation"].unique().map(list).tolist() == [
        list(range(5)),
        list(range(5, 10)),
    ]
    parameters = np.stack(table["parameters"].to_list())
    reads = 3 + 1  # z and the weight
    assert parameters.shape == (90, 2 * (reads + 2) + 1)
    cost = CONFIG.cma_es.weight_decay * (parameters**2).mean(axis=1)
    np.testing.assert_array_equal(table["penalised"], table["score"] - cost)


def test_another_search_is_refused_and_without_resume_begun_anew(
    candles: Candles, market_model: WorldModel, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"seed": 1, "checkpoint_dir": tmp_path}
    train_controller(market_model, CONFIG, **settings)
    for other in (
        {"config": replace(CONFIG, objective="cvar")},
        {"config": replace(CONFIG, cma_es=replace(CONFIG.cma_es, population=7))},
        {"config": CONFIG, "seed": 2},
        {"config": CONFIG, "broker": BrokerConfig.from_settings(leverage=2.0)},
        {"config": CONFIG, "validation": recorded_of(candles, market_model)},
        {"config": CONFIG, "world_model": market_model.recent(0.5)},
    ):
        changed = {"world_model": market_model, **settings, **other}
        with pytest.raises(TrainingError, match=r"belongs to another search.*name another folder"):
            train_controller(**changed, resume=True)
    file = tmp_path / FOLDER / "search-000.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(TrainingError, match=r"search-000.parquet is damaged .*begin anew"):
        train_controller(market_model, CONFIG, **settings, resume=True)
    scorer = Counting(market_model)
    train_controller(market_model, CONFIG, **settings, scorer=scorer)
    assert len(scorer.calls) == 10


KILLED = """
import sys
from test_candidates import CONFIG, recorded_of
from worldmodel_trading.agents.dream_search import train_controllers
from worldmodel_trading.market.files.export import read_candles
from worldmodel_trading.models.world_model import WorldModel

model, candles = WorldModel.from_pretrained(sys.argv[1]), read_candles(sys.argv[2])
train_controllers(
    model, CONFIG, searches=2, seed=5, validation=recorded_of(candles, model),
    checkpoint_dir=sys.argv[3], callback=lambda row: print(row.generation, flush=True),
)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_search_that_was_killed_goes_on_to_the_bit(
    candles: Candles, market_model: WorldModel, tmp_path: Path
) -> None:
    model, bars = tmp_path / "model", tmp_path / "candles.parquet"
    market_model.save_pretrained(model)
    write_candles(candles, bars)
    same = WorldModel.from_pretrained(model)
    settings: dict[str, Any] = {
        "searches": 2,
        "seed": 5,
        "validation": recorded_of(candles, same),
    }
    whole = train_controllers(same, CONFIG, **settings)
    command = [sys.executable, "-c", KILLED, str(model), str(bars), str(tmp_path / "out")]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as child:
        assert child.stdout is not None
        for _ in range(4):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    scorer = Counting(same)
    again = train_controllers(
        same, CONFIG, **settings, checkpoint_dir=tmp_path / "out", scorer=scorer, resume=True
    )
    assert len(scorer.calls) <= 20 - 4
    assert_same(again, whole)


def test_inputs_left_out_have_no_weight() -> None:
    read = np.array([True, False, True, False])
    linear = spread_inputs(np.array([[1.0, 2.0, 3.0]]), read)
    np.testing.assert_array_equal(linear, [[1.0, 0.0, 2.0, 0.0, 3.0]])
    deep = spread_inputs(np.arange(1.0, 10.0)[np.newaxis], read, hidden_size=2)
    np.testing.assert_array_equal(
        deep, [[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0, 5.0, 6.0, 7.0, 8.0, 9.0]]
    )
