"""The store: Bybit's market data on this machine, one folder per category, symbol and interval."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import platformdirs

from ..arrays import FloatArray, IntArray
from ..candles import Candles
from ..errors import ConfigError, StoreError
from ..files.writer import write_whole
from ..funding import FundingRates
from ..instruments import Instrument, check_market
from ..intervals import interval_ms
from ..times import Time, format_time, to_ms
from .kinds import SERIES, TIME, Table
from .ranges import Ranges, missing_ranges, next_bar_start
from .table import DATA_VARIABLE, FORMAT, Dataset, read_sealed, sealed, writing

CANDLE_COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
FUNDING_COLUMNS = ("time_ms", "rate")


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
        """All stored candles, with the symbol's trading rules; never touches the network.

        Raises:
            StoreError: There are none, or a file is truncated or altered.
        """
        columns: Any = self.candle_table(category, symbol, interval).read()[0]
        if not len(columns["open_time_ms"]):
            raise StoreError(f"the store holds no {category} {symbol} {interval} candles")
        rules = self.known_instrument(category, symbol)
        return Candles(**columns, symbol=symbol, interval=interval, instrument=rules)

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
        return self._dataset(category, symbol, interval).fetched(damaged)

    def add_candles(
        self, category: str, symbol: str, interval: str, bars: Iterable[Candles], ranges: Ranges
    ) -> None:
        """Add the bars of fetched stretches; what was stored of these stretches is replaced.

        Raises:
            StoreError: The folder cannot be written to.
        """
        dataset = self.candle_table(category, symbol, interval)
        dataset.add([{c: getattr(bar, c) for c in CANDLE_COLUMNS} for bar in bars], ranges)

    def funding(self, category: str, symbol: str) -> FundingRates:
        """All stored funding rates; never touches the network.

        Raises:
            StoreError: There are none, or the file is truncated or altered.
        """
        columns, _ = self.funding_table(category, symbol).read()
        if not len(columns["time_ms"]):
            raise StoreError(f"the store holds no {category} {symbol} funding rates")
        return FundingRates(columns["time_ms"], columns["rate"])

    def add_funding(
        self,
        category: str,
        symbol: str,
        rates: Iterable[tuple[IntArray, FloatArray]],
        ranges: Ranges,
    ) -> None:
        """Add the funding times [ms UTC] and rates of fetched stretches; see `add_candles`."""
        dataset = self.funding_table(category, symbol)
        dataset.add([dict(zip(FUNDING_COLUMNS, part, strict=True)) for part in rates], ranges)

    def instrument(self, category: str, symbol: str) -> Instrument:
        """The stored trading rules.

        Raises:
            StoreError: They were never fetched, or the file is altered.
        """
        path = self.folder(category, symbol) / "instrument.json"
        cure = f"fetch it: worldmodel-trading fetch --category {category} --symbol {symbol}"
        body = read_sealed(path, f"rules of {category} {symbol}", cure)
        try:
            return Instrument(**body["instrument"])
        except (KeyError, TypeError, ConfigError):
            raise StoreError(f"{path} is no instrument file of this version; {cure}") from None

    def known_instrument(self, category: str, symbol: str) -> Instrument | None:
        """The stored trading rules; None where they were never fetched.

        Raises:
            StoreError: The file is altered.
        """
        path = self.folder(category, symbol) / "instrument.json"
        return self.instrument(category, symbol) if path.exists() else None

    def lived_until(self, category: str, symbol: str, interval: str, stop_ms: int) -> int:
        """The end of a range of bars, or that of the contract's last bar where it ended before."""
        rules = self.known_instrument(category, symbol)
        return stop_ms if rules is None else min(stop_ms, last_bar_end(rules, interval))

    def save_instrument(self, instrument: Instrument) -> None:
        """Write a symbol's trading rules."""
        folder = self.folder(instrument.category, instrument.symbol)
        with writing(folder):
            body = {"format": FORMAT, "instrument": asdict(instrument)}
            write_whole(folder / "instrument.json", sealed(body))

    def damage(self, category: str, symbol: str, interval: str | None) -> str | None:
        """What is wrong with stored candles (or funding, without an interval); None if nothing."""
        return self._dataset(category, symbol, interval).damage()

    def candle_table(self, category: str, symbol: str, interval: str) -> Dataset:
        """Where candles lie."""
        folder = self.folder(category, symbol, interval)
        market = f"{category} {symbol} {interval}"
        return Dataset(folder, "candles", CANDLE_COLUMNS, market, interval_ms(interval))

    def funding_table(self, category: str, symbol: str) -> Dataset:
        """Where funding rates lie."""
        folder = self.folder(category, symbol) / "funding"
        return Dataset(folder, "funding", FUNDING_COLUMNS, f"{category} {symbol}")

    def series_table(self, table: Table, category: str, symbol: str, interval: str) -> Dataset:
        """Where a series beside candles lies."""
        folder = self.folder(category, symbol, interval)
        market = f"{category} {symbol} {interval}"
        asked = next(name for name, kind in SERIES.items() if kind.table == table)
        columns = (TIME, *table.columns)
        return Dataset(folder, table.name, columns, market, interval_ms(interval), asked)

    def _dataset(self, category: str, symbol: str, interval: str | None) -> Dataset:
        if interval is None:
            return self.funding_table(category, symbol)
        return self.candle_table(category, symbol, interval)


def last_bar_end(instrument: Instrument, interval: str) -> int:
    """Where the last bar of a contract ends [ms UTC]; beyond all time if no end is known."""
    ended_ms = instrument.delivery_time_ms
    return next_bar_start(ended_ms, interval) if ended_ms else 1 << 62


def parse_source(source: str) -> tuple[str, str, str]:
    """Category, symbol and interval of ``bybit:BTCUSDT:60`` or ``bybit:linear:BTCUSDT:60``."""
    parts = source.split(":")
    if parts[0] != "bybit" or len(parts) not in (3, 4):
        raise StoreError(f"source is {source!r}; expected bybit:SYMBOL:INTERVAL, bybit:BTCUSDT:60")
    category = parts[1] if len(parts) == 4 else "linear"
    return category, parts[-2], parts[-1]


def open_stored(
    source: str, start: Time | None = None, end: Time | None = None, store: Store | None = None
) -> Candles:
    """Stored candles by name; the network is never used.

    Args:
        source: ``bybit:BTCUSDT:60``, or with the category ``bybit:inverse:BTCUSD:60``.
        start: First bar that is wanted; by default all that is stored.
        end: End of the range, exclusive; by default all that is stored.
        store: By default the one in `data_folder`.

    Raises:
        StoreError: The name is none, or the range is not stored; it says how to fetch it.
    """
    category, symbol, interval = parse_source(source)
    store = store or Store()
    candles = store.open(category, symbol, interval)
    if start is None and end is None:
        return candles
    covered = store.fetched(category, symbol, interval)
    first = covered[0][0] if start is None else next_bar_start(to_ms(start), interval)
    stop = covered[-1][1] if end is None else next_bar_start(to_ms(end), interval)
    stop = store.lived_until(category, symbol, interval, stop)
    missing = missing_ranges(covered, first, stop)
    if missing:
        stretches = ", ".join(f"{format_time(a)} to {format_time(b)}" for a, b in missing[:3])
        raise StoreError(
            f"{category} {symbol} {interval} is not stored from {stretches}; fetch it with: "
            f"worldmodel-trading fetch --category {category} --symbol {symbol} "
            f"--interval {interval} --start {format_time(missing[0][0])[:10]}"
        )
    return candles.between(start, end)
