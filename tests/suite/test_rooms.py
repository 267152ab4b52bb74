"""The house: rooms that import one way only, and imports that stay light."""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from worldmodel_trading import cli
from worldmodel_trading.models.world_model import WorldModel

ROOMS = ("market", "models", "envs", "evaluation", "agents")  # each may import those before it
PACKAGE = "worldmodel_trading"

PARTS = {  # of each room, its files and the rooms in it; each may import those before it
    "market": """
        arrays errors interrupts extras settings records times intervals numerics instruments candles funding_clock
        funding series synthetic optimal_policy account files bybit sources inspection clock ticks drawn groups streams streamed_bars features
    """,
    "models": """
        config mixture vae mdn_rnn decoded_return forward feature_range forecast provenance machine
        bars presets devices hub storage world_model bar_world_model joint_world_model paper_world_model encoded latent_dreams drift load
        states regimes ood hallucination quality
        training
    """,
    "envs": """
        protocol arguments spaces one_account trace picture_axes picture rendering recorded base engine
        recorded_state followed_regimes opening universe replay dream_funding dream_bars dream_lanes dream_lane paper_lane bar_lane dream_view dream
        replay_lanes vector given_lanes population
        device scorers
    """,
    "evaluation": """
        policy performance episodes rollout transitions lanes checks ranks significance loss_tests likelihood baselines horizons density truth ageing
        untrained game results stored seeds drift outcome universe transfer comparison stress regimes report fidelity
    """,
    "agents": """
        linear objectives cma_es candidates identity dream_search rules search_spaces families lifting noise sb3 registry standardised
        sb3_scaled sb3_models sb3_state folder callbacks sb3_training training paper_account live
    """,
}


def folder(room: str) -> Path:
    spec = find_spec(f"{PACKAGE}.{room}")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def modules(room: str) -> list[Path]:
    return sorted(folder(room).rglob("*.py"))


def package_of(path: Path) -> list[str]:
    """The dotted package in which a file of a room lies."""
    room = next(name for name in path.parts[::-1] if name in ROOMS)
    inside = path.parent.relative_to(folder(room)).parts
    return [PACKAGE, room, *inside]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, absolute, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package_of(path)[: len(package_of(path)) + 1 - node.level] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)  # if it is a module


def imports() -> dict[str, set[str]]:
    """What each module of the package imports of it, by dotted names; a face loads nothing."""
    suite = folder("cli")
    files = {f"{PACKAGE}.{path.stem}": path for path in suite.glob("*.py")}
    for inner in ("applications", "comparison", "exploration", "jobs"):
        files |= {f"{PACKAGE}.{inner}.{path.stem}": path for path in (suite / inner).glob("*.py")}
    for path in [path for room in ROOMS for path in modules(room)]:
        files[".".join([*package_of(path), path.stem])] = path
    files = {name: path for name, path in files.items() if path.stem != "__init__"}
    return {name: {end for end in imported(path) if end in files} for name, path in files.items()}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_those_before_it(room: str) -> None:
    allowed = ROOMS[: ROOMS.index(room) + 1]
    files = modules(room)
    assert len(files) > 3
    for path in files:
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == PACKAGE:
                assert len(parts) > 1, f"{path} imports the front door"
                assert parts[1] in allowed, f"{path} imports {name}"


def part(dotted: str) -> str:
    """The part of its room that a module lies in, or is."""
    return dotted.split(".")[2]


@pytest.mark.parametrize("room", ROOMS)
def test_inside_a_room_each_part_imports_only_those_before_it(room: str) -> None:
    order = PARTS[room].split()
    graph = {name: ends for name, ends in imports().items() if name.split(".")[1] == room}
    assert sorted(order) == sorted({part(name) for name in graph})
    for name, ends in graph.items():
        allowed = order[: order.index(part(name)) + 1]
        inside = [end for end in ends if end.split(".")[1] == room]
        assert [end for end in inside if part(end) not in allowed] == [], name


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = imports()
    assert len(graph) > 100
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("room", ROOMS)
def test_inside_the_rooms_imports_are_relative(room: str) -> None:
    for path in modules(room):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert not (node.module or "").startswith(PACKAGE), f"{path}: {node.module}"
            if isinstance(node, ast.Import):
                assert not any(a.name.startswith(PACKAGE) for a in node.names), path


def test_the_market_knows_no_learning_library() -> None:
    for path in modules("market"):
        heads = {name.split(".")[0] for name in imported(path)}
        assert not heads & {"torch", "gymnasium", "stable_baselines3", "cma", "sklearn"}, path


def test_nothing_imports_an_agent_to_judge_it() -> None:
    for path in modules("evaluation"):
        assert not any("agents" in name for name in imported(path)), path


def test_no_module_is_a_room_by_its_bare_name() -> None:
    for path in [path for room in ROOMS for path in modules(room)]:
        assert not {name.split(".")[0] for name in imported(path)} & set(ROOMS), path


def run(code: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=cwd, timeout=120,
        check=False,
    )  # fmt: skip


def test_importing_the_package_is_light(tmp_path: Path) -> None:
    code = """
import sys, gymnasium
before = set(gymnasium.registry)
import worldmodel_trading
heavy = "torch pandas numba matplotlib plotly scipy sklearn arch scoringrules stable_baselines3 cma pyarrow"
print(sorted(name for name in heavy.split() if name in sys.modules))
print(sorted(set(gymnasium.registry) - before))
"""
    done = run(code, cwd=tmp_path)
    assert done.stderr == ""
    ids = [
        "BybitReplay-v0",
        "BybitReplayDiscrete-v0",
        "WorldModelDream-v0",
        "WorldModelDreamDiscrete-v0",
    ]
    assert done.stdout.splitlines() == ["[]", str(ids)]


def test_importing_it_again_and_anew_is_idempotent(tmp_path: Path) -> None:
    code = """
import importlib, sys, warnings
warnings.simplefilter("error")
import gymnasium, worldmodel_trading
importlib.reload(worldmodel_trading)
worldmodel_trading.register_environments()
for name in [name for name in sys.modules if name.startswith("worldmodel_trading")]:
    del sys.modules[name]
import worldmodel_trading
print(len([s for s in gymnasium.registry.values() if "worldmodel_trading" in str(s.entry_point)]))
"""
    done = run(code, cwd=tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("4", "")


def test_the_front_door_has_a_version_and_refuses_what_it_does_not_know() -> None:
    import worldmodel_trading

    assert worldmodel_trading.__version__ == version("worldmodel-trading")
    with pytest.raises(AttributeError, match="Candels"):
        _ = worldmodel_trading.Candels  # type: ignore[attr-defined]


def test_a_world_model_is_loaded_without_its_trainer_or_a_compiler(
    paper_model: WorldModel, tmp_path: Path
) -> None:
    code = """
import sys
before = set(sys.modules)
from worldmodel_trading.models import WorldModel
for name in sys.argv[1:]:
    model = WorldModel.from_pretrained(name)
    ours = [name for name in sys.modules if name.startswith("worldmodel_trading.models.training")]
    loaded = [name for name in ("resource", "sympy", "torch._dynamo") if name in sys.modules]
    print(model.config.preset, ours, sorted(set(loaded) - before))
"""
    paper_model.save_pretrained(tmp_path / "paper")
    done = run(code, "default", str(tmp_path / "paper"), cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("market [] []\npaper [] []\n", "")


def test_making_replay_needs_no_torch(tmp_path: Path) -> None:
    code = """
import sys, gymnasium
env = gymnasium.make("worldmodel_trading:BybitReplay-v0")
env.reset(seed=0)
env.step(env.action_space.sample())
print("torch" in sys.modules)
"""
    done = run(code, cwd=tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def jobs() -> list[str]:
    """Every job of the command line."""
    parser = cli.parser(cli._JOBS)
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return sorted(actions[0].choices)


@pytest.mark.parametrize("job", [[], *([name] for name in jobs())], ids=str)
def test_help_is_light_and_exits_cleanly(job: list[str], tmp_path: Path) -> None:
    code = """
import sys
from worldmodel_trading.cli import main
try:
    main([*sys.argv[1:], "--help"])
except SystemExit as stop:
    print("status", stop.code)
heavy = "torch arch scoringrules sklearn matplotlib plotly pandas numba stable_baselines3"
print("heavy", [name for name in heavy.split() if name in sys.modules])
"""
    done = run(code, *job, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-2:] == ["status 0", "heavy []"]
    assert done.stdout.startswith("usage: worldmodel-trading")
