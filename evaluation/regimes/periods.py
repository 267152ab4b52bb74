"""What happened in each regime: to the market, and to whoever traded it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ...market.arrays import FloatArray, IntArray
from ..significance import Interval, stationary_bootstrap_interval

_REPLICATIONS = 200


@dataclass(frozen=True)
class Periods:
    """The bars that began in one regime.

    Attributes:
        bars: How many.
        share: Of all.
        visits: Stretches in a row.
        annual_log_return: Mean log growth × bars a year, with its interval over blocks of its bars.
        annual_volatility: Deviation of the same × √bars a year.
        sharpe: Their ratio; 0 where nothing moves.
        max_drawdown: The largest fall inside one visit, a fraction.
    """

    bars: int
    share: float
    visits: int
    annual_log_return: Interval
    annual_volatility: float
    sharpe: float
    max_drawdown: float

    def to_dict(self) -> dict[str, object]:
        """Plain values that JSON can hold."""
        return asdict(self)


def measure_periods(
    labels: IntArray,
    growth: FloatArray,
    count: int,
    bars_per_year: float,
    seed: int = 0,
) -> list[Periods]:
    """Measure every regime.

    Args:
        labels: Regime at the close before each bar [T]; -1 where nothing is known.
        growth: Log growth of the market, or of an account, over each bar [T]; NaN is left out.
        count: R.
        bars_per_year: 8,760 for hourly bars.
        seed: Of the bootstrap.
    """
    known = (labels >= 0) & np.isfinite(growth)
    return [
        _measure(labels == regime, growth, known, bars_per_year, seed) for regime in range(count)
    ]


def _measure(
    inside: np.ndarray, growth: FloatArray, known: np.ndarray, bars_per_year: float, seed: int
) -> Periods:
    inside = inside & known
    moves = growth[inside]
    if len(moves) < 2:
        return Periods(len(moves), 0.0, 0, Interval(0.0, 0.0, 0.0), 0.0, 0.0, 0.0)
    visits = _visits(inside)
    mean = stationary_bootstrap_interval(moves, np.mean, seed=seed, replications=_REPLICATIONS)
    year = Interval(*(bars_per_year * each for each in (mean.value, mean.low, mean.high)))
    volatility = float(moves.std(ddof=1) * np.sqrt(bars_per_year))
    return Periods(
        bars=len(moves),
        share=len(moves) / int(known.sum()),
        visits=len(visits),
        annual_log_return=year,
        annual_volatility=volatility,
        sharpe=year.value / volatility if volatility > 1e-12 else 0.0,
        max_drawdown=max(_fall(growth[a:b]) for a, b in visits),
    )


def _visits(inside: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _fall(growth: FloatArray) -> float:
    path = np.concatenate([[0.0], np.cumsum(growth)])
    return float(abs(np.expm1((path - np.maximum.accumulate(path)).min())))


def labels_at(
    times: IntArray, open_time_ms: IntArray, labels: Sequence[int] | IntArray
) -> IntArray:
    """Labels [K] of the bars that opened at given times, of a record's [T]; -1 where there is none."""
    rows = np.minimum(np.searchsorted(open_time_ms, times), len(open_time_ms) - 1)
    found = np.asarray(labels)[rows]
    return np.where(open_time_ms[rows] == times, found, -1)
