"""What dreams promised against what the market paid (World Models, table of the temperatures)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...market.arrays import FloatArray
from ..significance import Interval, stationary_bootstrap_interval
from .luck import bars_per_row, row_sums
from .results import DREAM, Figure, Promise, Row

MANY_ERRORS = 2.0
"""A gap of so many standard errors is more than chance."""
_REPLICATIONS = 1_000
_SMALL = 0.01  # of log return a year: what does nothing, promises and pays nothing


def annual_error(log_returns: FloatArray, bars_per_year: float, seed: int = 0) -> float:
    """Standard error of the annual log return of one path of bars.

    Half the width of its 95% interval ÷ 1.96; see `annual_interval`.

    Args:
        log_returns: Per bar [T].
        bars_per_year: 8,760 for hourly bars.
        seed: Of the resamples.
    """
    span = annual_interval(log_returns, bars_per_year, seed)
    return (span.high - span.low) / (2 * 1.96)


def annual_interval(log_returns: FloatArray, bars_per_year: float, seed: int = 0) -> Interval:
    """The annual log return of one path of bars, with its 95% interval by stationary bootstrap of days.

    Args:
        log_returns: Per bar [T]; of one path, or of one above another.
        bars_per_year: 8,760 for hourly bars.
        seed: Of the resamples.
    """
    if len(log_returns) < 2:
        total = float(log_returns.sum()) * bars_per_year
        return Interval(total, total, total)
    days = row_sums(log_returns, bars_per_row(len(log_returns), bars_per_year))
    scale = bars_per_year * len(days) / len(log_returns)
    span = stationary_bootstrap_interval(days, seed=seed, replications=_REPLICATIONS)
    return Interval(scale * span.value, scale * span.low, scale * span.high)


def promises(
    rows: Sequence[Row], venue: str, errors: Mapping[tuple[str, str], float]
) -> tuple[Promise, ...]:
    """Every agent's promises beside one recorded range.

    Args:
        rows: All of them.
        venue: The range that paid.
        errors: Standard error of the annual log return, by agent and place.
    """
    found: dict[tuple[str, float], list[Row]] = {}
    paid: dict[str, list[float]] = {}
    for row in rows:
        if row.venue == DREAM and row.temperature is not None:
            found.setdefault((row.agent, row.temperature), []).append(row)
        elif row.venue == venue:
            paid.setdefault(row.agent, []).append(row.measures["annual_log_return"])
    return tuple(
        _promise(agent, temperature, venue, dreamed, paid[agent], errors)
        for (agent, temperature), dreamed in found.items()
        if agent in paid
    )


def _promise(
    agent: str,
    temperature: float,
    venue: str,
    dreamed: Sequence[Row],
    paid: Sequence[float],
    errors: Mapping[tuple[str, str], float],
) -> Promise:
    promised = Figure.of([row.measures["annual_log_return"] for row in dreamed])
    was_paid = Figure.of(paid)
    gap = promised.median - was_paid.median
    own, theirs = errors[agent, dreamed[0].place], errors[agent, venue]
    spread = math.hypot(own, theirs)
    in_errors = gap / spread if spread > 0.0 else 0.0
    alarm = _alarm(promised.median, was_paid.median, in_errors)
    return Promise(agent, temperature, venue, promised, was_paid, gap, in_errors, alarm)


def _alarm(promised: float, paid: float, errors: float) -> str:
    """What a gap says; nothing where chance may have made it."""
    if errors <= MANY_ERRORS:
        return ""
    if promised > _SMALL and paid < -_SMALL:
        return "the dream promises a gain, and the market took a loss: do not trust this dream"
    return "the dream promises more than the market paid, by more than chance"


def dream_error(log_returns: FloatArray, horizon: int, bars_per_year: float) -> float:
    """Standard error of the annual log return of dreams [N], each of ``horizon`` bars."""
    if len(log_returns) < 2:
        return 0.0
    return float(
        np.std(log_returns, ddof=1) / math.sqrt(len(log_returns)) * bars_per_year / horizon
    )
