"""Stored series beside candles, each value with the time from which it may be used.

A value of the period ``[t, t + step)`` may be used from ``t + 2 · step`` on: the period has to end, and
one more has to pass, since these endpoints may publish late when the market is fast.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..candles import Candles
from ..errors import StoreError
from ..instruments import CATEGORIES
from ..intervals import interval_ms
from ..series import FUNDING_DUE, FUNDING_HOURS, FUNDING_RATE, Series, with_funding, with_series
from .kinds import SERIES, TIME, series_kind
from .store import Store, open_stored, parse_source


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


def open_with_series(
    source: str, columns: Sequence[str] = (), store: Store | None = None
) -> Candles:
    """Stored candles with columns of the stored series and funding rates of the same market.

    Args:
        source: ``bybit:BTCUSDT:60``, see `open_stored`.
        columns: Names such as ``open_interest``, of a series of the candles' interval, or those of
            `with_funding`; others are left out.
        store: By default the one in `data_folder`.

    Raises:
        StoreError: Something is not stored, or damaged; it says how to fetch it.
    """
    store = store or Store()
    candles = open_stored(source, store=store)
    category, symbol, interval = parse_source(source)
    names = [name.replace("_", "-") for name in columns if name.replace("_", "-") in SERIES]
    market = f"bybit:{category}:{symbol}"
    candles = with_series(
        candles, *(open_series(f"{market}:{name}:{interval}", store) for name in names)
    )
    if {FUNDING_RATE, FUNDING_HOURS, FUNDING_DUE} & set(columns):
        candles = with_funding(candles, store.funding(category, symbol), f"{market}:funding")
    return candles


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
