"""One bar of one account, compiled: trade at a close, then live the next bar.

`settle` is a pure function of numbers that calls the formulas of `formulas`, whose equations the
comments number, and the cost models of `costs`. One lane and many lanes run it, in replay and dream;
populations run it where a bar may end an account, and otherwise loops of the same formulas
(`shared`). All agree bit for bit, so none of it may be compiled with ``fastmath``.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import BoolArray, FloatArray
from ..numerics.compiled import compiled, first_numbers
from .costs import Fill, fee_rate, slippage_rate
from .formulas import (
    boundary_price,
    cost_of,
    drifted_weight,
    equity_at,
    held_growth,
    wanted_quantity,
)
from .inputs import NUM_INPUTS, after_bar, shown
from .rules import NUM_RULES, BrokerRules, unpack_rules


class Bar(NamedTuple):
    """What a bar does to an account, and what was known when its position was taken.

    Attributes:
        simple_return: Close ÷ previous close − 1.
        simple_open: Open ÷ previous close − 1; 0 where unknown.
        simple_high: High ÷ previous close − 1.
        simple_low: Low ÷ previous close − 1.
        funding_rate: Charged on a position held through the bar; positive: longs pay shorts.
        fill_range: log(high / low) of the bar before, at whose close the order fills.
        fill_price: That close [USDT]; read only when orders are rounded.
        fill_turnover: What was traded in the bar before [USDT], at least 1.
    """

    simple_return: Any
    simple_open: Any
    simple_high: Any
    simple_low: Any
    funding_rate: Any
    fill_range: Any
    fill_price: Any
    fill_turnover: Any


BAR_FIELDS: Final = Bar._fields
"""Columns of bars as arrays."""
_NUM_FIELDS: Final = len(BAR_FIELDS)


class Settled(NamedTuple):
    """What a bar did to an account.

    Attributes:
        equity: At the end of the bar, in initial equities, as the amounts below.
        weight: Drifted weight at the end of the bar.
        executed: Weight after the fill.
        fee: Paid.
        slippage: Paid.
        funding: Paid; negative is received.
        price_pnl: With ``equity = before + price_pnl − fee − slippage − funding``.
        growth: Equity ÷ equity before.
        terminated: Whether the bar liquidated or ruined the account.
    """

    equity: Any
    weight: Any
    executed: Any
    fee: Any
    slippage: Any
    funding: Any
    price_pnl: Any
    growth: Any
    terminated: Any


OUT_FIELDS: Final = ("reward", "executed", "cost", "fee", "slippage", "funding", "price_pnl")
"""What a settled bar reports: reward is the log growth, cost a fraction of the equity before."""

SettledState = tuple[float, float, float, float, float, float, float, float, float, bool]

STATE_INPUTS: Final = 3 + NUM_RULES
"""Where the inputs' values [A] begin in a lane's state; equity, weight, end and rules come before."""
STATE_SHOWN: Final = STATE_INPUTS + NUM_INPUTS
"""Where the numbers of those that a policy sees [K] begin."""

STEP_SLACK: Final = 1e-6  # of one step or tick: quantities carry rounding noise, not real amounts


@compiled
def bar_at(bars: FloatArray, row: int) -> Bar:
    """One row of bars [T, 8]; checks no bounds."""
    return Bar(*first_numbers(bars[row], _NUM_FIELDS))


@compiled
def put_bar(bar: Bar, bars: FloatArray, row: int) -> None:
    """Write a bar as one row of bars [T, 8]; checks no bounds."""
    for column in range(_NUM_FIELDS):
        bars[row, column] = bar[column]


@compiled
def limit_target(weight: float, target: float, rules: BrokerRules) -> float:
    """The weight to trade to after the turnover limit, or the one held within the band."""
    change = target - weight
    limit = rules.max_turnover
    # choices between numbers, no branches: a loop over candidates that calls this stays vectorised
    executed = weight + limit if change > limit else target
    executed = weight - limit if change < -limit else executed
    return weight if abs(change) <= rules.no_trade_band else executed


@compiled
def round_order(
    equity: float,
    weight: float,
    target: float,
    fee: float,
    slippage: float,
    price: float,
    rules: BrokerRules,
) -> tuple[float, float, float]:
    """Round an order to the instrument's steps.

    The order is what takes the position to ``target`` of the equity left after costs, rounded
    towards zero to whole steps. One below the minimum notional is dropped, unless it only reduces
    the position: Bybit exempts closing orders. The fill price is rounded to the tick against the
    trader.

    Returns:
        Executed weight (of the equity after costs), notional traded [fraction of equity before],
        and slippage [fraction of notional] at the rounded fill price.
    """
    usdt = equity * rules.capital_usdt
    kept = 1.0 - cost_of(abs(target - weight), fee, slippage)
    steps = wanted_quantity(usdt, weight, target, kept, price) / rules.qty_step
    lots = math.floor(abs(steps) + STEP_SLACK)
    quantity = math.copysign(lots * rules.qty_step, steps)
    order = quantity * price / usdt
    reduces = order * weight < 0.0 and abs(order) <= abs(weight) * (1.0 + STEP_SLACK)
    small = abs(quantity) * price < rules.min_notional_usdt
    if lots == 0.0 or (small and not reduces):
        return weight, 0.0, slippage
    if rules.tick_size > 0.0:
        side = math.copysign(1.0, quantity)
        ticks = price * (1.0 + side * slippage) / rules.tick_size
        if side > 0.0:
            fill = math.ceil(ticks - STEP_SLACK) * rules.tick_size
        else:
            fill = math.floor(ticks + STEP_SLACK) * rules.tick_size
        slippage = abs(fill - price) / price
    kept = 1.0 - cost_of(abs(order), fee, slippage)
    return (weight + order) / kept, abs(order), slippage


@compiled
def liquidation_price(held: float, bar: Bar, rules: BrokerRules) -> float:
    """Price ÷ previous close at which the bar liquidates a position, or −1 where it does not.

    A position is liquidated when its equity falls to the maintenance margin (`boundary_price`). An
    open beyond that price is booked at the open; otherwise the position goes at the bankruptcy
    price, where what is left just pays the closing fee.
    """
    side = 1.0 if held > 0.0 else -1.0
    size = abs(held)
    trigger = boundary_price(size, side, rules.maintenance_margin)
    if held > 0.0:
        worst = 1.0 + min(bar.simple_low, bar.simple_return)
    else:
        worst = 1.0 + max(bar.simple_high, bar.simple_return)
    if side * (1.0 + bar.simple_open) <= side * trigger:
        return float(1.0 + bar.simple_open)
    if side * worst <= side * trigger:
        return boundary_price(size, side, rules.liquidation_fee)
    return -1.0


@compiled
def settle(equity: float, weight: float, target: float, bar: Bar, rules: BrokerRules) -> Settled:
    """Trade at a close, then live the next bar.

    Args:
        equity: Equity before the fill, in initial equities; positive.
        weight: Drifted weight held, signed notional ÷ equity.
        target: Weight wanted; already scaled by the leverage.
        bar: The bar to come.
        rules: The compiled rules.

    Returns:
        The account after the bar. Ruin leaves ``ruin_floor`` of the equity before, weight 0; what
        the floor forgives is booked in price_pnl. The bar of a liquidation charges no funding.
    """
    executed = target
    if rules.has_limits > 0.0:
        executed = limit_target(weight, target, rules)
    traded = abs(executed - weight)
    order = Fill(bar.fill_range, bar.fill_turnover, equity * traded)
    fee_share, slip = fee_rate(rules.costs, order), slippage_rate(rules.costs, order)
    if rules.has_rounding > 0.0:
        executed, traded, slip = round_order(
            equity, weight, executed, fee_share, slip, bar.fill_price, rules
        )
    fee, slippage = fee_share * traded, slip * traded
    kept = 1.0 - cost_of(traded, fee_share, slip)  # (1)
    if kept <= 0.0:
        return _ruin(equity, executed, kept, fee, slippage, 0.0, rules)
    growth = held_growth(executed, bar.simple_return, bar.funding_rate)  # (2)
    # A long of at most 1x cannot be liquidated: its equity stays above any price's margin.
    if rules.has_margin > 0.0 and (executed < 0.0 or executed > 1.0):
        price = liquidation_price(executed, bar, rules)
        if price >= 0.0:
            return _liquidate(equity, executed, kept, fee, slippage, price, rules)
    total = kept * growth  # (3), before E
    paid = kept * executed * bar.funding_rate
    if not total > rules.ruin_floor:  # so said, a NaN is ruin, too
        return _ruin(equity, executed, kept, fee, slippage, paid, rules)
    return Settled(
        equity * total,
        drifted_weight(executed, bar.simple_return, growth),  # (4)
        executed,
        equity * fee,
        equity * slippage,
        equity * paid,
        equity * (kept * executed * bar.simple_return),
        total,
        False,
    )


@compiled
def _ruin(
    equity: float,
    executed: float,
    kept: float,
    fee: float,
    slippage: float,
    paid: float,
    rules: BrokerRules,
) -> Settled:
    """End an account that a bar left with nothing: the floor remains, price_pnl is the rest."""
    floor = rules.ruin_floor
    pnl = floor - kept + paid
    return Settled(
        equity * floor,
        0.0,
        executed,
        equity * fee,
        equity * slippage,
        equity * paid,
        equity * pnl,
        floor,
        True,
    )


@compiled
def _liquidate(
    equity: float,
    executed: float,
    kept: float,
    fee: float,
    slippage: float,
    price: float,
    rules: BrokerRules,
) -> Settled:
    """Close at ``price`` (in previous closes) with its fee, as far as what is left pays it."""
    left = max(equity_at(executed, price), 0.0)
    closing = min(rules.liquidation_fee * abs(executed) * price, left)
    total = max(kept * (left - closing), rules.ruin_floor)
    closing = kept * closing
    return Settled(
        equity * total,
        0.0,
        executed,
        equity * (fee + closing),
        equity * slippage,
        0.0,
        equity * (total - kept + closing),
        total,
        True,
    )


@compiled
def settle_lanes(
    equity: FloatArray,
    weight: FloatArray,
    terminated: BoolArray,
    target: FloatArray,
    bars: FloatArray,
    rule_values: FloatArray,
    inputs: FloatArray,
    out: FloatArray,
) -> None:
    """Settle one bar of N lanes in place; a terminated lane stands still.

    Args:
        equity: State [N], updated.
        weight: State [N], updated.
        terminated: State [N], updated.
        target: Weights wanted [N], scaled by the leverage.
        bars: The bars to come [N, 8], columns as in `BAR_FIELDS`.
        rule_values: The rules, flat.
        inputs: What the accounts' inputs remember [N, A], updated.
        out: Results [7, N], rows as in `OUT_FIELDS`.
    """
    rules = unpack_rules(rule_values)
    for i in range(equity.shape[0]):
        if terminated[i]:
            out[:, i] = 0.0
            continue
        before, held, bar = equity[i], weight[i], bar_at(bars, i)
        settled = settle(before, held, target[i], bar, rules)
        equity[i], weight[i] = settled.equity, settled.weight
        after_bar(inputs[i], held, settled.executed, bar.simple_return, settled.weight)
        terminated[i] = settled.terminated
        out[0, i] = math.log(settled.growth)
        out[1, i] = settled.executed
        out[2, i] = (settled.fee + settled.slippage) / before
        out[3, i] = settled.fee
        out[4, i] = settled.slippage
        out[5, i] = settled.funding
        out[6, i] = settled.price_pnl


@compiled
def settle_state(state: FloatArray, action: float, bar: Bar) -> SettledState:
    """Settle one bar of the lane held in ``state``: one array to hand over instead of many numbers.

    Args:
        state: Equity, weight, whether it is terminated, the flat rules, what the account's inputs
            remember [A], and the numbers of those that are shown [K]; all but the rules and the
            last are updated. A terminated lane stands still.
        action: Weight wanted, clipped to [−1, 1] and scaled by the leverage here.
        bar: The bar to come.

    Returns:
        ``(equity, weight, reward, executed, cost, fee, slippage, funding, price_pnl, terminated)``,
        as in `market.account.broker.LaneSettlement`.
    """
    before = state[0]
    if state[2] > 0.0:
        return before, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, True
    rules = unpack_rules(state[3:])
    target = -1.0 if action < -1.0 else action
    target = (1.0 if target > 1.0 else target) * rules.leverage
    held = state[1]
    settled = settle(before, held, target, bar, rules)
    inputs = state[STATE_INPUTS:STATE_SHOWN]
    after_bar(inputs, held, settled.executed, bar.simple_return, settled.weight)
    state[0], state[1] = settled.equity, settled.weight
    state[2] = 1.0 if settled.terminated else 0.0
    return (
        settled.equity,
        settled.weight,
        math.log(settled.growth),
        settled.executed,
        (settled.fee + settled.slippage) / before,
        settled.fee,
        settled.slippage,
        settled.funding,
        settled.price_pnl,
        settled.terminated,
    )


@compiled
def settle_row(state: FloatArray, action: float, bars: FloatArray, row: int) -> SettledState:
    """`settle_state` of one row of bars [T, 8], columns as in `BAR_FIELDS`; checks no bounds."""
    return settle_state(state, action, bar_at(bars, row))


@compiled
def show_state(state: FloatArray, observation: NDArray[np.float32]) -> None:
    """Write what a policy sees of the lane held in ``state`` into the last K numbers."""
    count, size = state.shape[0] - STATE_SHOWN, observation.shape[0]
    for k in range(count):
        which = int(state[STATE_SHOWN + k])
        observation[size - count + k] = shown(state[STATE_INPUTS:STATE_SHOWN], which)


@compiled
def show_lanes(inputs: FloatArray, which: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """Write what policies see of N accounts, inputs ``which`` [K] of [N, A], into ``out`` [N, K]."""
    for i in range(inputs.shape[0]):
        for k in range(which.shape[0]):
            out[i, k] = shown(inputs[i], which[k])


@compiled
def plain_bar(simple_return: float, price: float, funding_rate: float) -> Bar:
    """A bar of which only the return is known: high and low are the further of its two ends."""
    return Bar(
        simple_return,
        0.0,
        max(simple_return, 0.0),
        min(simple_return, 0.0),
        funding_rate,
        0.0,
        price,
        1.0,
    )


@compiled
def exact_bar(
    log_return: float,
    upper: float,
    lower: float,
    price: float,
    fill_range: float,
    fill_volume: float,
    funding_rate: float,
) -> Bar:
    """A bar of which return and wicks are known.

    Args:
        log_return: Of the bar.
        upper: log(high ÷ upper end of the body).
        lower: log(lower end of the body ÷ low).
        price: The close before, at which orders fill.
        fill_range: log(high ÷ low) of the bar before.
        fill_volume: Of the bar before.
        funding_rate: Charged on a position held through the bar.
    """
    return Bar(
        math.expm1(log_return),
        0.0,
        math.expm1(max(log_return, 0.0) + upper),
        math.expm1(min(log_return, 0.0) - lower),
        funding_rate,
        fill_range,
        price,
        max(fill_volume * price, 1.0),
    )


@compiled
def inside_bar(
    log_return: float,
    bar_range: float,
    price: float,
    fill_range: float,
    fill_volume: float,
    funding_rate: float,
) -> Bar:
    """A bar whose range is known: what it exceeds the body by is split evenly above and below."""
    body = abs(log_return)
    beyond = 0.5 * (max(bar_range, body) - body)
    return exact_bar(log_return, beyond, beyond, price, fill_range, fill_volume, funding_rate)


@compiled
def expm1(values: FloatArray, out: FloatArray) -> None:
    """Simple returns of log returns, any shape, by the one routine that all bars go through."""
    flat, result = values.reshape(-1), out.reshape(-1)
    for i in range(flat.shape[0]):
        result[i] = math.expm1(flat[i])


@compiled
def plain_bars(log_return: FloatArray, price: FloatArray, bars: FloatArray) -> None:
    """`plain_bar` of N lanes [N, 8] from log returns [N]; moves the prices [N] along."""
    for i in range(log_return.shape[0]):
        bar = plain_bar(math.expm1(log_return[i]), price[i], 0.0)
        put_bar(bar, bars, i)
        price[i] *= 1.0 + bar.simple_return
