"""The examples run, with the arguments that a user would type first, and print what they promise."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


FOREIGN = {  # the package that an example needs, and steps that take it seconds
    "04_cleanrl_style_ppo.py": ("torch", 2_048),
    "05_torchrl.py": ("torchrl", 2_048),
    "06_skrl.py": ("skrl", 2_048),
    "07_rl_zoo3.py": ("rl_zoo3", 2_048),
    "08_scikit_learn_rule.py": ("sklearn", 500),
    "09_plain_function.py": ("gymnasium", 48),
    "10_rllib.py": ("tree", 256),  # dm-tree, of which Ray alone has no need
}

APPLICATIONS = {  # what makes an example small, and what it prints
    "13_regimes.py": (
        ["--count", "3", "--dreams", "8"],
        r"(?m)^calm.*: \d+% of all bars, \d+ bars at a time; dreams from it move \d\.\d\d% a bar$",
    ),
    "14_transfer.py": (["--steps", "600"], r"fine-tuned: \d\.\d{4} nats a bar on 2000 unseen bars"),
    "15_explore.py": (
        ["--count", "60", "--dreams", "4", "--horizon", "24", "--out", "explored"],
        r"(linear|momentum) \d+: (good|may be luck)",
    ),
    "16_play.py": (["--bars", "12"], r"open play\.html in a browser: \d\.\d MB"),
    "17_sweep.py": (
        ["--trials", "2", "--epochs", "1", "--out", "swept"],
        r"of 2 trials.*: --model \w+=",
    ),
    "18_own_column.py": (
        ["--epochs", "1", "--bars", "1500"],
        r"own-column: WorldModel\(.*\) sees book_imbalance: dreamed by M",
    ),
}


def run(name: str, *arguments: str, cwd: Path, quiet: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not quiet or done.stderr == ""
    return done.stdout


def test_every_example_is_tested() -> None:
    assert [
        "01_make_and_step.py",
        "02_ppo_dream_to_replay.py",
        "03_cma_es_dream_to_replay.py",
        *FOREIGN,
        "11_hallucinate.py",
        "12_stress.py",
        *APPLICATIONS,
    ] == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_examples_are_short_and_speak_of_no_machine(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert text.startswith('"""')
    assert "/tmp" not in text
    skip_without(name)
    assert "--help" in run_help(name)


def skip_without(name: str) -> None:
    """Skip an example whose package is not installed."""
    package, _ = FOREIGN.get(name, ("gymnasium", 0))
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_agents_go_from_dream_to_replay(name: str, tmp_path: Path) -> None:
    skip_without(name)
    steps = str(FOREIGN[name][1])
    shown = run(name, "--steps", steps, cwd=tmp_path, quiet=False)  # some libraries talk
    for venue in ("dream", "replay"):
        assert re.search(rf"^{venue}: .* episodes .*\d\.\d{{4}}", shown, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


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
    shown = run("02_ppo_dream_to_replay.py", "--steps", "8192", cwd=tmp_path)
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


def test_hallucinate(tmp_path: Path) -> None:
    shown = run("11_hallucinate.py", "--paths", "3", "--bars", "400", cwd=tmp_path)
    for name in ("holding", "momentum"):
        number = r"[+-]\d\.\d{4}"
        said = rf"^{name} in 3 dreams: median {number}, 90% between {number} and {number}$"
        assert re.search(said, shown, re.MULTILINE)


def test_stress(tmp_path: Path) -> None:
    shown = run("12_stress.py", "--paths", "512", cwd=tmp_path, quiet=False)
    assert re.search(r"^chance \d\.\d\d%, between \d\.\d\d% and \d\.\d\d%$", shown, re.MULTILINE)
    assert re.search(r"^hold: the worst paths lose \d+\.\d%$", shown, re.MULTILINE)
    assert (tmp_path / "stress" / "stress.html").exists()


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_do_what_they_are_for(name: str, tmp_path: Path) -> None:
    arguments, printed = APPLICATIONS[name]
    assert re.search(printed, run(name, *arguments, cwd=tmp_path, quiet=False))
