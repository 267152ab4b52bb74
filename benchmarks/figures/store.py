"""The file of figures, and the pages that show them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from worldmodel_trading.market.files.writer import write_whole

from .cells import UnknownValueError
from .claims import broken_claims
from .values import fill_values

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "figures.json"
LIST = ROOT / "docs" / "how_we_know.md"
_BLOCK = re.compile(
    r"<!-- figure: (?P<name>[\w.]+) -->\n\n(?P<text>.*?)\n\n<!-- end of figure -->", re.DOTALL
)
_LIST_BLOCK = re.compile(r"(<!-- list of figures -->\n\n).*?(\n\n<!-- end of list -->)", re.DOTALL)


@dataclass(frozen=True)
class Measured:
    """What a figure's commands printed.

    Attributes:
        text: Markdown, as pages show it.
        date: Day on which it was measured, ISO.
        machine: Processor and cores.
        seconds: Wall time of its commands, without what they share with others; None where unknown.
    """

    text: str
    date: str
    machine: str
    seconds: int | None = None


def read_figures(path: Path = FILE) -> dict[str, Measured]:
    """All that was measured, by name."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: Measured(**fields) for name, fields in found.items()}


def write_figures(figures: Mapping[str, Measured], path: Path = FILE) -> None:
    """Write them all, in order of name."""
    fields = {name: asdict(figures[name]) for name in sorted(figures)}
    write_whole(path, json.dumps(fields, indent=1, ensure_ascii=False) + "\n")


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that may show figures."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def shown(page: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each figure that a page shows."""
    for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield found["name"], found["text"]


def fill(page: Path, figures: Mapping[str, Measured]) -> bool:
    """Write today's figures and values into a page; whether anything changed.

    Raises:
        KeyError: The page shows a figure that is not held.
        UnknownValueError: It shows values that no figure has, and they are left as they were; or
            makes claims that do not hold. All else is written.
    """
    wrong: list[str] = []
    texts = {name: measured.text for name, measured in figures.items()}

    def today(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- figure: {name} -->\n\n{figures[name].text}\n\n<!-- end of figure -->"

    def filled(text: str) -> str:
        text, unknown = fill_values(_BLOCK.sub(today, text), texts)
        wrong.extend([*unknown, *broken_claims(text, texts)])
        return text

    changed = _rewrite(page, filled)
    if wrong:
        raise UnknownValueError("\n".join([f"{page.name}:", *wrong]))
    return changed


def write_list(lines: list[str], page: Path = LIST) -> bool:
    """Write the list of figures into the page that tells how they are known."""
    text = "\n".join(lines)
    return _rewrite(page, lambda old: _LIST_BLOCK.sub(lambda m: f"{m[1]}{text}{m[2]}", old))


def _rewrite(page: Path, change: Callable[[str], str]) -> bool:
    old = page.read_text(encoding="utf-8")
    new = change(old)
    if new != old:
        write_whole(page, new)
    return new != old
