"""What ships: a wheel that installs into an empty environment and works from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
ROOMS = ("market", "models", "envs", "evaluation", "agents")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "suite", *ROOMS)


def call(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, cwd=cwd, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def can_build_here() -> bool:
    """Whether this environment's own setuptools is new enough; else pip fetches one."""
    try:
        return int(version("setuptools").split(".")[0]) >= 77
    except PackageNotFoundError:
        return False


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        source = TREE / name
        if source.is_dir():
            shutil.copytree(source, folder / "tree" / name, ignore=unwanted)
        else:
            (folder / "tree").mkdir(exist_ok=True)
            shutil.copy(source, folder / "tree" / name)
    alone = ["--no-build-isolation"] if can_build_here() else []
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    call(*pip, "--no-deps", *alone, "--wheel-dir", folder / "dist", folder / "tree")
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but the wheel; the dependencies are borrowed from this one."""
    folder = tmp_path_factory.mktemp("empty")
    call(sys.executable, "-m", "venv", "--without-pip", folder)
    found = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(found)]
    call(*pip, "install", "--quiet", "--no-deps", wheel)
    packages = next(folder.rglob("site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return found


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"worldmodel_trading"}
    for room in ROOMS:
        assert f"worldmodel_trading/{room}/__init__.py" in names
        assert f"worldmodel_trading/{room}/__init__.pyi" in names  # its face
    for name in ("config.json", "manifest.json", "model.safetensors"):
        assert f"worldmodel_trading/models/pretrained/default/{name}" in names
    assert {"worldmodel_trading/py.typed", "worldmodel_trading/__init__.pyi"} <= set(names)
    assert not [name for name in names if name.endswith((".pyc", ".nbi", ".nbc", ".pkl"))]


@pytest.mark.slow
def test_it_works_from_another_directory(python: Path, tmp_path: Path) -> None:
    code = """
import importlib.util, pathlib, sys
import gymnasium as gym
for name in ("market", "models", "envs", "evaluation", "agents", "suite"):
    assert importlib.util.find_spec(name) is None, name
dream = gym.make("worldmodel_trading:WorldModelDream-v0")
replay = gym.make("worldmodel_trading:BybitReplay-v0", world_model="default")
for env in (dream, replay):
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
import worldmodel_trading
from worldmodel_trading.market import Candles
assert worldmodel_trading.Candles is Candles
home = pathlib.Path(worldmodel_trading.__file__)
assert pathlib.Path(sys.prefix) in home.parents, home
print("stepped", worldmodel_trading.__version__)
"""
    assert call(python, "-c", code, cwd=tmp_path).startswith("stepped 0.1.0")


@pytest.mark.slow
def test_its_command_is_installed(python: Path, tmp_path: Path) -> None:
    command = python.with_name("worldmodel-trading")
    assert call(command, "--help", cwd=tmp_path).startswith("usage: worldmodel-trading")
    assert "run" in call(python, "-m", "worldmodel_trading", "--help", cwd=tmp_path)
