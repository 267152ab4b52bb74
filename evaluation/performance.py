"""How an account did: returns, risk, turnover and costs, defined on every input.

A market that never closes has 8,760 hourly bars a year; the 252 that libraries assume would show
a true Sharpe ratio of 1.19 as 0.20. Hence ``bars_per_year`` is always given, never guessed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..market.arrays import FloatArray
from ..market.errors import ConfigError

RUIN_EQUITY = 1e-12
"""Equity below this fraction of the start counts as this, so that a total loss has a logarithm."""

_NO_SPREAD = 1e-13  # returns that differ by less are rounding errors of a constant
_MAX_ANNUAL_LOG_RETURN = 50.0  # keeps the CAGR of a very short, very lucky path a finite number


@dataclass(frozen=True)
class Performance:
    """What one account, or the average of several dreams, did.

    Every value is finite, whatever the equity curve. A ratio whose denominator is zero (constant
    equity, no losing bar, no drawdown, fewer than two bars) is 0.

    Attributes:
        log_return: log(equity at the end ÷ at the start).
        annual_log_return: The same per year of ``bars_per_year`` bars.
        sharpe: √bars_per_year · mean/std (n − 1) of simple returns per bar.
        sortino: √bars_per_year · mean/√mean(min(r, 0)²).
        calmar: CAGR ÷ maximum drawdown, CAGR = exp(annual_log_return) − 1.
        max_drawdown: Largest fall from a peak, as a positive fraction of the peak.
        turnover: Mean |Δw| per bar: the weight traded, as a fraction of equity.
        costs: Sum over bars of the fraction of equity paid in fees and slippage.
    """

    log_return: float
    annual_log_return: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    turnover: float
    costs: float

    def to_dict(self) -> dict[str, float]:
        """The numbers by name, as they stand in ``results.json``."""
        return asdict(self)


def measure_performance(
    equity: ArrayLike,
    turnover: ArrayLike | None = None,
    costs: ArrayLike | None = None,
    *,
    bars_per_year: float,
) -> Performance:
    """Measure one equity curve, or several dreams together.

    Several dreams are pooled so: ``log_return``, ``annual_log_return``, ``max_drawdown`` and
    ``costs`` are means over dreams; ``sharpe`` and ``sortino`` are those of all bars of all
    dreams taken together (the mean of many short Sharpe ratios is biased and noisier); ``calmar``
    is the CAGR of the mean annual log return ÷ the mean maximum drawdown; ``turnover`` is the
    mean over all bars.

    Args:
        equity: Equity [T + 1] or [N, T + 1], ≥ 0. A lane that ended early holds its last value.
        turnover: |Δw| traded per bar [T] or [N, T]; None for none.
        costs: Fraction of equity paid per bar [T] or [N, T]; None for none.
        bars_per_year: Bars in a year: 8,760 for hourly ones.

    Raises:
        ConfigError: Shapes disagree, equity is negative or not finite, or a year has no bars.
    """
    lanes = _checked_equity(equity, bars_per_year)
    bars = lanes.shape[1] - 1
    if not bars or not len(lanes):
        return Performance(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    returns = simple_returns(lanes)
    total = float(log_returns_total(lanes).mean())
    annual = total * bars_per_year / bars
    drawdown = float(max_drawdown(lanes).mean())
    return Performance(
        log_return=total,
        annual_log_return=annual,
        sharpe=float(sharpe_ratio(returns.ravel(), bars_per_year)),
        sortino=float(sortino_ratio(returns.ravel(), bars_per_year)),
        calmar=float(calmar_ratio(annual, drawdown)),
        max_drawdown=drawdown,
        turnover=float(_per_bar(turnover, lanes, "turnover").mean()),
        costs=float(_per_bar(costs, lanes, "costs").sum(axis=1).mean()),
    )


def simple_returns(equity: FloatArray) -> FloatArray:
    """Simple return of each bar [..., T] from equity [..., T + 1]; 0 once equity is gone."""
    before, after = equity[..., :-1], equity[..., 1:]
    alive = before > 0
    returns: FloatArray = np.where(alive, after / np.where(alive, before, 1.0) - 1.0, 0.0)
    return returns


def log_returns_total(equity: FloatArray) -> FloatArray:
    """log(end ÷ start) [...] of equity [..., T + 1], with a total loss at log(`RUIN_EQUITY`)."""
    start, end = equity[..., 0], equity[..., -1]
    ratio = np.where(start > 0, end / np.where(start > 0, start, 1.0), 1.0)
    total: FloatArray = np.log(np.maximum(ratio, RUIN_EQUITY))
    return total


def sharpe_ratio(returns: FloatArray, bars_per_year: float) -> FloatArray:
    """√bars_per_year · mean/std (n − 1) over the last axis; 0 where returns do not vary.

    Args:
        returns: Simple returns per bar [..., T].
        bars_per_year: 8,760 for hourly bars of a market that never closes.

    Returns:
        Annual ratios [...].

    Raises:
        ConfigError: A return is not finite, or a year has no bars; likewise below.
    """
    if returns.shape[-1] < 2:
        return np.zeros(returns.shape[:-1])
    return annual_ratio(returns.mean(axis=-1), returns.std(axis=-1, ddof=1), bars_per_year)


def sortino_ratio(returns: FloatArray, bars_per_year: float) -> FloatArray:
    """√bars_per_year · mean/√mean(min(r, 0)²) of simple returns [..., T]: [...]; 0 where none loses."""
    if not returns.shape[-1]:
        return np.zeros(returns.shape[:-1])
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2, axis=-1))
    return annual_ratio(returns.mean(axis=-1), downside, bars_per_year)


def max_drawdown(equity: FloatArray) -> FloatArray:
    """Largest fall from a running peak [...], fraction of the peak in [0, 1]."""
    peak = np.maximum.accumulate(equity, axis=-1)
    fall: FloatArray = 1.0 - equity / np.where(peak > 0, peak, 1.0)
    deepest: FloatArray = np.where(peak > 0, fall, 0.0).max(axis=-1)
    return deepest


def calmar_ratio(annual_log_return: ArrayLike, drawdown: ArrayLike) -> FloatArray:
    """CAGR ÷ maximum drawdown, a fraction of the peak, any shape [...]; 0 where nothing was lost."""
    fell = np.asarray(drawdown) > _NO_SPREAD
    growth = np.expm1(np.minimum(annual_log_return, _MAX_ANNUAL_LOG_RETURN))
    ratio: FloatArray = np.where(fell, growth / np.where(fell, drawdown, 1.0), 0.0)
    return ratio


def annual_ratio(mean: FloatArray, spread: FloatArray, bars_per_year: float) -> FloatArray:
    """√bars_per_year · mean ÷ spread of the returns of bars, any shape; 0 where there is no spread.

    Raises:
        ConfigError: A spread is not finite, or a year has no bars.
    """
    _check_year(bars_per_year)
    if not np.isfinite(spread).all():
        raise ConfigError("returns hold a value that is not finite; leave out such bars")
    varies = spread > _NO_SPREAD
    ratio: FloatArray = np.where(varies, mean / np.where(varies, spread, 1.0), 0.0)
    annual: FloatArray = np.sqrt(bars_per_year) * ratio
    return annual


def _check_year(bars_per_year: float) -> None:
    if not (np.isfinite(bars_per_year) and bars_per_year > 0):
        raise ConfigError(f"bars_per_year is {bars_per_year}; expected a positive number")


def _checked_equity(equity: ArrayLike, bars_per_year: float) -> FloatArray:
    _check_year(bars_per_year)
    lanes = np.asarray(equity, dtype=np.float64)
    if lanes.ndim not in (1, 2):
        raise ConfigError(f"equity has shape {lanes.shape}; expected [T + 1] or [N, T + 1]")
    if not np.isfinite(lanes).all() or (lanes < 0).any():
        raise ConfigError("equity holds a value that is negative or not finite")
    lanes = np.atleast_2d(lanes)
    return lanes if lanes.shape[1] else np.ones((len(lanes), 1))


def _per_bar(values: ArrayLike | None, lanes: FloatArray, name: str) -> FloatArray:
    expected = (len(lanes), lanes.shape[1] - 1)
    if values is None:
        return np.zeros(expected)
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if table.shape != expected:
        raise ConfigError(f"{name} has shape {table.shape}; expected {expected}, one per bar")
    if not np.isfinite(table).all():
        raise ConfigError(f"{name} holds a value that is not finite")
    return table
