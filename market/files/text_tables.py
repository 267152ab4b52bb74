"""CSV and its kin as a table: where the header lies, what parts the cells, which rows are short."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from ..errors import TableError
from .cells import first_line
from .columns import (
    NO_ROWS,
    Layout,
    Table,
    are_numbered,
    choose_columns,
    index_position,
    names_by_place,
)
from .packed import PackedFile

if TYPE_CHECKING:
    import pyarrow as pa

_PREAMBLE_LINES = 20  # a header lies within so many lines
_LONGEST_LINE = 65_536  # bytes
_INFERRED = ("time", "date", "index")  # numbers, times or text: whatever the first block shows


@dataclass(frozen=True)
class _Shape:
    """How a file is laid out: its columns, and the line on which its rows begin."""

    names: list[str]
    by_place: bool
    delimiter: str
    first_line: int


def open_text(file: PackedFile, layout: Layout) -> Table:
    """A CSV file as a table; nothing but its first lines is read yet.

    Raises:
        TableError: Its first lines hold no header and are no rows of numbers.
    """
    with file.open() as stream:
        shape = _find_header(stream, layout)

    def read(chosen: Mapping[str, int]) -> dict[str, pa.ChunkedArray]:
        return _read(file, shape, chosen)

    index = None if shape.by_place else index_position(shape.names)
    return Table(shape.names, read, index, shape.by_place)


def _find_header(stream: IO[bytes], layout: Layout) -> _Shape:
    """The first line that names the columns, or that is a row of numbers and has no such line.

    Lines before it are comments, but for one of many cells above a row of numbers: that is a
    header which nobody understands, and what it names is not guessed.
    """
    comment: TableError | None = None
    header: TableError | None = None
    for number, line in _lines(stream):
        delimiter = max(",;\t", key=line.count)
        cells = next(csv.reader([line], delimiter=delimiter), [])
        names = None if header else names_by_place(cells, layout)
        if names is not None:
            return _Shape(names, True, delimiter, number)
        if are_numbered(cells):
            continue
        try:
            choose_columns(cells, layout, index_position(cells))
            return _Shape(cells, False, delimiter, number + 1)
        except TableError as error:
            comment = comment or error
            if len(cells) > 1 and not line.lstrip().startswith("#"):
                header = header or error
    raise (
        header
        or comment
        or TableError("the file is empty: expected a header line and at least one row")
    )


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, str]]:
    """The first lines that are not blank, with their number in the file."""
    for number in range(_PREAMBLE_LINES):
        content = stream.readline(_LONGEST_LINE)
        # What opens a file must be text; in rows, columns that nobody asks for may be anything.
        line = content.decode("utf-8-sig", errors="replace" if number else "strict")
        if line.strip():
            yield number, line


def _read(file: PackedFile, shape: _Shape, chosen: Mapping[str, int]) -> dict[str, pa.ChunkedArray]:
    import pyarrow as pa

    try:
        table = _read_csv(file, shape, chosen, typed=True)
    except pa.ArrowInvalid:
        _refuse_rows(file, shape)
        # A cell that is no number: read everything as text, so that the row can be named.
        table = _read_csv(file, shape, chosen, typed=False)
    return {role: table.column(f"c{i}") for role, i in chosen.items()}


def _read_csv(
    file: PackedFile, shape: _Shape, chosen: Mapping[str, int], *, typed: bool
) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as pacsv

    text = pa.dictionary(pa.int32(), pa.string())  # a symbol in every row is held once
    types = {
        f"c{i}": text if role == "symbol" else pa.float64() if typed else pa.string()
        for role, i in chosen.items()
        if not (typed and role in _INFERRED)
    }
    # Block by block, since reading all at once holds the whole text beside the numbers.
    with (
        _rows(file, shape) as stream,
        pacsv.open_csv(
            stream,
            pacsv.ReadOptions(column_names=[f"c{i}" for i in range(len(shape.names))]),
            pacsv.ParseOptions(delimiter=shape.delimiter),
            pacsv.ConvertOptions(
                column_types=types,
                include_columns=[f"c{i}" for i in chosen.values()],
                strings_can_be_null=True,
            ),
        ) as reader,
    ):
        return pa.Table.from_batches(list(reader), reader.schema)


def _refuse_rows(file: PackedFile, shape: _Shape) -> None:
    """Refuse rows that have not as many cells as there are columns, and that there are none."""
    row = -1
    with _rows(file, shape) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        rows = filter(None, csv.reader(text, delimiter=shape.delimiter))
        for row, cells in enumerate(rows):
            if len(cells) != len(shape.names):
                raise TableError(
                    f"row {row} has {len(cells)} cells ({first_line(','.join(cells))!r}); expected "
                    f"{len(shape.names)}, as {'above it' if shape.by_place else 'in the header'}"
                )
    if row < 0:
        raise TableError(NO_ROWS)


@contextmanager
def _rows(file: PackedFile, shape: _Shape) -> Iterator[IO[bytes]]:
    """The file from its first row on."""
    with file.open() as stream:
        for _ in range(shape.first_line):
            stream.readline(_LONGEST_LINE)
        yield stream
