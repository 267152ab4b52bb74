"""What the store holds, and whether it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..candles import Candles
from ..errors import CandleError, FundingError, StoreError
from ..funding import FundingRates
from ..instruments import CATEGORIES, Instrument, check_market
from ..intervals import INTERVALS_MS
from .kinds import TABLES
from .ranges import Ranges
from .store import Store
from .table import Dataset
from .universe import stored_universes


@dataclass(frozen=True)
class StoredTable:
    """One table of the store.

    Attributes:
        category: ``linear``, ``inverse`` or ``spot``.
        symbol: The instrument's name.
        series: ``candles``, ``funding``, or a table of series such as ``open-interest``.
        interval: Bybit's code; empty for funding.
        rows: Bars, rates or periods.
        first_ms: Time of the first [ms UTC]; None without any.
        last_ms: Time of the last [ms UTC]; None without any.
        gaps: Places where some are missing; 0 for funding, whose spacing changes.
        missing: How many are missing there.
        bytes: Size on disk.
        fetched: The stretches of time that were fetched [ms UTC], end exclusive.
        launch_ms: When the instrument was launched [ms UTC]; 0 where unknown.
        ended_ms: When it ends or ended [ms UTC]; 0 where no end is known.
        status: What the exchange said of it.
        damage: What is wrong with it, and the cure; empty where nothing is known to be.
    """

    category: str
    symbol: str
    series: str
    interval: str
    rows: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    gaps: int = 0
    missing: int = 0
    bytes: int = 0
    fetched: Ranges = ()
    launch_ms: int = 0
    ended_ms: int = 0
    status: str = ""
    damage: str = ""


@dataclass(frozen=True)
class Verification:
    """What reading all of the store found.

    Attributes:
        files: Data files and manifests, rules and lists of instruments that were read.
        bytes: Size of the data files.
        damage: What is wrong, each with its cure.
    """

    files: int
    bytes: int
    damage: tuple[str, ...]


def list_data(store: Store | None = None, symbol: str | None = None) -> tuple[StoredTable, ...]:
    """What is stored, by category, symbol, interval and series; reads manifests, and no data.

    Args:
        store: By default the one in `data_folder`.
        symbol: Only of this one.
    """
    store = store or Store()
    return tuple(
        _listed(store, category, name, table)
        for category, name in _markets(store)
        if symbol in (None, name)
        for table in _tables(store, category, name)
    )


def verify_data(
    store: Store | None = None, told: Callable[[str], None] = lambda market: None
) -> Verification:
    """Read all that is stored, and hold it against seals, checksums and the rules of its kind.

    Args:
        store: By default the one in `data_folder`.
        told: Told of each market before it is read.
    """
    store = store or Store()
    files, size = 0, 0
    damage: list[str] = []
    for category, symbol in _markets(store):
        told(f"{category} {symbol}")
        if (store.folder(category, symbol) / "instrument.json").exists():
            files += 1
            damage.extend(_wrong(partial(store.instrument, category, symbol)))
        for table in _tables(store, category, symbol):
            files += 2
            size += _size(table)
            damage.extend(_wrong(partial(_read_all, symbol, table)))
    universes, broken = stored_universes(store)
    return Verification(files + len(universes) + len(broken), size, (*damage, *broken))


def _markets(store: Store) -> Iterator[tuple[str, str]]:
    for category in CATEGORIES:
        for folder in _folders(store.root / "bybit" / category):
            try:
                check_market(category, folder.name)
            except StoreError:
                continue  # the lists of instruments
            yield category, folder.name


def _tables(store: Store, category: str, symbol: str) -> Iterator[Dataset]:
    """The tables of a market that have a manifest."""
    for folder in _folders(store.folder(category, symbol)):
        if folder.name == "funding":
            tables = [store.funding_table(category, symbol)]
        elif folder.name in INTERVALS_MS:
            tables = [
                store.candle_table(category, symbol, folder.name),
                *(
                    store.series_table(kind, category, symbol, folder.name)
                    for kind in TABLES.values()
                ),
            ]
        else:
            continue
        yield from (table for table in tables if table.manifest_path.exists())


def _folders(parent: Path) -> list[Path]:
    """Folders in a folder, shorter names first, so that intervals are in order."""
    if not parent.is_dir():
        return []
    inside = [path for path in parent.iterdir() if path.is_dir()]
    return sorted(inside, key=lambda path: (INTERVALS_MS.get(path.name, 0), path.name))


def _listed(store: Store, category: str, symbol: str, table: Dataset) -> StoredTable:
    name = (category, symbol, table.name, "" if table.name == "funding" else table.folder.name)
    try:
        manifest = table.read_manifest()
        extent = manifest.extent or table.extent()
        rules = store.known_instrument(category, symbol)
        size = _size(table)
    except StoreError as error:
        return StoredTable(*name, damage=str(error))
    life = rules or Instrument(symbol, category)
    return StoredTable(
        *name,
        manifest.rows,
        extent.first_ms,
        extent.last_ms,
        extent.gaps,
        extent.missing,
        size,
        manifest.ranges,
        life.launch_time_ms,
        life.delivery_time_ms,
        life.status,
    )


def _size(table: Dataset) -> int:
    """Bytes of a table's files; of a damaged one, those that are there."""
    size = 0
    for path in [table.manifest_path, *table.folder.glob(f"{table.name}-*.parquet")]:
        with suppress(FileNotFoundError):  # a writer has just replaced it
            size += path.stat().st_size
    return size


def _read_all(symbol: str, table: Dataset) -> None:
    """Read a table, and make what it is for of it."""
    columns: Any = table.read()[0]
    if not len(columns[table.columns[0]]):
        return
    try:
        if table.name == "candles":
            Candles(**columns, symbol=symbol, interval=table.folder.name)
        if table.name == "funding":
            FundingRates(**columns)
    except (CandleError, FundingError) as error:
        raise StoreError(
            f"{table.folder}: {error}; remove {table.name}.json there, and fetch them again"
        ) from None


def _wrong(read: Callable[[], object]) -> list[str]:
    try:
        read()
    except StoreError as error:
        return [str(error)]
    return []
