"""The examples run, with the arguments that a user would type first, and print what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


def run(name: str, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_every_example_is_tested() -> None:
    assert SCRIPTS == [
        "01_make_and_step.py",
        "02_ppo_dream_to_replay.py",
        "03_cma_es_dream_to_replay.py",
    ]


@pytest.mark.parametrize("name", SCRIPTS)
def test_examples_are_short_and_speak_of_no_machine(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert text.startswith('"""')
    assert "/tmp" not in text
    assert "--help" in run_help(name)


def run_help(name: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), "--help"], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_make_and_step(tmp_path: Path) -> None:
    shown = run("01_make_and_step.py", cwd=tmp_path)
    assert "'latent': slice(0, 16" in shown
    assert re.search(r"replay: 48 bars .* equity \d\.\d{4}", shown)
    assert re.search(r"dream: 48 bars .* equity \d\.\d{4}", shown)
    assert shown == run("01_make_and_step.py", cwd=tmp_path)  # one seed, one course


def test_ppo_from_dream_to_replay(tmp_path: Path) -> None:
    shown = run("02_ppo_dream_to_replay.py", cwd=tmp_path)
    assert re.search(r"^policy +│.*│", shown, re.MULTILINE)
    for name in ("ppo", "buy and hold", "flat"):
        assert re.search(rf"^{name} +│", shown, re.MULTILINE)
    assert re.search(r"dream [+-]\d\.\d{4}, replay [+-]\d\.\d{4}", shown)
    assert "It lost money." in shown or "It made money" in shown


def test_cma_es_from_dream_to_replay(tmp_path: Path) -> None:
    shown = run("03_cma_es_dream_to_replay.py", "--save", "kept.safetensors", cwd=tmp_path)
    assert "640 controllers scored, 50 parameters each" in shown
    for name in ("controller", "buy and hold", "flat"):
        assert len(re.findall(rf"^{name} +│.*│.*│", shown, re.MULTILINE)) == 1
    assert (tmp_path / "kept.safetensors").exists()
    assert (tmp_path / "kept.json").exists()
