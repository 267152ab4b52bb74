"""Orders rounded to an instrument's steps, with the arithmetic visible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from account_paths import AccountPath, account_path
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_cases import BTCUSDT

from worldmodel_trading.market.account.broker import dream_bars
from worldmodel_trading.market.account.rules import BrokerConfig


def follow(targets: list[float], closes: list[float], **rules: Any) -> AccountPath:
    """Targets at the closes before the last."""
    close = np.array(closes)
    bars = dream_bars(np.diff(np.log(close)), fill_price=close[:-1])
    settings_ = {"taker_fee": 0.0, "slippage": 0.0, **BTCUSDT, "tick_size": 0.0, **rules}
    return account_path(np.array(targets), bars, BrokerConfig.from_settings(**settings_))


def test_quantity_is_rounded_towards_zero() -> None:
    # 1,000 USDT at 60,000: 0.7 of it is 0.011666… BTC; eleven steps of 0.001 are 660 USDT.
    path = follow([0.7, 0.7], [60_000, 66_000, 66_000], capital_usdt=1_000.0)
    assert path.executed[0] == pytest.approx(0.66)
    # +10 % on 660: 1,066 USDT, of it 726. 0.7·1,066 = 746.2 is 20.2 more: less than 0.001 BTC, 66.
    assert path.equity[1] == pytest.approx(1.066)
    assert path.executed[1] == pytest.approx(726 / 1_066)
    assert path.cost[1] == 0.0


def test_order_below_the_minimum_is_not_executed() -> None:
    # 0.001 units at 4,000 are 4 USDT, under Bybit's 5; 0.002 are 8.
    small = follow([0.0006], [4_000, 4_400], capital_usdt=10_000.0)
    assert small.executed[0] == 0.0
    assert small.equity[1] == 1.0
    enough = follow([0.0008], [4_000, 4_400], capital_usdt=10_000.0)
    assert enough.executed[0] == pytest.approx(0.0008)


def test_an_order_that_only_reduces_is_exempt_from_the_minimum() -> None:
    # 0.002 units bought for 8 USDT are sold for 3.2; half of it, below the minimum, likewise.
    closes = [4_000, 1_600, 1_600]
    path = follow([0.0008, 0.0, 0.0], [*closes, 1_600], capital_usdt=10_000.0)
    assert path.weight[2] == pytest.approx(0.0, abs=1e-15)
    held = follow([0.0008, 0.00016], closes, capital_usdt=10_000.0)
    assert held.executed[1] == pytest.approx(1.6 / 9_995.2)
    # A turn from 0.002 long to 0.001 short is an order of 4.8 USDT that opens: dropped.
    turned = follow([0.0008, -0.0002], closes, capital_usdt=10_000.0)
    assert turned.executed[1] == pytest.approx(3.2 / 9_995.2)


def test_a_small_account_cannot_hold_a_step() -> None:
    path = follow([1.0, -1.0], [60_000, 61_000, 62_000], capital_usdt=50.0)
    assert (path.executed == 0).all()
    assert (path.equity == 1).all()


def test_costs_are_those_of_the_notional_traded() -> None:
    # 10,000 USDT at 20,000, target 1 at 0.1 % fee and 0.1 % slippage: the account after costs,
    # 1·(1 − 0.002), would hold 0.499 BTC; a whole number of steps. 9,980 USDT cost 19.96.
    path = follow([1.0], [20_000, 22_000], capital_usdt=10_000.0, taker_fee=0.001, slippage=0.001)
    assert path.cost[0] == pytest.approx(0.002 * 0.998)
    assert path.fee[0] == pytest.approx(0.000998)
    # Equity after costs 9,980.04; 0.499 BTC gain 998.
    assert path.executed[0] == pytest.approx(9_980 / 9_980.04)
    assert path.equity[1] == pytest.approx((9_980.04 + 998) / 10_000)


@pytest.mark.parametrize(("target", "fill"), [(0.5, 20_005.0), (-0.5, 19_995.0)])
def test_fill_price_is_rounded_to_the_tick_against_the_trader(target: float, fill: float) -> None:
    # Slippage 0.01 % of 20,000 is 2: a buy at 20,002 fills at 20,005, a sale at 19,998 at 19,995.
    rules = {"capital_usdt": 10_000.0, "slippage": 0.0001, "tick_size": 5.0}
    path = follow([target], [20_000, 20_000], **rules)
    quantity = 0.25  # less what 0.0001 of slippage takes: 0.249975 rounds down to 0.249
    assert abs(path.executed[0]) < quantity * 20_000 / 10_000
    assert path.slippage[0] * 10_000 == pytest.approx(0.249 * abs(fill - 20_000))


def test_a_fill_on_the_tick_stays_there() -> None:
    rules = {"capital_usdt": 10_000.0, "slippage": 0.0, "tick_size": 0.1}
    path = follow([0.5, -0.5], [20_000.3, 20_000.7, 20_000.7], **rules)
    assert path.slippage == pytest.approx([0.0, 0.0], abs=1e-15)


def test_closing_sells_every_step_that_is_held() -> None:
    rng = np.random.default_rng(0)
    closes = list(30_000 * np.exp(np.cumsum(rng.normal(0.0, 0.03, 41))))
    targets = [0.9, 0.0] * 20
    path = follow(targets, closes, capital_usdt=777.0, taker_fee=0.001)
    assert path.weight[2::2] == pytest.approx(np.zeros(20), abs=1e-12)
    assert (path.executed[::2] > 0.8).all()


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    capital_usdt=st.floats(20.0, 1e6),
    qty_step=st.sampled_from([0.001, 0.01, 1.0]),
    price=st.floats(0.5, 1e5),
)
def test_quantities_held_are_whole_steps(
    seed: int, capital_usdt: float, qty_step: float, price: float
) -> None:
    rng = np.random.default_rng(seed)
    closes = price * np.exp(np.cumsum(rng.normal(0.0, 0.02, 31)))
    rules = {"capital_usdt": capital_usdt, "qty_step": qty_step, "leverage": 3.0, "taker_fee": 1e-3}
    path = follow(list(rng.uniform(-3, 3, 30)), list(closes), **rules)
    lived = path.steps if path.steps == 30 else path.steps - 1
    for t in range(lived):
        steps = path.weight[t + 1] * path.equity[t + 1] * capital_usdt / closes[t + 1] / qty_step
        assert abs(steps - round(steps)) < 1e-6 * max(1.0, abs(steps))
        order = path.fee[t] / 1e-3 * capital_usdt
        position = path.weight[t] * path.equity[t] * capital_usdt
        reduces = path.executed[t] * position > -1e-9 and order <= abs(position) * (1 + 1e-6)
        assert order == pytest.approx(0.0) or order >= 5.0 * (1 - 1e-9) or reduces
