"""A bar that candidates share: the bits of `settle`, whichever way they are computed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.market.broker import Account, dream_bars
from worldmodel_trading.market.costs import BrokerConfig
from worldmodel_trading.market.shared import safe_weights, settle_shared

CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "levered": {"leverage": 20.0},
    "limits": {"leverage": 3.0, "no_trade_band": 0.2, "max_turnover": 1.0},
    "without margin": {"leverage": 20.0, "intrabar": False},
    "ruinous costs": {"leverage": 20.0, "taker_fee": 0.03, "intrabar": False},
    "range": {"slippage_per_range": 0.3},
    "rounded": {"capital_usdt": 5_000.0, "leverage": 3.0},
}


@pytest.mark.parametrize("volatility", [0.003, 0.05])
@pytest.mark.parametrize("name", CASES)
def test_candidates_sharing_bars_are_settled_as_lanes_are(name: str, volatility: float) -> None:
    config = BrokerConfig.from_settings(**CASES[name])
    rules = config.compile()
    candidates, steps = 37, 150
    rng = np.random.default_rng(12)
    log_return = rng.normal(0.0, volatility, steps)
    bars = dream_bars(
        log_return,
        np.maximum(log_return, 0.0) + rng.exponential(volatility / 2, steps),
        np.minimum(log_return, 0.0) - rng.exponential(volatility / 2, steps),
        funding_rate=rng.normal(0.0, 1e-3, steps),
        fill_range=rng.exponential(volatility, steps),
        fill_price=rng.uniform(100.0, 60_000.0, steps),
    )
    bars[::7, 1] = bars[::7, 3] / 2  # some bars open with a gap
    action = rng.uniform(-1.0, 1.0, (steps, candidates))
    account = Account(candidates, config)
    equity, weight = np.ones(candidates), np.zeros(candidates)
    terminated = np.zeros(candidates, dtype=np.bool_)
    executed, growth, cost = np.empty((3, candidates))
    for t in range(steps):
        living = ~terminated
        lanes = account.step(action[t], np.repeat(bars[t : t + 1], candidates, axis=0))
        settle_shared(
            equity,
            weight,
            terminated,
            action[t] * rules.leverage,
            *map(float, bars[t]),
            rules,
            executed,
            growth,
            cost,
        )
        assert equity.tobytes() == lanes.equity.tobytes()
        assert weight.tobytes() == lanes.weight.tobytes()
        assert (terminated == lanes.terminated).all()
        assert [math.log(g) for g in growth] == lanes.reward.tolist()
        assert (executed[living] == lanes.executed[living]).all()
        np.testing.assert_allclose(cost, lanes.cost, rtol=1e-12)
    if name == "levered" and volatility == 0.05:
        assert terminated.any(), "the case must meet liquidations"


@pytest.mark.parametrize(("worst", "margin"), [(-0.05, 0.005), (-0.3, 0.02), (0.05, 0.0)])
def test_safe_weights_end_where_liquidation_begins(worst: float, margin: float) -> None:
    # A long of a is liquidated at 1 + worst when 1 + a·worst ≤ m·a·(1 + worst).
    shortest, longest = safe_weights(0.0, 0.0, max(worst, 0.0), min(worst, 0.0), margin)
    if worst < 0:
        assert 1 + longest * worst == pytest.approx(margin * longest * (1 + worst), abs=1e-7)
    else:
        assert 1 + shortest * worst == pytest.approx(-margin * shortest * (1 + worst), abs=1e-7)
        assert longest == 1e300, "without a maintenance margin a rising bar is safe for any long"
