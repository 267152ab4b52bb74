"""Stored series beside candles, each value with the time from which it may be used.

A value of the period ``[t, t + step)`` may be used from ``t + 2 · step`` on: the period has to end, and
one more has to pass, since these endpoints may publish late when the market is fast.
"""

from __future__ import annotations

from ..errors import StoreError
from ..instruments import CATEGORIES
from ..intervals import interval_ms
from ..series import Series
from .kinds import TIME, series_kind
from .store import Store


def open_series(source: str, store: Store | None = None) -> Series:
    """A stored series by name; the network is never used.

    Args:
        source: ``bybit:BTCUSDT:open-interest:60``, or with the category
            ``bybit:linear:BTCUSDT:open-interest:60``; see `SERIES` for the names.
        store: By default the one in `data_folder`.

    Returns:
        The series, called ``open_interest``; a period of its interval passes between a period's end
        and the first use of its value.

    Raises:
        ConfigError: There is no such series.
        StoreError: The name is none, or it is not stored, or damaged; it says how to fetch it.
    """
    category, symbol, name, interval = _parts(source)
    kind = series_kind(name)
    table = (store or Store()).series_table(kind.table, category, symbol, interval)
    columns, _ = table.read()
    times = columns[TIME]
    if not len(times):
        raise StoreError(f"the store holds no {name} of {category} {symbol} {interval}")
    return Series(
        name=name.replace("-", "_"),
        source=f"bybit:{category}:{symbol}:{name}:{interval}",
        known_ms=times + 2 * interval_ms(interval),
        values=kind.value(columns),
    )


def _parts(source: str) -> tuple[str, str, str, str]:
    head, *parts = source.split(":")
    if head == "bybit" and len(parts) == 3:
        parts = ["linear", *parts]
    if head != "bybit" or len(parts) != 4 or parts[0] not in CATEGORIES:
        raise StoreError(
            f"source is {source!r}; expected bybit:SYMBOL:SERIES:INTERVAL, such as "
            "bybit:BTCUSDT:open-interest:60"
        )
    category, symbol, name, interval = parts
    return category, symbol, name, interval
