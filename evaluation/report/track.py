"""What an equity curve shows a person: months, days, falls from a peak, and how steady it was."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...market.arrays import FloatArray, IntArray
from ..performance import RUIN_EQUITY, sharpe_ratio
from ..rollout import Curve
from ..significance import Interval, stationary_bootstrap_interval

DAY_MS = 86_400_000
YEAR_DAYS = 365
_BLOCK_DAYS = 7.0
_DRAWS = 1_000


class Fall(NamedTuple):
    """A fall from a peak.

    Attributes:
        peak_ms: When equity was at its peak.
        trough_ms: When it was lowest.
        back_ms: When it was at the peak again; None where it never was.
        depth: As a fraction of the peak.
    """

    peak_ms: int
    trough_ms: int
    back_ms: int | None
    depth: float


def daily_equity(curve: Curve) -> tuple[IntArray, FloatArray]:
    """Ends of days [ms], the first the start [D + 1], and equity there."""
    assert curve.time_ms is not None
    days = (curve.time_ms - 1) // DAY_MS  # midnight ends a day
    last = np.flatnonzero(np.diff(days, append=days[-1] + 1))
    rows = np.unique(np.concatenate([[0], last]))
    return curve.time_ms[rows], curve.equity[rows]


def daily_returns(curve: Curve) -> FloatArray:
    """Simple returns of calendar days (UTC) [D]."""
    equity = np.maximum(daily_equity(curve)[1], RUIN_EQUITY)
    returns: FloatArray = equity[1:] / equity[:-1] - 1
    return returns


def monthly_returns(curve: Curve) -> dict[tuple[int, int], float]:
    """Simple returns of calendar months (UTC), the first and the last as far as they go."""
    assert curve.time_ms is not None
    ends = curve.time_ms[1:]
    months = (ends - 1).astype("datetime64[ms]").astype("datetime64[M]").astype(int)
    last = np.flatnonzero(np.diff(months, append=months[-1] + 1))
    equity = np.maximum(curve.equity, RUIN_EQUITY)
    before = np.concatenate([equity[:1], equity[1:][last[:-1]]])
    growth = equity[1:][last] / before - 1
    return {
        (1970 + int(month) // 12, int(month) % 12 + 1): float(value)
        for month, value in zip(months[last], growth, strict=True)
    }


def rolling_sharpe(curve: Curve) -> tuple[IntArray, FloatArray, int]:
    """Annual Sharpe ratio of daily returns over the days before: times, ratios, how many days.

    The window is 90 days, or a quarter of a shorter range.
    """
    times, returns = daily_equity(curve)[0], daily_returns(curve)
    window = min(90, len(returns) // 4)
    if window < 5:
        return times[:0], returns[:0], window
    parts = np.lib.stride_tricks.sliding_window_view(returns, window)
    ratios = np.array([sharpe_ratio(part, YEAR_DAYS) for part in parts])
    return times[window:], ratios, window


def falls(curve: Curve, count: int = 5) -> list[Fall]:
    """The deepest falls from a peak, the deepest first; they do not overlap."""
    assert curve.time_ms is not None
    depth = drawdowns(curve.equity)
    under = np.flatnonzero(np.diff(np.concatenate([[0], (depth > 0).astype(int), [0]])))
    found = []
    for start, stop in zip(under[::2], under[1::2], strict=True):
        trough = start + int(np.argmax(depth[start:stop]))
        back = None if stop == len(depth) else int(curve.time_ms[stop])
        ends = int(curve.time_ms[start - 1]), int(curve.time_ms[trough])
        found.append(Fall(*ends, back, float(depth[trough])))
    return sorted(found, key=lambda fall: -fall.depth)[:count]


def against(curve: Curve, other: Curve) -> Interval | None:
    """What a policy ended with ÷ what another did, minus 1, with a 95% interval by blocks of days.

    None where the two cannot be laid beside each other.
    """
    if curve.time_ms is None or other.time_ms is None:
        return None
    longer = curve if len(curve.equity) > len(other.equity) else other
    ours, theirs = (np.log1p(daily_returns(_as_long_as(longer, each))) for each in (curve, other))
    gap = ours - theirs
    if len(gap) < 10:
        return None
    span = stationary_bootstrap_interval(
        gap, _total, seed=0, block_length=_BLOCK_DAYS, replications=_DRAWS
    )
    return Interval(*(math.expm1(min(end, 50.0)) for end in (span.value, span.low, span.high)))


def _total(values: FloatArray) -> float:
    return float(np.sum(values))


def _as_long_as(longer: Curve, curve: Curve) -> Curve:
    """A curve over another's times; an account that ended early holds what was left."""
    missing = len(longer.equity) - len(curve.equity)
    held = np.append(curve.equity, np.full(missing, curve.equity[-1]))
    return Curve(held, time_ms=longer.time_ms)


def same_as(curve: Curve, other: Curve) -> bool:
    """Whether two policies did the same all along: their equity never differs by a hundredth."""
    if len(curve.equity) != len(other.equity):
        return False
    gap = np.abs(curve.equity - other.equity)
    return bool((gap <= 0.01 * np.maximum(other.equity, RUIN_EQUITY)).all())


def drawdowns(equity: FloatArray) -> FloatArray:
    """How far equity [T] is below its peak so far, as a positive fraction of the peak [T]."""
    peak = np.maximum.accumulate(np.maximum(equity, RUIN_EQUITY))
    below: FloatArray = 1 - np.maximum(equity, 0.0) / peak
    return below
