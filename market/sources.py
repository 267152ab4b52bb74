"""Where candles come from, by one name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .arrays import FloatArray
from .candles import Candles
from .errors import CandleError, ConfigError
from .settings import real_number
from .times import Time

if TYPE_CHECKING:
    from .files.reader import TableSource
    from .funding import FundingRates

    CandleSource: TypeAlias = Candles | TableSource | None
    FundingSource: TypeAlias = FundingRates | TableSource | float | None

EMBEDDED = "synthetic"
_FILE = "CSV, JSON, Parquet or Feather file"


def open_candles(
    source: CandleSource = None,
    symbol: str | None = None,
    interval: str | None = None,
    start: Time | None = None,
    end: Time | None = None,
) -> Candles:
    """Candles from wherever they are.

    Args:
        source: Candles as they are; a file, frame or list, as `read_candles` takes them;
            ``"bybit:BTCUSDT:60"``, candles that ``worldmodel-trading fetch`` has stored (the
            network is not touched); ``"synthetic"`` or None, the embedded market.
        symbol: Names the instrument of a file or frame that does not name it itself.
        interval: Bybit's code; inferred from a file's or frame's spacing when None.
        start: Keep the bars that open then or later.
        end: Keep the bars that open before.
    """
    candles = _open(source, symbol, interval)
    return candles if start is None and end is None else candles.between(start, end)


def _open(
    source: CandleSource,
    symbol: str | None,
    interval: str | None,
) -> Candles:
    if isinstance(source, Candles):
        return source
    if source is None or (isinstance(source, str) and source == EMBEDDED):
        from .synthetic import synthetic_candles

        return synthetic_candles()
    if isinstance(source, str) and source.startswith("bybit:"):
        from .bybit.store import open_stored

        return open_stored(source)
    from .files.reader import read_candles

    if isinstance(source, str) and not os.path.exists(source):
        raise CandleError(
            f"there is no file {source!r}; expected the path of a {_FILE}, "
            f"'bybit:SYMBOL:INTERVAL', or {EMBEDDED!r}"
        )
    return read_candles(source, symbol=symbol, interval=interval)


def source_name(source: str) -> str:
    """What to call a source of candles or funding: a file by its name, without its folders."""
    return source if source.startswith("bybit:") else os.path.basename(source)


def open_funding(source: FundingSource) -> FundingRates | float:
    """Funding from wherever it is.

    Args:
        source: Recorded rates as they are; a file, frame or list, as `read_funding` takes them;
            ``"bybit:BTCUSDT"`` (or ``"bybit:inverse:BTCUSD"``), rates that ``worldmodel-trading
            fetch`` has stored; a constant rate, fraction of notional an instant; ``"off"`` or None
            for none.

    Returns:
        Recorded rates, or a constant one (0 where funding is off).
    """
    from .funding import FundingRates

    if isinstance(source, FundingRates):
        return source
    if source is None or (isinstance(source, str) and source == "off"):
        return 0.0
    if real_number(source) is not None:
        return _funding_rate(source, "funding")
    if isinstance(source, str) and source.startswith("bybit:"):
        from .bybit.instruments import CATEGORIES
        from .bybit.store import Store

        first, *rest = source.split(":")[1:]
        category, symbol = (first, rest[0]) if first in CATEGORIES and rest else ("linear", first)
        return Store().funding(category, symbol)
    absent = isinstance(source, str) and not os.path.exists(source)
    if absent or isinstance(
        source, int | float | complex | np.generic
    ):  # NaN and truths are no rates
        raise ConfigError(
            f"funding is {source!r}; expected recorded rates, the path of a {_FILE}, "
            "'bybit:SYMBOL', a constant rate, or 'off'"
        )
    from .files.reader import read_funding

    return read_funding(source)


def _funding_rate(rate: object, name: str) -> float:
    number = real_number(rate)
    if number is None or not abs(number) <= 0.1:
        raise ConfigError(f"{name} is {rate!r}; expected a fraction of notional, within ±0.1")
    return float(number)


def funding_per_bar(
    funding: FundingRates | float, candles: Candles, unrecorded_rate: float = 0.0
) -> FloatArray:
    """Rate charged on a position held during each bar [T], fraction of notional.

    Args:
        funding: As `open_funding` gives it.
        candles: The bars.
        unrecorded_rate: Charged at instants that the record does not cover.
    """
    from .funding import FundingRates, constant_funding

    unrecorded_rate = _funding_rate(unrecorded_rate, "unrecorded_funding_rate")
    if isinstance(funding, FundingRates):
        return funding.per_bar(candles.open_time_ms, candles.interval_ms, unrecorded_rate)
    return constant_funding(candles.open_time_ms, candles.interval_ms, funding)


def stored_order_rules(source: object) -> dict[str, float]:
    """Order rules of a stored instrument, as the account's settings name them.

    Args:
        source: ``"bybit:SYMBOL:INTERVAL"``; for candles from elsewhere there are none: ``{}``.
    """
    if not (isinstance(source, str) and source.startswith("bybit:")):
        return {}
    from .bybit.store import Store, parse_source

    category, symbol, _ = parse_source(source)
    rules = Store().instrument(category, symbol)
    named = {
        "qty_step": rules.quantity_step,
        "tick_size": rules.tick_size,
        "min_notional_usdt": rules.min_notional,
    }
    return {name: value for name, value in named.items() if value > 0}
