"""The store: market data on disk, whole or refused, never half-written.

One folder per category, symbol and interval. Each dataset is a Parquet file named after its
content and a manifest of JSON that names it, with its checksum and the stretches of time that
were fetched. The manifest is replaced last and in one step, so whoever reads sees the old data
or the new, also after ``kill -9``; equal data give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from .candles import Candles
from .errors import StoreError
from .instruments import FundingRates, Instrument, check_market
from .ranges import Ranges, join_ranges

DATA_VARIABLE = "WORLDMODEL_TRADING_DATA"
CANDLE_COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
FUNDING_COLUMNS = ("time_ms", "rate")

_FORMAT = 1
_LOCK_TIMEOUT_S = 120.0
_ROW_GROUP = 1 << 20

Columns = dict[str, NDArray[Any]]


def data_folder(folder: str | Path | None = None) -> Path:
    """Where market data lie: the argument, or the environment's choice, or the platform's."""
    chosen = folder or os.environ.get(DATA_VARIABLE)
    return Path(chosen or platformdirs.user_data_dir("worldmodel-trading", appauthor=False))


class Store:
    """Bybit's candles, funding rates and trading rules on this machine.

    Args:
        root: The folder; by default `data_folder`'s choice. It is made when first written to.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = data_folder(root)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def folder(self, category: str, symbol: str, interval: str | None = None) -> Path:
        """The folder of a symbol, or of its candles of one interval."""
        check_market(category, symbol, interval)
        return self.root.joinpath("bybit", category, symbol, *([interval] if interval else []))

    def open(self, category: str, symbol: str, interval: str) -> Candles:
        """All stored candles; never touches the network.

        Raises:
            StoreError: There are none, or the file is truncated or altered.
        """
        columns, _ = self._candles(category, symbol, interval).read()
        if not len(columns["open_time_ms"]):
            raise StoreError(f"the store holds no {category} {symbol} {interval} candles")
        return Candles(*(columns[c] for c in CANDLE_COLUMNS), symbol=symbol, interval=interval)

    def fetched(
        self, category: str, symbol: str, interval: str | None, damaged: bool = False
    ) -> Ranges:
        """The stretches of time that are stored [ms UTC], end exclusive; empty if none are.

        Args:
            category: One of ``linear``, ``inverse``, ``spot``.
            symbol: The instrument's name.
            interval: Bybit's code; None asks for the funding rates.
            damaged: Say nothing if the manifest itself is altered: the answer is then empty.

        Raises:
            StoreError: The manifest is truncated or altered.
        """
        dataset = self._dataset(category, symbol, interval)
        if not dataset.manifest_path.exists():
            return ()
        try:
            return dataset.read_manifest().ranges
        except StoreError:
            if damaged:
                return ()
            raise

    def add_candles(
        self, category: str, symbol: str, interval: str, bars: Iterable[Candles], ranges: Ranges
    ) -> None:
        """Add the bars of fetched stretches; what was stored of these stretches is replaced.

        Raises:
            StoreError: The folder cannot be written to.
        """
        dataset = self._candles(category, symbol, interval)
        dataset.add([{c: getattr(bar, c) for c in CANDLE_COLUMNS} for bar in bars], ranges)

    def funding(self, category: str, symbol: str) -> FundingRates:
        """All stored funding rates; never touches the network.

        Raises:
            StoreError: They were never fetched, or the file is truncated or altered.
        """
        columns, _ = self._funding(category, symbol).read()
        return FundingRates(columns["time_ms"], columns["rate"], symbol)

    def add_funding(
        self, category: str, symbol: str, rates: Iterable[FundingRates], ranges: Ranges
    ) -> None:
        """Add the funding rates of fetched stretches; see `add_candles`."""
        dataset = self._funding(category, symbol)
        dataset.add([{"time_ms": r.time_ms, "rate": r.rate} for r in rates], ranges)

    def instrument(self, category: str, symbol: str) -> Instrument:
        """The stored trading rules.

        Raises:
            StoreError: They were never fetched, or the file is altered.
        """
        path = self.folder(category, symbol) / "instrument.json"
        cure = f"fetch it: worldmodel-trading fetch --category {category} --symbol {symbol}"
        body = _read_sealed(path, f"rules of {category} {symbol}", cure)
        try:
            return Instrument(**body["instrument"])
        except (KeyError, TypeError):
            raise StoreError(f"{path} is no instrument file of this version; {cure}") from None

    def save_instrument(self, instrument: Instrument) -> None:
        """Write a symbol's trading rules."""
        folder = self.folder(instrument.category, instrument.symbol)
        with _writing(folder):
            body = {"format": _FORMAT, "instrument": asdict(instrument)}
            _replace(folder / "instrument.json", _sealed(body))

    def damage(self, category: str, symbol: str, interval: str | None) -> str | None:
        """What is wrong with stored candles (or funding, without an interval); None if nothing."""
        dataset = self._dataset(category, symbol, interval)
        if not dataset.manifest_path.exists():
            return None
        try:
            dataset.read()
        except StoreError as error:
            return str(error)
        return None

    def _dataset(self, category: str, symbol: str, interval: str | None) -> _Dataset:
        if interval is None:
            return self._funding(category, symbol)
        return self._candles(category, symbol, interval)

    def _candles(self, category: str, symbol: str, interval: str) -> _Dataset:
        folder = self.folder(category, symbol, interval)
        return _Dataset(folder, "candles", CANDLE_COLUMNS, f"{category} {symbol} {interval}")

    def _funding(self, category: str, symbol: str) -> _Dataset:
        folder = self.folder(category, symbol) / "funding"
        return _Dataset(folder, "funding", FUNDING_COLUMNS, f"{category} {symbol}")


@dataclass(frozen=True)
class _Manifest:
    file: str
    sha256: str
    rows: int
    ranges: Ranges


@dataclass(frozen=True)
class _Dataset:
    """One table ordered by its first column, a time in ms."""

    folder: Path
    name: str
    columns: tuple[str, ...]
    market: str

    @property
    def manifest_path(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def _what(self) -> str:
        return f"{self.name} of {self.market}"

    @property
    def _cure(self) -> str:
        category, symbol, *interval = self.market.split()
        option = f" --interval {interval[0]}" if interval else ""
        return (
            f"fetch them (again) with: worldmodel-trading fetch --category {category} "
            f"--symbol {symbol}{option} --start ..."
        )

    def read_manifest(self) -> _Manifest:
        body = _read_sealed(self.manifest_path, self._what, self._cure)
        try:
            ranges = tuple((int(start), int(end)) for start, end in body["fetched_ms"])
            manifest = _Manifest(body["file"], body["sha256"], int(body["rows"]), ranges)
        except (KeyError, TypeError, ValueError):
            manifest = None
        pattern = rf"{self.name}-[0-9a-f]{{16}}\.parquet"
        if manifest is None or not re.fullmatch(pattern, str(manifest.file)):
            raise StoreError(f"{self.manifest_path} is no manifest of this version; {self._cure}")
        return manifest

    def read(self) -> tuple[Columns, Ranges]:
        """The table and the stretches it covers, checked against its checksum."""
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
        return {name: table[name].to_numpy() for name in self.columns}, manifest.ranges

    def add(self, parts: list[Columns], ranges: Ranges) -> None:
        """Put the rows of newly fetched stretches in the place of what was stored of them."""
        with _writing(self.folder):
            try:
                stored, covered = self.read()
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
        _replace(self.folder / file, content)
        body = {
            "format": _FORMAT,
            "file": file,
            "sha256": digest,
            "rows": len(columns[self.columns[0]]),
            "fetched_ms": [list(pair) for pair in ranges],
        }
        _replace(self.manifest_path, _sealed(body))
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


def _sealed(body: dict[str, Any]) -> bytes:
    """JSON text that carries the checksum of its own content."""
    return _json({**body, "seal": hashlib.sha256(_json(body)).hexdigest()})


def _json(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()


def _read_sealed(path: Path, what: str, cure: str) -> dict[str, Any]:
    try:
        body = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"the store has no {what} ({path.parent}); {cure}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}") from None
    except ValueError:
        body = None
    seal = body.pop("seal", None) if isinstance(body, dict) else None
    if seal is None or seal != hashlib.sha256(_json(body)).hexdigest():
        raise StoreError(f"{path} is truncated or altered; {cure}")
    if body.get("format") != _FORMAT:
        raise StoreError(f"{path} is of format {body.get('format')}, this version reads {_FORMAT}")
    checked: dict[str, Any] = body
    return checked


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, and clear what a killed writer left; the system frees it at exit."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=_LOCK_TIMEOUT_S):
            for left in folder.glob(".*.tmp"):
                left.unlink(missing_ok=True)
            yield
    except Timeout:
        raise StoreError(
            f"{folder} is locked by another process for {_LOCK_TIMEOUT_S:.0f} s; try again later"
        ) from None
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written to ({error}); choose another folder with --data-dir "
            f"or {DATA_VARIABLE}"
        ) from None


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole and durably, or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
