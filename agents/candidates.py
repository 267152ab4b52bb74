"""Every candidate of a search and its score, in Parquet: what a search was, and how it goes on.

A dataset is a folder, which pandas, polars and DuckDB read as one table. A search that is under way
adds a file a generation, each whole or not there; when it ends, one file takes their place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..market.arrays import FloatArray
from ..market.errors import TrainingError
from ..market.files.writer import clear_left_behind, whole_file
from .cma_es import Generation, Told

FOLDER = "candidates.parquet"
"""The dataset's name. Columns: ``search``, ``restart``, ``generation`` and ``candidate``, all from 0;
``score``, the objective, NaN where it was not finite; ``penalised``, by which the search ranked;
``parameters`` [S], as the search has them: of the inputs that the controller reads alone."""
_IDENTITY = b"worldmodel_trading.search"


class Candidates:
    """What one search of a dataset keeps; the search's `Memory`.

    Args:
        folder: The dataset; made if need be.
        search: Number of the search.
        identity: Of all that decides the search; files of another one are refused.
        resume: Go on from what lies there of this search; else it is removed.

    Raises:
        TrainingError: What lies there is damaged, or of another search.
    """

    def __init__(self, folder: Path, search: int, identity: str, *, resume: bool = False) -> None:
        self._folder, self._search, self._identity = folder, search, identity
        self._whole = folder / f"search-{search:03d}.parquet"
        if folder.is_dir():
            clear_left_behind(folder)
        if not resume:
            self._remove([self._whole, *self._parts()])
        self._tables = self._read()

    def read(self, generation: int) -> Told | None:
        """What was told in a generation; None where the search has not been."""
        if generation >= len(self._tables):
            return None
        rows = self._tables[generation]
        candidates = rows["parameters"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
        return Told(candidates, rows["score"].to_numpy(), rows["penalised"].to_numpy())

    def write(self, lived: Generation, told: Told) -> None:
        """Keep a generation, durably."""
        rows = self._rows(lived, told)
        name = f"search-{self._search:03d}-generation-{lived.generation:05d}.parquet"
        self._write(self._folder / name, rows)
        self._tables.append(rows)

    def close(self) -> None:
        """The search has ended: one file instead of many."""
        if self._parts():
            self._write(self._whole, pa.concat_tables(self._tables))
            self._remove(self._parts())

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob(f"search-{self._search:03d}-generation-*.parquet"))

    def _read(self) -> list[Any]:
        """The table of each generation, in order."""
        files = [self._whole] if self._whole.exists() else self._parts()
        tables = [self._table(file) for file in files]
        if not tables:
            return []
        whole = pa.concat_tables(tables)
        numbers = whole["generation"].to_numpy()
        last = int(numbers.max())
        edges = np.searchsorted(numbers, np.arange(last + 2))
        if (np.diff(edges) == 0).any() or (np.diff(numbers) < 0).any():
            raise TrainingError(f"generations are missing in {self._folder}: begin anew")
        return [
            whole.slice(first, end - first)
            for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        ]

    def _table(self, file: Path) -> Any:
        try:
            table = pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            raise TrainingError(
                f"{file} is damaged ({error}): delete it and those after it, or begin anew"
            ) from None
        if (table.schema.metadata or {}).get(_IDENTITY) != self._identity.encode():
            raise TrainingError(
                f"{file} belongs to another search, of another dream, other settings or another "
                "seed: resume with those, or name another folder"
            )
        return table

    def _rows(self, lived: Generation, told: Told) -> Any:
        count, size = told.candidates.shape
        flat = pa.array(np.ascontiguousarray(told.candidates).ravel())
        columns = {
            "search": _same(self._search, count),
            "restart": _same(lived.restart, count),
            "generation": _same(lived.generation, count),
            "candidate": pa.array(np.arange(count, dtype=np.int32)),
            "score": pa.array(_floats(told.scores)),
            "penalised": pa.array(_floats(told.penalised)),
            "parameters": pa.FixedSizeListArray.from_arrays(flat, size),
        }
        return pa.table(columns).replace_schema_metadata({_IDENTITY: self._identity})

    def _write(self, file: Path, rows: Any) -> None:
        with whole_file(file) as temporary:
            pq.write_table(rows, temporary)

    def _remove(self, files: list[Path]) -> None:
        for file in files:
            file.unlink(missing_ok=True)


def _same(number: int, count: int) -> Any:
    return pa.array(np.full(count, number, dtype=np.int32))


def _floats(values: FloatArray) -> FloatArray:
    return np.ascontiguousarray(values, dtype=np.float64)
