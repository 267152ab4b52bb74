"""Many paths of candles in one table, or in a folder with a file for each: written as they come, whole."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arrays import FloatArray
from ..candles import Candles
from ..errors import CandleError, OutputError
from .columns import PATH
from .export import candle_table, write_candles
from .reader import guess_symbol, read_candles
from .writer import refuse_others, refuse_unwritable, whole_file, whole_folder

if TYPE_CHECKING:
    import pyarrow as pa

_ENDINGS = (".parquet", ".csv")
_ROWS = 1 << 17  # of a row group: whole paths, until there are so many
_FILE, _EACH = "path-{:06d}.parquet", "path-*.parquet"


class PathsWriter:
    """Takes paths one after the other; see `write_paths`.

    Args:
        put: Takes a path's number, its candles and its further columns.
    """

    def __init__(self, put: Callable[[int, Candles, dict[str, FloatArray]], None]) -> None:
        self._put = put
        self.count = 0

    def add(self, candles: Candles, **more: FloatArray) -> None:
        """Append a path; its number is how many there were.

        Args:
            candles: The path.
            more: Further columns [T], by name.
        """
        self._put(self.count, candles, more)
        self.count += 1


@contextmanager
def write_paths(target: str | os.PathLike[str]) -> Iterator[PathsWriter]:
    """Write paths of candles, in memory that does not grow with their number.

    A table has a row for each bar and a column ``path`` before those that `read_candles` reads. It
    appears whole when the block ends well, and so does a folder; what raises leaves nothing.

    Args:
        target: A ``.parquet`` or ``.csv`` file, which is replaced; or a folder, with a Parquet file for
            each path.

    Yields:
        What takes the paths.

    Raises:
        CandleError: Another ending.
        OutputError: It cannot be written, or the folder holds something else.
    """
    path = Path(target)
    if not _is_table(path):
        with whole_folder(path, _EACH) as folder:
            yield PathsWriter(lambda number, candles, more: _write_one(folder, number, candles))
        return
    with whole_file(path) as temporary:
        rows = _Rows(str(temporary), parquet=path.suffix.lower() == ".parquet")
        yield PathsWriter(rows.put)
        rows.close()


def check_target(target: str | os.PathLike[str], *, overwrite: bool = False) -> bool:
    """See, before any work, that paths may be written there; returns whether it is a table.

    Args:
        target: As `write_paths` takes it.
        overwrite: Whether what is there may be replaced.

    Raises:
        CandleError: Another ending.
        OutputError: Something is there, or it cannot be written.
    """
    path = Path(target)
    table = _is_table(path)
    refuse_unwritable(path.parent if table else path)
    taken = path.is_file() if table else path.is_dir() and any(path.iterdir())
    if taken and not overwrite:
        raise OutputError(
            f"{path} is there already: name another with --out, or replace it with --overwrite"
        )
    if not table:
        refuse_others(path, _EACH)
    return table


def _is_table(path: Path) -> bool:
    ending = path.suffix.lower()
    if path.is_dir() or not ending:
        return False
    if ending not in _ENDINGS:
        raise CandleError(f"{path.name}: expected a name ending in .parquet or .csv, or a folder")
    return True


def _write_one(folder: Path, number: int, candles: Candles) -> None:
    write_candles(candles, folder / _FILE.format(number))


class _Path(NamedTuple):
    """A path that waits to be written."""

    number: int
    candles: Candles
    more: dict[str, FloatArray]


class _Rows:
    """A table that grows by whole paths."""

    def __init__(self, path: str, *, parquet: bool) -> None:
        self._path, self._parquet = path, parquet
        self._writer: Any = None
        self._waiting: list[_Path] = []
        self._rows = 0

    def put(self, number: int, candles: Candles, more: dict[str, FloatArray]) -> None:
        self._waiting.append(_Path(number, candles, more))
        self._rows += len(candles)
        if self._rows >= _ROWS:
            self._flush()

    def close(self) -> None:
        if self._waiting:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        paths, self._waiting, self._rows = self._waiting, [], 0
        table = candle_table([path.candles for path in paths])
        lengths = [len(path.candles) for path in paths]
        table = table.add_column(0, PATH, [np.repeat([path.number for path in paths], lengths)])
        for name in paths[0].more:
            table = table.append_column(name, [np.concatenate([p.more[name] for p in paths])])
        if self._writer is None:
            self._writer = self._opened(table.schema)
        if self._parquet:
            self._writer.write_table(table, row_group_size=len(table))
        else:
            self._writer.write_table(table)

    def _opened(self, schema: pa.Schema) -> Any:
        if self._parquet:
            import pyarrow.parquet as pq

            return pq.ParquetWriter(self._path, schema, compression="zstd")
        import pyarrow.csv as pacsv

        return pacsv.CSVWriter(self._path, schema)


def read_paths(source: str | os.PathLike[str]) -> Iterator[Candles]:
    """The paths that `write_paths` wrote, one after the other, in memory that does not grow.

    Args:
        source: The table or the folder.

    Raises:
        CandleError: It is none, or a path is no record of candles.
    """
    path = Path(source)
    if path.is_dir():
        files = sorted(path.glob(_EACH))
        if not files:
            raise CandleError(f"{path} holds no files path-000000.parquet …")
        yield from map(read_candles, files)
        return
    waiting: list[pa.Table] = []
    for piece in _pieces(path):
        if waiting and waiting[0][PATH][0] != piece[PATH][0]:
            yield _as_candles(path, waiting)
            waiting = []
        waiting.append(piece)
    if waiting:
        yield _as_candles(path, waiting)


def read_path(source: str | os.PathLike[str], number: int) -> Candles:
    """One of the paths that `write_paths` wrote.

    Args:
        source: The table or the folder.
        number: Which, from 0 on.

    Raises:
        CandleError: There is none of that number.
    """
    path = Path(source)
    if path.is_dir():
        return read_candles(path / _FILE.format(number))
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        found = [pq.read_table(path, filters=[(PATH, "=", number)])] if _has_paths(path) else []
    else:
        found = [piece for piece in _pieces(path) if piece[PATH][0].as_py() == number]
    if not sum(map(len, found)):
        raise CandleError(f"{path.name} holds no path {number}")
    return _as_candles(path, found)


def _has_paths(path: Path) -> bool:
    import pyarrow.parquet as pq

    return PATH in pq.read_schema(path).names


def _as_candles(path: Path, pieces: Sequence[pa.Table]) -> Candles:
    import pyarrow as pa

    table = pa.concat_tables(pieces)
    number = table[PATH][0].as_py()
    named = (table.schema.metadata or {}).get(b"symbol")
    try:
        symbol = None if named else guess_symbol(path.name)
        return read_candles(table.drop_columns([PATH]), symbol=symbol)
    except CandleError as error:
        raise CandleError(f"{path.name}, path {number}: {error}") from None


def _pieces(path: Path) -> Iterator[pa.Table]:
    """Tables of rows of one path each, in order; a path may be in several."""
    import pyarrow as pa

    for batch in _batches(path):
        if PATH not in batch.schema.names:
            raise CandleError(f"{path.name} has no column {PATH}: it holds one record, not paths")
        numbers = batch[PATH].to_numpy(zero_copy_only=False)
        edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        for start, stop in itertools.pairwise(edges):
            if stop > start:
                yield pa.Table.from_batches([batch.slice(start, stop - start)])


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    if not path.is_file():
        raise CandleError(f"there is no file {str(path)!r}")
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_ROWS)
        return
    import pyarrow.csv as pacsv

    with pacsv.open_csv(path) as stream:
        yield from stream
