"""An account along a path of target weights, bar by bar, for the tests of its arithmetic."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worldmodel_trading.market.account.broker import ScalarAccount
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray


class AccountPath(NamedTuple):
    """An account along T bars; entry t of the first two is before bar t's fill.

    Attributes:
        equity: Equity [T + 1], starting at 1.
        weight: Drifted weight [T + 1], starting at 0.
        reward: And what follows [T]: as in `LaneSettlement`; zeros after the account's end.
        steps: T, or the bar whose end ended the account.
    """

    equity: FloatArray
    weight: FloatArray
    reward: FloatArray
    executed: FloatArray
    cost: FloatArray
    fee: FloatArray
    slippage: FloatArray
    funding: FloatArray
    price_pnl: FloatArray
    steps: int


def account_path(
    targets: FloatArray, bars: FloatArray, config: BrokerConfig | None = None
) -> AccountPath:
    """Follow target weights [T], signed notional ÷ equity, through bars [T, 8]."""
    config = config or BrokerConfig()
    account = ScalarAccount(config)
    assert len(targets) == len(bars)
    rows = [(1.0, 0.0, *[0.0] * 7)]
    lived = len(bars)
    for t, target in enumerate(targets):
        settled = account.step(float(target) / config.margin.leverage, bars, t)
        rows.append(settled[:-1])
        if settled.terminated and lived == len(bars):
            lived = t + 1
    equity, weight, *others = np.array(rows).T
    return AccountPath(equity, weight, *(values[1:] for values in others), steps=lived)
