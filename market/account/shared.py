"""One bar lived by many candidates: the settlement that scores a population over shared paths.

Equity, weight and growth are those of `settle` for each candidate, bit for bit. A bar that can
neither liquidate nor ruin anyone, which is nearly every bar, is settled by one plain loop of a few
sums and products; other bars by loops with conditions that the compiler still vectorises, or, where
a candidate may be liquidated, one by one.
"""

from __future__ import annotations

from ..numerics.compiled import compiled
from .rules import BrokerRules
from .settlement import (
    BoolArray,
    FloatArray,
    drifted_weight,
    held_growth,
    kept_after,
    limit_target,
    settle,
)

SURELY = 1.0 - 1e-9  # candidates this near to liquidation are settled one by one, to the last bit


@compiled
def unpack_rules(values: FloatArray) -> BrokerRules:
    """The rules from an array of them in order; calling from Python with a tuple costs 3 µs."""
    return BrokerRules(
        values[0],
        values[1],
        values[2],
        values[3],
        values[4],
        values[5],
        values[6],
        values[7],
        values[8],
        values[9],
        values[10],
        values[11],
        values[12],
        values[13],
        values[14],
        values[15],
    )


@compiled
def falls_and_rises(
    simple_return: float, simple_open: float, simple_high: float, simple_low: float, margin: float
) -> tuple[float, float]:
    """What a bar takes from a long and from a short of 1, the maintenance margin included.

    From `liquidation_price`: a long a is liquidated where the lowest price x satisfies
    a·(1 − x(1 − m)) ≥ 1; a short b where the highest does b·(x(1 + m) − 1) ≥ 1.
    """
    low = 1.0 + min(min(simple_low, simple_return), simple_open)
    high = 1.0 + max(max(simple_high, simple_return), simple_open)
    return 1.0 - low * (1.0 - margin), high * (1.0 + margin) - 1.0


@compiled
def safe_weights(
    simple_return: float, simple_open: float, simple_high: float, simple_low: float, margin: float
) -> tuple[float, float]:
    """The shortest and longest weights that surely survive a bar."""
    fall, rise = falls_and_rises(simple_return, simple_open, simple_high, simple_low, margin)
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
    simple_return: float,
    funding_rate: float,
    slippage: float,
    rules: BrokerRules,
    growth: FloatArray,
    cost: FloatArray,
) -> None:
    for i in range(equity.shape[0]):
        held = executed[i]
        traded = abs(held - weight[i])
        kept = kept_after(traded, rules.fee, slippage)
        grown = held_growth(held, simple_return, funding_rate)
        total = kept * grown
        stands_still = terminated[i]
        ruined = not ((total > rules.ruin_floor) & (kept > 0.0))
        total = rules.ruin_floor if ruined else total
        total = 1.0 if stands_still else total
        drifted = drifted_weight(held, simple_return, grown)
        weight[i] = 0.0 if stands_still | ruined else drifted
        terminated[i] = stands_still | ruined
        equity[i] *= total
        growth[i] = total
        cost[i] = 0.0 if stands_still else rules.fee * traded + slippage * traded


@compiled
def longest_after(
    longest: float,
    simple_return: float,
    simple_open: float,
    simple_high: float,
    simple_low: float,
    funding_rate: float,
    fill_range: float,
    rules: BrokerRules,
) -> float:
    """How long or short any candidate can be after a bar that ends nobody's account, or −1.

    A bound from the rules alone, for candidates whose orders are not rounded: each trades to at most
    ± the leverage, or stays nearer to the weight that it holds, and growth is monotone in that.

    Args:
        longest: The same before the bar.
        simple_return: The bar to come, as in `settle`; likewise up to ``fill_range``.
        simple_open: As in `settle`.
        simple_high: As in `settle`.
        simple_low: As in `settle`.
        funding_rate: As in `settle`.
        fill_range: As in `settle`.
        rules: The compiled rules.

    Returns:
        −1 where some candidate may be liquidated or ruined.
    """
    most = max(rules.leverage, longest) if rules.has_limits > 0.0 else rules.leverage
    if rules.has_margin > 0.0:
        shortest, safe = safe_weights(
            simple_return, simple_open, simple_high, simple_low, rules.maintenance_margin
        )
        if not (shortest < -most and most < safe):
            return -1.0
    rate = abs(rules.fee) + abs(rules.slippage) + abs(rules.slippage_per_range * fill_range)
    kept = SURELY - rate * (most + longest)
    growth = SURELY - most * (abs(simple_return) + abs(funding_rate))
    if kept > 0.0 and growth > 0.0 and kept * growth > rules.ruin_floor:
        return most * (1.0 + simple_return) / growth
    return -1.0


@compiled
def settle_calm(
    equity: FloatArray,
    weight: FloatArray,
    executed: FloatArray,
    simple_return: float,
    funding_rate: float,
    slippage: float,
    rules: BrokerRules,
    totals: FloatArray,
) -> None:
    """Settle and add up a bar that ends nobody's account; see `longest_after`.

    Args:
        equity: State [C], updated.
        weight: State [C], updated.
        executed: Weights after the fill [C].
        simple_return: As in `settle`.
        funding_rate: As in `settle`.
        slippage: Of this bar, as a fraction of what is traded.
        rules: The compiled rules, without rounding.
        totals: Sums over bars [6, C], rows `market.account.population.SCORE_FIELDS`; all but the first and
            the last are updated.
    """
    returns, squares, turnover, cost = totals[1], totals[2], totals[3], totals[4]
    for i in range(equity.shape[0]):
        held = executed[i]
        traded = abs(held - weight[i])
        grown = held_growth(held, simple_return, funding_rate)
        total = kept_after(traded, rules.fee, slippage) * grown
        weight[i] = drifted_weight(held, simple_return, grown)
        equity[i] *= total
        gain = total - 1.0
        returns[i] += gain
        squares[i] += gain * gain
        turnover[i] += traded
        cost[i] += rules.fee * traded + slippage * traded


@compiled
def settle_shared(
    equity: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    target: FloatArray,
    simple_return: float,
    simple_open: float,
    simple_high: float,
    simple_low: float,
    funding_rate: float,
    fill_range: float,
    fill_price: float,
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
        simple_return: The bar to come, as in `settle`; likewise up to ``fill_price``.
        simple_open: As in `settle`.
        simple_high: As in `settle`.
        simple_low: As in `settle`.
        funding_rate: As in `settle`.
        fill_range: As in `settle`.
        fill_price: As in `settle`.
        rules: The compiled rules.
        executed: Weights after the fill [C], written; of terminated candidates meaningless.
        growth: Equity ÷ equity before [C], written; 1 for terminated candidates.
        cost: Fees and slippage as a fraction of the equity before [C], written.
    """
    plain = rules.has_rounding <= 0.0
    if plain:
        execute(weight, target, rules, executed)
        if rules.has_margin > 0.0:
            shortest, longest = safe_weights(
                simple_return, simple_open, simple_high, simple_low, rules.maintenance_margin
            )
            plain = not _any_outside(executed, shortest, longest)
    if plain:
        slippage = rules.slippage + rules.slippage_per_range * fill_range
        _settle_survivors(
            equity,
            weight,
            terminated,
            executed,
            simple_return,
            funding_rate,
            slippage,
            rules,
            growth,
            cost,
        )
        return
    for i in range(equity.shape[0]):
        growth[i] = 1.0
        cost[i] = 0.0
        if terminated[i]:
            continue
        before = equity[i]
        settled = settle(
            before,
            weight[i],
            target[i],
            simple_return,
            simple_open,
            simple_high,
            simple_low,
            funding_rate,
            fill_range,
            fill_price,
            rules,
        )
        equity[i], weight[i], executed[i] = settled[0], settled[1], settled[2]
        growth[i], terminated[i] = settled[7], settled[8]
        cost[i] = (settled[3] + settled[4]) / before
