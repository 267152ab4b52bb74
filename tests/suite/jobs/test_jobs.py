"""``forecast`` and ``fidelity``, and a run that goes on from its checkpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from worldmodel_trading.cli import main
from worldmodel_trading.evaluation.baselines.scores import TITLES
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.models.world_model import WorldModel


@pytest.fixture(scope="module", params=["market", "paper"])
def dreamer(request: pytest.FixtureRequest) -> WorldModel:
    """A tiny world model that draws bars, and one that draws latents."""
    model: WorldModel = request.getfixturevalue(f"{request.param}_model")
    return model


@pytest.fixture(scope="module")
def model_folder(dreamer: WorldModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    dreamer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def candles_file(candles: Candles, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("candles") / "SYNTHUSDT-60.csv"
    write_candles(candles, path)
    return str(path)


def test_no_library_warns_at_the_terminal(model_folder: str, tmp_path: Path) -> None:
    """Not even where all warnings are asked for; `test_run` has the same of ``run``."""
    command = [sys.executable, "-W", "default", "-m", "worldmodel_trading", "forecast"]
    done = subprocess.run(
        [*command, "--save", "all.csv", "--world-model", model_folder],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout != ""
    assert done.stderr == ""


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_forecasts_are_printed_and_saved(
    model_folder: str,
    candles_file: str,
    candles: Candles,
    dreamer: WorldModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
) -> None:
    out = tmp_path / f"forecasts.{suffix}"
    start = str(np.datetime64(int(candles.open_time_ms[2_000]), "ms"))
    where = ["--world-model", model_folder, "--candles", candles_file, "--start", start]
    assert main(["forecast", *where, "--save", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len([line for line in printed if "next bar" in line]) == 24
    table = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert len(table) == 600
    truth = dreamer.return_forecast(candles).rows(2_000, 2_600)
    np.testing.assert_allclose(table.volatility, truth.volatility, rtol=1e-4)
    assert (table.p5 < table.p50).all()
    assert (table.p50 < table.p95).all()


def test_an_unknown_kind_of_forecast_file_is_refused(
    model_folder: str, candles_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--world-model", model_folder, "--candles", candles_file]
    assert main(["forecast", *where, "--save", str(tmp_path / "forecasts.xlsx")]) == 2
    assert ".parquet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_resumes_to_the_same_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `test_training` does with a killed process, here through the command line."""
    settings = {"vae-epochs": 2, "mdn-rnn-epochs": 2, "generations": 2, "population": 4}
    settings |= {"dreams": 2, "horizon": 24, "evaluation-dreams": 2}
    small = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    small += ["--end", "2020-06-01"]
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert main(["run", *small, "--out", str(whole)]) == 0
    assert main(["run", *small, "--out", str(parted)]) == 0
    (parted / "checkpoints" / "mdn_rnn.safetensors").unlink()  # as if stopped before M
    (parted / "world_model" / "model.safetensors").unlink()
    (parted / "results.json").unlink()
    unfinished = {path: path.read_bytes() for path in parted.rglob("*") if path.is_file()}
    for other, said in (([], "go on with --resume"), (["--seed", "1"], "of another run")):
        capsys.readouterr()
        assert main(["run", *small, *other, "--out", str(parted)]) == 2
        assert said in capsys.readouterr().err
    assert {p: p.read_bytes() for p in parted.rglob("*") if p.is_file()} == unfinished
    assert main(["run", *small, "--resume", "--out", str(parted)]) == 0
    shown = capsys.readouterr().out
    assert "  V goes on after epoch 2\n" in shown
    assert "V epoch" not in shown
    assert "M epoch   1" in shown
    weights = [(out / "world_model" / "model.safetensors").read_bytes() for out in (whole, parted)]
    assert weights[0] == weights[1]
    runs = [json.loads((out / "results.json").read_text())["run_id"] for out in (whole, parted)]
    assert runs[0] == runs[1]


def test_forecasts_are_scored_beside_the_baselines(
    model_folder: str,
    candles_file: str,
    candles: Candles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ["--world-model", model_folder, "--candles", candles_file]
    saved = tmp_path / "all.csv"
    assert main(["forecast", *where, "--baselines", "--save", str(saved)]) == 0
    lines = capsys.readouterr().out.splitlines()
    scored = next(i for i, line in enumerate(lines) if "world model minus each" in line)
    assert [line.split("  ")[1] for line in lines[scored + 1 :][:4]] == list(TITLES.values())
    header = next(i for i, line in enumerate(lines) if line.startswith("quarter "))
    assert [line.split()[:4] for line in lines[header + 1 :][:2]] == [
        ["2020", "Q1", "validation", "400"],
        ["2020", "Q1", "test", "284"],
    ]
    table = pd.read_csv(tmp_path / "all-quarters.csv")
    assert list(table.bars) == [400, 284, 416]
    assert list(table.quarter) == ["2020 Q1", "2020 Q1", "2020 Q2"]
    np.testing.assert_allclose(table.minus_har_t, table.nll_world_model - table.nll_har_t)
    assert (table.minus_har_t_low < table.minus_har_t_high).all()
    early = str(np.datetime64(int(candles.open_time_ms[1_000]), "ms"))
    assert main(["forecast", *where, "--baselines", "--end", early]) == 2
    assert "training range" in capsys.readouterr().err
