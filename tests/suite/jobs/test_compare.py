"""``compare``: what it measures, what it refuses, and that a killed one goes on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from stable_baselines3 import PPO

from worldmodel_trading import (
    LinearController,
    buy_and_hold,
    compare,
    evaluate_policy,
    make_sb3_env,
)
from worldmodel_trading.cli import main
from worldmodel_trading.entrants import find_entrant
from worldmodel_trading.envs.population.crew import RAY, Crew, Workers
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.comparison.results import Comparison
from worldmodel_trading.evaluation.report.comparison_text import comparison_text
from worldmodel_trading.jobs.train import train_agent
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import (
    ConfigError,
    OtherMarketError,
    OutputError,
    TrainingBarsError,
)
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.market.times import format_time
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

SMALL: dict[str, Any] = {"dreams": 6, "horizon": 24, "audit": False}
SEARCH = {"generations": 2, "population": 4, "dreams": 4, "horizon": 24}
WINDOWS = {
    **{"forecast_epochs": 1, "vae_epochs": 1, "mdn_rnn_epochs": 1, "head_epochs": 1},
    **{
        "teachers": 0,
        "calibration_rounds": 0,
        "hidden_size": 6,
        "trunk_size": 8,
        "vae_hidden_size": 8,
    },
    **{"head_size": 4, "bank_segments": 8, "chunk_bars": 48, "burn_in_bars": 12, "warmup_bars": 24},
}


@pytest.fixture(scope="module")
def compared(
    market_model: WorldModel, candles: Candles, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Comparison]:
    """A rule, and a search in the dream, over two seeds and two temperatures."""
    out = tmp_path_factory.mktemp("compared")
    found = compare(
        ["momentum", "cma_es"], market_model, candles, out,
        seeds=2, temperatures=(0.5, 1.0), settings={"cma_es": SEARCH}, workers=0, **SMALL,
    )  # fmt: skip
    return out, found


def test_every_agent_is_in_every_venue(compared: tuple[Path, Comparison]) -> None:
    out, found = compared
    assert found.agents == ["momentum", "cma_es", "hold", "flat"]
    assert found.places == ["dream at 0.5", "dream at 1", "test"]
    summary = found.summary()
    for agent, places in summary.items():
        dreamed = {places[place]["net"].count for place in found.places[:2]}
        assert dreamed == {2}, agent
        # A rule does the same for every seed; what is trained here does not.
        assert places["test"]["net"].count == (2 if agent == "cma_es" else 1)
    told = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert told["agents"]["cma_es"] == {"kind": "trained here", "trials": 2 * 4}
    assert told["summary"]["hold"]["test"]["fees"]["median"] > 0.0
    assert not told["in_sample"]
    held = told["held"]["test"]["cma_es"]
    assert len(held["pass_k"]) == 2
    earned = [
        row.measures["annual_log_return"]
        for row in found.rows
        if row.agent == "cma_es" and row.venue == "test"
    ]
    assert held["share"] == np.mean(np.array(earned) > 0.0)


def test_the_page_is_made_again_from_the_folder(compared: tuple[Path, Comparison]) -> None:
    page = compared[0] / "report.html"
    made = page.read_bytes()
    assert b"cma_es" in made
    page.unlink()
    assert main(["report", str(compared[0])]) == 0
    assert page.read_bytes() == made


def test_replay_is_what_evaluate_policy_says(
    compared: tuple[Path, Comparison], market_model: WorldModel, candles: Candles
) -> None:
    from worldmodel_trading import buy_and_hold

    out, found = compared
    begin = market_model.provenance.validation_end_ms
    replay = BybitReplayEnv(
        candles, market_model, begin, episode_length=None, observation="features"
    )
    year = found.facts.bars_per_year
    alone = evaluate_policy(replay, buy_and_hold(), bars_per_year=year, options={"start": begin})
    (row,) = [row for row in found.rows if (row.agent, row.venue) == ("hold", "test")]
    assert row.measures["annual_log_return"] == alone.performance.annual_log_return
    assert row.measures["sharpe"] == alone.performance.sharpe
    curves = pd.read_parquet(out / "curves.parquet").query("agent == 'hold'")
    np.testing.assert_array_equal(curves.equity, alone.episodes.equity[0])
    assert curves.open_time_ms.iloc[0] == begin


def test_the_waterfall_ends_at_the_return(compared: tuple[Path, Comparison]) -> None:
    for row in compared[1].rows:
        had = row.measures
        spent = had["fees"] + had["slippage"] + had["funding"]
        assert had["gross"] - spent + had["compounding"] == pytest.approx(had["annual_log_return"])


def test_a_promise_stands_beside_what_was_paid(compared: tuple[Path, Comparison]) -> None:
    found = compared[1]
    promised = {(one.agent, one.temperature): one for one in found.promises}
    assert len(promised) == 4 * 2
    one, summary = promised["hold", 0.5], found.summary()["hold"]
    assert one.promised == summary["dream at 0.5"]["annual_log_return"]
    assert one.paid == summary["test"]["annual_log_return"]
    assert one.gap == pytest.approx(one.promised.median - one.paid.median)
    assert promised["flat", 1.0].gap == promised["flat", 1.0].errors == 0.0


@pytest.mark.parametrize("workers", [2, pytest.param(Crew(2, RAY), marks=pytest.mark.slow)])
def test_who_works_changes_nothing(
    workers: Workers,
    compared: tuple[Path, Comparison],
    market_model: WorldModel,
    candles: Candles,
    tmp_path: Path,
) -> None:
    again = compare(
        ["momentum", "cma_es"], market_model, candles, tmp_path / "out",
        seeds=2, temperatures=(0.5, 1.0), settings={"cma_es": SEARCH}, workers=workers, **SMALL,
    )  # fmt: skip
    assert again.rows == compared[1].rows
    assert again.promises == compared[1].promises


def test_windows_walk_forward_with_models_and_agents_of_their_own(
    candles: Candles, tmp_path: Path
) -> None:
    found = compare(
        ["cma_es"], candles=candles, out=tmp_path / "out", walk_forward=2, model=WINDOWS,
        settings={"cma_es": SEARCH}, workers=0, purge=48, **SMALL,
    )  # fmt: skip
    assert len(found.facts.models) == len(set(found.facts.models.values())) == 2
    assert len(found.facts.windows) == 2
    for window, ranges in found.facts.windows.items():
        assert ranges["train"][1] < ranges["validation"][0] < ranges["test"][0], window
    assert found.summary()["cma_es"]["test"]["net"].count == 2
    assert {row.window for row in found.rows} == set(found.facts.windows)
    curves = pd.read_parquet(tmp_path / "out" / "curves.parquet").query("agent == 'hold'")
    assert curves.open_time_ms.is_monotonic_increasing
    folders = list((tmp_path / "out" / "world_models").iterdir())
    assert len(folders) == 2


def test_several_world_models_of_one_market(
    market_model: WorldModel, candles: Candles, market_config: Any, tmp_path: Path
) -> None:
    made = market_model.provenance
    parts = (
        candles.between(made.train_start_ms, made.train_end_ms),
        candles.between(made.validation_start_ms, made.validation_end_ms),
    )
    other, _ = train_world_model(*parts, market_config, seed=9)
    models = [market_model, other]
    found = compare(["reversion"], models, candles, tmp_path / "out", workers=0, **SMALL)
    assert list(found.facts.models) == ["model 1", "model 2"]
    assert found.summary()["reversion"]["dream at 1"]["net"].count == 2
    assert found.summary()["reversion"]["test"]["net"].count == 1
    shorter, _ = train_world_model(parts[0].rows(0, 1_200), parts[1], market_config, seed=9)
    with pytest.raises(ConfigError, match="trained on different bars"):
        compare(["flat"], [market_model, shorter], candles, tmp_path / "no", workers=0, **SMALL)
    assert not (tmp_path / "no").exists()


def test_a_killed_comparison_loses_at_most_the_running_cell(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    market_model.save_pretrained(tmp_path / "model")
    write_candles(candles, tmp_path / "candles.csv")
    arguments = [
        *("compare", "momentum", "reversion", "--world-model", str(tmp_path / "model")),
        *("--candles", str(tmp_path / "candles.csv"), "--workers", "0", "--dreams", "4"),
        *("--horizon", "24", "--seeds", "3", "--no-audit", "--out", str(tmp_path / "out")),
    ]
    command = [sys.executable, "-m", "worldmodel_trading", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().startswith("momentum, 2"):
                process.kill()
                break
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    cells = tmp_path / "out" / "checkpoints" / "cells"
    kept = {path: path.stat().st_mtime_ns for path in cells.glob("[!.]*.npz")}
    assert len(kept) >= 3
    assert not (tmp_path / "out" / "comparison.json").exists()
    assert main(arguments) == 2  # it says what to do with what is there
    assert main([*arguments, "--resume"]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    whole = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert main([*arguments[:-1], str(tmp_path / "anew")]) == 0
    anew = json.loads((tmp_path / "anew" / "comparison.json").read_text(encoding="utf-8"))
    assert whole == anew


def test_bars_that_were_seen_are_refused_or_told(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    venues = ("validation", "test")
    with pytest.raises(TrainingBarsError, match=r"validation was seen by .*--allow-in-sample"):
        compare(["flat"], market_model, candles, tmp_path / "out", venues=venues, **SMALL)
    early = format_time(market_model.provenance.validation_start_ms + 24 * 3_600_000)
    with pytest.raises(TrainingBarsError, match="the test range begins before"):
        compare(["flat"], market_model, candles, tmp_path / "out", validation_end=early, **SMALL)
    assert not (tmp_path / "out").exists()
    found = compare(
        ["flat"], market_model, candles, tmp_path / "out",
        venues=venues, allow_in_sample=True, workers=0, **SMALL,
    )  # fmt: skip
    assert found.facts.in_sample
    assert found.places == ["validation", "test"]


def test_an_agent_that_has_seen_the_test_range_is_refused(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    late = format_time(market_model.provenance.validation_end_ms + 200 * 3_600_000)
    train_agent(
        "cma_es", market_model, tmp_path / "agent", candles=candles, validation_end=late,
        settings={name: SEARCH[name] for name in ("generations", "population", "dreams")},
        horizon=24,
    )  # fmt: skip
    agent = str(tmp_path / "agent")
    with pytest.raises(TrainingBarsError, match="has seen bars of the test range"):
        compare([agent], market_model, candles, tmp_path / "out", workers=0, **SMALL)
    found = compare(
        [agent], market_model, candles, tmp_path / "out", validation_end=late, workers=0, **SMALL
    )
    assert found.agents[0] == "agent"
    assert found.facts.agents["agent"] == {
        "kind": "given", "trials": 2 * 4, "seen": {"test": "unseen"},
    }  # fmt: skip
    assert found.luck["test"].trials == 2 * 4 + 2  # holding and doing nothing are looked at, too


@pytest.fixture
def mine(candles: Candles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of policies: one says nothing, one has seen old bars, one of the test range, one is wrong."""
    name = f"mine_{tmp_path.name}".replace("-", "_")  # each test imports its own
    first, last = (format_time(int(candles.open_time_ms[row])) for row in (0, -1))
    (tmp_path / f"{name}.py").write_text(
        "import numpy as np\n"
        "class Policy:\n"
        "    def predict(self, observation, state=None, episode_start=None, deterministic=False):\n"
        "        return np.full((*np.shape(observation)[:-1], 1), 0.5, np.float32), None\n"
        "silent = Policy()\n"
        "honest, peeking, wrong = Policy(), Policy(), Policy()\n"
        "def half(observations):\n"
        "    return np.full(len(observations), 0.5)\n"
        f"half.seen = honest.seen = {{'train': ('2019-01-01', '{first[:16]}')}}\n"
        f"peeking.seen = {{'train': ('2019-01-01', '{last[:16]}')}}\n"
        "wrong.seen = '2019-01-01'\n"
    )
    monkeypatch.chdir(tmp_path)
    return name


def test_an_agent_of_ones_own_says_which_bars_it_has_seen(
    mine: str, market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    names = {name: f"{mine}:{name}" for name in ("silent", "honest", "half", "peeking", "wrong")}
    own = [names[name] for name in ("silent", "honest", "half")]
    found = compare([*own, "momentum"], market_model, candles, tmp_path / "out", workers=0, **SMALL)
    said = {agent: facts.get("seen") for agent, facts in found.facts.agents.items()}
    assert said == {
        names["silent"]: {"test": "unknown"},
        names["honest"]: {"test": "unseen"},
        names["half"]: {"test": "unseen"},
        **dict.fromkeys(("momentum", "hold", "flat")),
    }
    note = f"Whether the bars are new to {names['silent']} is unknown: it does not say (`seen`)."
    assert comparison_text(found).startswith(note + "\n")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert note in page
    assert page.count("given, bars seen: unknown") == 1
    assert page.count("given, has seen none of these bars") == 2
    out = tmp_path / "refused"
    for walked in ({}, {"walk_forward": 2, "purge": 24, "model": WINDOWS}):
        with pytest.raises(TrainingBarsError, match="peeking has seen bars of the test range"):
            compare([names["peeking"]], market_model, candles, out, **SMALL, **walked)
    with pytest.raises(ConfigError, match=r"wrong says by `seen` .*expected start and end"):
        compare([names["wrong"]], market_model, candles, out, **SMALL)
    assert not out.exists()
    told = compare(
        [names["peeking"]], market_model, candles, out, allow_in_sample=True, workers=0, **SMALL
    )
    assert told.facts.agents[names["peeking"]]["seen"] == {"test": "seen"}
    assert f"{names['peeking']} has seen bars of test." in comparison_text(told)
    assert "given, has seen some of these bars" in (out / "report.html").read_text(encoding="utf-8")


def test_a_discrete_model_of_ones_own_is_played_as_one(
    market_model: WorldModel, candles: Candles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says 0, which is short, and would be no position if taken for a weight."""
    (tmp_path / "discrete_of_mine.py").write_text(
        "import gymnasium as gym, numpy as np\n"
        "class Short:\n"
        "    action_space = gym.spaces.Discrete(3)\n"
        "    def predict(self, observation, state=None, episode_start=None, deterministic=False):\n"
        "        return np.zeros(np.shape(observation)[:-1], dtype=np.int64), None\n"
    )
    monkeypatch.chdir(tmp_path)
    found = compare(
        ["discrete_of_mine:Short"], market_model, candles, tmp_path / "out", workers=0, **SMALL
    )
    held = found.summary()["discrete_of_mine:Short"]["test"]["exposure"]
    assert held.median == pytest.approx(1.0, abs=0.05)


def test_an_agent_of_ones_own_that_knows_its_world_model_stays_in_it(
    market_model: WorldModel, candles: Candles, market_config: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A controller's file names its world model, whoever loads it."""
    made = market_model.provenance
    other_model, _ = train_world_model(
        candles.between(made.train_start_ms, made.train_end_ms),
        candles.between(made.validation_start_ms, made.validation_end_ms),
        market_config,
        seed=9,
    )
    size = market_model.config.latent_size + market_model.config.hidden_size + 2
    controller = LinearController(np.zeros(size), market_model.fingerprint)
    controller.save(tmp_path / "controller.safetensors")
    (tmp_path / "loaded_by_me.py").write_text(
        "from worldmodel_trading import LinearController\n"
        "policy = LinearController.load('controller.safetensors')\n"
    )
    monkeypatch.chdir(tmp_path)
    out, name = tmp_path / "out", "loaded_by_me:policy"
    found = compare([name], [market_model, other_model], candles, out, workers=0, **SMALL)
    models: dict[str, set[str]] = {agent: set() for agent in found.agents}
    for row in found.rows:
        models[row.agent].add(row.model)
    assert models[name] == {"model 1"}
    assert models["hold"] == {"model 1", "model 2"}
    with pytest.raises(ConfigError, match="world model of its own"):
        compare([name], candles=candles, out=tmp_path / "w", walk_forward=2, purge=24, **SMALL)
    assert not (tmp_path / "w").exists()


def test_a_bare_zip_is_shown_what_was_asked_for(candles: Candles, tmp_path: Path) -> None:
    lanes = make_sb3_env("BybitReplay-v0", 2, candles=candles, episode_length=8)
    PPO("MlpPolicy", lanes, n_steps=4, batch_size=8, device="cpu").save(tmp_path / "own.zip")
    found = find_entrant(str(tmp_path / "own.zip"), "features", trust=True)
    assert found.observation == "features"


@pytest.mark.parametrize(
    ("agents", "settings", "said"),
    [
        (["nobody"], {}, "no agent 'nobody'; expected .*momentum.*cma_es"),
        (["flat"], {"venues": ("drem",)}, "venue 'drem' is none"),
        (["flat"], {"temperatures": (0.0,)}, "temperature is 0.0"),
        (["flat"], {"settings": {"ppo": {"steps": 8}}}, "settings of 'ppo'"),
        (["constant"], {}, "the rule 'constant' needs weight"),
        (["momentum"], {"settings": {"momentum": {"horizn": 24}}}, "did you mean 'horizon'"),
        (["constant"], {"walk_forward": 2, "purge": 24}, "the rule 'constant' needs weight"),
        (["ppo"], {"settings": {"ppo": {"gama": 0.9}}}, "gama"),
        (["flat"], {"workers": -1}, "workers is -1"),
        (["flat"], {"walk_forward": 900}, "900 windows"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    agents: list[str], settings: dict[str, Any], said: str, candles: Candles, tmp_path: Path,
    market_model: WorldModel,
) -> None:  # fmt: skip
    with pytest.raises(ConfigError, match=said):
        compare(agents, market_model, candles, tmp_path / "out", **{**SMALL, **settings})
    assert not (tmp_path / "out").exists()


def test_a_range_without_bars_is_refused(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    known = candles.between(None, market_model.provenance.validation_end_ms)
    with pytest.raises(ConfigError, match="no bars of test"):
        compare(["flat"], market_model, known, tmp_path / "out", **SMALL)
    assert not (tmp_path / "out").exists()
    here = {**SMALL, "workers": 0}
    found = compare(["flat"], market_model, known, tmp_path / "out", venues=("dream",), **here)
    assert found.places == ["dream at 1"]


def test_what_is_called_like_a_folder_is_not_taken_for_it(
    market_model: WorldModel, candles: Candles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {name: SEARCH[name] for name in ("generations", "population", "dreams")}
    for name in ("hold", "cma_es", "momentum"):
        train_agent(
            "cma_es", market_model, tmp_path / name, candles=candles, settings=settings, horizon=24
        )
    monkeypatch.chdir(tmp_path)
    found = compare(
        ["momentum", "cma_es", "./hold"], market_model, candles, "out",
        settings={"cma_es": SEARCH}, workers=0, **SMALL,
    )  # fmt: skip
    kinds = {agent: facts["kind"] for agent, facts in found.facts.agents.items()}
    assert kinds == {
        **{"momentum": "rule", "cma_es": "trained here", "./hold": "given"},
        **{"hold": "rule", "flat": "rule"},
    }
    walked = {"walk_forward": 2, "model": WINDOWS, "purge": 48, "settings": {"cma_es": SEARCH}}
    with pytest.raises(ConfigError, match=r"\./hold was trained in a world model of its own"):
        compare(["cma_es", "./hold"], market_model, candles, "no", **{**SMALL, **walked})


@pytest.mark.slow
def test_a_record_without_the_training_range_is_audited_as_far_as_it_goes(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    late = candles.between(market_model.provenance.validation_start_ms, None)
    small = {**SMALL, "audit": True, "policy_dreams": 16, "settings": {"cma_es": SEARCH}}
    found = compare(["cma_es"], market_model, late, tmp_path / "out", workers=0, **small)
    assert found.ranks is not None
    assert found.lift is not None
    assert "recorded training range" not in found.ranks.headline["test"]["gross"].floors
    assert "search on recorded bars" not in found.lift.searches[0].rivals
    assert not any("forecast" in rung.question for rung in found.ladder)


def test_a_folder_holds_one_comparison(
    compared: tuple[Path, Comparison], market_model: WorldModel, candles: Candles
) -> None:
    with pytest.raises(OutputError, match="another comparison"):
        compare(["flat"], market_model, candles, compared[0], workers=0, **SMALL)


@pytest.mark.slow
def test_the_audit_asks_every_question_once(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    searched = {**SEARCH, "horizon": 240}
    small = {"dreams": 6, "horizon": 240, "policy_dreams": 16, "settings": {"cma_es": searched}}
    found = compare(["cma_es"], market_model, candles, tmp_path / "out", workers=0, **small)
    questions = [rung.question for rung in found.ladder]
    assert len(questions) == len(set(questions)) == 11
    rewards = next(rung for rung in found.ladder if "pay what the market pays for" in rung.question)
    assert rewards.met
    assert found.ranks is not None
    assert found.lift is not None
    (search,) = found.lift.searches
    assert len(search.climb.dream) == SEARCH["generations"]
    assert set(search.rivals) == {"best of random", "search on recorded bars", "holding"}
    policies = pd.read_parquet(tmp_path / "out" / "policies.parquet")
    assert {"dream", "test", "minus cost"} <= set(policies.venue)
    assert "searched for" in set(policies.family)
    assert {"test"} == set(found.luck) == set(found.verdicts)
    assert not found.verdicts["test"]["flat"].good
    told = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert [rung["question"] for rung in told["ladder"]] == questions
    assert told["ranks"]["agreements"]["all"]["test"]["gross"]["spearman"]["units"] == 1


def followed_by(first: Candles, later: Candles) -> Candles:
    """A record that goes on with the bars of another, from the price where it ends."""
    scale = first.close[-1] / later.open[0]
    step = first.interval_ms
    times = first.open_time_ms[-1] + step * np.arange(1, len(later) + 1, dtype=np.int64)
    columns: dict[str, Any] = {"open_time_ms": np.concatenate([first.open_time_ms, times])}
    for name in ("open", "high", "low", "close", "volume", "turnover"):
        factor = 1.0 if name == "volume" else scale
        columns[name] = np.concatenate([getattr(first, name), factor * getattr(later, name)])
    return replace(first, **columns)


@pytest.mark.slow
def test_the_verdicts_are_right_where_the_edge_is_known(tmp_path: Path) -> None:
    """Of the shipped world model's market, six more years than it has bars of."""
    record = followed_by(synthetic_candles(), synthetic_candles(seed=4242, bars=6 * 8_760))
    agents = ["cma_es", "random", "momentum", "reversion"]
    found = compare(
        agents, candles=record, out=tmp_path / "out", audit=False, dreams=16, horizon=240, workers=0
    )
    verdicts = found.verdicts["test"]
    assert {agent for agent, verdict in verdicts.items() if verdict.good} == {"cma_es"}
    assert found.luck["test"].snooping.consistent < 0.05
    assert found.luck["test"].trials > 1_000


IDLE = """
import numpy as np


def trained(env, seed):
    class Idle:
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return np.zeros((len(observation), 1), np.float32), None

    return Idle()
"""


def test_the_self_test_s_exit_status_says_whether_it_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "idle_trainer.py").write_text(IDLE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "--self-test", "idle_trainer:trained", "--seeds", "1"]) == 1
    told = capsys.readouterr().out
    assert "FAIL  handed the next return" in told
    assert "cannot yet learn here" in told
    assert main(["compare", "--self-test", "nobody"]) == 2
    assert main(["compare"]) == 2
    assert "there is no agent to compare" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_folder_is_judged_by_the_world_model_that_lies_there_now(
    market_model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    """Two world models in turn, given as objects, and kept in one folder."""
    paid = {}
    for name, model in (("whole", market_model), ("recent", market_model.recent(0.2))):
        found = compare(["hold"], model, candles, tmp_path, overwrite=True, workers=0, **SMALL)
        alone = compare(["hold"], model, candles, tmp_path / name, workers=0, **SMALL)
        places = found.summary()["hold"], alone.summary()["hold"]
        assert places[0]["dream at 1"]["net"] == places[1]["dream at 1"]["net"], name
        paid[name] = places[0]["dream at 1"]["net"].median
    assert paid["whole"] != paid["recent"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"leverage": 3}, "CompareConfig has no setting 'leverage'; "),
        ({"dream": 5}, "CompareConfig has no setting 'dream'; did you mean 'dreams'?"),
    ],
)
def test_a_setting_that_there_is_not_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        compare(["hold"], **given)


def test_an_object_is_no_agent_of_a_comparison(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"an agent is ConstantWeight; expected a folder .*predict"
    ):
        compare([buy_and_hold()], out=tmp_path)  # type: ignore[list-item]
    assert not list(tmp_path.iterdir())


def test_candles_of_another_symbol_are_refused_with_a_cure_that_there_is(
    market_model: WorldModel, candles: Candles
) -> None:
    other = replace(candles, symbol="OTHERUSDT", instrument=None)
    with pytest.raises(
        OtherMarketError, match=r"of OTHERUSDT; .*give candles of SYNTH, or teach"
    ) as e:
        compare(["hold"], market_model, other)
    assert "allow" not in str(e.value)
