"""The account against an independent backtester: the same weights give the same equity curve.

The oracle is backtesting.py: it knows nothing of ours but the weights wanted. Each strategy below
computes its orders in whole units from the oracle's own equity and position.

Where the rules coincide, the curves do to 1e-6: fills at the close, a commission in proportion to
the notional traded, gains booked bar by bar, long and short, levered. Where they differ:

* The account charges its costs on the change of weight, |a' − w| of the equity before, and then
  holds a' of the equity after; the oracle charges the notional that changes hands, |a'E' − wE|.
  The two differ by the cost of the cost, (fee + slippage)²·|a'|·|a' − w| a fill. With order
  rounding on, the account too charges the notional that changes hands.
* The oracle's ``spread`` is paid in full when a trade opens and not when it closes; the account's
  slippage is paid on every fill. It is given to the oracle as commission.
* The oracle has no funding, and no liquidation: it stops below zero equity, and cancels an order
  that the margin does not cover. Those are worked out by hand in the tests of margin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from account_paths import AccountPath, account_path
from backtesting import Backtest, Strategy

from worldmodel_trading.market.account.broker import dream_bars
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray

# The oracle's summary statistics, which nothing here reads, use a name that pandas 3.1 retires.
pytestmark = pytest.mark.filterwarnings("ignore:DatetimeIndex.dayofweek is deprecated")


class FollowWeights(Strategy):  # type: ignore[misc]
    """Trades to a series of weights at each close, in whole units."""

    targets: FloatArray = np.empty(0)
    cost = 0.0

    def init(self) -> None:
        """Indicators are not needed."""

    def next(self) -> None:
        price, units, equity = self.data.Close[-1], self.position.size, self.equity
        target = self.targets[len(self.data) - 1]
        kept = 1 - self.cost * abs(target - units * price / equity)
        exact = (target * kept * equity - units * price) / price
        order = int(exact + np.copysign(1e-6, exact))  # 7.9999999999 units are 8
        if order > 0:
            self.buy(size=order)
        elif order < 0:
            self.sell(size=-order)


def oracle_curve(close: FloatArray, targets: FloatArray, cost: float, cash: float) -> FloatArray:
    """Equity [T] at every close, from 1; target t is filled at close t."""
    times = pd.date_range("2024-01-01", periods=len(close), freq="h")
    columns = {name: close for name in ("Open", "High", "Low", "Close")}
    test = Backtest(
        pd.DataFrame(columns, index=times),
        FollowWeights,
        cash=cash,
        commission=cost,
        margin=0.1,
        trade_on_close=True,
        finalize_trades=False,
    )
    stats = test.run(targets=targets, cost=cost)
    curve: FloatArray = stats["_equity_curve"]["Equity"].to_numpy() / cash
    return curve


def account_curve(close: FloatArray, targets: FloatArray, **settings: Any) -> AccountPath:
    """The account over the same closes; the oracle's first order is at the second close."""
    bars = dream_bars(np.diff(np.log(close[1:])), fill_price=close[1:-1])
    config = BrokerConfig.from_settings(leverage=3.0, intrabar=False, **settings)
    return account_path(targets[1:-1], bars, config)


def market(bars: int) -> tuple[FloatArray, FloatArray]:
    """Closes [T] and weights in ±2.5 [T] with stretches held still; flat at the end."""
    rng = np.random.default_rng(11)
    close = 100 * np.exp(np.cumsum(rng.normal(0.0, 0.01, bars)))
    targets = np.where(rng.random(bars) < 0.3, 0.0, rng.uniform(-2.5, 2.5, bars))
    targets = np.repeat(targets[::4], 4)[:bars]
    targets[-3:] = 0.0
    return close, targets


@pytest.mark.parametrize("cost", [0.0, 0.00055, 0.005])
def test_whole_units_with_costs(cost: float) -> None:
    close, targets = market(400)
    cash = 100_000.0
    rules = {"capital_usdt": cash, "qty_step": 1.0, "tick_size": 0.0, "min_notional_usdt": 0.0}
    fee = cost / 2
    path = account_curve(close, targets, taker_fee=fee, slippage=cost - fee, **rules)
    oracle = oracle_curve(close, targets, cost, cash)
    assert np.abs(path.equity / oracle[1:] - 1).max() < 1e-9
    assert path.steps == 398
    assert np.ptp(np.log(oracle)) > 0.1, "a curve that moves"


def test_any_fraction_without_costs() -> None:
    close, targets = market(400)
    path = account_curve(close, targets, taker_fee=0.0, slippage=0.0)
    oracle = oracle_curve(close, targets, 0.0, cash=1e13)
    assert np.abs(path.equity / oracle[1:] - 1).max() < 1e-6


def test_any_fraction_bought_held_and_sold_with_costs() -> None:
    close, targets = market(400)
    targets[:] = 1.0
    targets[-3:] = 0.0
    path = account_curve(close, targets)
    oracle = oracle_curve(close, targets, 0.00075, cash=1e13)
    assert np.abs(path.equity / oracle[1:] - 1).max() < 1e-6


def test_any_fraction_with_costs_differs_by_the_cost_of_the_cost() -> None:
    close, targets = market(400)
    cost = 0.005
    path = account_curve(close, targets, taker_fee=cost, slippage=0.0)
    difference = np.log(path.equity / oracle_curve(close, targets, cost, cash=1e13)[1:])
    change = np.abs(path.executed - path.weight[:-1])
    # Costs of costs so far; a little slack for those of third order.
    second_order = np.cumsum(cost**2 * np.abs(path.executed) * change)
    assert (np.abs(difference[1:]) <= 1.05 * second_order + 1e-9).all()
    assert np.abs(difference).max() > 1e-6, "beyond which they would be called equal"
