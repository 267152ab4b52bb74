"""Strict reading of what Bybit sends: a cell is the number it should be, or a typed error.

Nothing here guesses. Text such as ``"NaN"``, ``"1_000"`` or ``""`` never becomes a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray
from ..candles import Candles
from ..errors import BybitAnswerError
from ..instruments import Instrument
from ..intervals import interval_ms

KLINE_FIELDS = ("startTime", "open", "high", "low", "close", "volume", "turnover")

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"[0-9]{1,19}")
_MAX_INTEGER = 2**63 - 1


def number(value: object, field: str) -> float:
    """A decimal number sent as text.

    Raises:
        BybitAnswerError: It is no finite number; the field is named.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        result = float(value)
        if math.isfinite(result):
            return result
    raise BybitAnswerError(f"{field} is {_short(value)}; expected a number in text")


def integer(value: object, field: str) -> int:
    """A whole number that is not negative, sent as a number or as text.

    Raises:
        BybitAnswerError: It is no such number; the field is named.
    """
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_INTEGER:
        return value
    raise BybitAnswerError(f"{field} is {_short(value)}; expected a whole number")


def member(mapping: Mapping[str, Any], field: str, kind: type, where: str) -> Any:
    """A field of a JSON object, of the type it should have.

    Raises:
        BybitAnswerError: It is absent, or of another type.
    """
    value = mapping.get(field)
    if not isinstance(value, kind):
        raise BybitAnswerError(
            f"{where}: {field} is {_short(value)}; expected {_KINDS.get(kind, kind.__name__)}"
        )
    return value


def json_object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in a body or message.

    Raises:
        BybitAnswerError: It is no JSON (an HTML page, a body cut short), or no object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise BybitAnswerError(f"the answer is no JSON: {_short(text)}") from None
    if not isinstance(value, dict):
        raise BybitAnswerError(f"the answer is no JSON object: {_short(text)}")
    return value


def kline_columns(
    rows: list[Any], fields: tuple[str, ...] = KLINE_FIELDS
) -> tuple[IntArray, FloatArray]:
    """Times [n] in ms and the numbers [n, 6] of a candle page, in the order sent.

    Args:
        rows: The page.
        fields: Names of a row's cells, the time's first; the first five where candles have no
            volume, and four numbers.

    Raises:
        BybitAnswerError: A row has too few cells, or a cell is no number.
    """
    times = np.empty(len(rows), dtype=np.int64)
    values = np.empty((len(rows), len(fields) - 1))
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) < len(fields):
            raise BybitAnswerError(f"candle {i} is {_short(row)}; expected {len(fields)} cells")
        times[i] = integer(row[0], f"startTime of candle {i}")
        for j, field in enumerate(fields[1:]):
            values[i, j] = number(row[j + 1], f"{field} of candle {i} ({row[0]})")
    return times, values


def to_candles(times: IntArray, values: FloatArray, symbol: str, interval: str) -> Candles:
    """Candles of times [n] and numbers [n, 6], in Bybit's order of columns.

    Raises:
        CandleError: A bar breaks the rules of candles; it is named.
    """
    opening, high, low, close, volume, turnover = values.T
    return Candles(times, opening, high, low, close, volume, turnover, symbol, interval)


def stream_candle(row: Any, interval: str) -> tuple[int, FloatArray] | None:
    """A candle of the live stream as time and six numbers [1, 6]; None while it is open.

    Raises:
        BybitAnswerError: A field is absent or wrong, or the candle's span is not its interval.
    """
    if not isinstance(row, dict):
        raise BybitAnswerError(f"live candle is {_short(row)}; expected an object")
    if not member(row, "confirm", bool, "live candle"):
        return None
    start = integer(row.get("start"), "start of a live candle")
    end = integer(row.get("end"), "end of a live candle")
    if end != start + interval_ms(interval) - 1 or str(row.get("interval")) != interval:
        raise BybitAnswerError(
            f"live candle from {start} to {end}, interval {_short(row.get('interval'))}: "
            f"expected one bar of interval {interval}"
        )
    cells = [number(row.get(name), f"{name} of live candle {start}") for name in KLINE_FIELDS[1:]]
    return start, np.array([cells])


def funding_columns(rows: list[Any], symbol: str) -> tuple[IntArray, FloatArray]:
    """Times [n] in ms and rates [n, 1] of a funding page, in the order sent; see `field_columns`."""
    return field_columns(rows, symbol, "fundingRateTimestamp", ("fundingRate",), "funding")


def field_columns(
    rows: list[Any], symbol: str, time: str, fields: tuple[str, ...], what: str
) -> tuple[IntArray, FloatArray]:
    """Times [n] in ms and numbers [n, k] of a page whose rows name their cells, in the order sent.

    Args:
        rows: The page.
        symbol: The symbol that rows are of, where they say so.
        time: Name of the time.
        fields: Names of the k numbers.
        what: What rows are of, for messages.

    Raises:
        BybitAnswerError: A row is of another symbol, or a cell is no number.
    """
    times = np.empty(len(rows), dtype=np.int64)
    values = np.empty((len(rows), len(fields)))
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or row.get("symbol", symbol) != symbol:
            raise BybitAnswerError(f"{what} row {i} is {_short(row)}; expected one of {symbol}")
        times[i] = integer(row.get(time), f"{time} of row {i}")
        for j, field in enumerate(fields):
            values[i, j] = number(row.get(field), f"{field} of row {i} ({times[i]})")
    return times, values


def instrument(row: Any, category: str, symbol: str) -> Instrument:
    """The trading rules in one row of the instruments' list.

    Raises:
        BybitAnswerError: The row is of another symbol, or a rule is absent or no number.
    """
    if not isinstance(row, dict) or row.get("symbol") != symbol:
        raise BybitAnswerError(f"instrument is {_short(row)}; expected {symbol}")
    where = f"instrument {symbol}"
    price = member(row, "priceFilter", dict, where)
    lot = member(row, "lotSizeFilter", dict, where)
    leverage = row.get("leverageFilter") or {}
    if not isinstance(leverage, dict):
        raise BybitAnswerError(f"{where}: leverageFilter is {_short(leverage)}")
    return Instrument(
        symbol=symbol,
        category=category,
        tick_size=number(price.get("tickSize"), f"{where}: tickSize"),
        # Spot names two rules differently.
        quantity_step=number(lot.get("qtyStep", lot.get("basePrecision")), f"{where}: qtyStep"),
        min_quantity=number(lot.get("minOrderQty"), f"{where}: minOrderQty"),
        min_notional=number(
            lot.get("minNotionalValue", lot.get("minOrderAmt", "0")), f"{where}: minNotionalValue"
        ),
        min_leverage=number(leverage.get("minLeverage", "0"), f"{where}: minLeverage"),
        max_leverage=number(leverage.get("maxLeverage", "0"), f"{where}: maxLeverage"),
        funding_interval_minutes=integer(
            row.get("fundingInterval", 0), f"{where}: fundingInterval"
        ),
        launch_time_ms=integer(row.get("launchTime", 0), f"{where}: launchTime"),
        delivery_time_ms=integer(row.get("deliveryTime") or 0, f"{where}: deliveryTime"),
        status=member({"status": "", **row}, "status", str, where),
    )


_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false"}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
