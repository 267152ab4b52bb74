"""One bar lived by many candidates: the settlement that scores a population over shared paths.

Equity, weight and growth are those of `settle` for each candidate, bit for bit. A bar that can
neither liquidate nor ruin anyone, which is nearly every bar, is settled by one plain loop of a few
sums and products; other bars by loops with conditions that the compiler still vectorises, or, where
a candidate may be liquidated, one by one.
"""

from __future__ import annotations

from ..arrays import BoolArray, FloatArray
from ..numerics.compiled import compiled
from .costs import Fill, fee_rate, slippage_rate
from .formulas import cost_of, drifted_weight, fall_from, held_growth, loss_at
from .rules import BrokerRules
from .settlement import Bar, limit_target, settle

SURELY = 1.0 - 1e-9  # candidates this near to liquidation are settled one by one, to the last bit


@compiled
def rates_of(bar: Bar, rules: BrokerRules) -> tuple[float, float]:
    """Fee and slippage of any order at a bar's fill, where its size does not matter."""
    order = Fill(bar.fill_range, bar.fill_turnover, 0.0)
    return fee_rate(rules.costs, order), slippage_rate(rules.costs, order)


@compiled
def safe_weights(bar: Bar, margin: float) -> tuple[float, float]:
    """The shortest and longest weights that surely survive a bar."""
    lowest = 1.0 + min(min(bar.simple_low, bar.simple_return), bar.simple_open)
    highest = 1.0 + max(max(bar.simple_high, bar.simple_return), bar.simple_open)
    fall, rise = loss_at(lowest, 1.0, margin), loss_at(highest, -1.0, margin)
    longest = SURELY / fall if fall > 0.0 else 1e300
    shortest = -SURELY / rise if rise > 0.0 else -1e300
    return shortest, longest


@compiled
def execute(
    weight: FloatArray, target: FloatArray, rules: BrokerRules, executed: FloatArray
) -> None:
    """Weights after the fill [C], within the rules' limits."""
    if rules.has_limits > 0.0:
        for i in range(weight.shape[0]):
            executed[i] = limit_target(weight[i], target[i], rules)
    else:
        for i in range(weight.shape[0]):
            executed[i] = target[i]


@compiled
def _any_outside(executed: FloatArray, shortest: float, longest: float) -> bool:
    outside = 0
    for i in range(executed.shape[0]):
        inside = (executed[i] > shortest) & (executed[i] < longest)
        outside += 0 if inside else 1
    return outside > 0


@compiled
def _settle_survivors(
    equity: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    executed: FloatArray,
    bar: Bar,
    rules: BrokerRules,
    growth: FloatArray,
    cost: FloatArray,
) -> None:
    fee, slippage = rates_of(bar, rules)
    for i in range(equity.shape[0]):
        held = executed[i]
        traded = abs(held - weight[i])
        kept = 1.0 - cost_of(traded, fee, slippage)
        grown = held_growth(held, bar.simple_return, bar.funding_rate)
        total = kept * grown
        stands_still = terminated[i]
        ruined = not ((total > rules.ruin_floor) & (kept > 0.0))
        total = rules.ruin_floor if ruined else total
        total = 1.0 if stands_still else total
        drifted = drifted_weight(held, bar.simple_return, grown)
        weight[i] = 0.0 if stands_still | ruined else drifted
        terminated[i] = stands_still | ruined
        equity[i] *= total
        growth[i] = total
        cost[i] = 0.0 if stands_still else cost_of(traded, fee, slippage)


@compiled
def longest_after(longest: float, bar: Bar, rules: BrokerRules) -> float:
    """How long or short any candidate can be after a bar that ends nobody's account, or −1.

    A bound from the rules alone, for candidates whose orders are neither rounded nor priced by
    their size: each trades to at most ± the leverage, or stays nearer to the weight that it holds,
    and growth is monotone in that.

    Args:
        longest: The same before the bar.
        bar: The bar to come.
        rules: The compiled rules.

    Returns:
        −1 where some candidate may be liquidated or ruined.
    """
    most = max(rules.leverage, longest) if rules.has_limits > 0.0 else rules.leverage
    if rules.has_margin > 0.0:
        shortest, safe = safe_weights(bar, rules.maintenance_margin)
        if not (shortest < -most and most < safe):
            return -1.0
    fee, slippage = rates_of(bar, rules)
    kept = SURELY - (abs(fee) + abs(slippage)) * (most + longest)
    growth = SURELY - most * (abs(bar.simple_return) + abs(bar.funding_rate))
    if kept > 0.0 and growth > 0.0 and kept * growth > rules.ruin_floor:
        return float(most * (1.0 + bar.simple_return) / growth)
    return -1.0


@compiled
def settle_calm(
    equity: FloatArray,
    peak: FloatArray,
    weight: FloatArray,
    executed: FloatArray,
    bar: Bar,
    rules: BrokerRules,
    totals: FloatArray,
) -> None:
    """Settle and add up a bar that ends nobody's account; see `longest_after`.

    Args:
        equity: State [C], updated.
        peak: The highest equity so far [C], updated.
        weight: State [C], updated.
        executed: Weights after the fill [C].
        bar: The bar to come.
        rules: The compiled rules, without rounding.
        totals: Sums over bars [9, C], rows `market.account.population.SCORE_FIELDS`; all but the
            log return and the steps are updated.
    """
    fee, slippage = rates_of(bar, rules)
    returns, squares, turnover, cost = totals[1], totals[2], totals[3], totals[4]
    losses, deepest, exposure = totals[6], totals[7], totals[8]
    for i in range(equity.shape[0]):
        held = executed[i]
        traded = abs(held - weight[i])
        grown = held_growth(held, bar.simple_return, bar.funding_rate)
        total = (1.0 - cost_of(traded, fee, slippage)) * grown
        weight[i] = drifted_weight(held, bar.simple_return, grown)
        equity[i] *= total
        gain = total - 1.0
        returns[i] += gain
        squares[i] += gain * gain
        turnover[i] += traded
        cost[i] += cost_of(traded, fee, slippage)
        losses[i] += min(gain, 0.0) * min(gain, 0.0)
        peak[i] = max(peak[i], equity[i])
        deepest[i] = max(deepest[i], fall_from(peak[i], equity[i]))
        exposure[i] += held


@compiled
def settle_shared(
    equity: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    target: FloatArray,
    bar: Bar,
    rules: BrokerRules,
    executed: FloatArray,
    growth: FloatArray,
    cost: FloatArray,
) -> None:
    """Settle one bar that C candidates share, in place.

    Args:
        equity: State [C], updated.
        weight: State [C], updated.
        terminated: State [C], updated; a terminated candidate stands still.
        target: Weights wanted [C], scaled by the leverage.
        bar: The bar to come.
        rules: The compiled rules.
        executed: Weights after the fill [C], written; of terminated candidates meaningless.
        growth: Equity ÷ equity before [C], written; 1 for terminated candidates.
        cost: Fees and slippage as a fraction of the equity before [C], written.
    """
    plain = rules.has_rounding <= 0.0 and rules.has_sized_costs <= 0.0
    if plain:
        execute(weight, target, rules, executed)
        if rules.has_margin > 0.0:
            shortest, longest = safe_weights(bar, rules.maintenance_margin)
            plain = not _any_outside(executed, shortest, longest)
    if plain:
        _settle_survivors(equity, weight, terminated, executed, bar, rules, growth, cost)
        return
    for i in range(equity.shape[0]):
        growth[i] = 1.0
        cost[i] = 0.0
        if terminated[i]:
            continue
        before = equity[i]
        settled = settle(before, weight[i], target[i], bar, rules)
        equity[i], weight[i], executed[i] = settled.equity, settled.weight, settled.executed
        growth[i], terminated[i] = settled.growth, settled.terminated
        cost[i] = (settled.fee + settled.slippage) / before
