"""One bar of one account, compiled: the only place where costs, returns and ruin are computed.

`settle` is a pure function of floats. Scalar and vector environments, replay and dream, weight
paths and population scoring all run it, so that they agree bit for bit; none of it may be compiled
with ``fastmath``.

With equity E, drifted weight w (signed notional ÷ equity) and target a at the close of bar t::

    cost     = (fee + slippage) · |a' − w|          fraction of E; a' is what was executed
    growth   = 1 + a'·R − a'·f                      R simple return of bar t+1, f its funding rate
    E'       = E · (1 − cost) · growth
    w'       = a' · (1 + R) / growth
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..numerics.compiled import compiled
from .rules import BrokerRules

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Settled = tuple[float, float, float, float, float, float, float, float, bool]
SettledState = tuple[float, float, float, float, float, float, float, float, float, bool]

BAR_FIELDS: Final = (
    "simple_return",
    "simple_open",
    "simple_high",
    "simple_low",
    "funding_rate",
    "fill_range",
    "fill_price",
)
"""Columns of a bar as the kernel reads it, in `settle`'s order and units."""

OUT_FIELDS: Final = ("reward", "executed", "cost", "fee", "slippage", "funding", "price_pnl")
"""What a settled bar reports: reward is the log growth, cost a fraction of the equity before."""

_STEP_SLACK: Final = 1e-6  # of one step or tick: quantities carry rounding noise, not real amounts


@compiled
def kept_after(traded: float, fee: float, slippage: float) -> float:
    """Equity left after trading this weight, as a fraction of the equity before."""
    return 1.0 - (fee * traded + slippage * traded)


@compiled
def held_growth(held: float, simple_return: float, funding_rate: float) -> float:
    """Factor by which a bar that is survived grows the equity after the fill."""
    return 1.0 + held * simple_return - held * funding_rate


@compiled
def drifted_weight(held: float, simple_return: float, growth: float) -> float:
    """Weight at the end of the bar, of the equity then."""
    return held * (1.0 + simple_return) / growth


@compiled
def limit_target(weight: float, target: float, rules: BrokerRules) -> float:
    """The weight to trade to after the turnover limit, or the one held within the band."""
    change = target - weight
    limit = rules.max_turnover
    executed = weight + limit if change > limit else target
    executed = weight - limit if change < -limit else executed
    return weight if abs(change) <= rules.no_trade_band else executed


@compiled
def round_order(
    equity: float, weight: float, target: float, slippage: float, price: float, rules: BrokerRules
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
    kept = 1.0 - (rules.fee + slippage) * abs(target - weight)
    steps = (target * kept - weight) * usdt / (price * rules.qty_step)
    lots = math.floor(abs(steps) + _STEP_SLACK)
    quantity = math.copysign(lots * rules.qty_step, steps)
    order = quantity * price / usdt
    reduces = order * weight < 0.0 and abs(order) <= abs(weight) * (1.0 + _STEP_SLACK)
    small = abs(quantity) * price < rules.min_notional_usdt
    if lots == 0.0 or (small and not reduces):
        return weight, 0.0, slippage
    if rules.tick_size > 0.0:
        side = math.copysign(1.0, quantity)
        ticks = price * (1.0 + side * slippage) / rules.tick_size
        if side > 0.0:
            fill = math.ceil(ticks - _STEP_SLACK) * rules.tick_size
        else:
            fill = math.floor(ticks + _STEP_SLACK) * rules.tick_size
        slippage = abs(fill - price) / price
    kept = 1.0 - (rules.fee + slippage) * abs(order)
    return (weight + order) / kept, abs(order), slippage


@compiled
def liquidation_price(
    held: float,
    simple_return: float,
    simple_open: float,
    simple_high: float,
    simple_low: float,
    rules: BrokerRules,
) -> float:
    """Price ÷ previous close at which the bar liquidates a position, or −1 where it does not.

    Equity at price x (in previous closes) is 1 + a(x − 1); it is liquidated when that falls to
    the maintenance margin m·|a|·x, hence at x = (a − 1)/(a(1 − m)) when long (above 1× only) and
    x = (1 + |a|)/(|a|(1 + m)) when short. An open beyond it is booked at the open; otherwise the
    position goes at the bankruptcy price, where what is left just pays the closing fee: the same
    formulae with the fee for m.
    """
    margin, fee = rules.maintenance_margin, rules.liquidation_fee
    if held > 0.0:
        trigger = (held - 1.0) / (held * (1.0 - margin))
        if 1.0 + simple_open <= trigger:
            return 1.0 + simple_open
        if 1.0 + min(simple_low, simple_return) <= trigger:
            return (held - 1.0) / (held * (1.0 - fee))
    else:
        trigger = (1.0 - held) / (-held * (1.0 + margin))
        if 1.0 + simple_open >= trigger:
            return 1.0 + simple_open
        if 1.0 + max(simple_high, simple_return) >= trigger:
            return (1.0 - held) / (-held * (1.0 + fee))
    return -1.0


@compiled
def settle(
    equity: float,
    weight: float,
    target: float,
    simple_return: float,
    simple_open: float,
    simple_high: float,
    simple_low: float,
    funding_rate: float,
    fill_range: float,
    fill_price: float,
    rules: BrokerRules,
) -> Settled:
    """Trade at a close, then live the next bar.

    Args:
        equity: Equity before the fill, in initial equities; positive.
        weight: Drifted weight held, signed notional ÷ equity.
        target: Weight wanted; already scaled by the leverage.
        simple_return: Return of the bar to come, close ÷ previous close − 1.
        simple_open: Its open ÷ previous close − 1; 0 where unknown.
        simple_high: Its high ÷ previous close − 1.
        simple_low: Its low ÷ previous close − 1.
        funding_rate: Rate charged on a position held through it; positive: longs pay shorts.
        fill_range: log(high/low) of the bar at whose close the order fills.
        fill_price: That close [USDT]; read only when orders are rounded.
        rules: The compiled rules.

    Returns:
        ``(equity, weight, executed, fee, slippage, funding, price_pnl, growth, terminated)``.
        Equity and weight are those at the end of the bar; executed is the weight after the fill;
        fee, slippage, funding (paid: positive) and price_pnl are in initial equities, with
        ``equity = before + price_pnl − fee − slippage − funding``; growth is equity ÷ equity
        before. Ruin leaves ``ruin_floor`` of the equity before, weight 0; what the floor forgives
        is booked in price_pnl. The bar of a liquidation charges no funding.
    """
    slip = rules.slippage + rules.slippage_per_range * fill_range
    executed = target
    if rules.has_limits > 0.0:
        executed = limit_target(weight, target, rules)
    traded = abs(executed - weight)
    if rules.has_rounding > 0.0:
        executed, traded, slip = round_order(equity, weight, executed, slip, fill_price, rules)
    fee = rules.fee * traded
    slippage = slip * traded
    kept = kept_after(traded, rules.fee, slip)
    if kept <= 0.0:
        return _ruin(equity, executed, kept, fee, slippage, 0.0, rules)
    growth = held_growth(executed, simple_return, funding_rate)
    # A long of at most 1x cannot be liquidated: its equity stays above any price's margin.
    if rules.has_margin > 0.0 and (executed < 0.0 or executed > 1.0):
        price = liquidation_price(
            executed, simple_return, simple_open, simple_high, simple_low, rules
        )
        if price >= 0.0:
            return _liquidate(equity, executed, kept, fee, slippage, price, rules)
    total = kept * growth
    paid = kept * executed * funding_rate
    if not total > rules.ruin_floor:
        return _ruin(equity, executed, kept, fee, slippage, paid, rules)
    return (
        equity * total,
        drifted_weight(executed, simple_return, growth),
        executed,
        equity * fee,
        equity * slippage,
        equity * paid,
        equity * (kept * executed * simple_return),
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
    return (
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
    left = max(1.0 + executed * (price - 1.0), 0.0)
    closing = min(rules.liquidation_fee * abs(executed) * price, left)
    total = max(kept * (left - closing), rules.ruin_floor)
    closing = kept * closing
    return (
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
    rules: BrokerRules,
    out: FloatArray,
) -> None:
    """Settle one bar of N lanes in place; a terminated lane stands still.

    Args:
        equity: State [N], updated.
        weight: State [N], updated.
        terminated: State [N], updated.
        target: Weights wanted [N], scaled by the leverage.
        bars: The bars to come [N, 7], columns as in `BAR_FIELDS`.
        rules: The compiled rules.
        out: Results [7, N], rows as in `OUT_FIELDS`.
    """
    for i in range(equity.shape[0]):
        if terminated[i]:
            out[:, i] = 0.0
            continue
        before = equity[i]
        after, drifted, executed, fee, slippage, funding, pnl, growth, ended = settle(
            before,
            weight[i],
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
        equity[i] = after
        weight[i] = drifted
        terminated[i] = ended
        out[0, i] = math.log(growth)
        out[1, i] = executed
        out[2, i] = (fee + slippage) / before
        out[3, i] = fee
        out[4, i] = slippage
        out[5, i] = funding
        out[6, i] = pnl


@compiled
def settle_path(
    equity: float, targets: FloatArray, bars: FloatArray, rules: BrokerRules, out: FloatArray
) -> int:
    """One lane along T bars; ``out`` [9, T] takes equity and weight after each, then `OUT_FIELDS`.

    Returns:
        Bars lived: T, or fewer where the account ended; the rows after that stand still.
    """
    weight = 0.0
    steps = len(targets)
    for t in range(steps):
        before = equity
        equity, weight, executed, fee, slippage, funding, pnl, growth, ended = settle(
            before,
            weight,
            targets[t],
            bars[t, 0],
            bars[t, 1],
            bars[t, 2],
            bars[t, 3],
            bars[t, 4],
            bars[t, 5],
            bars[t, 6],
            rules,
        )
        out[0, t] = equity
        out[1, t] = weight
        out[2, t] = math.log(growth)
        out[3, t] = executed
        out[4, t] = (fee + slippage) / before
        out[5, t] = fee
        out[6, t] = slippage
        out[7, t] = funding
        out[8, t] = pnl
        if ended:
            out[0, t + 1 :] = equity
            out[1:, t + 1 :] = 0.0
            return t + 1
    return steps


@compiled
def settle_state(
    state: FloatArray,
    action: float,
    simple_return: float,
    simple_open: float,
    simple_high: float,
    simple_low: float,
    funding_rate: float,
    fill_range: float,
    fill_price: float,
) -> SettledState:
    """Settle one bar of the lane held in ``state``: one array to hand over instead of 19 numbers.

    Args:
        state: Equity, weight, whether it is terminated, then the `BrokerRules` in order [19]; the
            first three are updated. A terminated lane stands still.
        action: Weight wanted, clipped to [−1, 1] and scaled by the leverage here.
        simple_return: And all that follow: as in `settle`.
        simple_open: Of the bar to come.
        simple_high: Of the bar to come.
        simple_low: Of the bar to come.
        funding_rate: Of the bar to come.
        fill_range: Of the bar at whose close the order fills.
        fill_price: That close [USDT].

    Returns:
        ``(equity, weight, reward, executed, cost, fee, slippage, funding, price_pnl, terminated)``,
        as in `market.account.broker.LaneSettlement`.
    """
    before = state[0]
    if state[2] > 0.0:
        return before, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, True
    rules = BrokerRules(
        state[3],
        state[4],
        state[5],
        state[6],
        state[7],
        state[8],
        state[9],
        state[10],
        state[11],
        state[12],
        state[13],
        state[14],
        state[15],
        state[16],
        state[17],
        state[18],
    )
    target = -1.0 if action < -1.0 else action
    target = (1.0 if target > 1.0 else target) * rules.leverage
    after, drifted, executed, fee, slippage, funding, pnl, growth, ended = settle(
        before,
        state[1],
        target,
        simple_return,
        simple_open,
        simple_high,
        simple_low,
        funding_rate,
        fill_range,
        fill_price,
        rules,
    )
    state[0] = after
    state[1] = drifted
    state[2] = 1.0 if ended else 0.0
    reward, cost = math.log(growth), (fee + slippage) / before
    return after, drifted, reward, executed, cost, fee, slippage, funding, pnl, ended


@compiled
def settle_row(state: FloatArray, action: float, bars: FloatArray, row: int) -> SettledState:
    """`settle_state` of one row of bars [T, 7], columns as in `BAR_FIELDS`; checks no bounds."""
    return settle_state(
        state,
        action,
        bars[row, 0],
        bars[row, 1],
        bars[row, 2],
        bars[row, 3],
        bars[row, 4],
        bars[row, 5],
        bars[row, 6],
    )


@compiled
def expm1(values: FloatArray, out: FloatArray) -> None:
    """Simple returns of log returns, any shape, by the one routine that all bars go through."""
    flat, result = values.reshape(-1), out.reshape(-1)
    for i in range(flat.shape[0]):
        result[i] = math.expm1(flat[i])


@compiled
def plain_bars(log_return: FloatArray, price: FloatArray, bars: FloatArray) -> None:
    """Bars [N, 7] of which only the returns [N] are known; moves the prices [N] along.

    High and low are the further of the bar's two ends; the fill is at the price before.
    """
    for i in range(log_return.shape[0]):
        simple = math.expm1(log_return[i])
        bars[i, 0] = simple
        bars[i, 1] = 0.0
        bars[i, 2] = max(simple, 0.0)
        bars[i, 3] = min(simple, 0.0)
        bars[i, 4] = 0.0
        bars[i, 5] = 0.0
        bars[i, 6] = price[i]
        price[i] *= 1.0 + simple
