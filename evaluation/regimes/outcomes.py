"""How much of the next day's volatility and drawdown a regime explains, on bars that came later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...market.arrays import BoolArray, FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.intervals import INTERVALS_MS
from ..significance import Interval, stationary_bootstrap_interval

_QUIET = 1e-4  # added before logarithms: a day without a move is no minus infinity
_RIDGE = 1e-6
_FEWEST = 30  # days


class NextDay(NamedTuple):
    """What the day after each close did; NaN where it reaches a gap or the end.

    Attributes:
        volatility: log √mean r² of its bars [T].
        drawdown: log of the largest fall from a peak, the close itself included [T].
    """

    volatility: FloatArray
    drawdown: FloatArray


@dataclass(frozen=True)
class Explained:
    """Out-of-sample R² of a linear regression on what was known at the close.

    Attributes:
        volatility: Of the next day's log volatility, with its interval over blocks of days.
        drawdown: Of its log maximum drawdown.
    """

    volatility: Interval
    drawdown: Interval

    def to_dict(self) -> dict[str, Mapping[str, float]]:
        """Plain values that JSON can hold."""
        return {"volatility": self.volatility.to_dict(), "drawdown": self.drawdown.to_dict()}


def next_day(candles: Candles) -> NextDay:
    """The outcomes of the day after each close; bars of a day or longer: of the next bar."""
    bars = max(1, INTERVALS_MS["D"] // candles.interval_ms)
    volatility, drawdown = np.full((2, len(candles)), np.nan)
    for start, stop in candles.segments():
        if stop - start <= bars:
            continue
        path = np.log(candles.close[start:stop])
        days = np.lib.stride_tricks.sliding_window_view(path, bars + 1)
        rows = slice(start, start + len(days))
        moves = np.diff(days, axis=1)
        volatility[rows] = np.log(np.sqrt((moves**2).mean(axis=1)) + _QUIET)
        falls = np.maximum.accumulate(days, axis=1) - days
        drawdown[rows] = np.log(falls.max(axis=1) + _QUIET)
    return NextDay(volatility, drawdown)


def daily_rows(candles: Candles) -> IntArray:
    """One row a day: those at whose close the day (UTC) ends, of long bars all of them."""
    day = INTERVALS_MS["D"]
    ends = (candles.open_time_ms + candles.interval_ms) % day == 0
    return np.flatnonzero(ends | np.full(len(ends), candles.interval_ms >= day))


def explained(
    known: FloatArray,
    candles: Candles,
    fitted: tuple[int, int],
    scored: tuple[int, int],
    *,
    seed: int = 0,
) -> Explained:
    """Fit on one range, score on a later one, a row a day.

    Args:
        known: What is known at each close [T, R]: probabilities or dummies of regimes; NaN where
            nothing is.
        candles: The bars.
        fitted: First time and end of the range that the regression is fitted on [ms UTC].
        scored: Of the range that it is scored on.
        seed: Of the bootstrap.

    Raises:
        ConfigError: A range holds too few days.
    """
    days = daily_rows(candles)
    times = candles.open_time_ms[days]
    inside = [(times >= first) & (times < end) for first, end in (fitted, scored)]
    outcomes = next_day(candles)
    found = [_score(known[days], outcome[days], inside[0], inside[1], seed) for outcome in outcomes]
    return Explained(*found)


def _score(
    known: FloatArray, outcome: FloatArray, fitted: BoolArray, scored: BoolArray, seed: int
) -> Interval:
    there = np.isfinite(outcome) & np.isfinite(known).all(axis=1)
    early, late = there & fitted, there & scored
    if early.sum() < _FEWEST or late.sum() < _FEWEST:
        raise ConfigError(
            f"there are {early.sum()} days to fit on and {late.sum()} to score; expected {_FEWEST} each"
        )
    inputs = np.column_stack([known, np.ones(len(known))])
    gram = inputs[early].T @ inputs[early]
    ridge = _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge, inputs[early].T @ outcome[early])
    errors = (outcome[late] - inputs[late] @ weights) ** 2
    around = (outcome[late] - outcome[early].mean()) ** 2
    return stationary_bootstrap_interval(np.column_stack([errors, around]), _r_squared, seed=seed)


def _r_squared(squares: Any) -> float:
    return float(1.0 - squares[:, 0].mean() / squares[:, 1].mean())
