"""The command line: bad arguments, Ctrl-C, and what stays on disk."""

from __future__ import annotations

import html
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from pages import HISTORY, run_curves, run_results

import worldmodel_trading
from worldmodel_trading import cli
from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.arguments import parser
from worldmodel_trading.cli import main
from worldmodel_trading.config import RunConfig
from worldmodel_trading.evaluation.report.run_page import report_html
from worldmodel_trading.market.files.export import write_candles
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.output import is_begun

STOPPED = "stopped: the same command with --resume goes on from what is kept in {}"
QUICK = ["--vae-epochs", "1", "--mdn-rnn-epochs", "1", "--dreams", "2", "--horizon", "16"]


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("market") / "small.csv"
    write_candles(synthetic_candles(seed=2, bars=1_800), path)
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "JOB"),
        (["fly"], "invalid choice: 'fly'"),
        (["run", "--preset", "magic"], "invalid choice: 'magic'"),
        (["run", "--seed", "one"], "invalid int value: 'one'"),
        (["run", "--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_arguments_that_do_not_parse_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert error.endswith(" --help)\n")


def test_the_version_and_every_setting_of_a_run_can_be_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"worldmodel-trading {worldmodel_trading.__version__}\n"
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    shown = capsys.readouterr().out
    for setting in fields(RunConfig):
        assert re.search(rf"\n  --{setting.name.replace('_', '-')}\s", shown)
    assert max(map(len, shown.splitlines())) <= 80


def test_a_bad_row_is_named_on_one_line(
    tmp_path: Path, csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = csv.read_text().splitlines()
    cells = lines[701].split(",")
    header = lines[0].lower().split(",")
    cells[header.index("high")] = "1.0"
    lines[701] = ",".join(cells)
    broken = tmp_path / "broken.csv"
    broken.write_text("\n".join(lines))
    assert main(["run", "--candles", str(broken), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "high 1.0 is below" in error
    assert "2020-01-30 04:00" in error  # 700 hours after the first bar


def wait_until(is_so: Callable[[], bool], otherwise: str) -> None:
    """Look again and again until something is so; it may take long on a busy machine."""
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.005)


def interrupted(csv: Path, out: Path, marker: str, *arguments: str) -> tuple[int, str, str]:
    """Start a run, send SIGINT once ``marker`` is on its output, and let it end."""
    command = [sys.executable, "-m", "worldmodel_trading", "run", "--candles", str(csv)]
    with subprocess.Popen(
        [*command, "--out", str(out), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if marker in line:
                break
        try:
            wait_until(lambda: is_begun(out), "no checkpoint was written")
            process.send_signal(signal.SIGINT)
            rest, error = process.communicate(timeout=120)
        finally:
            process.kill()
    return process.returncode, seen + rest, error


def test_ctrl_c_in_training_stops_with_one_line(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    status, shown, error = interrupted(
        csv, out, "teacher 1 epoch   1", "--vae-epochs", "5000", "--mdn-rnn-epochs", "5000"
    )
    assert status == 130
    assert error.strip().splitlines() == [STOPPED.format(out)]
    assert "Traceback" not in shown + error
    assert not (out / "world_model").exists()  # nothing half-finished
    assert not (out / "results.json").exists()


def test_ctrl_c_in_the_search_keeps_the_world_model(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    status, shown, error = interrupted(
        csv, out, "C 1/5 generation", *QUICK, "--generations", "100000", "--population", "4"
    )
    assert status == 130
    assert error.strip().splitlines()[-1] == STOPPED.format(out)
    assert "Traceback" not in shown + error
    model = WorldModel.from_pretrained(out / "world_model")
    assert model.config.vae_epochs == 1
    assert not (out / "controller.safetensors").exists()
    assert not [path for path in out.rglob("*") if path.suffix in (".partial", ".tmp")]


def test_the_default_model_drives_a_controller_of_its_size() -> None:
    import gymnasium as gym

    env = gym.make("worldmodel_trading:WorldModelDream-v0")
    policy = LinearController([0.0] * (env.observation_space.shape[0] + 1))  # type: ignore[arg-type,index]
    observation, _ = env.reset(seed=0)
    assert policy.predict(observation)[0].shape == (1,)


def test_the_commands_on_a_run_s_page_are_commands() -> None:
    results = replace(run_results(), config={"preset": "market", "candles": "my bars.csv"})
    shown = html.unescape(report_html(results, run_curves(), HISTORY))
    lines = re.findall(r"worldmodel-trading [^<\n]*--world-model FOLDER/[^<\n]*", shown)
    assert len(lines) == 7
    for line in lines:
        given = shlex.split(line, comments=True)
        options = parser(cli._JOBS).parse_args(given[1:])
        assert options.candles == "my bars.csv"
