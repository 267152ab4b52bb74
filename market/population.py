"""Many policies on many paths at once: the account's arithmetic for a whole population.

A linear policy's target is tanh(score + c·w): the score, of what the market shows, comes in from
one matrix product over all bars and candidates; the share of the drifted weight w is added here,
bar by bar, before the bar is settled.

This calls `settle` of another file, which numba's cache does not watch: after a change there,
remove the cached machine code (``make clean``).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .candles import FloatArray
from .compiled import compiled
from .costs import BrokerRules
from .settlement import settle

SCORE_FIELDS: Final = ("log_return", "return_sum", "square_sum", "turnover", "cost", "bars_lived")
"""Rows of the result: log of the final equity; sums over bars of the simple return, of its square,
of |Δw| and of the cost as a fraction of equity; and how many bars the account lived."""


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
    equity = np.empty(num_candidates)
    weight = np.empty(num_candidates)
    alive = np.empty(num_candidates, dtype=np.bool_)
    pending = np.empty((max(fill_delay, 1), num_candidates))
    out[:] = 0.0
    for n in range(num_paths):
        equity[:] = 1.0
        weight[:] = 0.0
        alive[:] = True
        pending[:] = 0.0
        for t in range(num_bars):
            slot = t % pending.shape[0]
            for p in range(num_candidates):
                if not alive[p]:
                    continue
                chosen = math.tanh(scores[n, t, p] + account_share[p] * weight[p]) * rules.leverage
                target = chosen
                if fill_delay > 0:
                    target = pending[slot, p]
                    pending[slot, p] = chosen
                before = equity[p]
                held = weight[p]
                after, drifted, executed, fee, slippage, _, _, growth, ended = settle(
                    before,
                    held,
                    target,
                    bars[n, t, 0],
                    bars[n, t, 1],
                    bars[n, t, 2],
                    bars[n, t, 3],
                    bars[n, t, 4],
                    bars[n, t, 5],
                    bars[n, t, 6],
                    rules,
                )
                equity[p] = after
                weight[p] = drifted
                alive[p] = not ended
                gain = growth - 1.0
                out[1, n, p] += gain
                out[2, n, p] += gain * gain
                out[3, n, p] += abs(executed - held)
                out[4, n, p] += (fee + slippage) / before
                out[5, n, p] += 1.0
        for p in range(num_candidates):
            out[0, n, p] = math.log(equity[p])
