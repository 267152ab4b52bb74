"""``hallucinate``: tables and folders that replay plays as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

from worldmodel_trading import read_paths
from worldmodel_trading.cli import main
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.world_model import WorldModel


@pytest.fixture(scope="module")
def where(
    market_model: WorldModel, candles: Candles, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    folder = tmp_path_factory.mktemp("model")
    market_model.save_pretrained(folder)
    write_candles(candles, folder / "candles.parquet")
    return ["--world-model", str(folder), "--candles", str(folder / "candles.parquet")]


@pytest.mark.parametrize("target", ["dreams.parquet", "dreams.csv", "dreams"])
def test_paths_are_played_as_they_are(
    target: str, where: list[str], market_model: BarWorldModel, tmp_path: Path
) -> None:
    out = str(tmp_path / target)
    shape = ["--paths", "3", "--bars", "500", "--seed", "7", "--start-price", "1000"]
    assert main(["hallucinate", *where[:2], *shape, "--out", out]) == 0
    paths = list(market_model.hallucinate(3, 500, seed=7, start_price=1_000.0))
    assert [len(path) for path in read_paths(out)] == [500, 500, 500]
    candles = f"{out}#1" if target != "dreams" else str(tmp_path / target / "path-000001.parquet")
    for world_model in (None, market_model):
        env = gym.make("BybitReplay-v0", candles=candles, world_model=world_model, episode_length=9)
        _, info = env.reset(seed=0)
        row = int(np.flatnonzero(paths[1].open_time_ms == info["time_ms"])[0])
        assert info["price"] == paths[1].close[row]
        *_, info = env.step(np.array([1.0], dtype=np.float32))
        assert info["price"] == paths[1].close[row + 1]


def test_paths_begin_like_a_moment(
    where: list[str], candles: Candles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = 1_500
    moment = str(np.datetime64(int(candles.open_time_ms[at]), "ms"))
    out, picture = tmp_path / "dreams.parquet", tmp_path / "fan.png"
    command = ["hallucinate", *where, "--like", moment, "--paths", "7", "--bars", "30", "--ood"]
    run = [sys.executable, "-W", "default", "-m", "worldmodel_trading", *command]
    done = subprocess.run(
        [*run, "--out", str(out), "--picture", str(picture)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "7 paths of 30 bars, begun from the record as it stood at" in done.stdout
    assert done.stderr == ""  # no library warns, though all warnings are asked for
    table = pd.read_parquet(out)
    assert len(table) == 7 * 30
    assert table.ood.between(0.0, 1.0).all()
    first = table[table.timestamp == candles.open_time_ms[at]]
    np.testing.assert_allclose(first.open, candles.close[at - 1], rtol=1e-12)
    assert table[table.timestamp == candles.open_time_ms[at + 29]].close.nunique() == 7
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main([*command, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    again = [*command[:-5], "--paths", "2", "--bars", "3", "--out", str(out), "--overwrite"]
    assert main(again) == 0
    assert len(pd.read_parquet(out)) == 6
