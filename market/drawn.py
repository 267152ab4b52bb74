"""Candles of bars that were drawn: the way back from `market.streamed_bars.bar_numbers`."""

from __future__ import annotations

import numpy as np

from .arrays import FloatArray, IntArray
from .candles import Candles
from .ticks import on_grid

_MOST = 300.0  # a log price: beyond it a turnover may have no float64


def drawn_candles(
    open_time_ms: IntArray,
    numbers: FloatArray,
    start_price: float,
    *,
    symbol: str,
    interval: str,
    tick: float = 0.0,
) -> Candles:
    """One path of bars as candles; each opens at the close before it, the first at a price that is given.

    Turnover is volume times the mean of open, high, low and close, which is never outside the bar.

    Args:
        open_time_ms: Of the bars [T], ms UTC.
        numbers: The bars [T, 4], columns `market.streams.BAR_NUMBERS`.
        start_price: The close before the first bar, quote currency.
        symbol: The instrument.
        interval: Bybit's code of the bar length.
        tick: The grid that prices lie on, quote currency; 0 for none.

    Raises:
        CandleError: A wick is negative, so that high or low lies inside the body.
    """
    log_return, upper, lower, volume = numbers.T
    level = np.log(start_price) + np.cumsum(np.append(0.0, log_return))
    prices = _settled(np.exp(np.clip(level, -_MOST, _MOST)), tick)
    opening, close = prices[:-1], prices[1:]
    high = _settled(np.maximum(opening, close) * np.exp(upper), tick)
    low = _settled(np.minimum(opening, close) * np.exp(-lower), tick)
    mean = 0.25 * (opening + high + low + close)
    return Candles(open_time_ms, opening, high, low, close, volume, volume * mean, symbol, interval)


def _settled(prices: FloatArray, tick: float) -> FloatArray:
    return on_grid(prices, tick) if tick > 0.0 else prices
