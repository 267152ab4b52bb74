"""The store's catalogue, on the console or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from worldmodel_trading.market.bybit.catalogue import StoredTable, list_data, verify_data
from worldmodel_trading.market.bybit.store import Store
from worldmodel_trading.market.bybit.universe import Universe, stored_universes
from worldmodel_trading.market.times import format_time
from worldmodel_trading.progress import say, tell

_DAMAGED = 1
_TITLES = ("market", "series", "first", "last", "rows", "gaps", "missing", "MB", "instrument")
_NUMBERS = ("rows", "gaps", "missing", "MB")


def list_stored(symbol: str | None = None, as_json: bool = False) -> None:
    """Say what is stored.

    Args:
        symbol: Only of this one, and no lists of instruments.
        as_json: As JSON, with the stretches of time that were fetched.
    """
    store = Store()
    tables = list_data(store, symbol)
    universes = () if symbol else stored_universes(store)[0]
    if as_json:
        lists = [_of_universe(one) for one in universes]
        tell(json.dumps({"tables": [asdict(one) for one in tables], "universes": lists}, indent=1))
        return
    if not tables and not universes:
        tell(f"nothing is stored in {store.root}; worldmodel-trading fetch brings data")
        return
    for line in _aligned([_TITLES, *map(_cells, tables)]):
        tell(line)
    for one in tables:
        if one.damage:
            tell(f"damaged: {one.damage}")
    for universe in universes:
        tell(f"universe: {universe}")
    markets = len({(one.category, one.symbol) for one in tables})
    size = sum(one.bytes for one in tables)
    tell(f"{markets} markets, {len(tables)} tables, {size / 1e6:,.1f} MB in {store.root}")


def verify_stored(as_json: bool = False) -> int:
    """Read all that is stored, and say what is damaged; 1 if anything is."""
    found = verify_data(Store(), lambda market: None if as_json else say(f"  {market}"))
    if as_json:
        tell(json.dumps(asdict(found), indent=1))
    else:
        for text in found.damage:
            tell(f"damaged: {text}")
        verdict = f"{len(found.damage)} damaged" if found.damage else "all whole"
        tell(f"{found.files} files, {found.bytes / 1e6:,.1f} MB of data: {verdict}")
    return _DAMAGED if found.damage else 0


def _of_universe(universe: Universe) -> dict[str, object]:
    """A list of instruments without their rules."""
    named = ("category", "quote", "status", "listed_ms", "symbols")
    return {name: getattr(universe, name) for name in named}


def _cells(one: StoredTable) -> tuple[str, ...]:
    market = " ".join(filter(None, (one.category, one.symbol, one.interval)))
    times = ("" if time is None else format_time(time)[:-4] for time in (one.first_ms, one.last_ms))
    counts = (f"{one.rows:,}", f"{one.gaps:,}", f"{one.missing:,}", f"{one.bytes / 1e6:,.1f}")
    return market, one.series, *times, *counts, "damaged" if one.damage else _life(one)


def _life(one: StoredTable) -> str:
    """An instrument's state and days of life."""
    days = [format_time(time)[:10] if time else "" for time in (one.launch_ms, one.ended_ms)]
    return f"{one.status} {days[0]} – {days[1]}".strip() if any(days) else one.status


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def _padded(row: tuple[str, ...], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if title in _NUMBERS else cell.ljust(width)
        for cell, width, title in zip(row, widths, _TITLES, strict=True)
    ]
