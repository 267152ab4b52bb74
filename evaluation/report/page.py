"""The HTML that reports share: one column, light and dark, no resource from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from . import chart as charts

_CSS = """
:root { color-scheme: light dark; --paper: #fdfdfc; --ink: #1b1f24; --muted: #5d6671; --line: #e3e5e8;
  --c0: #1f6feb; --c1: #d9622b; --c2: #2a8f5d; --c3: #8a55c7; --c4: #b8860b; --c5: #7a828c; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e4e7eb; --muted: #98a1ac; --line: #2b3037;
  --c0: #62a0ff; --c1: #f0905c; --c2: #5cc494; --c3: #b58bea; --c4: #dcb24a; --c5: #8a929c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 880px; margin: 0 auto; padding: 2.5rem 1rem 5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 0.7rem; }
p { margin: 0.5rem 0; }
.sub { color: var(--muted); margin: 0.3rem 0 1.6rem; font-size: 0.9rem; overflow-wrap: anywhere; }
.lead { font-size: 1.12rem; }
.note, figcaption { color: var(--muted); font-size: 0.88rem; }
figure { margin: 1.1rem 0 1.8rem; }
figcaption { margin-bottom: 0.4rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.28rem 0 0.28rem 0.75rem; text-align: right; white-space: nowrap; }
th { white-space: normal; font-weight: 500; color: var(--muted); border-bottom: 1px solid var(--line); vertical-align: bottom; }
td.text, th.text { text-align: left; white-space: normal; padding-left: 0; padding-right: 0.75rem; }
tbody { border-bottom: 1px solid var(--line); }
tbody tr:first-child td { padding-top: 0.5rem; } tbody tr:last-child td { padding-bottom: 0.5rem; }
td small { color: var(--muted); }
.grouped tbody tr:first-child td:first-child { font-weight: 600; }
details { border-bottom: 1px solid var(--line); padding: 0.45rem 0; }
summary { cursor: pointer; }
pre { overflow-x: auto; font: 0.82rem/1.5 ui-monospace, Menlo, Consolas, monospace; margin: 0.5rem 0; }
"""


def page(title: str, body: str, subtitle: str = "") -> str:
    """A whole document; title and subtitle are escaped, the body is HTML."""
    sub = f'<p class="sub">{escape(subtitle)}</p>' if subtitle else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}{charts.CSS}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{sub}\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what follows; parts that are no HTML element become notes."""
    body = "".join(
        part if part.startswith("<") else f'<p class="note">{escape(part)}</p>' for part in parts
    )
    return f"<section><h2>{escape(title)}</h2>{body}</section>\n"


def figure(picture: charts.Chart, caption: str) -> str:
    """A chart under its caption."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{picture.svg()}</figure>"


def table(
    header: Sequence[str], groups: Sequence[Sequence[Sequence[str]]], text_columns: int = 1
) -> str:
    """Rows of cells in groups with a line between them; the first columns are text.

    Args:
        header: Column titles.
        groups: Groups of rows of cells, as many as there are titles; the second line of a cell
            is small print.
        text_columns: How many of the first columns are aligned left.
    """

    def row(cells: Sequence[str], tag: str) -> str:
        parts = [
            f"<{tag}{' class=text' if i < text_columns else ''}>{_cell(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        ]
        return f"<tr>{''.join(parts)}</tr>"

    bodies = "".join(
        f"<tbody>{''.join(row(cells, 'td') for cells in group)}</tbody>" for group in groups
    )
    grouped = ' class="grouped"' if len(groups) > 1 else ""
    return f'<div class="scroll"><table{grouped}><thead>{row(header, "th")}</thead>{bodies}</table></div>'


def _cell(text: str) -> str:
    first, _, second = text.partition("\n")
    return escape(first) + (f"<br><small>{escape(second)}</small>" if second else "")


def details(title: str, text: str) -> str:
    """Text that opens at a click."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
