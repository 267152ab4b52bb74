"""The sums that scores are made of, added up from an account of many lanes in numpy."""

from __future__ import annotations

import numpy as np

from worldmodel_trading.evaluation.performance import max_drawdown
from worldmodel_trading.market.account.broker import Account
from worldmodel_trading.market.arrays import FloatArray


class Summed:
    """What `SCORE_FIELDS` say of the lanes of an account, bar by bar."""

    def __init__(self, account: Account) -> None:
        self.account, self.equity = account, [account.equity.copy()]
        self.sums, self.exposure = np.zeros((6, account.num_lanes)), np.zeros(account.num_lanes)

    def step(self, action: FloatArray, bar: FloatArray) -> None:
        """Live a bar [N, 8]."""
        living, held = ~self.account.terminated, self.account.weight.copy()
        lanes = self.account.step(action, bar)
        gain = np.expm1(lanes.reward)
        traded = np.where(living, np.abs(lanes.executed - held), 0.0)
        self.sums += gain, gain**2, traded, lanes.cost, living, np.minimum(gain, 0.0) ** 2
        self.exposure += np.where(living, lanes.executed, 0.0)
        self.equity.append(self.account.equity.copy())

    def totals(self) -> FloatArray:
        """Of all bars [9, N]."""
        deepest = max_drawdown(np.array(self.equity).T)
        return np.array([np.log(self.account.equity), *self.sums, deepest, self.exposure])
