"""The main job on a tiny setting: every result, every file, the same numbers every time."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.cli import main
from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.files.export import read_candles, write_candles
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel

POLICIES = {"controller", "buy_and_hold", "flat", "momentum"}
WORLDS = {"dream", "validation", "test"}
MEASURES = {
    "log_return", "annual_log_return", "sharpe", "sortino", "calmar", "max_drawdown", "turnover",
    "costs",
}  # fmt: skip
RANGES = ("train", "validation", "test")
TINY = [
    "--vae-epochs", "2", "--mdn-rnn-epochs", "2", "--population", "6", "--generations", "5",
    "--dreams", "4", "--horizon", "24", "--evaluation-dreams", "8", "--seed", "3",
    "--train-end", "2020-02-20", "--validation-end", "2020-03-05",
]  # fmt: skip
UTC = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("market") / "small.csv"
    write_candles(synthetic_candles(seed=2, bars=1_900), path)
    return path


def job(csv: Path, out: Path, *extra: str) -> dict[str, Any]:
    assert main(["run", "--candles", str(csv), "--out", str(out), *TINY, *extra]) == 0
    results: dict[str, Any] = json.loads((out / "results.json").read_text())
    return results


@pytest.fixture(scope="module")
def out(csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    job(csv, folder)
    return folder


@pytest.fixture(scope="module")
def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_the_front_matter(results: dict[str, Any], csv: Path) -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", results["run_id"])
    assert results["seed"] == 3
    assert {"python", "numpy", "torch", "worldmodel-trading"} <= set(results["versions"])
    assert results["config"]["candles"] == str(csv)
    assert results["config"]["population"] == 6
    candles = results["candles"]
    assert (candles["interval"], candles["bars"]) == ("60", 1_900)
    assert isinstance(candles["symbol"], str)
    assert candles["source"] == str(csv)
    for name in RANGES:
        assert len(candles[name]) == 2
        assert all(UTC.fullmatch(time) for time in candles[name])
    assert candles["train"] == ["2020-01-01T00:00:00Z", "2020-02-20T00:00:00Z"]
    assert candles["validation"] == ["2020-02-20T00:00:00Z", "2020-03-05T00:00:00Z"]
    assert candles["test"][0] == "2020-03-05T00:00:00Z"


def test_the_world_model_is_measured(results: dict[str, Any]) -> None:
    measured = results["world_model"]
    vae, mdn_rnn = measured["vae"], measured["mdn_rnn"]
    assert set(vae) >= {"r2", "kl", "active_units"}
    assert {"log_return", "range", "log_volume", "body"} <= set(vae["r2"])
    assert all(value <= 1.0 for value in vae["r2"].values())
    assert vae["kl"] >= 0.0
    assert isinstance(vae["active_units"], int)
    for name in ("nll", "return_nll"):
        assert set(mdn_rnn[name]) == {"validation", "test"}
    assert set(measured["baselines"]) >= {"student_t", "garch_t", "gjr_garch_t"}
    for model in ("student_t", "garch_t", "gjr_garch_t"):
        assert set(measured["baselines"][model]["return_nll"]) == {"validation", "test"}


def test_the_controller_is_accounted_for(results: dict[str, Any]) -> None:
    controller = results["controller"]
    assert controller["parameters"] == 8 + 64 + 1 + 1  # z, h, account, bias
    assert controller["generations"] == 5
    assert controller["evaluations"] == 30
    assert controller["dream_steps"] == 30 * 4 * 24


def test_every_policy_is_measured_in_every_world(results: dict[str, Any]) -> None:
    assert set(results["performance"]) >= POLICIES
    for policy in POLICIES:
        assert set(results["performance"][policy]) >= WORLDS
        for world in WORLDS:
            measures = results["performance"][policy][world]
            assert set(measures) >= MEASURES
            assert measures["turnover"] >= 0.0
            assert measures["costs"] >= 0.0
            assert 0.0 <= abs(measures["max_drawdown"]) <= 1.0
    flat = results["performance"]["flat"]["test"]
    assert [flat[name] for name in ("log_return", "sharpe", "turnover", "costs")] == [0.0] * 4


def test_every_number_is_finite_and_every_stage_timed(results: dict[str, Any]) -> None:
    found = numbers(results)
    assert len(found) > 100
    assert all(math.isfinite(number) for number in found)
    timings = results["timings_s"]
    assert {"candles", "world_model", "controller", "evaluation"} <= set(timings)
    assert all(seconds >= 0.0 for seconds in timings.values())


def test_buy_and_hold_on_test_is_the_closed_form(results: dict[str, Any], csv: Path) -> None:
    candles = read_candles(csv).between("2020-03-05")
    expected = math.log(candles.close[-1] / candles.close[0]) + math.log(1 - 0.00075)
    measured = results["performance"]["buy_and_hold"]["test"]
    assert measured["log_return"] == pytest.approx(expected, abs=1e-9)
    assert measured["annual_log_return"] == pytest.approx(
        expected * 8_760 / (len(candles) - 1), rel=1e-6
    )


def test_the_artefacts_give_the_reported_number_again(
    results: dict[str, Any], out: Path, csv: Path
) -> None:
    model = WorldModel.from_pretrained(out / "world_model")
    controller = LinearController.load(out / "controller.safetensors")
    facts = json.loads((out / "controller.json").read_text())
    assert facts["run_id"] == results["run_id"]
    assert json.loads((out / "world_model" / "config.json").read_text())
    env = BybitReplayEnv(csv, model, start="2020-03-05", episode_length=None, random_start=False)
    record = run_episode(env, controller)
    assert results["performance"]["controller"]["test"]["log_return"] == pytest.approx(
        float(np.log(record.equity[-1])), abs=1e-9
    )


def test_the_report_stands_alone(out: Path) -> None:
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", page)
    assert not re.findall(r"""url\(\s*["']?(?:https?:)?//|@import""", page)
    assert page.count("<svg") >= 3
    for word in ("controller", "validation", "test", "dream"):
        assert word in page
    for name in POLICIES:
        assert name.replace("_", " ") in page


def test_nothing_half_written_is_left(out: Path) -> None:
    names = {path.name for path in out.iterdir()}
    expected = {"results.json", "report.html", "world_model", "controller.safetensors"}
    assert expected | {"controller.json"} <= names
    assert not [p for p in out.rglob("*") if p.suffix in (".partial", ".tmp", ".pkl", ".pt")]
    assert list((out / "tensorboard").iterdir())


def test_the_same_seed_gives_the_same_results(
    results: dict[str, Any], csv: Path, tmp_path: Path
) -> None:
    again = job(csv, tmp_path / "again")
    for one in (again, results):
        one["config"] = {k: v for k, v in one["config"].items() if k != "out"}
    first = {k: v for k, v in results.items() if k != "timings_s"}
    assert first == {k: v for k, v in again.items() if k != "timings_s"}


def test_the_paper_preset_works_end_to_end(csv: Path, tmp_path: Path) -> None:
    results = job(csv, tmp_path / "paper", "--preset", "paper")
    assert set(results["performance"]) >= POLICIES
    assert all(math.isfinite(number) for number in numbers(results))
    model = WorldModel.from_pretrained(tmp_path / "paper" / "world_model")
    assert model.config.preset == "paper"
    assert results["controller"]["dream_steps"] == 30 * 4 * 24


def test_console_shows_the_table_and_the_report(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "shown"
    done = subprocess.run(
        [sys.executable, "-m", "worldmodel_trading", "run", "--candles", str(csv), "--out", str(out), *TINY],
        capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    for word in ("controller", "buy and hold", "flat", "momentum", "dream", "validation", "test"):
        assert word in done.stdout
    assert f"Report: {out / 'report.html'}" in done.stdout
    assert done.stderr == ""  # no terminal, no bars; no warnings either
    assert "\r" not in done.stdout


def test_a_run_is_named_by_its_settings() -> None:
    base = RunConfig()
    assert base.run_id() == RunConfig(out="elsewhere").run_id()
    assert len({base.run_id(), RunConfig(seed=1).run_id(), RunConfig(preset="paper").run_id()}) == 3
    with pytest.raises(ConfigError, match=r"evaluation_dreams is 0"):
        RunConfig(evaluation_dreams=0)
