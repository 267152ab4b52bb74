"""What pages are made of: one column, light and dark, nothing loaded from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal, Protocol

from .plot import MAX_POINTS, Numbers
from .theme import script, style

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CHARTS_NOTE = (
    "With a mouse, drag over a chart to look closer and double-click to see all of it again; a click on "
    "a name hides its line."
)
_MINUS = re.compile(r"(?<![\w.)])-(?=\d)")
_HYPHENED = re.compile(r"([^\s&;]+-[^\s&;]+)")  # words that no line may end within
_LONG = 18  # characters of a cell that had better wrap

Tone = Literal["good", "bad", "unsure", "plain"]


class Picture(Protocol):
    """What `chart` draws, such as a `Plot`."""

    @property
    def label(self) -> str:
        """What it shows, for those who cannot see it."""

    @property
    def height(self) -> int:
        """In pixels."""

    @property
    def min_width(self) -> int:
        """In pixels; a narrower screen scrolls."""

    def figure(self) -> Figure:
        """Plotly's figure, in light colours."""

    def numbers(self) -> list[Numbers]:
        """The numbers behind it."""


@dataclass(frozen=True)
class Tile:
    """One figure of a verdict.

    Attributes:
        title: What it is.
        value: The figure.
        notes: What it has to be seen beside, a line each.
    """

    title: str
    value: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a page comes to.

    Attributes:
        word: In a word or few.
        tone: Its colour.
        deciding: The sentence that decides.
        tiles: The figures that go with it.
    """

    word: str
    tone: Tone
    deciding: str
    tiles: tuple[Tile, ...] = ()


def page(title: str, body: str, subtitle: str = "") -> str:
    """A whole document; title and subtitle are escaped, the body is HTML."""
    sub = f'<p class="sub">{escape(subtitle)}</p>' if subtitle else ""
    scripts = _scripts() if 'class="chart"' in body else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{style()}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{sub}\n{body}\n</main>\n"
        f"{scripts}</body>\n</html>\n"
    )


def _scripts() -> str:
    """Plotly's library, once, and what draws with it."""
    from plotly.offline import get_plotlyjs

    library = get_plotlyjs().replace("</script", "<\\/script")
    return f"<script>{library}</script>\n{script()}"


def verdict_card(verdict: Verdict) -> str:
    """The first thing that a page says."""
    tiles = "".join(map(_tile, verdict.tiles))
    figures = f'<dl class="tiles">{tiles}</dl>' if tiles else ""
    return (
        f'<section class="verdict {verdict.tone}"><p class="word">{_text(verdict.word)}</p>'
        f'<p class="deciding">{_text(verdict.deciding)}</p>{figures}</section>\n'
    )


def _tile(tile: Tile) -> str:
    notes = "".join(f"<small>{_text(note)}</small>" for note in tile.notes)
    return f"<div><dt>{_text(tile.title)}</dt><dd>{_text(tile.value)}{notes}</dd></div>"


def sentences(said: Sequence[str]) -> str:
    """A paragraph each; beside each other where there is room."""
    paragraphs = "".join(f"<p>{_text(sentence)}</p>" for sentence in said)
    return f'<div class="said">{paragraphs}</div>\n' if said else ""


def section(title: str, *parts: str) -> str:
    """A heading and what follows; parts that are no HTML element become notes."""
    body = "".join(
        part if part.startswith("<") else f'<p class="note">{_text(part)}</p>'
        for part in parts
        if part
    )
    return f"<section><h2>{escape(title)}</h2>{body}</section>\n"


def heading(title: str) -> str:
    """A heading inside a section."""
    return f"<h3>{escape(title)}</h3>"


def chart(plot: Picture, caption: str) -> str:
    """A picture under its caption, and the numbers behind it, which open at a click."""
    drawn = plot.figure().to_json().replace("<", "\\u003c")
    wide = f";min-width:{plot.min_width}px" if plot.min_width else ""
    return (
        f'<figure class="chart"><figcaption>{escape(caption)}</figcaption><div class="scroll">'
        f'<div class="plot" role="img" aria-label="{escape(plot.label)}" '
        f'style="height:{plot.height}px{wide}"></div></div>'
        f'<script type="application/json">{drawn}</script>{_behind(plot)}</figure>'
    )


def _behind(plot: Picture) -> str:
    tables = []
    for numbers in plot.numbers():
        shown = len(numbers.rows)
        words = f"{shown} of {numbers.total:,} rows, evenly spread" if shown < numbers.total else ""
        if numbers.total > MAX_POINTS:
            words += (
                f"; lines are drawn by at most {MAX_POINTS:,} points, the lowest and the highest of "
                "each stretch"
            )
        tables.append(table(numbers.header, [numbers.rows], caption=words))
    return f"<details><summary>The numbers behind it</summary>{''.join(tables)}</details>"


def table(
    header: Sequence[str],
    groups: Sequence[Sequence[Sequence[str]]],
    text_columns: int = 1,
    caption: str = "",
    tones: Sequence[Sequence[Sequence[str]]] | None = None,
) -> str:
    """Rows of cells in groups with a line between them; the first columns are text.

    The first cell of a row is its heading and stays in sight when the table is scrolled; where
    the others of its group have none, it is the heading of the group.

    Args:
        header: Column titles.
        groups: Groups of rows of cells, as many as there are titles; the second line of a cell
            is small print.
        text_columns: How many of the first columns are aligned left.
        caption: Said above the table.
        tones: An HTML attribute for each cell but the first, in the groups' shape; empty for none.
    """
    titles = "".join(
        f'<th scope="col"{" class=text" if i < max(text_columns, 1) else ""}>{_cell(title)}</th>'
        for i, title in enumerate(header)
    )
    bodies = "".join(
        f"<tbody>{_rows(group, text_columns, tones[i] if tones else None)}</tbody>"
        for i, group in enumerate(groups)
    )
    kind = "grouped" if len(groups) > 1 else ""
    kind += " shaded" if "--by" in bodies else ""
    said = f"<caption><span>{_text(caption)}</span></caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind.strip()}">{said}<thead><tr>{titles}</tr></thead>'
        f"{bodies}</table></div>"
    )


def _rows(
    group: Sequence[Sequence[str]], text_columns: int, tones: Sequence[Sequence[str]] | None
) -> str:
    whole = len(group) > 1 and not any(row[0] for row in group[1:])
    parts = []
    for i, row in enumerate(group):
        heads = ""
        if not whole:
            heads = f'<th scope="row"{_kind(row[0])}>{_cell(row[0])}</th>'
        elif i == 0:
            heads = (
                f'<th scope="rowgroup" rowspan="{len(group)}"{_kind(row[0])}>{_cell(row[0])}</th>'
            )
        cells = "".join(
            f"<td{_kind(cell) if j < text_columns else _tone(tones, i, j)}>{_cell(cell)}</td>"
            for j, cell in enumerate(row[1:], start=1)
        )
        parts.append(f"<tr>{heads}{cells}</tr>")
    return "".join(parts)


def _kind(cell: str) -> str:
    """How a cell of text is set: what is long may be wrapped."""
    return ' class="text long"' if len(cell.partition("\n")[0]) > _LONG else ' class="text"'


def _tone(tones: Sequence[Sequence[str]] | None, row: int, column: int) -> str:
    found = tones[row][column - 1] if tones else ""
    return f" {found}" if found else ""


def _cell(text: str) -> str:
    first, _, second = text.partition("\n")
    kept = _HYPHENED.sub(r'<span class="whole">\1</span>', _text(first)).replace("_", "_<wbr>")
    return kept + (f"<br><small>{_text(second)}</small>" if second else "")


def _text(text: str) -> str:
    """Plain text as HTML, with a minus where one is meant."""
    return _MINUS.sub("−", escape(text))


def details(title: str, text: str) -> str:
    """Text that opens at a click."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def settings(title: str, values: object) -> str:
    """Plain values as JSON that opens at a click."""
    return details(title, json.dumps(values, indent=2, ensure_ascii=False))
