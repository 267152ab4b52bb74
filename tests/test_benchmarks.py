"""The benchmarks run and write what they say; none of these tests looks at a clock."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from worldmodel_trading.agents.objectives import OBJECTIVES
from worldmodel_trading.envs.engine.base import Noise
from worldmodel_trading.envs.engine.paper_engine import PaperEngine
from worldmodel_trading.envs.recorded import latent_record
from worldmodel_trading.evaluation.baselines.scores import TITLES
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.joint_world_model import JointWorldModel
from worldmodel_trading.models.paper_world_model import PaperWorldModel

ROOT = Path(__file__).parent.parent


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch):
    """Imports a module of the benchmarks, which are not installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    before = dict(os.environ)

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"benchmarks.{name}")

    yield load
    os.environ.clear()
    os.environ.update(before)


def run(*arguments: str, peers: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "WORLDMODEL_TRADING_PEERS": str(peers)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_quick_run_writes_rows_and_machine(tmp_path: Path) -> None:
    out = tmp_path / "results" / "benchmarks.json"
    names = ["dream", "dream-step", "replay-step", "shared-dreams", "live"]
    done = run("benchmarks", "--quick", "--only", *names, "--out", str(out), peers=tmp_path)
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["settings"]["quick"] is True
    assert written["machine"]["versions"]["numpy"] == np.__version__
    rows = {row["name"]: row for row in written["rows"]}
    assert list(dict.fromkeys(row["benchmark"] for row in written["rows"])) == names
    for name in ("dream-market", "dream-paper", "dream-numpy", "dream-step", "shared-lanes"):
        assert rows[name]["value"] > 0
        rates = rows[name]["details"]
        assert rows[name]["value"] == pytest.approx(
            rates["ours"]["median"] / rates["theirs"]["median"]
        )
        assert rows[name]["met"] is (rows[name]["value"] >= rows[name]["goal"])
        assert name in done.stdout
    table = out.with_suffix(".md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in table for name in rows)
    assert min(rows[name]["value"] for name in ("live-step", "live-features")) > 0
    assert rows["step-anytrading"]["value"] is None
    assert "python -m benchmarks.peers --install" in rows["step-anytrading"]["note"]


def test_the_main_job_s_growth_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "growth.json"
    done = run("benchmarks", "--quick", "--only", "growth", "--out", str(out), peers=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(out.read_text(encoding="utf-8"))["rows"]}
    measured = rows["growth-seconds"]["details"]["rows"]
    assert [one["bars"] for one in measured] == [1_600, 3_200]
    assert rows["growth-seconds"]["value"] == measured[1]["seconds"]
    assert rows["growth-memory"]["value"] == measured[1]["peak_mb"] > 100
    power = math.log(measured[1]["peak_mb"] / measured[0]["peak_mb"]) / math.log(2)
    assert rows["growth-memory-exponent"]["value"] == pytest.approx(power)
    assert set(measured[0]["stages_s"]) >= {"world_model", "controller"}


def test_every_goal_is_listed_once(tmp_path: Path) -> None:
    done = run("benchmarks", "--list", peers=tmp_path)
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert len(names) == len(set(names))
    assert {"dream-market", "replay-vectorbt", "ppo-frames", "memory-lanes"} <= set(names)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    done = run("benchmarks", "--only", "no-such-row", peers=tmp_path)
    assert done.returncode == 1
    assert "unknown: no-such-row; see python -m benchmarks --list" in done.stderr
    done = run("benchmarks.peers", "--install", "no-such-peer", peers=tmp_path)
    assert done.returncode == 2
    assert "unknown: no-such-peer" in done.stderr


def test_peers_are_listed_with_pinned_requirements(tmp_path: Path, module) -> None:
    done = run("benchmarks.peers", peers=tmp_path)
    assert done.returncode == 0, done.stderr
    peers = module("peers").PEERS
    assert done.stdout.count("not installed") == len(peers)
    for peer in peers.values():
        lines = peer.requirements.read_text().splitlines()
        assert (ROOT / "benchmarks" / "peers" / peer.script).exists()
        assert all("==" in line for line in lines if not line.startswith("#"))


def test_profile_names_the_stages(tmp_path: Path) -> None:
    done = run("benchmarks", "--quick", "--profile", peers=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "matrix products" in done.stdout
    assert "lstm_step" in done.stdout


def test_the_numpy_loop_dreams_as_the_engine_does(module, paper_model: PaperWorldModel) -> None:
    bars, rng, engine = 40, np.random.default_rng(3), PaperEngine(paper_model)
    config = paper_model.config
    uniforms = rng.random((bars, 2), dtype=np.float32)
    normals = rng.standard_normal((bars, 1 + config.latent_size), dtype=np.float32)
    lane = module("numpy_loop").NumpyLane(paper_model, segment=2)
    state = engine.start(np.array([2]))
    for t in range(bars):
        noise = Noise(np.concatenate([uniforms[t], normals[t]])[:, np.newaxis])
        action = rng.uniform(-1, 1)
        expected = engine.step(state, np.array([action]), noise)
        assert lane.step(action, uniforms[t], normals[t]) == pytest.approx(
            expected[0], rel=1e-3, abs=1e-7
        )
        np.testing.assert_allclose(lane.z, state.z[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(lane.h, state.h[0], rtol=1e-3, atol=1e-4)


def test_the_numpy_loop_keeps_the_same_account(module, paper_model: PaperWorldModel) -> None:
    from worldmodel_trading.envs.population.scoring import score_lanes
    from worldmodel_trading.market.account.rules import BrokerConfig

    bars, engine = 30, PaperEngine(paper_model)
    config = paper_model.config
    policy = np.random.default_rng(4).normal(0.0, 0.5, config.latent_size + config.hidden_size + 2)
    noise = engine.draw_steps(np.random.default_rng(5), 1, bars)
    scores = score_lanes(
        engine, policy[np.newaxis], np.array([1]), bars, np.random.default_rng(5), BrokerConfig()
    )
    expected = scores.log_return[0, 0]
    lane = module("numpy_loop").NumpyLane(paper_model, segment=1)
    table = np.concatenate([step.table.T for step in noise])
    found = lane.rollout(policy, table[:, :2], table[:, 2:], module("worlds").COST)
    assert found == pytest.approx(expected, rel=1e-3)


def test_operations_of_a_lane_step_by_hand(module, market_config: MarketConfig) -> None:
    worlds = module("worlds")
    # paper, Z=3, H=6, K=5: gates (3+1+4+6)·24, z 6·5·7, decoder 3·64 + 64·64 + 64
    paper = worlds.random_world(3, 6).config
    assert worlds.lane_flops(paper) == 2 * (14 * 24 + 210 + 192 + 4096 + 64)
    # market, Z=3 of which 2 forecast, H=6, K=2, trunk 12, heads of 8, V of 16 + 8, calendar 3, F=58:
    # gates (6+2+3)·24, trunk 11·12, return 12·6, wicks (15+17)·8 + 2·8·7, volume (12+58+3+7)·8 + 8·6,
    # V 58·24 + 16·2 + 8·1
    assert worlds.lane_flops(market_config) == 2 * (
        11 * 24 + 11 * 12 + 72 + 32 * 8 + 112 + 80 * 8 + 48 + 58 * 24 + 40
    )


def test_the_baselines_have_a_row_each(
    module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candles = synthetic_candles(seed=4, bars=4_500)
    write_candles(candles, tmp_path / "SYNTHUSDT-60.csv")
    train_end, validation_end = (
        str(np.datetime64(int(candles.open_time_ms[row]), "ms")) for row in (3_000, 3_700)
    )
    ranges = ["--train-end", train_end, "--validation-end", validation_end]
    file = str(tmp_path / "SYNTHUSDT-60.csv")
    assert module("baselines").main(["--candles", file, *ranges]) == 0
    lines = capsys.readouterr().out.splitlines()
    nll = {
        line.strip("| ").split(" | ")[0]: line.strip("| ").split(" | ")[2] for line in lines[2:6]
    }
    assert list(nll) == list(TITLES.values())
    assert all(np.isfinite(float(value)) for value in nll.values())
    assert len([line for line in lines if line.startswith(("| 1 ", "| 24 ", "| 168 "))]) == 9


def test_objectives_stand_beside_weights_as_volatile(
    module,
    market_model: BarWorldModel,
    candles: Candles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    market_model.save_pretrained(tmp_path / "model")
    file = tmp_path / "SYNTH-60.csv"
    write_candles(candles, file)
    small = [
        "--searches",
        "2",
        "--population",
        "4",
        "--generations",
        "2",
        "--dreams",
        "4",
        "--horizon",
        "48",
    ]
    given = ["--candles", str(file), "--world-model", str(tmp_path / "model"), *small]
    assert module("objectives").main(given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.isalpha()] == ["validation", "test"]
    rows = [line.split(" | ") for line in lines if line.startswith("| `")]
    assert [row[0][2:] for row in rows] == [f"`{name}`" for name in OBJECTIVES] * 2
    assert {len(row) for row in rows} == {9}


def test_a_constant_weight_is_as_volatile_as_what_it_stands_beside(
    module, market_model: BarWorldModel, candles: Candles
) -> None:
    objectives = module("objectives")
    recorded = latent_record(candles, market_model)
    size = recorded.view.shape[1] + 2
    held = objectives.figures(recorded, objectives.constant(np.array([0.4]), size), 8_760, 48)
    (rival,) = objectives.as_volatile(recorded, held, size, 8_760, 48)
    assert rival.weight == pytest.approx(0.4, abs=1e-3)
    assert rival.volatility == pytest.approx(held[0].volatility, rel=1e-3)
    assert rival.drawdown == pytest.approx(held[0].drawdown, rel=1e-2)


def test_the_ablation_changes_one_setting_a_row(module) -> None:
    ablation = module("ablation")
    default, *others = ablation.VARIANTS
    for variant in others:
        changed = variant.config().to_dict()
        plain = default.config().to_dict()
        assert {name for name in changed if changed[name] != plain[name]} == set(variant.changes)


def test_what_more_features_gain_is_told_as_differences_by_seed(module) -> None:
    measured = ("return_validation", "return_test", "whole_validation", "whole_test")
    rows = [
        {
            **{"variant": name, "seed": seed, **dict.fromkeys(measured, base + gain)},
            "growth_validation": [0.1, 0.3],
            "growth_test": [-0.2],
        }
        for seed, base in enumerate((1.0, 2.0))
        for name, gain in (("default", 0.0), ("funding", 0.01 * (seed + 1)))
    ]
    default, funding = module("more_features").table(rows).splitlines()[-2:]
    assert default.startswith("| default | 1.5000 (1.0000 … 2.0000) |")
    assert funding.startswith("| funding | +0.0150 (+0.0100 … +0.0200) |")
    assert funding.endswith("| +0.20 (+0.10 … +0.30) | -0.20 (-0.20 … -0.20) |")


@pytest.mark.filterwarnings("ignore:the candles are of")
def test_a_joint_model_is_measured_beside_one_of_each_symbol(
    module, market_model: BarWorldModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = replace(synthetic_candles(seed=5, bars=2_600), symbol="ONEUSDT", instrument=None)
    write_candles(record, tmp_path / "ONEUSDT-60.csv")
    market_model.save_pretrained(tmp_path / "out" / "ONEUSDT-0")
    members = {"ONEUSDT": market_model}
    JointWorldModel(members).save_pretrained(tmp_path / "out" / "joint-0")
    times = [str(np.datetime64(int(record.open_time_ms[row]), "ms")) for row in (1_500, 1_900)]
    words = ["--record", f"{tmp_path / 'ONEUSDT-60.csv'}:2020-01-01", "--seeds", "1"]
    words += ["--train-end", times[0], "--validation-end", times[1], "--out", str(tmp_path / "out")]
    assert module("transfer").main(words) == 0
    validation, test = capsys.readouterr().out.splitlines()[-2:]
    returns = 100 * np.log(record.close[1_900:] / record.close[1_899:-1])
    forecast = market_model.return_forecast(record).rows(1_899, 2_599)
    nll = f"{-forecast.log_prob(returns).mean():.4f}"
    assert (
        test
        == f"| ONEUSDT | test | {nll} ({nll}–{nll}) | {nll} ({nll}–{nll}) | +0.0000 (+0.0000 to +0.0000) |"
    )
    assert validation.startswith("| ONEUSDT | validation |")


def test_rates_are_medians_and_ratios_of_them(module) -> None:
    timing, results = module("timing"), module("results")
    slices = [timing.Slice(10.0, wall, cpu) for wall, cpu in ((1.0, 0.5), (2.0, 1.0), (5.0, 2.0))]
    rate = timing.Rate.of(slices)
    assert (rate.wall, rate.cpu) == (5.0, 10.0)
    assert rate.spread == pytest.approx((7.5 - 3.5) / 5.0)
    found = results.ratio(rate, timing.Rate(2.0, 2.5, 0.0), "steps/s")
    assert (found.value, found.by_cpu_time) == (2.5, 4.0)
    assert results.met(results.Line("a", "b", 2.5), found) is True
    assert results.met(results.Line("a", "b", 2.4, at_most=True), found) is False
    assert results.met(results.Line("a", "b"), found) is None


def test_tasks_take_turns_after_one_for_warmth(module) -> None:
    timing = module("timing")
    order: list[str] = []

    def task(name: str):
        def work(least_s: float):
            order.append(f"{name}{least_s:g}")
            return timing.Slice(1.0, 1.0, 1.0)

        return work

    timing.alternate({"a": task("a"), "b": task("b")}, timing.Settings(rounds=2, slice_s=0.5))
    assert order == ["a0", "b0", "a0.5", "b0.5", "a0.5", "b0.5"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_without_cuda_its_rows_say_so(module) -> None:
    device, timing = module("device"), module("timing")
    results = device.BENCHMARKS[0].run(timing.Settings(quick=True, rounds=1, slice_s=0.0))
    assert set(results) == {"device-lanes", "device-shared"}
    assert {result.note for result in results.values()} == {"not available: no CUDA here"}


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.58249, "0.582"), (141.2, "141"), (2987.6, "2,988")]
)
def test_figures_read_without_powers_of_ten(module, value, text) -> None:
    assert module("results").figure_text(value) == text


def test_the_audit_prints_and_keeps_its_tables(
    module, market_model: BarWorldModel, candles: Candles, tmp_path: Path, capsys
) -> None:
    runs = [tmp_path / run / "world_model" for run in ("one", "two")]
    for folder in runs:
        market_model.save_pretrained(folder)
    write_candles(candles, tmp_path / "candles.csv")
    given = ["--candles", str(tmp_path / "candles.csv"), "--world-models", *map(str, runs)]
    given += ["--dreams", "8", "--bars", "24", "--per-scale", "2", "--lift", "1"]
    out = tmp_path / "out"
    audit = module("audit")
    assert audit.main([*given, "--generations", "2", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    for heading in ("block bootstrap", "all but momentum", "best of random", "judged in"):
        assert heading in told
    assert {file.name for file in out.iterdir()} == {
        "scores.parquet",
        "audit.json",
        "curves.parquet",
        "lift.json",
    }
    kept = json.loads((out / "audit.json").read_text())
    assert kept["families"]["random linear"] == 8
    assert kept["world_models"] == list(map(str, runs))  # folders of one name


def test_records_are_joined_whole_weeks_apart(module) -> None:
    candles = synthetic_candles(seed=4, bars=1_000)
    first, second = candles.rows(0, 300), candles.rows(100, 700)
    whole = module("augmentation").joined([first, second, second])
    assert len(whole) == 1_500
    week = 7 * 86_400_000
    for gap, record in zip(whole.gaps(), (second, second), strict=True):
        assert week <= gap.before_ms - gap.after_ms < 2 * week
        assert (gap.before_ms - record.open_time_ms[0]) % week == 0
        assert whole.open[gap.row] == pytest.approx(whole.close[gap.row - 1], rel=1e-12)
    ratio = whole.close[-600:] / second.close
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)


@pytest.mark.slow
def test_augmentation_has_a_row_for_each_learner(
    module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candles = synthetic_candles(seed=4, bars=4_400)
    write_candles(candles, tmp_path / "SYNTHUSDT-60.csv")
    end, start = (str(np.datetime64(int(candles.open_time_ms[r]), "ms")) for r in (1_500, 3_800))
    epochs = ("forecast_epochs", "vae_epochs", "mdn_rnn_epochs", "head_epochs")
    tiny = json.dumps({**dict.fromkeys(epochs, 1), "teachers": 0, "calibration_rounds": 0})
    given = ["--candles", str(tmp_path / "SYNTHUSDT-60.csv"), "--months", "1", "--ends", end]
    given += ["--test-start", start, "--paths", "2", "--bars", "900", "--model", tiny]
    given += ["--searches", "1", "--generations", "2", "--windows", "2"]
    out = tmp_path / "losses.json"
    augmentation = module("augmentation")
    assert augmentation.main([*given, "--out", str(out)]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:5]]
    assert [row[0] for row in rows] == ["| har_t", "| memoryless", "| controller"]
    kept = json.loads(out.read_text())["1"]
    for learner, (losses,) in kept.items():
        assert list(losses) == ["months", "+ dreams", "+ bootstrap", "dreams alone"]
        assert len(set(losses.values())) > 1, learner


def test_splitting_and_tails_print_their_tables(
    module, market_model: BarWorldModel, candles: Candles, tmp_path: Path, capsys
) -> None:
    stress = module("stress")
    few = [
        "--paths",
        "128",
        "--repetitions",
        "2",
        "--plain-synthetic",
        "500",
        "--plain-dreams",
        "0",
    ]
    assert stress.main(["splitting", *few]) == 0
    told = capsys.readouterr().out
    assert told.count("| synthetic market |") == len(stress.CONDITIONS[stress.SYNTHETIC])
    market_model.save_pretrained(tmp_path / "model")
    write_candles(candles, tmp_path / "candles.csv")
    given = ["--candles", str(tmp_path / "candles.csv"), "--world-model", str(tmp_path / "model")]
    saved = tmp_path / "tails.json"
    assert stress.main(["tails", *given, "--paths", "100", "--save", str(saved)]) == 0
    told = capsys.readouterr().out
    assert told.count("| filtered historical simulation |") == 2
    tests = json.loads(saved.read_text())["tails"]
    assert [one["quantile"]["level"] for one in tests["dreams, model"]] == [0.01, 0.05]
