"""Anything with rows and columns as one kind of table: files, frames, lists and JSON.

The name's ending says what a file is. Nothing here knows what a candle is, beyond the `Layout`
that says which columns are looked for.
"""

from __future__ import annotations

import csv
import json
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TableError
from .cells import as_column, first_line, shortened
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
from .text_tables import open_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ENDINGS = ".csv, .tsv, .txt, .json, .parquet or .feather, or of one of these with .gz or .zip"
_TEXT = (".csv", ".tsv", ".txt")
_ARROW = (".feather", ".arrow", ".ipc")
_SAVED_ATTRIBUTES = b"PANDAS_ATTRS"  # where pandas keeps a frame's attrs in a Parquet file
_OURS = ("symbol", "interval")
_UNREADABLE = (
    *(OSError, EOFError, csv.Error, json.JSONDecodeError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
    RuntimeError,  # zipfile's, of archives that are encrypted; and JSON's, of endless nesting
)


def open_table(source: object, layout: Layout) -> Table:
    """A file, a frame or a list as a table.

    Args:
        source: A path; a pandas or Arrow frame, or one that gives itself as one (polars and
            others); a list of rows, each a list or a dict.
        layout: What is looked for: it finds the header of a CSV, and names columns by place.

    Raises:
        TableError: It is none of these, or cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        return _open_file(Path(source), layout)
    if isinstance(source, np.ndarray) and source.ndim == 2:
        source = source.tolist()
    if isinstance(source, list | tuple):
        return _from_rows(source, layout)
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return _from_pandas(source, layout)
    if hasattr(source, "__arrow_c_stream__") and not isinstance(source, pd.Series):
        import pyarrow as pa

        return _from_arrow(pa.table(source), layout)
    if hasattr(source, "to_pandas"):
        return open_table(source.to_pandas(), layout)
    cure = "call .collect() first" if hasattr(source, "collect") else "give a path or a DataFrame"
    raise TableError(
        f"got a {type(source).__name__}; expected a path, a DataFrame or a list of rows: {cure}"
    )


@contextmanager
def readable() -> Iterator[None]:
    """Say of whatever fails while a table is opened or read that it cannot be read."""
    import pyarrow as pa

    try:
        yield
    except UnicodeDecodeError:
        raise TableError("cannot be read: it is no text in UTF-8; save it as such") from None
    except (*_UNREADABLE, pa.ArrowException) as error:
        raise TableError(f"cannot be read: {first_line(error)}") from None


def _open_file(path: Path, layout: Layout) -> Table:
    name = path.name.lower()
    if not name.endswith((*_TEXT, *_ARROW, ".json", ".parquet", ".gz", ".zip")):
        raise TableError(f"expected a name ending in {ENDINGS}")
    file = PackedFile.at(path)
    if file.name.endswith(".json"):
        with file.open() as stream:
            return _from_object(json.loads(stream.read()), layout)
    if file.name.endswith(".parquet"):
        return _open_parquet(file)
    if file.name.endswith(_ARROW):
        import pyarrow as pa

        with pa.ipc.open_file(_arrow_source(file)) as reader:
            return _from_arrow(reader.read_all(), layout)
    if file.name.endswith(_TEXT) or "." not in file.name:
        return open_text(file, layout)
    raise TableError(f"holds {file.name}; expected a name ending in {ENDINGS}")


def _arrow_source(file: PackedFile) -> Any:
    import pyarrow as pa

    if file.is_plain:
        return str(file.path)
    with file.open() as stream:
        return pa.BufferReader(stream.read())


def _open_parquet(file: PackedFile) -> Table:
    import pyarrow.parquet as pq

    source = _arrow_source(file)
    with pq.ParquetFile(source) as parquet:
        schema = parquet.schema_arrow

    def read(chosen: Mapping[str, int]) -> dict[str, pa.ChunkedArray]:
        names = {role: schema.names[i] for role, i in chosen.items()}
        with pq.ParquetFile(source) as parquet:
            table = parquet.read(columns=list(names.values()))
        return {role: table.column(name) for role, name in names.items()}

    return Table(schema.names, read, _saved_index(schema), recorded=_recorded(schema))


def _from_arrow(table: pa.Table, layout: Layout) -> Table:
    """An Arrow table; ``column_0``, ``column_1``, … are named by their place."""
    first = [column[0].as_py() for column in table.columns] if len(table) else []
    placed = names_by_place(first, layout) if are_numbered(table.column_names) else None
    return Table(
        placed or table.column_names,
        lambda chosen: {role: table.column(i) for role, i in chosen.items()},
        _saved_index(table.schema),
        placed is not None,
        _recorded(table.schema),
    )


def _saved_index(schema: pa.Schema) -> int | None:
    """Where pandas put a frame's index, by what it wrote of it."""
    written = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    indexes = [name for name in written.get("index_columns", ()) if name in schema.names]
    return schema.names.index(indexes[0]) if indexes else index_position(schema.names)


def _recorded(schema: pa.Schema) -> dict[str, str]:
    metadata = schema.metadata or {}
    attributes = json.loads(metadata.get(_SAVED_ATTRIBUTES, b"{}"))
    ours = {key: metadata.get(key.encode(), b"").decode() for key in _OURS}
    return {key: ours[key] or str(attributes.get(key) or "") for key in _OURS}


def _from_pandas(frame: pd.DataFrame, layout: Layout) -> Table:
    import pandas as pd

    if frame.columns.nlevels > 1:
        frame = _one_level(frame)
    columns: list[Any] = [frame.iloc[:, i] for i in range(frame.shape[1])]
    names = [str(name) for name in frame.columns]
    first = [column.iloc[0] for column in columns] if len(frame) else []
    placed = names_by_place(first, layout) if are_numbered(names) else None
    names, index = placed or names, index_position(names)
    if not (isinstance(frame.index, pd.RangeIndex) and frame.index.step == 1):
        levels = [frame.index.get_level_values(i) for i in range(frame.index.nlevels)]
        stamps = [i for i, level in enumerate(levels) if _are_stamps(level)]
        index = len(names) + (stamps[0] if stamps else 0)
        names = [*names, *("" if level.name is None else str(level.name) for level in levels)]
        columns += levels

    def read(chosen: Mapping[str, int]) -> dict[str, pa.ChunkedArray]:
        return {role: as_column(_starts(columns[i])) for role, i in chosen.items()}

    recorded = {key: str(frame.attrs.get(key) or "") for key in _OURS}
    return Table(names, read, index, placed is not None, recorded)


def _one_level(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose columns have several levels, of which all but one say the same everywhere."""
    levels = [frame.columns.get_level_values(i) for i in range(frame.columns.nlevels)]
    telling = [level for level in levels if level.nunique() > 1]
    if len(telling) != 1:
        raise TableError(
            f"the columns have {len(levels)} levels, such as {frame.columns[0]}; take one "
            "instrument, with frame.xs(NAME, axis=1, level=LEVEL)"
        )
    return frame.set_axis(telling[0], axis=1)


def _are_stamps(values: Any) -> bool:
    import pandas as pd

    return isinstance(values.dtype, pd.PeriodDtype | pd.DatetimeTZDtype) or values.dtype.kind == "M"


def _starts(values: Any) -> Any:
    """Periods as the times at which they start; anything else as it is."""
    import pandas as pd

    if not isinstance(values.dtype, pd.PeriodDtype):
        return values
    return (values.dt if isinstance(values, pd.Series) else values).to_timestamp()


def _from_object(value: Any, layout: Layout) -> Table:
    """Rows, columns, or an answer of an exchange that holds one or the other somewhere inside."""
    if not isinstance(value, dict):
        return _from_rows(value, layout)
    columns = {name: cells for name, cells in value.items() if isinstance(cells, list | dict)}
    labels = next((list(cells) for cells in columns.values() if isinstance(cells, dict)), None)
    names, index = list(columns), None
    if labels is not None:  # as pandas writes a frame: a dict of rows for each column
        names, index = [*names, ""], len(names)
    try:
        choose_columns(names, layout, index)
    except TableError as error:
        return _from_inside(columns.values(), layout, error)
    cells = [list(c.values() if isinstance(c, dict) else c) for c in columns.values()]
    cells += [] if labels is None else [labels]
    lengths = dict(zip(names, map(len, cells), strict=True))
    if len(set(lengths.values())) > 1:
        raise TableError(f"the columns differ in length: {lengths}")
    return Table(names, lambda chosen: {r: as_column(cells[i]) for r, i in chosen.items()}, index)


def _from_inside(values: Iterable[Any], layout: Layout, refusal: TableError) -> Table:
    """The one table among the values of an object that is none itself."""
    found = []
    for value in values:
        if value and (isinstance(value, dict) or isinstance(value[0], list | dict)):
            try:
                found.append(_from_object(value, layout))
            except TableError as error:
                refusal = error
    if len(found) > 1:
        raise TableError(f"holds {len(found)} tables of {layout.what}; expected one")
    if not found:
        raise refusal
    return found[0]


def _from_rows(rows: Any, layout: Layout) -> Table:
    """Rows that are lists, named by place, or dicts."""
    if not isinstance(rows, list | tuple):
        raise TableError(f"holds {shortened(rows)}; expected rows of {layout.what}")
    if not rows:
        raise TableError(NO_ROWS)
    kind = dict if isinstance(rows[0], dict) else list | tuple
    for row, cells in enumerate(rows):
        if not isinstance(cells, kind) or (kind is not dict and len(cells) != len(rows[0])):
            raise TableError(
                f"row {row} is {shortened(cells)}; expected every row to be a dict, or a list as "
                "long as the first"
            )
    if kind is dict:
        names = list(dict.fromkeys(str(name) for cells in rows for name in cells))
        return Table(
            names, lambda chosen: _cells_by(rows, {r: names[i] for r, i in chosen.items()})
        )
    placed = names_by_place(rows[0], layout)
    if placed is None:
        raise TableError(f"row 0 is {shortened(rows[0])}; expected a time and numbers")
    return Table(placed, lambda chosen: _cells_by(rows, chosen), by_place=True)


def _cells_by(rows: Sequence[Any], chosen: Mapping[str, Any]) -> dict[str, pa.ChunkedArray]:
    """Columns of rows, by the key or the place of each role."""
    return {
        role: as_column(
            [cells.get(key) if isinstance(cells, dict) else cells[key] for cells in rows]
        )
        for role, key in chosen.items()
    }
