"""Cells of figures: tables in Markdown, or as a command printed them, by row and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_WORDS: Final = re.compile(r"\S+(?: \S+)*")


class UnknownValueError(ValueError):
    """A value's figure, row, column or form does not exist; the message says which do."""


@dataclass(frozen=True)
class _Table:
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def find_cells(figures: Mapping[str, str], name: str, row: str, column: str) -> list[str]:
    """The cells of a figure's rows of that name, in that column.

    Args:
        figures: Text of each figure by its name.
        name: Of the figure.
        row: The beginnings of the row's first cells, or of its table's title and these, joined by ` / `.
        column: The beginning of its heading; after ` / ` another, of the first such column from there on.

    Raises:
        UnknownValueError: There is no such figure, row or column.
    """
    if name not in figures:
        raise UnknownValueError(f"no figure {name!r}; there are {sorted(figures)}")
    tables = list(_tables(figures[name]))
    found = _rows(tables, row.split(" / "))
    if not found:
        raise UnknownValueError(f"{name}: no row is {row!r}; there are {_names(tables)}")
    return [cells[_column(table, column, name)] for table, cells in found]


def find_cell(figures: Mapping[str, str], name: str, row: str, column: str) -> str:
    """The one such cell.

    Raises:
        UnknownValueError: There is none, or there are several.
    """
    found = find_cells(figures, name, row, column)
    if len(found) > 1:
        names = _names(list(_tables(figures[name])))
        raise UnknownValueError(f"{name}: several rows are {row!r}; there are {names}")
    return found[0]


def find_span(figures: Mapping[str, str], name: str, row: str, first: str, last: str) -> list[str]:
    """The cells of one row from one column to another, both included.

    Raises:
        UnknownValueError: There is no such figure, row or column, or there are several.
    """
    find_cell(figures, name, row, first)
    table, cells = _rows(list(_tables(figures[name])), row.split(" / "))[0]
    return list(cells[_column(table, first, name) : _column(table, last, name) + 1])


def _rows(tables: Sequence[_Table], wanted: Sequence[str]) -> list[tuple[_Table, tuple[str, ...]]]:
    """Rows that are named so; those by the whole of their cells before those by beginnings."""
    for alike in (str.__eq__, str.startswith):
        found = [
            (table, cells)
            for table in tables
            for cells in table.rows
            if any(_begins(path, wanted, alike) for path in (cells, (table.title, *cells)))
        ]
        if found:
            return found
    return []


def _begins(path: Sequence[str], wanted: Sequence[str], alike: Callable[[str, str], bool]) -> bool:
    return len(wanted) <= len(path) and all(map(alike, path, wanted))


def _names(tables: Sequence[_Table]) -> list[str]:
    return [" / ".join(_shortest(table, tables)(cells)) for table in tables for cells in table.rows]


def _shortest(
    table: _Table, tables: Sequence[_Table]
) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """How a row of a table is named: by as many cells as tell it from all others."""
    rows = [cells for one in tables for cells in one.rows]

    def of(cells: tuple[str, ...]) -> tuple[str, ...]:
        for size in range(1, min(3, len(cells)) + 1):
            if sum(other[:size] == cells[:size] for other in rows) == 1:
                return cells[:size]
            if sum(other[:size] == cells[:size] for other in table.rows) == 1:
                return (table.title, *cells[:size])
        return (table.title, *cells)

    return of


def _column(table: _Table, column: str, name: str) -> int:
    first, *later = column.split(" / ")
    exact = [i for i, title in enumerate(table.head) if title == first]
    found = exact or [i for i, title in enumerate(table.head) if title.startswith(first)]
    if len(found) == 1:
        for wanted in later:
            start = found[0] + 1
            found = [start + i for i, title in enumerate(table.head[start:]) if title == wanted][:1]
            if not found:
                break
    if len(found) != 1:
        said = "several columns are" if found else "no column is"
        raise UnknownValueError(f"{name}: {said} {column!r}; there are {list(table.head)}")
    return found[0]


def _tables(text: str) -> Iterator[_Table]:
    """The tables of a figure, in Markdown or as a command printed them."""
    title = ""
    for block in re.split(r"\n\n+", text):
        lines = block.splitlines()
        if lines[0].startswith("```"):
            yield _printed(lines[1:-1])
        elif lines[0].startswith("|"):
            head, _, *rows = [
                tuple(map(_plain, re.split(r"(?<!\\)\|", line.strip())[1:-1])) for line in lines
            ]
            yield _Table(title if title else head[0], head, tuple(rows))
        title = lines[0].strip("*") if lines[0].startswith("**") else ""


def _printed(lines: Sequence[str]) -> _Table:
    """Columns of a text, which lie below their headings' beginnings or ends."""
    heads = list(_WORDS.finditer(lines[0]))
    rows = []
    for line in lines[1:]:
        cells = [""] * len(heads)
        for words in _WORDS.finditer(line):
            for i, head in enumerate(heads):
                if words.start() == head.start() or words.end() == head.end():
                    cells[i] = words[0]
        rows.append(tuple(cells))
    return _Table("", tuple(head[0] for head in heads), tuple(rows))


def _plain(cell: str) -> str:
    """A cell without emphasis."""
    return cell.strip().replace("**", "").strip("*").replace("`", "").replace(r"\|", "|")
