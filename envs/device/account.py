"""The account on a device: `market.account.settlement` and `market.account.population` over tensors of lanes.

The same formulae, called on tensors in float64; where the compiled kernels branch,
both branches are computed and one is taken, so that a CUDA graph can hold it. Scalars enter as
Python numbers in arithmetic or by ``masked_fill``: ``torch.where`` would carry them to the device
one by one, which a graph cannot record.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...market.account import formulas
from ...market.account.costs import Fill, plain_fee_rate, plain_slippage_rate
from ...market.account.inputs import ACCOUNT_INPUTS
from ...market.account.population import SCORE_FIELDS
from ...market.account.rules import BrokerConfig, BrokerRules
from ...market.account.settlement import STEP_SLACK, Bar
from ...market.numerics.compiled import interpreted

cost_of: Any = interpreted(formulas.cost_of)
held_growth: Any = interpreted(formulas.held_growth)
drifted_weight: Any = interpreted(formulas.drifted_weight)
equity_at: Any = interpreted(formulas.equity_at)
boundary_price: Any = interpreted(formulas.boundary_price)
wanted_quantity: Any = interpreted(formulas.wanted_quantity)
fall_from: Any = interpreted(formulas.fall_from)


class Settled(NamedTuple):
    """What a bar did to each lane, in the shape of the lanes.

    Attributes:
        growth: Equity ÷ equity before.
        weight: Drifted weight after the bar; 0 where the account ended.
        executed: Weight after the fill.
        cost: Fees and slippage as a fraction of the equity before.
        ended: Whether the bar liquidated or ruined the account.
    """

    growth: Tensor
    weight: Tensor
    executed: Tensor
    cost: Tensor
    ended: Tensor


def settle(equity: Tensor, weight: Tensor, target: Tensor, bar: Bar, rules: BrokerRules) -> Settled:
    """Trade at a close, then live the next bar; see `market.account.settlement.settle`.

    Args:
        equity: Equity before the fill, in initial equities.
        weight: Drifted weight held.
        target: Weight wanted, scaled by the leverage.
        bar: The bar to come.
        rules: The compiled rules.
    """
    executed = target
    if rules.has_limits > 0.0:
        executed = _limit_target(weight, target, rules)
    traded = (executed - weight).abs()
    order = Fill(bar.fill_range, bar.fill_turnover, equity * traded)
    fee, slippage = plain_fee_rate(rules.costs, order), plain_slippage_rate(rules.costs, order)
    if rules.has_rounding > 0.0:
        executed, traded, slippage = _round_order(
            equity, weight, executed, fee, slippage, bar.fill_price, rules
        )
    cost = cost_of(traded, fee, slippage)
    kept = 1.0 - cost
    growth = held_growth(executed, bar.simple_return, bar.funding_rate)
    total = kept * growth
    alive = kept > 0.0
    ended = ~((total > rules.ruin_floor) & alive)
    total = total.masked_fill(ended, rules.ruin_floor)
    if rules.has_margin > 0.0:
        price, liquidated = _liquidation(executed, bar, rules)
        liquidated = liquidated & alive
        left = equity_at(executed, price).clamp(min=0.0)
        closing = torch.minimum(rules.liquidation_fee * executed.abs() * price, left)
        closed = (kept * (left - closing)).clamp(min=rules.ruin_floor)
        total = torch.where(liquidated, closed, total)
        cost = torch.where(liquidated, cost + kept * closing, cost)
        ended = ended | liquidated
    drifted = drifted_weight(executed, bar.simple_return, growth)
    return Settled(total, drifted.masked_fill(ended, 0.0), executed, cost, ended)


def _limit_target(weight: Tensor, target: Tensor, rules: BrokerRules) -> Tensor:
    """As `market.account.settlement.limit_target`."""
    change, limit = target - weight, rules.max_turnover
    executed = torch.where(change > limit, weight + limit, target)
    executed = torch.where(change < -limit, weight - limit, executed)
    return torch.where(change.abs() <= rules.no_trade_band, weight, executed)


def _round_order(
    equity: Tensor,
    weight: Tensor,
    target: Tensor,
    fee: Any,
    slippage: Any,
    price: Tensor,
    rules: BrokerRules,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `market.account.settlement.round_order`: executed weight, weight traded, slippage at the fill."""
    usdt = equity * rules.capital_usdt
    kept = 1.0 - cost_of((target - weight).abs(), fee, slippage)
    steps = wanted_quantity(usdt, weight, target, kept, price) / rules.qty_step
    lots = (steps.abs() + STEP_SLACK).floor()
    quantity = torch.copysign(lots * rules.qty_step, steps)
    order = quantity * price / usdt
    reduces = (order * weight < 0.0) & (order.abs() <= weight.abs() * (1.0 + STEP_SLACK))
    small = quantity.abs() * price < rules.min_notional_usdt
    dropped = (lots == 0.0) | (small & ~reduces)
    slippage = torch.zeros_like(steps) + slippage
    filled = slippage
    if rules.tick_size > 0.0:
        ticks = price * (1.0 + torch.copysign(slippage, steps)) / rules.tick_size
        rounded = torch.where(
            steps > 0.0, (ticks - STEP_SLACK).ceil(), (ticks + STEP_SLACK).floor()
        )
        filled = (rounded * rules.tick_size - price).abs() / price
    kept = 1.0 - cost_of(order.abs(), fee, filled)
    executed = torch.where(dropped, weight, (weight + order) / kept)
    return executed, order.abs().masked_fill(dropped, 0.0), torch.where(dropped, slippage, filled)


def _liquidation(held: Tensor, bar: Bar, rules: BrokerRules) -> tuple[Tensor, Tensor]:
    """As `market.account.settlement.liquidation_price`: the price, and whether the bar reaches it.

    A price x is beyond the trigger where s x ≤ s trigger, with s = ±1 the side held.
    """
    size, side = held.abs(), held.sign()
    opened = 1.0 + bar.simple_open
    lowest = 1.0 + torch.minimum(bar.simple_low, bar.simple_return)
    highest = 1.0 + torch.maximum(bar.simple_high, bar.simple_return)
    worst = torch.where(held > 0.0, lowest, highest)
    trigger = side * boundary_price(size, side, rules.maintenance_margin)
    bankrupt = boundary_price(size, side, rules.liquidation_fee)
    gapped = side * opened <= trigger
    at_risk = (held < 0.0) | (held > 1.0)  # a long of at most 1x cannot be liquidated
    reached = (gapped | (side * worst <= trigger)) & at_risk
    return torch.where(gapped, opened, bankrupt), reached


class DeviceAccounts:
    """Accounts of many lanes, whose tensors stay where they are for as long as it lives.

    Args:
        shape: Of the lanes.
        broker: The rules.
        fill_delay: Bars between decision and fill.
        device: Where.

    Attributes:
        weight: Drifted weights before the next trade, in the shape of the lanes.
    """

    def __init__(
        self, shape: tuple[int, ...], broker: BrokerConfig, fill_delay: int, device: torch.device
    ) -> None:
        self._rules = broker.compile()
        self._equity = torch.ones(shape, dtype=torch.float64, device=device)
        self.weight = torch.zeros_like(self._equity)
        self._terminated = torch.zeros_like(self._equity, dtype=torch.bool)
        self._pending = self._equity.new_zeros((fill_delay, *shape))
        self._peak = torch.ones_like(self._equity)
        self._sums = self._equity.new_zeros((len(SCORE_FIELDS) - 1, *shape))
        self._inputs = self._equity.new_zeros((len(ACCOUNT_INPUTS), *shape))
        self._view = broker.view.indices
        self._waiting: deque[Tensor] = deque()

    def begin(self) -> None:
        """Start all lanes afresh: equity 1, flat, nothing pending."""
        self._equity.fill_(1.0)
        self._peak.fill_(1.0)
        for tensor in (self.weight, self._terminated, self._pending, self._sums, self._inputs):
            tensor.zero_()

    def open(self) -> None:
        """Before the first bar of a chunk: take up the targets that wait to be filled."""
        self._waiting = deque(self._pending.unbind())

    def close(self) -> None:
        """After the last: put them where the next chunk finds them."""
        if self._waiting:
            self._pending.copy_(torch.stack(tuple(self._waiting)))
        self._waiting.clear()

    def step(self, action: Tensor, bar: Bar) -> None:
        """Trade at a close, then live a bar; a terminated lane stands still.

        Args:
            action: Targets in [−1, 1], float64; ±1 is ± the leverage.
            bar: The bar to come.
        """
        self._waiting.append(action.clamp(-1.0, 1.0) * self._rules.leverage)
        target = self._waiting.popleft()
        settled = settle(self._equity, self.weight, target, bar, self._rules)
        idle = self._terminated
        growth = settled.growth.masked_fill(idle, 1.0)
        gain = growth - 1.0
        self._sums[0].add_(gain)
        self._sums[1].addcmul_(gain, gain)
        self._sums[2].add_((settled.executed - self.weight).abs().masked_fill(idle, 0.0))
        self._sums[3].add_(settled.cost.masked_fill(idle, 0.0))
        self._sums[4].add_(~idle)
        loss = gain.clamp(max=0.0)
        self._sums[5].addcmul_(loss, loss)
        self._equity.mul_(growth)
        torch.maximum(self._peak, self._equity, out=self._peak)
        deepest = self._sums[6]
        torch.maximum(deepest, fall_from(self._peak, self._equity), out=deepest)
        self._sums[7].add_(settled.executed.masked_fill(idle, 0.0))
        self._terminated.logical_or_(settled.ended)
        held = self.weight.clone()
        self.weight.copy_(settled.weight.masked_fill(self._terminated, 0.0))
        for value, kind in zip(self._inputs, ACCOUNT_INPUTS, strict=True):
            after = interpreted(kind.after)
            value.copy_(after(value, held, settled.executed, bar.simple_return, self.weight))

    def seen(self) -> Tensor:
        """What policies see of the accounts [K, …], in the shape of the lanes."""
        kinds = [(self._inputs[i], ACCOUNT_INPUTS[i]) for i in self._view]
        shown = [
            interpreted(kind.shown)(value).clamp(-kind.bound, kind.bound) for value, kind in kinds
        ]
        return torch.stack(shown)

    def scores(self) -> Tensor:
        """Log of the equity, then the sums over bars: `SCORE_FIELDS` by the shape of the lanes."""
        return torch.cat([self._equity.log().unsqueeze(0), self._sums])
