"""What a policy risked, and how it held and traded: beside its `Performance`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from ...market.arrays import BoolArray, FloatArray
from ..checks import check_finite, check_number
from ..episodes import Episodes

_DAYS_PER_YEAR: Final = 365.0
_WORST: Final = 0.05
_TRADED: Final = 1e-9  # of the equity: less is rounding
_SUNK: Final = 1e-12


@dataclass(frozen=True)
class Risk:
    """Of one policy in one venue; all bars of all episodes count alike, those after an early end too.

    Every value is finite, whatever the episodes; all are 0 where they have no bars.

    Attributes:
        daily_cvar: Mean loss of the worst 5% of the days, a positive fraction of the equity
            (conditional value at risk, Rockafellar & Uryasev 2000); a day's return is the sum of its
            bars' simple returns.
        under_water: Share of the bars that end below an earlier peak of the equity.
        longest_under_water_days: The longest spell of such bars [days]; the mean over episodes.
        exposure: Mean |weight| at the end of a bar, before the next trade; leverage included.
        net_exposure: Mean weight likewise: 0 where longs and shorts balance.
        traded: Share of the bars in which there was an order.
        ended_early: Share of the episodes that ended by liquidation, ruin or delivery.
    """

    daily_cvar: float
    under_water: float
    longest_under_water_days: float
    exposure: float
    net_exposure: float
    traded: float
    ended_early: float

    def to_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


def measure_risk(episodes: Episodes, bars_per_year: float) -> Risk:
    """What N episodes risked, pooled.

    Args:
        episodes: Of one policy in one venue.
        bars_per_year: 8,760 for hourly bars.

    Raises:
        ConfigError: A year has no bars, or a number is not finite.
    """
    check_number("bars_per_year", bars_per_year, above=0.0)
    if not episodes.turnover.size:
        return Risk(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for name in ("equity", "weight", "turnover"):
        check_finite(getattr(episodes, name), name)
    per_day = bars_per_year / _DAYS_PER_YEAR
    sunk = _below_peak(episodes.equity)
    spells = [_longest_spell(lane) for lane in sunk]
    weight = episodes.weight[:, 1:]
    return Risk(
        daily_cvar=_shortfall(_daily_sums(episodes.returns, max(1, round(per_day)))),
        under_water=float(sunk.mean()),
        longest_under_water_days=float(np.mean(spells)) / per_day,
        exposure=float(np.abs(weight).mean()),
        net_exposure=float(weight.mean()),
        traded=float((episodes.turnover > _TRADED).mean()),
        ended_early=float(episodes.terminated.mean()),
    )


def _daily_sums(returns: FloatArray, bars_per_day: int) -> FloatArray:
    """Sums [N · days] of whole days; of all bars where they are less than one."""
    bars = returns.shape[1]
    days = max(1, bars // bars_per_day)
    whole = returns[:, : min(bars, days * bars_per_day)]
    sums: FloatArray = whole.reshape(len(returns) * days, -1).sum(axis=1)
    return sums


def _shortfall(sums: FloatArray) -> float:
    worst = math.ceil(_WORST * len(sums))
    return -float(np.partition(sums, worst - 1)[:worst].mean())


def _below_peak(equity: FloatArray) -> BoolArray:
    """Whether each bar [N, T] ends below an earlier peak."""
    below: BoolArray = equity < np.maximum.accumulate(equity, axis=1) * (1.0 - _SUNK)
    return below[:, 1:]


def _longest_spell(sunk: BoolArray) -> int:
    """Most bars [T] in a row that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sunk, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
