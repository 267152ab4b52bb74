"""The examples run, with the arguments that a user would type first, and print what they promise."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_folder import market_open

from worldmodel_trading import synthetic_candles, write_candles

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("[0-9]*.py"))


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
    "19_compare.py": (
        ["--no-audit", "--dreams", "8", "--horizon", "48", "--out", "compared"],
        r"(?m)^momentum, log return a year after costs: dream at 1 [+-]\d.*, test [+-]\d",
    ),
    "20_forecast.py": (
        ["--bars", "600"],
        r"the world model is better than \d of 4 floors, beyond chance",
    ),
    "21_fidelity.py": (
        ["--dreams", "16", "--bars", "240", "--controllers", "20", "--out", "measured"],
        r"(?m)^\d+ of \d+ goals met$",
    ),
    "22_export.py": (
        [
            "--episodes",
            "4",
            "--horizon",
            "24",
            "--minari",
            "own/random-v0",
            "--minari-folder",
            "kept",
        ],
        r"4 episodes, 96 steps: episodes\.parquet",
    ),
    "23_paper.py": (
        ["--epochs", "1", "--bars", "2000", "--lanes", "64"],
        r"market: .* the action moves it by \+0\.0000 ± 0\.0000 deviations",
    ),
    "24_own_reward.py": (["--steps", "2048"], r"(?m)^cautious +│.*│"),
    "25_own_costs.py": (
        ["--bars", "200"],
        r"(?m)^no costs: log return [+-]\d\.\d{4}, costs 0\.0000; after interest [+-]\d\.\d{4}$",
    ),
    "26_own_feature.py": (
        ["--epochs", "1", "--bars", "2500"],
        r"the features (helped|harmed|made no difference beyond chance): [+-]\d\.\d{4} nats",
    ),
}
LIVE = "27_follow_live.py"
LONG = {  # what takes over a quarter of a minute
    "19_compare.py",
    "20_forecast.py",
    "21_fidelity.py",
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


HELP = """
import contextlib, io, json, pathlib, runpy, sys, traceback
folder, *names = sys.argv[1:]
sys.path[0], helps = folder, {}
for name in names:
    shown, path = io.StringIO(), str(pathlib.Path(folder) / name)
    sys.argv = [path, "--help"]
    try:
        with contextlib.redirect_stdout(shown):
            runpy.run_path(path, run_name="__main__")
        helps[name] = "it went on", shown.getvalue()
    except SystemExit as stop:
        helps[name] = stop.code, shown.getvalue()
    except BaseException:
        helps[name] = traceback.format_exc(), shown.getvalue()
print(json.dumps(helps))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, tuple[object, str]]:
    """How each example ended that was asked for its help, and what it said: one process for all."""
    there = [name for name in SCRIPTS if not needs(name)]
    done = subprocess.run(
        [sys.executable, "-c", HELP, str(EXAMPLES), *there],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, tuple[object, str]] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_every_example_is_tested() -> None:
    assert [
        "01_make_and_step.py",
        "02_ppo_dream_to_replay.py",
        "03_cma_es_dream_to_replay.py",
        *FOREIGN,
        "11_hallucinate.py",
        "12_stress.py",
        *APPLICATIONS,
        LIVE,
    ] == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_examples_are_short_and_speak_of_no_machine(
    name: str, helps: dict[str, tuple[object, str]]
) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert text.startswith('"""')
    assert "/tmp" not in text
    skip_without(name)
    stopped, shown = helps[name]
    assert stopped == 0
    assert shown.startswith(f"usage: {name}")
    assert "--help" in shown


def needs(name: str) -> str | None:
    """The package that an example needs and that is not installed."""
    package, _ = FOREIGN.get(name, ("gymnasium", 0))
    return package if importlib.util.find_spec(package) is None else None


def skip_without(name: str) -> None:
    """Skip an example whose package is not installed."""
    if package := needs(name):
        pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_agents_go_from_dream_to_replay(name: str, tmp_path: Path) -> None:
    skip_without(name)
    steps = str(FOREIGN[name][1])
    shown = run(name, "--steps", steps, cwd=tmp_path, quiet=False)  # some libraries talk
    for venue in ("dream", "replay"):
        assert re.search(rf"^{venue}: .* episodes .*\d\.\d{{4}}", shown, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in APPLICATIONS],
)
def test_applications_do_what_they_are_for(name: str, tmp_path: Path) -> None:
    arguments, printed = APPLICATIONS[name]
    assert re.search(printed, run(name, *arguments, cwd=tmp_path, quiet=False))


def test_the_live_market_is_followed(tmp_path: Path) -> None:
    with market_open() as exchange:
        there = ["--base-url", exchange.url, "--stream-url", exchange.stream.url]
        shown = run(LIVE, "--bars", "3", *there, cwd=tmp_path, quiet=False)
    closes = re.findall(
        r"(?m)^close \d+.*: .+ \(\d+%\), target \+1\.00, paper equity \d\.\d{4}$", shown
    )
    assert len(closes) == 3
    assert "the world model learned SYNTH, not BTCUSDT" in shown


NOTEBOOK = EXAMPLES / "notebook.py"
SMALL = ("--", "--epochs", "1", "--bars", "3000", "--generations", "2")


def test_the_notebook_is_a_clean_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "marimo", "check", "--strict", str(NOTEBOOK)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_notebook_runs_as_a_script_on_a_file(tmp_path: Path) -> None:
    write_candles(synthetic_candles(seed=3, bars=3_500), tmp_path / "MINE-60.csv")
    shown = run(NOTEBOOK.name, *SMALL, "--candles", "MINE-60.csv", cwd=tmp_path, quiet=False)
    assert re.search(r"(?m)^.*[Tt]he world model.*\.$", shown)
    assert re.search(r"(?m)^On the test range, after costs, the best was: .+\. The dream", shown)
    assert [path.name for path in tmp_path.iterdir()] == ["MINE-60.csv"]


def test_what_the_notebook_says_follows_from_its_numbers(tmp_path: Path) -> None:
    values = (
        "import json, runpy, sys; app = runpy.run_path(sys.argv.pop(1))['app']; _, made = app.run(); "
        "print(json.dumps({'nats': made['nats'], 'gap': vars(made['gap']), 'floor': made['best_floor'], "
        "'forecast': made['forecast_verdict'], 'agent': made['agent_verdict'], "
        "'best': made['best_on_test'], 'outside': made['outside'], 'rows': made['test_rows'], "
        "'performance': {name: each['test'].log_return for name, each in made['performance'].items()}, "
        "'regimes': made['regimes'].names, 'bars': len(made['candles'])}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", values, str(NOTEBOOK), *SMALL],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    assert (made["bars"], made["rows"]) == (3_000, 450)
    nats, gap = made["nats"], made["gap"]
    floors = {name: loss for name, loss in nats.items() if name != "world model"}
    assert floors[made["floor"]] == min(floors.values())
    assert gap["value"] == pytest.approx(nats["world model"] - nats[made["floor"]])
    better, worse = gap["high"] < 0, gap["low"] > 0
    assert ("better than its best floor" in made["forecast"]) == better
    assert ("better than the world model" in made["forecast"]) == worse
    assert ("cannot be told apart" in made["forecast"]) == (not better and not worse)
    earned = made["performance"]
    assert earned["flat"] == 0.0
    assert earned[made["best"].split(" and ")[0]] == max(earned.values())
    assert made["best"] in made["agent"]
    assert 0.0 <= made["outside"] <= 1.0
    assert len(made["regimes"]) == 3
