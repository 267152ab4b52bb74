"""Where candles come from, by one name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .arrays import FloatArray
from .candles import UNNAMED, Candles
from .errors import CandleError, ConfigError
from .settings import real_number
from .times import Time

if TYPE_CHECKING:
    from .files.reader import TableSource
    from .funding import FundingRates
    from .instruments import Instrument

    CandleSource: TypeAlias = Candles | TableSource | None
    FundingSource: TypeAlias = FundingRates | TableSource | float | None
    InstrumentSource: TypeAlias = Instrument | Mapping[str, Any] | str | None

EMBEDDED = "synthetic"
_FILE = "CSV, JSON, Parquet or Feather file"


def open_candles(
    source: CandleSource = None,
    symbol: str | None = None,
    interval: str | None = None,
    start: Time | None = None,
    end: Time | None = None,
    instrument: InstrumentSource = None,
    columns: Sequence[str] = (),
) -> Candles:
    """Candles from wherever they are.

    Args:
        source: Candles as they are; a file, frame or list, as `read_candles` takes them;
            ``"dreams.parquet#12"``, one path of a table or folder of many (`write_paths`);
            ``"bybit:BTCUSDT:60"``, candles that ``worldmodel-trading fetch`` has stored (the
            network is not touched); ``"synthetic"`` or None, the embedded market.
        symbol: Names the instrument of a file or frame that does not name it itself.
        interval: Bybit's code; inferred from a file's or frame's spacing when None.
        start: Keep the bars that open then or later.
        end: Keep the bars that open before.
        instrument: The symbol's trading rules, see `open_instrument`; by default those that the
            candles bring along.
        columns: More columns of a file or frame to keep, by their names; of stored candles, the
            stored series to join, such as ``open_interest`` or ``funding_rate``.

    Raises:
        CandleError: There is no such source, a rule of candles is broken, or a column is missing.
    """
    candles = _open(source, symbol, interval, columns)
    refuse_lacking(candles, columns)
    rules = open_instrument(instrument, candles.symbol)
    if rules is not None:
        named = rules.symbol if candles.symbol == UNNAMED else candles.symbol
        candles = replace(candles, symbol=named, instrument=rules)
    return candles if start is None and end is None else candles.between(start, end)


def _open(
    source: CandleSource,
    symbol: str | None,
    interval: str | None,
    columns: Sequence[str],
) -> Candles:
    if isinstance(source, Candles):
        return source
    if source is None or (isinstance(source, str) and source == EMBEDDED):
        from .synthetic import synthetic_candles

        return synthetic_candles()
    if isinstance(source, str) and source.startswith("bybit:"):
        from .bybit.series import open_with_series

        return open_with_series(source, columns)
    from .files.reader import read_candles

    if isinstance(source, str) and not os.path.exists(source):
        file, _, number = source.rpartition("#")
        if os.path.exists(file) and number.isdecimal():
            from .files.paths import read_path

            return read_path(file, int(number))
        raise CandleError(
            f"there is no file {source!r}; expected the path of a {_FILE}, "
            f"'bybit:SYMBOL:INTERVAL', or {EMBEDDED!r}"
        )
    return read_candles(source, symbol=symbol, interval=interval, columns=columns)


def refuse_lacking(candles: Candles, columns: Sequence[str]) -> None:
    """Refuse candles that lack a column.

    Raises:
        CandleError: Saying which, what there is, and how they get it.
    """
    lacking = [name for name in columns if name not in candles.columns]
    if lacking:
        raise CandleError(
            f"{candles.symbol} {candles.interval} candles have no column {', '.join(lacking)} (beside "
            f"prices and volume: {', '.join(candles.columns) or 'none'}); read them with "
            f"open_candles(file, columns={lacking!r}), or attach them with with_series or with_funding"
        )


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
        from .bybit.store import Store

        return Store().funding(*_market_of(source))
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
        candles: The bars; their instrument knows its present funding interval and its end.
        unrecorded_rate: Charged at instants that the record does not cover.
    """
    from .funding import FundingRates, constant_funding

    unrecorded_rate = _funding_rate(unrecorded_rate, "unrecorded_funding_rate")
    opens, interval_ms, instrument = candles.open_time_ms, candles.interval_ms, candles.instrument
    if isinstance(funding, FundingRates):
        return funding.per_bar(opens, interval_ms, unrecorded_rate, instrument)
    return constant_funding(opens, interval_ms, funding, instrument)


def open_instrument(source: InstrumentSource, symbol: str | None = None) -> Instrument | None:
    """An instrument's trading rules from wherever they are.

    Args:
        source: An `Instrument` as it is; a mapping of its fields, whose times may be anything
            `to_ms` takes; ``"bybit:BTCUSDT"`` (or ``"bybit:inverse:BTCUSD"``), rules that
            ``worldmodel-trading fetch`` has stored; None for none.
        symbol: Names the instrument where a mapping does not.

    Raises:
        ConfigError: It is none of these, or a rule is impossible.
        StoreError: It is not stored.
    """
    from .instruments import Instrument

    if source is None or isinstance(source, Instrument):
        return source
    if isinstance(source, str) and source.startswith("bybit:"):
        from .bybit.store import Store

        return Store().instrument(*_market_of(source))
    if isinstance(source, Mapping):
        return Instrument.from_dict({"symbol": symbol or UNNAMED, **source})
    raise ConfigError(
        f"instrument is {source!r}; expected an Instrument, a mapping of its fields, or "
        "'bybit:SYMBOL', whose rules are stored"
    )


def instrument_of(source: CandleSource) -> Instrument | None:
    """What is known of the instrument that a source of candles is of, without reading them.

    The store knows what was fetched, the embedded market is known; a file carries no rules.
    """
    if isinstance(source, Candles):
        return source.instrument
    if source is None or (isinstance(source, str) and source == EMBEDDED):
        from .synthetic import synthetic_instrument

        return synthetic_instrument()
    if isinstance(source, str) and source.startswith("bybit:"):
        from .bybit.store import Store

        return Store().known_instrument(*_market_of(source))
    return None


def traded_instrument(candles: CandleSource, instrument: InstrumentSource) -> Instrument | None:
    """The instrument that is named, or else the one that the candles are known to be of."""
    if instrument is None:
        return instrument_of(candles)
    return open_instrument(instrument, candles.symbol if isinstance(candles, Candles) else None)


def with_order_rules(
    account: Mapping[str, Any], instrument: Instrument | None
) -> Mapping[str, Any]:
    """The account's settings; one with a capital rounds its orders as the instrument asks.

    Settings that are named win over the instrument's.
    """
    if account.get("capital_usdt") is None or instrument is None:
        return account
    return {**instrument.order_rules(), **account}


def _market_of(source: str) -> tuple[str, str]:
    """Category and symbol of ``bybit:BTCUSDT`` or ``bybit:linear:BTCUSDT``, an interval or none."""
    from .instruments import CATEGORIES

    first, *rest = source.split(":")[1:]
    return (first, rest[0]) if first in CATEGORIES and rest else ("linear", first)
