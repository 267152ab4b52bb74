"""What ships: a wheel that installs into an empty environment and works from anywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
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
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of what is committed, where setuptools can."""
    if not can_build_here():
        pytest.skip("needs setuptools 77 or newer")
    folder = tmp_path_factory.mktemp("sdist")
    for name in tracked():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, folder / "tree" / name)
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    call(sys.executable, "-c", code, folder, cwd=folder / "tree")
    (built,) = folder.glob("*.tar.gz")
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


def tracked(*under: str) -> set[str]:
    """Files of the project, as they are committed."""
    if not (TREE / ".git").exists():
        pytest.skip("no checkout: what is committed is not known")
    listed = call("git", "ls-files", "-z", *under, cwd=TREE)
    return {name for name in listed.split("\0") if name}


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        str(Path("worldmodel_trading", *Path(name).parts[name.startswith("suite/") :]))
        for name in tracked("suite", *ROOMS)
    }
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    about = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
    assert names == expected | {f"{info}/{name}" for name in about}
    card = "worldmodel_trading/models/pretrained/default/README.md"
    assert {"worldmodel_trading/py.typed", "worldmodel_trading/__init__.pyi", card} <= names


@pytest.mark.slow
def test_the_source_distribution_holds_the_project(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in names if name == "PKG-INFO" or ".egg-info/" in name}
    assert names - made - {"setup.cfg"} == tracked() - {".ci/run", ".gitignore"}


@pytest.mark.slow
def test_the_release_has_one_version(wheel: Path, sdist: Path) -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text("utf-8"))["project"]
    number = project["version"]
    assert wheel.name == f"worldmodel_trading-{number}-py3-none-any.whl"
    assert sdist.name == f"worldmodel_trading-{number}.tar.gz"
    assert f"\nversion: {number}\n" in (TREE / "CITATION.cff").read_text("utf-8")
    changes = re.findall(
        r"^## (\S+) – (\S+)$", (TREE / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    released = re.search(
        r"^date-released: (\S+)$", (TREE / "CITATION.cff").read_text("utf-8"), re.MULTILINE
    )
    assert released
    assert changes[0] == (number, released[1])


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
    assert call(python, "-c", code, cwd=tmp_path) == f"stepped {version('worldmodel-trading')}\n"


@pytest.mark.slow
def test_its_command_is_installed(python: Path, tmp_path: Path) -> None:
    command = python.with_name("worldmodel-trading")
    assert call(command, "--help", cwd=tmp_path).startswith("usage: worldmodel-trading")
    assert "run" in call(python, "-m", "worldmodel_trading", "--help", cwd=tmp_path)


@pytest.mark.slow
def test_the_readme_s_lines_work_from_another_directory(python: Path, tmp_path: Path) -> None:
    readme = (TREE / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert first
    assert "learn(1_000_000)" in first[1]
    quick = first[1].replace("1_000_000", "256")  # the whole of it is run with the pages' blocks
    assert "Performance(" in call(python, "-c", quick, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []
