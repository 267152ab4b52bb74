"""The main job on a tiny setting: every result, every file, the same numbers every time."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.cli import main
from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.files.export import read_candles, write_candles
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.split import open_split

POLICIES = {"controller", "buy_and_hold", "flat", "momentum"}
WORLDS = {"dream", "validation", "test"}
MEASURES = {
    "log_return", "annual_log_return", "sharpe", "sortino", "calmar", "max_drawdown", "turnover",
    "costs",
}  # fmt: skip
RANGES = ("train", "validation", "test")
TINY = [
    "--vae-epochs", "2", "--mdn-rnn-epochs", "2", "--population", "8", "--generations", "40",
    "--dreams", "8", "--horizon", "72", "--evaluation-dreams", "8", "--seed", "3",
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
    assert results["config"]["candles"] == csv.name
    assert results["config"]["population"] == 8
    candles = results["candles"]
    assert (candles["interval"], candles["bars"]) == ("60", 1_900)
    assert isinstance(candles["symbol"], str)
    assert candles["source"] == csv.name
    assert candles["data_hash"] == read_candles(csv).data_hash()
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
    assert {"return", "range", "volume", "level"} <= set(vae["r2"])
    assert all(value <= 1.0 for value in vae["r2"].values())
    assert vae["kl"] >= 0.0
    assert isinstance(vae["active_units"], int)
    for name in ("nll", "return_nll"):
        assert set(mdn_rnn[name]) == {"validation", "test"}
    assert set(measured["baselines"]) == {
        "gjr_garch_t",
        "gjr_garch_t_clock",
        "har_t",
        "memoryless",
    }
    for scores in measured["baselines"].values():
        assert set(scores["return_nll"]) == {"validation", "test"}
        for name, gap in scores["world_model_minus_this"].items():
            assert gap["low"] <= gap["value"] <= gap["high"]
            expected = mdn_rnn["return_nll"][name] - scores["return_nll"][name]
            assert gap["value"] == pytest.approx(expected, abs=1e-6)


def test_the_controller_is_accounted_for(results: dict[str, Any]) -> None:
    controller = results["controller"]
    assert controller["parameters"] == 16 + 32 + 1 + 1  # z, h, account, bias
    assert len(controller["searches"]) == 5
    for search in controller["searches"]:
        assert (search["generations"], search["evaluations"], search["looks"]) == (40, 320, 8)
    assert controller["generations"] == 5 * 40
    assert controller["evaluations"] == 5 * 320
    assert controller["dream_steps"] == 5 * 320 * 8 * 72


def test_validation_chooses_the_search_whose_controller_is_deployed(
    results: dict[str, Any], out: Path
) -> None:
    controller = results["controller"]
    scores = [search["validation"] for search in controller["searches"]]
    assert controller["deployed"] == int(np.argmax(scores))
    chosen = controller["searches"][controller["deployed"]]
    assert results["performance"]["controller"] == chosen["performance"]
    assert results["significance"]["controller"] == chosen["significance"]
    facts = json.loads((out / "controller.json").read_text())
    assert facts["validation"] == chosen["validation"]


def test_every_look_on_validation_counts_as_a_trial(results: dict[str, Any]) -> None:
    looks = 1 + 5 * 8  # doing nothing, and every fifth generation of each search
    assert results["controller"]["looks"] == looks
    trials = {name: only["trials"] for name, only in results["significance"]["controller"].items()}
    assert trials == {"validation": looks, "test": 1}
    assert results["significance"]["momentum"]["validation"]["trials"] == 1


def test_every_figure_of_the_controller_is_a_median_and_a_range(results: dict[str, Any]) -> None:
    controller = results["controller"]
    searches = [search["performance"] for search in controller["searches"]]
    assert len({search["dream"]["log_return"] for search in searches}) > 1
    for venue in WORLDS:
        for measure in MEASURES:
            drawn = [search[venue][measure] for search in searches]
            told = controller["performance"][venue]
            assert told["low"][measure] == min(drawn)
            assert told["median"][measure] == sorted(drawn)[2]
            assert told["high"][measure] == max(drawn)
    evidence = controller["significance"]
    assert set(evidence) == {"validation", "test"}
    assert evidence["test"]["low"]["trials"] == evidence["test"]["high"]["trials"] == 1


def test_the_machine_is_on_record(results: dict[str, Any]) -> None:
    machine = results["machine"]
    assert machine["processor"]
    assert machine["cores"] >= 1
    assert {"torch", "numba"} <= set(machine["instruction_sets"])
    assert all(text and text != "None" for text in machine["instruction_sets"].values())
    assert {"torch", "numba"} <= set(machine["threads"])
    assert all(threads >= 1 for threads in machine["threads"].values())


def test_nothing_that_people_share_names_a_folder_of_the_machine(out: Path, csv: Path) -> None:
    folders = [str(csv.parent).encode(), str(out).encode()]
    for path in out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(folder in content for folder in folders), path


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
    page = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # the library that draws
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", page)
    assert not re.findall(r"""url\(\s*["']?(?:https?:)?//|@import""", page)
    assert page.count('<figure class="chart"') >= 3
    for word in ("controller", "validation", "test", "dream", "holding", "staying out", "momentum"):
        assert word in page


def test_the_page_is_made_again_as_it_was(out: Path) -> None:
    page, results = (out / name for name in ("report.html", "results.json"))
    made, told = page.read_bytes(), results.read_bytes()
    page.unlink()
    assert main(["report", str(out)]) == 0
    assert page.read_bytes() == made
    assert results.read_bytes() == told


def test_a_page_cannot_be_made_of_what_is_no_run(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "holds no results of a job" in capsys.readouterr().err
    kept = shutil.copytree(out, tmp_path / "run")
    (kept / "page.json").write_text(json.dumps({"version": 99, "kind": "RunRecord"}))
    (kept / "report.html").unlink()
    assert main(["report", str(kept)]) == 2
    assert "version 99; expected RunRecord, version 1" in capsys.readouterr().err
    assert not (kept / "report.html").exists()


def test_curves_are_a_table(out: Path) -> None:
    curves = pd.read_parquet(out / "curves.parquet")
    assert set(curves["policy"]) == POLICIES
    assert set(curves["venue"]) == WORLDS
    dreams = curves[(curves["policy"] == "controller") & (curves["venue"] == "dream")]
    assert len(dreams) == 72 + 1
    assert (dreams["q05"] <= dreams["equity"]).all()
    assert (dreams["equity"] <= dreams["q95"]).all()


def test_nothing_half_written_is_left(out: Path) -> None:
    names = {path.name for path in out.iterdir()}
    expected = {"results.json", "report.html", "world_model", "controller.safetensors"}
    assert expected | {"controller.json"} <= names
    assert not [p for p in out.rglob("*") if p.suffix in (".partial", ".tmp", ".pkl", ".pt")]


def test_tensorboard_shows_every_epoch_and_every_generation_once(
    results: dict[str, Any], out: Path
) -> None:
    searches = results["controller"]["searches"]
    stages = (*(f"teacher_{n}" for n in (1, 2, 3)), "forecast", "vae", "mdn_rnn", "heads")
    expected = dict.fromkeys((f"{stage}/validation_loss" for stage in stages), 2) | {
        f"controller-{number}/best": search["generations"]
        for number, search in enumerate(searches, start=1)
    }
    assert {path.name for path in (out / "tensorboard").iterdir()} == {
        name.split("/")[0] for name in expected
    }
    for name, count in expected.items():
        folder, _, number = name.partition("/")
        accumulator = EventAccumulator(str(out / "tensorboard" / folder))
        accumulator.Reload()
        stage = folder.split("-")[0]
        steps = [event.step for event in accumulator.Scalars(f"{stage}/{number}")]
        assert steps == list(range(1, count + 1))


def test_the_same_seed_gives_the_same_results(
    results: dict[str, Any], csv: Path, tmp_path: Path
) -> None:
    again = job(csv, tmp_path / "again")
    first = {k: v for k, v in results.items() if k != "timings_s"}
    assert first == {k: v for k, v in again.items() if k != "timings_s"}


def test_the_paper_preset_works_end_to_end(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper"
    done = subprocess.run(
        [sys.executable, "-W", "default", "-m", "worldmodel_trading", "run", "--candles", str(csv), "--out", str(out), "--preset", "paper", "--drift", "zero", *TINY],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""  # no library warns, not even who asks for all warnings
    results = json.loads((out / "results.json").read_text())
    assert set(results["performance"]) >= POLICIES
    assert all(math.isfinite(number) for number in numbers(results))
    model = WorldModel.from_pretrained(tmp_path / "paper" / "world_model")
    assert model.config.preset == "paper"
    assert results["drift"]["dreamed"] == pytest.approx(0.0, abs=1e-6)
    assert results["controller"]["dream_steps"] == 320 * 8 * 72
    assert len(results["controller"]["searches"]) == 1


def test_a_drift_is_assumed_and_said(csv: Path, tmp_path: Path) -> None:
    results = job(csv, tmp_path, "--search-seeds", "1", "--drift", "zero")
    drift = results["drift"]
    assert (drift["setting"], drift["share"]) == ("zero", 0.25)
    assert drift["dreamed"] == pytest.approx(0.0, abs=0.02)
    train = read_candles(csv).between(None, "2020-02-20")
    expected = np.expm1(np.diff(np.log(train.close))).mean() * 8_760
    assert drift["train"]["value"] == pytest.approx(expected)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "every ranking of policies inherits (--drift zero). A held position earns" in page


def test_forecasts_age_and_are_refitted(csv: Path, tmp_path: Path) -> None:
    small = ["--search-seeds", "1", "--generations", "2", "--end", "2020-03-17", "--refit", "150"]
    small += ["--members", "2"]
    results = job(csv, tmp_path, *small)
    ageing = results["world_model"]["ageing"]
    assert [(q["name"], q["range"]) for q in ageing] == [("2020 Q1", r) for r in RANGES[1:]]
    before, after = ageing
    assert set(before["nll"]) == {"world_model", *results["world_model"]["baselines"]}
    assert set(after["nll"]) - set(before["nll"]) == {"world_model_refitted", "har_t_refitted"}
    assert after["bars"] == 12 * 24
    assert after["nll"]["world_model"] == pytest.approx(
        results["world_model"]["mdn_rnn"]["return_nll"]["test"]
    )
    candles = read_candles(csv).between(None, "2020-03-17")
    returns = 100 * candles.log_returns()
    first = len(candles) - 288
    refitted = WorldModel.from_pretrained(tmp_path / "refits" / "1")
    assert refitted.provenance.validation_end_ms == candles.open_time_ms[first + 150]
    assert refitted.provenance.train_end_ms == candles.open_time_ms[first + 150 - 14 * 24]
    assert not (tmp_path / "refits" / "2").exists()
    own = WorldModel.from_pretrained(tmp_path / "world_model")
    assert len(own.members) == len(refitted.members) == 2  # whose forecasts are pooled
    losses = [
        -model.return_forecast(candles).log_prob(np.append(returns[1:], np.nan))[rows]
        for model, rows in (
            (own, slice(first - 1, first + 149)),
            (refitted, slice(first + 149, -1)),
        )
    ]
    expected = np.concatenate(losses).mean()
    assert after["nll"]["world_model_refitted"] == pytest.approx(expected, abs=1e-6)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "As the model ages" in page
    assert "minus world model, refitted" in page
    (tmp_path / "results.json").unlink()
    assert job(csv, tmp_path, *small, "--resume")["world_model"] == results["world_model"]


def test_the_search_is_set_on_the_command_line_and_kept(csv: Path, tmp_path: Path) -> None:
    settings = [
        "--search-seeds", "1", "--generations", "3", "--restarts", "1", "--covariance", "full",
        "--objective", "cvar", "--tail", "0.5", "--inputs", "latent_account", "--hidden-size", "2",
    ]  # fmt: skip
    results = job(csv, tmp_path, *settings)
    controller = results["controller"]
    assert controller["parameters"] == 2 * (16 + 1 + 2) + 1
    assert controller["evaluations"] == 3 * 8 + 3 * 16
    loaded = LinearController.load(tmp_path / "controller.safetensors")
    assert (loaded.hidden_size, loaded.inputs) == (2, "latent_account")
    table = pd.read_parquet(tmp_path / "candidates.parquet")
    assert table.groupby("generation").size().tolist() == [8, 8, 8, 16, 16, 16]
    (tmp_path / "results.json").unlink()
    again = job(csv, tmp_path, *settings, "--resume")  # told again, and not dreamed
    for told in (results, again):
        del told["timings_s"]
        told["config"].pop("resume")
    assert again == results


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["--objective", "luck"], "objective is 'luck'; expected one of log_return, sharpe"),
        (["--inputs", "tea"], "inputs is 'tea'; expected one of latent_hidden_account"),
        (
            ["--objective", "cvar", "--horizon", "200"],
            "of 200 bars, and the validation range holds",
        ),
    ],
)
def test_impossible_searches_are_refused_at_once(
    csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], said: str
) -> None:
    command = ["run", "--candles", str(csv), "--out", str(tmp_path / "no"), *TINY, *settings]
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_one_search_is_the_first_of_several(
    results: dict[str, Any], csv: Path, tmp_path: Path
) -> None:
    alone = job(csv, tmp_path / "alone", "--search-seeds", "1")
    (only,) = alone["controller"]["searches"]
    first = results["controller"]["searches"][0]
    assert only["performance"] == first["performance"]
    assert only["validation"] == first["validation"]
    assert alone["run_id"] != results["run_id"]


def test_console_shows_the_table_and_the_report(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "shown"
    done = subprocess.run(
        [sys.executable, "-m", "worldmodel_trading", "run", "--candles", str(csv), "--out", str(out), *TINY],
        capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    for word in ("controller", "buy and hold", "flat", "momentum", "dream", "validation", "test"):
        assert word in done.stdout
    for row in ("controller, median", "lowest of 5", "highest of 5", "the deployed one"):
        assert row in done.stdout
    assert "C 5/5 generation  40" in done.stdout
    assert f"Report: {out / 'report.html'}" in done.stdout
    work = [
        line for line in done.stdout.splitlines() if " epoch " in line or " generation " in line
    ]
    assert len(work) > 4
    assert max(map(len, work)) <= 80
    assert done.stderr == ""  # no terminal, no bars; no warnings either
    assert "\r" not in done.stdout


def test_a_run_is_named_by_its_settings_and_by_what_was_recorded(csv: Path, tmp_path: Path) -> None:
    def name(**settings: Any) -> str:
        config = RunConfig(**{"candles": str(csv), "train_end": "2020-02-20", **settings})
        return config.run_id(open_split(config).content(config.funding))

    rates = "fundingRateTimestamp,fundingRate\n1577836800000,0.0001\n1577865600000,0.0002\n"
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rates.csv").write_text(rates)
    shutil.copy(csv, tmp_path / "copy.csv")
    here, there = (str(tmp_path / folder / "rates.csv") for folder in ("here", "there"))
    base = name()
    assert base == name(out="elsewhere", workers=2, candles=str(tmp_path / "copy.csv"))
    assert base == name(train_end="2020-02-20T00:00Z", search_seeds=5)
    assert name(funding=here) == name(funding=there)
    others = [
        {"seed": 1}, {"preset": "paper"}, {"search_seeds": 4}, {"end": "2020-03-10"},
        {"train_end": "2020-02-19"}, {"drift": "zero"},
        {"drift": 0.1}, {"funding": here}, {"funding": 0.0001}, {"candles": "synthetic"},
    ]  # fmt: skip
    assert len({base, *(name(**settings) for settings in others)}) == 1 + len(others)
    rates_then = Path(there).read_text()
    Path(there).write_text(rates_then.replace("0.0002", "0.0003"))
    assert name(funding=here) != name(funding=there)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"evaluation_dreams": 0}, "evaluation_dreams is 0"),
        ({"search_seeds": 0}, "search_seeds is 0; expected a whole number, 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        RunConfig(**settings)


def test_more_than_candles_from_the_command_line(tmp_path: Path) -> None:
    candles = synthetic_candles(seed=2, bars=1_900)
    more = {"book_imbalance": np.sin(np.arange(1_900) / 30.0)}
    write_candles(replace(candles, columns=more), tmp_path / "own.csv")
    asked = "volume_profile,column:book_imbalance:lag=0:dream=held"
    given = ["--features", asked, "--search-seeds", "1", "--generations", "4"]
    told = job(tmp_path / "own.csv", tmp_path / "run", *given)
    assert told["config"]["features"] == asked
    model = WorldModel.from_pretrained(tmp_path / "run" / "world_model")
    assert any("book_imbalance" in name for name in model.config.features.names)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "book_imbalance" in page
    seen = read_candles(tmp_path / "own.csv", columns=["book_imbalance"])
    env = BybitReplayEnv(seen, model, episode_length=5)
    assert env.reset(seed=0)[0].shape == env.observation_space.shape
