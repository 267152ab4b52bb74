"""The list of figures, as ``docs/how_we_know.md`` shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .registry import FIGURES, Figure
from .store import Measured


def list_lines(figures: Mapping[str, Measured]) -> list[str]:
    """A section for each page: its claims, when and where they were measured, and by what."""
    lines: list[str] = []
    page = ""
    for figure in FIGURES:
        if figure.page != page:
            page = figure.page
            lines += [f"## {_title(page)}", ""]
        lines += [*_entry(figure, figures[figure.name]), ""]
    return lines[:-1]


def _title(page: str) -> str:
    return page if page == "README" else f"[{page.replace('_', ' ')}]({page}.md)"


def _entry(figure: Figure, measured: Measured) -> Iterator[str]:
    took = "" if measured.seconds is None else f", {measured.seconds} s"
    yield f"**{figure.claim}.**"
    yield f"Over {figure.over}. Measured {measured.date} on {measured.machine}{took}."
    yield ""
    yield "```bash"
    yield from figure.commands
    yield "```"
