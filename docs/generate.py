"""Write the pages that are made from docstrings and faces: ``python docs/generate.py``.

`docs/environments/` has a page for each environment, its docstring; `docs/api/` one for each room,
which names what its face exports (mkdocstrings fills in the rest), and one for the package's own.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from worldmodel_trading import BybitReplayEnv, DreamEnv

DOCS = Path(__file__).parent
ROOMS = {
    "market": "Candles, where they come from, features, and the account.",
    "models": "V, M, their training, the world model and its files, forecasts, regimes.",
    "envs": "Replay and dream, one lane or many, and the engine under them.",
    "evaluation": "Performance, luck, forecasts, fidelity, comparison, pages.",
    "agents": "The linear controller and its search, Stable-Baselines3, rules, live following.",
}
ENVIRONMENTS = {
    "replay": ("BybitReplay", BybitReplayEnv),
    "dream": ("WorldModelDream", DreamEnv),
}
_EXPORT = re.compile(r"^from \.([\w.]+) import (\w+) as \2$", re.MULTILINE)
_GENERATED = "<!-- Made by docs/generate.py. -->\n"


class Export(NamedTuple):
    """A name of a face, and the module that defines it, relative to the face."""

    module: str
    name: str


def pages() -> dict[Path, str]:
    """Every generated page, by its path below `docs/`."""
    made = {
        Path("environments", f"{page}.md"): _environment(name, env)
        for page, (name, env) in ENVIRONMENTS.items()
    }
    made[Path("api", "index.md")] = _package()
    made |= {Path("api", f"{room}.md"): _room(room) for room in ROOMS}
    return made


def _environment(name: str, env: type[object]) -> str:
    """A page from an environment's docstring, whose arguments become a list."""
    manual = inspect.getdoc(env) or ""
    for section in ("Args", "Attributes"):
        title = {"Args": "Arguments"}.get(section, section)
        manual = manual.replace(f"\n{section}:\n", f"\n## {title}\n")
    ids = f"`{name}-v0`, and `{name}Discrete-v0`, whose actions are short, flat and long."
    return f"{_GENERATED}\n# {name}-v0\n\n{ids}\n\n{_listed(manual)}\n"


def _listed(text: str) -> str:
    """Google-style arguments as a list."""
    lines, inside = [], False
    for line in text.splitlines():
        if line.startswith("## "):
            inside = line in ("## Arguments", "## Attributes")
            lines += [line, ""] if inside else [line]
        elif inside and line.startswith("    ") and not line.startswith("     "):
            name, _, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}")
        elif inside and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines)


def _exports(package: str) -> list[Export]:
    """What a face exports, in the order of its stub."""
    face = Path(inspect.getfile(importlib.import_module(package))).with_suffix(".pyi")
    return [Export(*found) for found in _EXPORT.findall(face.read_text(encoding="utf-8"))]


def _room(room: str) -> str:
    """A room's page: its names by the part of it that they come from."""
    package = f"worldmodel_trading.{room}"
    lines = [
        f"{_GENERATED}\n# {package}\n\n{ROOMS[room]} `from {package} import …` gives each name of this page."
    ]
    for part, found in groupby(_exports(package), key=lambda one: one.module.split(".")[0]):
        lines.append(f"## {part.replace('_', ' ')}")
        lines += [f"::: {package}.{one.name}" for one in found]
    return "\n\n".join(lines) + "\n"


def _package() -> str:
    """The page of the package's own face: links into the rooms, and what no room exports."""
    package = "worldmodel_trading"
    lines = [
        f"{_GENERATED}\n# worldmodel_trading\n\nWhat most users need: `from worldmodel_trading import …` gives each "
        "name of this page. Each room has a face of its own with more names. What is in no face is private, and may move."
    ]
    rooms = {room: {one.name for one in _exports(f"{package}.{room}")} for room in ROOMS}
    exports, own = _exports(package), []
    for room, names in rooms.items():
        here = [one for one in exports if one.module.split(".")[0] == room]
        lines.append(f"## From [`{package}.{room}`]({room}.md)")
        lines.append("\n".join(_linked(f"{package}.{room}", here, names)))
    own = [one for one in exports if not any(one.name in names for names in rooms.values())]
    lines.append("## Jobs, their settings and what they return")
    lines += [f"::: {package}.{one.name}" for one in own]
    return "\n\n".join(lines) + "\n"


def _linked(package: str, exports: list[Export], names: set[str]) -> Iterator[str]:
    """A line for each name: a link into its room's page, and what its docstring says first."""
    for one in exports:
        if one.name in names:
            found = getattr(importlib.import_module(package), one.name)
            doc = inspect.getdoc(found) if callable(found) else None
            first = f": {doc.splitlines()[0]}" if doc else ""
            yield f"- [`{one.name}`][{package}.{one.name}]{first}"


def main() -> None:
    """Write them all."""
    for path, text in pages().items():
        (DOCS / path).parent.mkdir(exist_ok=True)
        (DOCS / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
