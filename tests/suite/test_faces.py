"""The faces: what a user imports, from the package or from one of its rooms, and nothing deeper."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = "worldmodel_trading"
TREE = Path(__file__).parents[2]
ROOMS = ("market", "models", "envs", "evaluation", "agents")


def packages(name: str) -> Iterator[str]:
    """The dotted names of a room and of all rooms inside it."""
    yield name
    for found in pkgutil.iter_modules(importlib.import_module(name).__path__):
        if found.ispkg:
            yield from packages(f"{name}.{found.name}")


FACES = [PACKAGE, *(name for room in ROOMS for name in packages(f"{PACKAGE}.{room}"))]


def test_rooms_inside_rooms_are_found() -> None:
    assert f"{PACKAGE}.market.account" in FACES
    assert len(FACES) > 12


@pytest.mark.parametrize("name", FACES)
def test_a_face_gives_what_it_lists(name: str) -> None:
    face = importlib.import_module(name)
    beside = {found.name for found in pkgutil.iter_modules(face.__path__)}
    for listed in face.__all__:
        given = getattr(face, listed)
        assert given is not None
        assert not isinstance(given, ModuleType)
        # A module of a face's name would take its place once somebody imports that module.
        assert listed not in beside
    assert set(face.__all__) <= set(dir(face))


@pytest.mark.parametrize("name", FACES)
def test_what_a_face_lists_is_imported_from_where_it_is_defined(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    stub = Path(spec.origin).with_suffix(".pyi")
    if not stub.exists():
        assert importlib.import_module(name).__all__ == []
        return
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        assert isinstance(node, ast.ImportFrom), ast.unparse(node)
        module = importlib.import_module(f"{name}.{node.module}")
        for alias in node.names:
            assert alias.asname == alias.name  # "X as X" is how a stub says that it exports X
            home = getattr(getattr(module, alias.name), "__module__", module.__name__)
            assert home == module.__name__ or not home.startswith(PACKAGE), alias.name


OWN = {
    *(
        "CompareConfig",
        "Cuts",
        "Exploration",
        "ExploreConfig",
        "RegimesConfig",
        "RunConfig",
        "SelfTest",
    ),
    *("SelfTestConfig", "StressConfig", "SweepConfig", "TransferConfig", "Widened"),
    "__version__",
    "compare",
    "explore",
    "find_regimes",
    "play",
    "register_environments",
    "self_test",
    "stress",
    "sweep",
    "train_agent",
    "transfer",
}
"""What the front door has of itself, and not of a room."""


def test_the_front_door_shows_nothing_that_its_rooms_hide() -> None:
    front = set(importlib.import_module(PACKAGE).__all__) - OWN
    shown = {n for room in ROOMS for n in importlib.import_module(f"{PACKAGE}.{room}").__all__}
    assert front <= shown


def pages() -> list[Path]:
    """What users read and copy from."""
    folders = [*(TREE / "docs").iterdir(), *(TREE / "examples").iterdir()]
    return sorted(
        [TREE / "README.md", *(path for path in folders if path.suffix in (".md", ".py"))]
    )


def snippets(page: Path) -> list[str]:
    """The Python of a page or of a script."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".py":
        return [text]
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def is_shown(dotted: str) -> bool:
    """Whether a path under the package is a room, or a name of a face."""
    parts = dotted.split(".")[1:]
    face = PACKAGE
    if parts and parts[0] in ROOMS:
        face = f"{PACKAGE}.{parts.pop(0)}"
    return not parts or parts[0] in importlib.import_module(face).__all__


def deep_paths(text: str) -> list[str]:
    """The paths in a text that lead past the faces."""
    paths = re.findall(rf"\b{PACKAGE}(?:\.\w+)*", text)
    return [path for path in paths if not is_shown(path)]


def hidden_imports(code: str) -> list[str]:
    """The names that code imports from the package and that are in no face."""
    froms = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in froms if (node.module or "").split(".")[0] == PACKAGE]
    names = [f"{node.module}.{alias.name}" for node in ours for alias in node.names]
    return [name for name in names if not is_shown(name)]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_what_users_copy_imports_from_faces(page: Path) -> None:
    assert deep_paths(page.read_text(encoding="utf-8")) == []
    assert [name for code in snippets(page) for name in hidden_imports(code)] == []


def test_the_check_sees_a_deep_path() -> None:
    deep = f"from {PACKAGE}.market.candles import Candles"
    assert deep_paths(deep) == [f"{PACKAGE}.market.candles"]
    assert hidden_imports(f"from {PACKAGE}.market import candles") == [f"{PACKAGE}.market.candles"]
    assert hidden_imports(f"from {PACKAGE}.market import Candles") == []
    assert deep_paths(f"see `{PACKAGE}.market.RewardStep`, {PACKAGE}.WorldModel") == []


def test_a_name_is_loaded_when_it_is_first_used() -> None:
    code = (
        "import sys, worldmodel_trading.market as market; print('pandas' in sys.modules, "
        "'worldmodel_trading.market.candles' in sys.modules); market.Candles; "
        "print('worldmodel_trading.market.candles' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]
