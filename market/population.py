"""Many policies on many paths at once: the account's arithmetic for a whole population.

A linear policy's target is tanh(score + c·w): the score, of what the market shows, comes in from
one matrix product over all bars and candidates; the share of the drifted weight w is added here,
bar by bar, before the bar is settled. Every loop over candidates is plain arithmetic, which the
compiler vectorises.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .candles import FloatArray
from .compiled import compiled
from .costs import BrokerRules
from .settlement import BoolArray
from .shared import settle_shared
from .tanh import tanh

SCORE_FIELDS: Final = ("log_return", "return_sum", "square_sum", "turnover", "cost", "bars_lived")
"""Rows of the result: log of the final equity; sums over bars of the simple return, of its square,
of |Δw| and of the cost as a fraction of equity; and how many bars the account lived."""


@compiled
def _choose(
    scores: NDArray[np.float32],
    account_share: NDArray[np.float32],
    weight: FloatArray,
    leverage: float,
    chosen: FloatArray,
) -> None:
    for p in range(weight.shape[0]):
        chosen[p] = tanh(scores[p] + account_share[p] * weight[p]) * leverage


@compiled
def _tally(
    held: FloatArray,
    executed: FloatArray,
    growth: FloatArray,
    cost: FloatArray,
    ended: BoolArray,
    totals: FloatArray,
) -> None:
    for p in range(held.shape[0]):
        gain = growth[p] - 1.0
        totals[1, p] += gain
        totals[2, p] += gain * gain
        traded = abs(executed[p] - held[p])  # loaded in any case, or the loop stays scalar
        totals[3, p] += 0.0 if ended[p] else traded
        totals[4, p] += cost[p]
        totals[5, p] += 0.0 if ended[p] else 1.0


@compiled
def settle_population(
    scores: NDArray[np.float32],
    account_share: NDArray[np.float32],
    bars: FloatArray,
    rules: BrokerRules,
    fill_delay: int,
    out: FloatArray,
) -> None:
    """Trade P candidates along N paths of T bars.

    Args:
        scores: Scores of each bar's observation without the account [N, T, P].
        account_share: Each candidate's coefficient of the drifted weight [P].
        bars: What each bar does [N, T, 7], columns `BAR_FIELDS`.
        rules: The compiled rules.
        fill_delay: Bars between decision and fill.
        out: Results [6, N, P], rows `SCORE_FIELDS`.
    """
    num_paths, num_bars, num_candidates = scores.shape
    equity, weight, held = (
        np.empty(num_candidates),
        np.empty(num_candidates),
        np.empty(num_candidates),
    )
    chosen, executed = np.empty(num_candidates), np.empty(num_candidates)
    growth, cost = np.empty(num_candidates), np.empty(num_candidates)
    terminated = np.empty(num_candidates, dtype=np.bool_)
    ended = np.empty(num_candidates, dtype=np.bool_)
    pending = np.empty((fill_delay + 1, num_candidates))
    totals = np.empty((len(SCORE_FIELDS), num_candidates))  # contiguous, unlike out[:, n]
    for n in range(num_paths):
        equity[:] = 1.0
        weight[:] = 0.0
        terminated[:] = False
        pending[:] = 0.0
        totals[:] = 0.0
        for t in range(num_bars):
            _choose(scores[n, t], account_share, weight, rules.leverage, chosen)
            pending[t % (fill_delay + 1)] = chosen
            held[:] = weight
            ended[:] = terminated
            settle_shared(
                equity,
                weight,
                terminated,
                pending[(t + 1) % (fill_delay + 1)],
                bars[n, t, 0],
                bars[n, t, 1],
                bars[n, t, 2],
                bars[n, t, 3],
                bars[n, t, 4],
                bars[n, t, 5],
                bars[n, t, 6],
                rules,
                executed,
                growth,
                cost,
            )
            _tally(held, executed, growth, cost, ended, totals)
        for p in range(num_candidates):
            totals[0, p] = math.log(equity[p])
        out[:, n] = totals
