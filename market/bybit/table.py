"""A table on disk, whole or refused, never half-written.

A dataset is a Parquet file named after its content and a manifest of JSON that names it, with
its checksum and the stretches of time that were fetched. The manifest is replaced last and in
one step, so whoever reads sees the old data or the new, also after ``kill -9``; equal data give
equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import StoreError, StoreFormatError
from ..files.writer import refuse_unwritable, sole_writer, write_whole
from .ranges import Ranges, join_ranges

DATA_VARIABLE = "WORLDMODEL_TRADING_DATA"
"""The environment variable that names the folder of market data."""

FORMAT = 1

_LOCK_TIMEOUT_S = 120.0
_ROW_GROUP = 1 << 20

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Manifest:
    """What a dataset's JSON says.

    Attributes:
        file: Name of the Parquet file.
        sha256: Its checksum, hexadecimal.
        rows: Rows in it.
        ranges: Stretches of time that were fetched [ms UTC], end exclusive. A bar absent inside
            one is a gap in the exchange's own record.
        extent: What its times are like; None where an earlier version wrote the manifest.
    """

    file: str
    sha256: str
    rows: int
    ranges: Ranges
    extent: Extent | None = None


@dataclass(frozen=True)
class Extent:
    """What a table's times are like.

    Attributes:
        first_ms: Time of the first row [ms UTC]; None without rows.
        last_ms: Time of the last row [ms UTC]; None without rows.
        gaps: Places where rows are missing between two.
        missing: Rows missing there.
    """

    first_ms: int | None
    last_ms: int | None
    gaps: int
    missing: int

    @classmethod
    def of(cls, times: NDArray[Any], step_ms: int) -> Extent:
        """Of times [n] in ms, increasing, of which each follows the one before by a step.

        Args:
            times: The table's first column.
            step_ms: The step; 0 where it is free, and nothing counts as missing.
        """
        if not len(times):
            return cls(None, None, 0, 0)
        wide = np.diff(times)
        wide = wide[wide > step_ms] if step_ms else wide[:0]
        missing = int((wide // step_ms - 1).sum()) if step_ms else 0
        return cls(int(times[0]), int(times[-1]), len(wide), missing)


@dataclass(frozen=True)
class Dataset:
    """One table ordered by its first column, a time in ms.

    Attributes:
        folder: Where it lies.
        name: What its files are called after, such as ``candles`` or ``funding``.
        columns: Its columns; the first is int64 ms UTC, the others float64.
        market: Category, symbol and interval in words, for messages.
        step_ms: Spacing of its rows; 0 where it is free.
        series: The name by which ``fetch --series`` brings it; empty where it comes by itself.
    """

    folder: Path
    name: str
    columns: tuple[str, ...]
    market: str
    step_ms: int = 0
    series: str = ""

    @property
    def manifest_path(self) -> Path:
        """The file that says which Parquet file is the current one."""
        return self.folder / f"{self.name}.json"

    @property
    def _what(self) -> str:
        return f"{self.name} of {self.market}"

    @property
    def _cure(self) -> str:
        category, symbol, *interval = self.market.split()
        option = f" --interval {interval[0]}" if interval else ""
        series = f" --series {self.series}" if self.series else ""
        return (
            f"fetch them (again) with: worldmodel-trading fetch --category {category} "
            f"--symbol {symbol}{option}{series} --start ..."
        )

    def read_manifest(self) -> Manifest:
        """The manifest, checked against its seal.

        Raises:
            StoreError: It is absent, truncated or altered.
        """
        body = read_sealed(self.manifest_path, self._what, self._cure)
        try:
            ranges = tuple((int(start), int(end)) for start, end in body["fetched_ms"])
            extent = Extent(**body["extent"]) if "extent" in body else None
            manifest = Manifest(body["file"], body["sha256"], int(body["rows"]), ranges, extent)
        except (KeyError, TypeError, ValueError):
            manifest = None
        pattern = rf"{self.name}-[0-9a-f]{{16}}\.parquet"
        if manifest is None or not re.fullmatch(pattern, str(manifest.file)):
            raise StoreError(f"{self.manifest_path} is no manifest of this version; {self._cure}")
        return manifest

    def read(self) -> tuple[Columns, Ranges]:
        """The table and the stretches it covers, checked against its checksum.

        Raises:
            StoreError: It is absent, truncated or altered.
        """
        manifest = self.read_manifest()
        while True:
            path = self.folder / manifest.file
            try:
                content = path.read_bytes()
                break
            except FileNotFoundError:
                # A writer may have replaced it since the manifest was read.
                newer = self.read_manifest()
                if newer == manifest:
                    raise StoreError(f"{path} is gone; {self._cure}") from None
                manifest = newer
            except OSError as error:
                raise StoreError(f"{path} cannot be read: {error}") from None
        if hashlib.sha256(content).hexdigest() != manifest.sha256:
            raise StoreError(
                f"{path} is truncated or altered: its checksum is not the recorded one; {self._cure}"
            )
        table = pq.read_table(pa.BufferReader(content), columns=list(self.columns))
        columns = {name: table[name].to_numpy() for name in self.columns}
        times = columns[self.columns[0]]
        extent = Extent.of(times, self.step_ms)
        if manifest.rows != len(times) or manifest.extent not in (None, extent):
            raise StoreError(f"{self.manifest_path} is of another table; {self._cure}")
        return columns, manifest.ranges

    def extent(self) -> Extent:
        """What its times are like: by the manifest, or by the column where that does not say.

        Raises:
            StoreError: A file is absent, or cannot be read; checksums are not compared.
        """
        manifest = self.read_manifest()
        if manifest.extent is not None:
            return manifest.extent
        path = self.folder / manifest.file
        try:
            times = pq.read_table(path, columns=list(self.columns[:1]))[self.columns[0]]
        except (OSError, pa.ArrowException):
            raise StoreError(f"{path} is gone, truncated or altered; {self._cure}") from None
        return Extent.of(times.to_numpy(), self.step_ms)

    def fetched(self, damaged: bool = False) -> Ranges:
        """The stretches of time that are stored [ms UTC], end exclusive; empty if none are.

        Args:
            damaged: Say nothing if the manifest itself is altered: the answer is then empty.

        Raises:
            StoreError: The manifest is truncated or altered.
        """
        if not self.manifest_path.exists():
            return ()
        try:
            return self.read_manifest().ranges
        except StoreFormatError:
            raise
        except StoreError:
            if damaged:
                return ()
            raise

    def damage(self) -> str | None:
        """What is wrong with what is stored, and the cure; None if nothing."""
        if not self.manifest_path.exists():
            return None
        try:
            self.read()
        except StoreFormatError:
            raise
        except StoreError as error:
            return str(error)
        return None

    def add(self, parts: list[Columns], ranges: Ranges) -> None:
        """Put the rows of newly fetched stretches in the place of what was stored of them."""
        with writing(self.folder):
            try:
                stored, covered = self.read()
            except StoreFormatError:
                raise
            except StoreError:  # absent or damaged: the new data take its place
                stored, covered = _empty(self.columns), ()
            stale = np.zeros(len(stored[self.columns[0]]), dtype=bool)
            for start, end in ranges:
                stale |= (stored[self.columns[0]] >= start) & (stored[self.columns[0]] < end)
            kept = {name: column[~stale] for name, column in stored.items()}
            self._write(_sorted_union(self.columns, [kept, *parts]), join_ranges(covered, ranges))

    def _write(self, columns: Columns, ranges: Ranges) -> None:
        content = _parquet(columns)
        digest = hashlib.sha256(content).hexdigest()
        file = f"{self.name}-{digest[:16]}.parquet"
        write_whole(self.folder / file, content)
        body = {
            "format": FORMAT,
            "file": file,
            "sha256": digest,
            "rows": len(columns[self.columns[0]]),
            "extent": asdict(Extent.of(columns[self.columns[0]], self.step_ms)),
            "fetched_ms": [list(pair) for pair in ranges],
        }
        write_whole(self.manifest_path, sealed(body))
        for other in self.folder.glob(f"{self.name}-*.parquet"):
            if other.name != file:
                other.unlink(missing_ok=True)


def _empty(columns: tuple[str, ...]) -> Columns:
    return {
        name: np.empty(0, dtype=np.float64 if i else np.int64) for i, name in enumerate(columns)
    }


def _sorted_union(names: tuple[str, ...], parts: list[Columns]) -> Columns:
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    # Of two rows of one time the later part's is kept.
    backward = joined[names[0]][::-1]
    _, last = np.unique(backward, return_index=True)
    rows = len(backward) - 1 - last
    return {name: column[rows] for name, column in joined.items()}


def _parquet(columns: Columns) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table(columns), sink, compression="zstd", use_dictionary=False, row_group_size=_ROW_GROUP
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def sealed(body: dict[str, Any]) -> bytes:
    """JSON text that carries the checksum of its own content."""
    return _json({**body, "seal": hashlib.sha256(_json(body)).hexdigest()})


def _json(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()


def read_sealed(path: Path, what: str, cure: str) -> dict[str, Any]:
    """The content of a file that `sealed` made.

    Args:
        path: The file.
        what: Its content in words, for messages.
        cure: How to get it again.

    Raises:
        StoreError: It is absent, truncated, altered, or of another format.
    """
    try:
        body = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"the store has no {what} ({path.parent}); {cure}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}") from None
    except (ValueError, RecursionError):
        body = None
    seal = body.pop("seal", None) if isinstance(body, dict) else None
    if seal is None or seal != hashlib.sha256(_json(body)).hexdigest():
        raise StoreError(f"{path} is truncated or altered; {cure}")
    if body.get("format") != FORMAT:
        raise StoreFormatError(
            f"{path} is of format {body.get('format')}, this version reads {FORMAT}; "
            "update the package, or choose another folder with --data-dir"
        )
    checked: dict[str, Any] = body
    return checked


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the folder's lock while the block writes."""
    with _naming_the_store(), sole_writer(folder, _LOCK_TIMEOUT_S):
        yield


def refuse_unwritable_store(root: Path) -> None:
    """Refuse a store that cannot be written to, before anything is fetched for it."""
    with _naming_the_store():
        refuse_unwritable(root)


@contextmanager
def _naming_the_store() -> Iterator[None]:
    """Say of what cannot be written how to have it elsewhere."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{error} (--data-dir or {DATA_VARIABLE} names the store)") from None
