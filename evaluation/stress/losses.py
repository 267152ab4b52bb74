"""What weighted paths did to an account: its losses, their tail, liquidations and time under water."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from ...market.arrays import FloatArray, IntArray
from ..episodes import Episodes
from ..performance import max_drawdown
from ..significance import Interval

TAIL = 0.05
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, eq=False)
class Losses:
    """An agent on the paths of a scenario; 95% intervals by a jackknife of its repetitions.

    Attributes:
        mean: Mean loss, fraction of the equity at the start; negative is a gain.
        value_at_risk: Loss that a path exceeds with probability `TAIL`.
        shortfall: Mean loss of the worst paths, so many (CVaR).
        liquidated: Share of paths that end the account by liquidation or ruin.
        under_water: Share of bars with less equity than once before on the path.
        drawdown: Mean of the deepest fall from a peak.
        quantiles: Of the loss, at `QUANTILES`.
        worst: The largest loss.
        worst_path: Of which path.
        worst_equity: The account's way there [T + 1].
    """

    mean: Interval
    value_at_risk: Interval
    shortfall: Interval
    liquidated: Interval
    under_water: Interval
    drawdown: Interval
    quantiles: FloatArray
    worst: float
    worst_path: int
    worst_equity: FloatArray

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry."""
        return {
            "mean_loss": self.mean,
            "value_at_risk": self.value_at_risk,
            "expected_shortfall": self.shortfall,
            "liquidation_rate": self.liquidated,
            "time_under_water": self.under_water,
            "max_drawdown": self.drawdown,
            "loss_quantiles": dict(zip(map(str, QUANTILES), self.quantiles.tolist(), strict=True)),
            "worst_loss": self.worst,
            "worst_equity": self.worst_equity,
        }


def measure_losses(episodes: Episodes, weights: FloatArray, group: IntArray) -> Losses:
    """Measure what a policy's accounts lived through on weighted paths.

    Args:
        episodes: One a path.
        weights: Of the paths [N], sum 1.
        group: Which independent repetition each is of [N].
    """
    loss = 1.0 - episodes.equity[:, -1]
    others = _without_each(weights, group)
    whole, without = tail_of(loss, weights[None]), tail_of(loss, others)
    at_risk, shortfall = (_jackknife(whole[i][0], without[i], -np.inf) for i in range(2))

    def average(values: FloatArray, least: float) -> Interval:
        return _jackknife(float(weights @ values), others @ values, least)

    last = int(loss.argmax())
    return Losses(
        mean=average(loss, -np.inf),
        value_at_risk=at_risk,
        shortfall=shortfall,
        liquidated=average(episodes.terminated.astype(np.float64), 0.0),
        under_water=average(under_water(episodes.equity), 0.0),
        drawdown=average(max_drawdown(episodes.equity), 0.0),
        quantiles=weighted_quantiles(loss, weights, np.array(QUANTILES)),
        worst=float(loss[last]),
        worst_path=last,
        worst_equity=episodes.equity[last],
    )


def under_water(equity: FloatArray) -> FloatArray:
    """Share of bars [N] of equity [N, T + 1] below what it once was."""
    below: FloatArray = (equity < np.maximum.accumulate(equity, axis=1))[:, 1:].mean(axis=1)
    return below


def tail_of(loss: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Value at risk and expected shortfall [B] of losses [N] under several weights [B, N].

    The shortfall is the mean of the worst `TAIL` of the weight; a path on the edge counts in part
    (Acerbi & Tasche 2002).
    """
    order = np.argsort(-loss, kind="stable")
    sorted_loss, sorted_weights = loss[order], weights[:, order]
    reached = np.cumsum(sorted_weights, axis=1)
    used = np.clip(TAIL - (reached - sorted_weights), 0.0, sorted_weights)
    edge = np.minimum((reached < TAIL - 1e-12).sum(axis=1), len(loss) - 1)
    return sorted_loss[edge], used @ sorted_loss / TAIL


def weighted_quantiles(values: FloatArray, weights: FloatArray, levels: FloatArray) -> FloatArray:
    """The least value [Q] that so much of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, levels * reached[-1] - 1e-12)
    found: FloatArray = values[order][np.minimum(at, len(values) - 1)]
    return found


def _without_each(weights: FloatArray, group: IntArray) -> FloatArray:
    """Weights [G, N] without one group each, sum 1."""
    left = np.where(group == np.unique(group)[:, None], 0.0, weights)
    total = left.sum(axis=1, keepdims=True)
    normal: FloatArray = left[total[:, 0] > 0.0] / total[total[:, 0] > 0.0]
    return normal


def _jackknife(value: float, without: FloatArray, least: float) -> Interval:
    """An estimate with Student's 95% interval, from those without a group each [G].

    Nothing is lost beyond 1, all there is; of one group alone nothing is known.
    """
    count, value = len(without), float(value)
    if count < 2:
        return Interval(value, least if np.isfinite(least) else value, 1.0)
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    half = float(student.ppf(0.975, count - 1)) * float(error)
    return Interval(value, max(value - half, least), min(value + half, max(value, 1.0)))
