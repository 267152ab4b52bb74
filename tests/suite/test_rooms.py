"""The house: rooms that import one way only, and imports that stay light."""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from worldmodel_trading import cli

ROOMS = ("market", "models", "envs", "evaluation", "agents")  # each may import those before it
PACKAGE = "worldmodel_trading"


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
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            package = package_of(path)
            above = package[: len(package) + 1 - node.level]
            if node.module is None:  # from . import module
                yield from (".".join([*above, alias.name]) for alias in node.names)
            else:
                yield ".".join([*above, node.module])


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
heavy = "torch pandas numba matplotlib scipy sklearn arch scoringrules stable_baselines3 cma pyarrow"
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
heavy = "torch arch scoringrules sklearn matplotlib pandas numba stable_baselines3"
print("heavy", [name for name in heavy.split() if name in sys.modules])
"""
    done = run(code, *job, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-2:] == ["status 0", "heavy []"]
    assert done.stdout.startswith("usage: worldmodel-trading")
