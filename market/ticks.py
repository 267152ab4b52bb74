"""The grid that prices lie on: found in a record, and kept by what is drawn."""

from __future__ import annotations

import math

import numpy as np

from .arrays import FloatArray
from .numerics.compiled import compiled

_MOST_DIGITS = 8
_LEAST_PRICES = 8  # fewer may have more in common by chance
_SMALL = 0.05  # of a logarithm, for its series
NEAR = 0.05
"""Of a tick: prices so near to one of the grid are on it."""


def tick_of(prices: FloatArray) -> float:
    """The largest step that all prices [N] are multiples of, in quote currency.

    Returns:
        The step; 0.0 where there is none of eight digits or fewer after the point, or too few prices
        to tell.
    """
    distinct = np.unique(prices)
    if len(distinct) < _LEAST_PRICES:
        return 0.0
    for digits in range(_MOST_DIGITS + 1):
        scaled = distinct * 10.0**digits
        whole = np.rint(scaled)
        # as near as numbers of 53 bits come to a decimal fraction, and no nearer than that
        if (np.abs(scaled - whole) <= 4.0 * np.spacing(scaled)).all():
            return float(np.gcd.reduce(whole.astype(np.int64)) / 10.0**digits)
    return 0.0


def on_grid(prices: FloatArray, tick: float) -> FloatArray:
    """The prices of the grid that are nearest, at least a tick, as decimal fractions are read [N].

    Args:
        prices: In quote currency.
        tick: Of eight digits or fewer after the point, as `tick_of` finds it.
    """
    digits = range(_MOST_DIGITS + 1)
    exact = (d for d in digits if abs(tick * 10.0**d - round(tick * 10.0**d)) < 1e-6)
    unit = 10.0 ** next(exact, _MOST_DIGITS)
    step = max(1.0, float(round(tick * unit)))
    settled: FloatArray = np.maximum(1.0, np.rint(prices * unit / step)) * step / unit
    return settled


@compiled
def log_ratio(above: float, below: float) -> float:
    """log(above ÷ below) of positive prices, by its series where they are near each other."""
    s = (above - below) / (above + below)
    if abs(s) > _SMALL:
        return math.log(above / below)
    square = s * s
    series = 1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9 + square * (1 / 11))))
    return 2.0 * s * (1.0 + square * series)


@compiled
def moved(price: float, log_return: float) -> float:
    """A price after a log return, by the series of the exponential where that is small."""
    r = log_return
    if abs(r) > _SMALL:
        return price * math.exp(r)
    growth = r * (1.0 + r / 2 * (1.0 + r / 3 * (1.0 + r / 4 * (1.0 + r / 5 * (1.0 + r / 6)))))
    return price + price * growth


@compiled
def close_on_grid(price: float, tick: float) -> float:
    """The price of the grid that is nearest, at least a tick."""
    return max(1.0, math.floor(price / tick + 0.5)) * tick


@compiled
def high_on_grid(price: float, top: float, tick: float) -> float:
    """The same of a high, which is above the top of the bar's body."""
    above = math.floor(top / tick + NEAR) + 1.0
    return max(above, math.floor(price / tick + 0.5)) * tick


@compiled
def low_on_grid(price: float, bottom: float, tick: float) -> float:
    """The same of a low, which is below the bottom of the body if there is a price there."""
    below = math.ceil(bottom / tick - NEAR) - 1.0
    return max(1.0, min(below, math.floor(price / tick + 0.5))) * tick
