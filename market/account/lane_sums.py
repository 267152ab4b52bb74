"""Many accounts that each live bars of their own, added up over bars.

Equity and weight are those of `settle` for each lane, bit for bit. A lane that a bar can neither
liquidate nor ruin, which is nearly every lane, is settled in one loop that the compiler vectorises;
the others one by one.
"""

from __future__ import annotations

import numpy as np

from ..numerics.compiled import compiled
from .population import SCORE_FIELDS
from .rules import BrokerConfig, BrokerRules
from .settlement import (
    BoolArray,
    FloatArray,
    drifted_weight,
    held_growth,
    kept_after,
    settle,
)
from .shared import SURELY, execute, falls_and_rises, unpack_rules


@compiled
def _settle_calm_lanes(
    equity: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    executed: FloatArray,
    bars: FloatArray,
    rules: BrokerRules,
    totals: FloatArray,
    left: BoolArray,
) -> int:
    """Settle and add up the lanes that survive for sure; return how many are ``left`` [L]."""
    returns, squares, turnover = totals[1], totals[2], totals[3]
    costs, lived = totals[4], totals[5]
    plain, margin = rules.has_rounding <= 0.0, rules.maintenance_margin
    unlevered = rules.has_margin <= 0.0
    count = 0
    for i in range(equity.shape[0]):
        simple_return, funding_rate, before = bars[i, 0], bars[i, 4], weight[i]
        slippage = rules.slippage + rules.slippage_per_range * bars[i, 5]
        held = executed[i]
        traded = abs(held - before)
        kept = kept_after(traded, rules.fee, slippage)
        grown = held_growth(held, simple_return, funding_rate)
        total = kept * grown
        fall, rise = falls_and_rises(simple_return, bars[i, 1], bars[i, 2], bars[i, 3], margin)
        safe = unlevered | ((held * fall < SURELY) & (-held * rise < SURELY))
        living = ~terminated[i]
        calm = plain & living & safe & (kept > 0.0) & (total > rules.ruin_floor)
        gain = total - 1.0
        drifted = drifted_weight(held, simple_return, grown)
        weight[i] = drifted if calm else before
        equity[i] *= total if calm else 1.0
        returns[i] += gain if calm else 0.0
        squares[i] += gain * gain if calm else 0.0
        turnover[i] += traded if calm else 0.0
        costs[i] += rules.fee * traded + slippage * traded if calm else 0.0
        lived[i] += 1.0 if calm else 0.0
        left[i] = living & (not calm)
        count += 1 if left[i] else 0
    return count


@compiled
def _settle_one_by_one(
    equity: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    target: FloatArray,
    bars: FloatArray,
    rules: BrokerRules,
    totals: FloatArray,
    left: BoolArray,
) -> None:
    """Settle and add up the lanes that are ``left`` [L]."""
    for i in range(equity.shape[0]):
        if not left[i]:
            continue
        before, held = equity[i], weight[i]
        settled = settle(
            before,
            held,
            target[i],
            bars[i, 0],
            bars[i, 1],
            bars[i, 2],
            bars[i, 3],
            bars[i, 4],
            bars[i, 5],
            bars[i, 6],
            rules,
        )
        equity[i], weight[i], terminated[i] = settled[0], settled[1], settled[8]
        gain = settled[7] - 1.0
        totals[1, i] += gain
        totals[2, i] += gain * gain
        totals[3, i] += abs(settled[2] - held)
        totals[4, i] += (settled[3] + settled[4]) / before
        totals[5, i] += 1.0


@compiled
def settle_and_sum(
    action: FloatArray,
    bars: FloatArray,
    rule_values: FloatArray,
    number: int,
    pending: FloatArray,
    equity: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    totals: FloatArray,
    executed: FloatArray,
    left: BoolArray,
) -> None:
    """Trade at a close, then live a bar; see `LaneSums` for the state that is moved."""
    rules, delay = unpack_rules(rule_values), pending.shape[0]
    decided, target = pending[number % delay], pending[(number + 1) % delay]
    for i in range(action.shape[0]):
        decided[i] = action[i] * rules.leverage
    execute(weight, target, rules, executed)
    if _settle_calm_lanes(equity, weight, terminated, executed, bars, rules, totals, left):
        _settle_one_by_one(equity, weight, terminated, target, bars, rules, totals, left)


class LaneSums:
    """Accounts of L lanes and the sums of what their bars did to them.

    Args:
        num_lanes: L.
        broker: The accounts' rules.

    Attributes:
        weight: Drifted weight [L] before the next trade.
    """

    def __init__(self, num_lanes: int, broker: BrokerConfig) -> None:
        self._rules: FloatArray = np.array(broker.compile())
        self._equity: FloatArray = np.ones(num_lanes)
        self.weight: FloatArray = np.zeros(num_lanes)
        self._terminated: BoolArray = np.zeros(num_lanes, dtype=np.bool_)
        self._pending: FloatArray = np.zeros((broker.execution.fill_delay + 1, num_lanes))
        self._totals: FloatArray = np.zeros((len(SCORE_FIELDS), num_lanes))
        self._executed: FloatArray = np.empty(num_lanes)
        self._left: BoolArray = np.empty(num_lanes, dtype=np.bool_)
        self._bars = 0

    def live(self, action: FloatArray, bars: FloatArray) -> None:
        """Trade at a close, then live a bar.

        Args:
            action: Actions [L] in [−1, 1]; ±1 is ± the leverage.
            bars: The bars to come [L, 7], columns `BAR_FIELDS`.
        """
        settle_and_sum(
            action,
            bars,
            self._rules,
            self._bars,
            self._pending,
            self._equity,
            self.weight,
            self._terminated,
            self._totals,
            self._executed,
            self._left,
        )
        self._bars += 1

    def totals(self) -> FloatArray:
        """The results so far [6, L], rows `SCORE_FIELDS`."""
        self._totals[0] = np.log(self._equity)
        return self._totals
