"""``train``, ``evaluate`` and ``agents list`` from the shell: kill -9, --resume, and what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from worldmodel_trading import load_agent, train_agent
from worldmodel_trading.agents.registry import LEARNED
from worldmodel_trading.cli import main
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import OutputError
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.market.times import format_time
from worldmodel_trading.models.world_model import WorldModel

SMALL = ["--lanes", "4", "--horizon", "12", "--set", "n_steps=8", "--set", "net_arch=[4]"]
PPO = [*SMALL, "--set", "batch_size=16"]


@pytest.fixture(scope="module")
def market(
    candles: Candles, market_model: WorldModel, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Arguments that name a world model and the candles of its market."""
    folder = tmp_path_factory.mktemp("market")
    market_model.save_pretrained(folder / "model")
    write_candles(candles, folder / "candles.csv")
    return ["--world-model", str(folder / "model"), "--candles", str(folder / "candles.csv")]


@pytest.fixture(scope="module")
def trained(market: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("agents") / "ppo"
    arguments = ["train", *market, *PPO, "--steps", "64", "--account", "taker_fee=0.0001"]
    assert main([*arguments, "--out", str(out)]) == 0
    return out


def killed(arguments: list[str], marker: str) -> str:
    """Start a training, and kill -9 it as soon as a line begins with ``marker``."""
    command = [sys.executable, "-m", "worldmodel_trading", "train", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if line.strip().startswith(marker):
                process.kill()
                break
        process.communicate()
    assert process.returncode == -signal.SIGKILL, seen
    return seen


@pytest.mark.parametrize(
    ("agent", "settings"),
    [
        ("ppo", PPO),
        ("td3", ["--lanes", "4", "--set", "learning_starts=16", "--set", "net_arch=[4]"]),
    ],
)
def test_a_killed_training_loses_at_most_what_came_after_its_checkpoint(
    agent: str, settings: list[str], market: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    steps = ["--steps", "200000", "--every", "64"]
    arguments = [*market, *settings, "--agent", agent, *steps, "--out", str(tmp_path / "agent")]
    killed(arguments, "128 bars")
    assert not (tmp_path / "agent" / "agent.json").exists()
    assert main(["train", *arguments]) == 2
    assert "stopped before its end: go on with --resume" in capsys.readouterr().err
    arguments.insert(0, "--resume")
    again = killed(arguments, "256 bars").splitlines()
    (goes_on,) = (line for line in again if "goes on after" in line)
    begun = int(goes_on.split()[3].replace(",", ""))
    assert begun >= 128
    looks = [int(line.split()[0]) for line in again if "validation:" in line]
    assert looks[0] == begun + 64


def test_a_folder_is_an_agent_and_says_what_it_was_made_with(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()} - {".lock"}
    assert names == {
        "run.json",
        "agent.json",
        "agent.zip",
        "evaluation.json",
        "checkpoints",
        "tensorboard",
    }
    record = load_agent(trained).record
    assert record is not None
    assert (record.algorithm, record.env, record.steps, record.lanes) == ("ppo", "dream", 64, 4)
    assert record.account == {"taker_fee": 0.0001, "slippage": 0.0002}
    assert set(record.ranges) == {"train", "validation"}
    assert {"torch", "stable-baselines3"} <= set(record.versions)
    assert str(trained.parent) not in (trained / "agent.json").read_text()


def test_agents_rules_and_functions_are_judged_side_by_side(
    trained: Path, market: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def half(observations):\n"
        "    return np.full(len(observations), 0.5)\n"
        "class Short:\n"
        "    def predict(self, observation, state=None, episode_start=None, deterministic=False):\n"
        "        return np.full((*np.shape(observation)[:-1], 1), -1.0, np.float32), None\n"
    )
    monkeypatch.chdir(tmp_path)
    agents = [str(trained), "momentum", "mine:half", "mine:Short"]
    small = ["--dreams", "3", "--horizon", "12"]
    assert main(["evaluate", *agents, *market, *small, "--out", str(tmp_path / "out")]) == 0
    table = capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    names = ["ppo", "momentum", "mine:half", "mine:Short", "hold", "flat"]
    assert list(told["performance"]) == names
    assert all(f"\n{name}" in table for name in names)
    assert told["account"] == {"taker_fee": 0.0001, "slippage": 0.0002}
    assert told["seen"] == {
        "ppo": {"validation": "seen", "test": "unseen"},
        **{name: dict.fromkeys(("validation", "test"), "unknown") for name in names[2:4]},
    }
    assert "ppo has seen bars of validation." in table
    assert "new to mine:half and mine:Short is unknown: they do not say (`seen`)." in table
    assert told["performance"]["flat"]["test"]["log_return"] == 0.0
    curves = pd.read_parquet(tmp_path / "out" / "curves.parquet")
    bars = curves.groupby("venue").bar.nunique().to_dict()
    assert bars == {"dream": 13, "validation": 400, "test": 700}
    held = curves[(curves.agent == "hold") & (curves.venue == "test")]
    shorted = curves[(curves.agent == "mine:Short") & (curves.venue == "test")]
    assert np.corrcoef(np.diff(np.log(held.equity)), np.diff(np.log(shorted.equity)))[0, 1] < -0.99
    assert held.open_time_ms.is_monotonic_increasing
    assert curves[curves.venue == "dream"].open_time_ms.isna().all()


def test_some_venues_alone(trained: Path, market: list[str], tmp_path: Path) -> None:
    arguments = ["evaluate", str(trained), *market, "--venues", "validation"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    told = json.loads((tmp_path / "evaluation.json").read_text())
    assert [list(by_venue) for by_venue in told["performance"].values()] == [["validation"]] * 3


def test_a_rule_knows_the_accounts_leverage(market: list[str], tmp_path: Path) -> None:
    totals = {}
    for leverage in ("1", "3"):
        out = tmp_path / leverage
        arguments = ["evaluate", "volatility_target", *market, "--venues", "test"]
        assert main([*arguments, "--account", f"leverage={leverage}", "--out", str(out)]) == 0
        told = json.loads((out / "evaluation.json").read_text())["performance"]
        totals[leverage] = {name: found["test"]["log_return"] for name, found in told.items()}
    assert abs(totals["1"]["volatility_target"]) > 1e-4
    assert totals["3"]["volatility_target"] == pytest.approx(
        totals["1"]["volatility_target"], rel=1e-3
    )
    assert totals["3"]["hold"] != pytest.approx(totals["1"]["hold"], rel=0.1)


def test_without_bars_rules_trade_dreams_unless_they_are_fitted_on_them(
    market_model: WorldModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = copy(market_model)
    elsewhere.provenance = replace(market_model.provenance, symbol="BTCUSDT")
    elsewhere.save_pretrained(tmp_path / "model")
    shared = ["--world-model", str(tmp_path / "model"), "--venues", "dream", "--dreams", "3"]
    arguments = ["--horizon", "12", "--out", str(tmp_path / "out")]
    assert main(["evaluate", "volatility_target", *shared, *arguments]) == 0
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert list(told["performance"]) == ["volatility_target", "hold", "flat"]
    capsys.readouterr()
    arguments[-1] += "2"
    assert main(["evaluate", "har_volatility_target", *shared, *arguments]) == 2
    assert "is fitted on recorded bars, and there are none" in capsys.readouterr().err
    assert not (tmp_path / "out2").exists()


def test_an_agent_in_python(candles: Candles, market_model: WorldModel, tmp_path: Path) -> None:
    settings = {"n_steps": 8, "batch_size": 16, "net_arch": [4]}
    small: dict[str, Any] = {"steps": 32, "lanes": 4, "horizon": 12, "settings": settings}
    agent = train_agent("ppo", market_model, tmp_path, candles=candles, **small)
    assert agent.record is not None
    assert agent.record.candles == candles.data_hash()
    with pytest.raises(OutputError, match=r"holds the results of another training.*--overwrite"):
        train_agent("ppo", market_model, tmp_path, candles=candles, seed=1, **small)


def test_all_agents_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agents", "list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed[: len(LEARNED)] == list(LEARNED)
    assert {"hold", "har_volatility_target", "skrl"} <= set(listed)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "gama=1"], "no setting 'gama'; did you mean 'gamma'"),
        (["--objective", "luck"], "'luck'"),
        (["--account", "leverage=0"], "leverage is 0"),
        (["--train-end", "2030-01-01"], "--train-end is"),
        (
            ["--train-end", "TEST"],
            "--train-end is later than .*, where the world model's training range ends",
        ),
        (["--candles", "nowhere.csv"], "nowhere.csv"),
        (["--world-model", "nowhere"], "nowhere"),
    ],
    ids=str,
)
def test_what_train_cannot_do_is_one_line_before_any_work(
    arguments: list[str], said: str, market: list[str], candles: Candles, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import re

    late = format_time(int(candles.open_time_ms[2_000])).removesuffix(" UTC")
    given = [late if part == "TEST" else part for part in arguments]
    assert main(["train", *market, *given, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error)
    assert not (tmp_path / "out" / "agent.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["luck"], "no agent 'luck'; expected an agent's folder, module:callable, or a rule: flat"),
        (["no_such_module:policy"], "no_such_module"),
        (["math:pi"], "math:pi is a float; expected a policy or a function"),
        (["hold", "--venues", "moon"], "venue 'moon' is none"),
        (["hold", "--dreams", "0"], "dreams is 0"),
    ],
    ids=str,
)
def test_what_evaluate_cannot_do_is_one_line_before_any_work(
    arguments: list[str], said: str, market: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["evaluate", *arguments, *market, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "out").exists()


def test_an_agent_of_another_world_model_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(trained), "--out", str(tmp_path / "out")]) == 2
    assert "was trained in the world model" in capsys.readouterr().err


def test_a_bare_zip_asks_for_trust(
    trained: Path, market: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.zip"
    bare.write_bytes((trained / "agent.zip").read_bytes())
    arguments = [
        "evaluate",
        str(bare),
        *market,
        "--venues",
        "validation",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 2
    assert "--trust" in capsys.readouterr().err
    assert main([*arguments, "--trust"]) == 0
