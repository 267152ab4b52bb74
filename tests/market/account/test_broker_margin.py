"""Leverage, liquidation, gaps, ruin and funding, each worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from account_paths import AccountPath, account_path

from worldmodel_trading.market.account.broker import Account, ScalarAccount
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray

FLOOR = 1e-4  # the default ruin floor
FREE: dict[str, Any] = {"taker_fee": 0.0, "slippage": 0.0}


def bar(
    close: float,
    *,
    open_: float = 0.0,
    high: float | None = None,
    low: float | None = None,
    funding: float = 0.0,
) -> FloatArray:
    """One bar [8] in simple returns from the previous close."""
    high = max(close, open_) if high is None else high
    low = min(close, open_) if low is None else low
    return np.array([close, open_, high, low, funding, 0.0, 0.0, 1.0])


def held(target: float, *bars: FloatArray, **settings: Any) -> AccountPath:
    config = BrokerConfig.from_settings(**settings)
    return account_path(np.full(len(bars), target), np.stack(bars), config)


def test_long_at_ten_times_falls_through_its_liquidation() -> None:
    """Maintenance 0.5 %: equity 1 + 10(x − 1) meets 0.005·10·x at x = 9/9.95 = 0.904523."""
    rules = {"leverage": 10.0, "taker_fee": 0.001, "slippage": 0.0, "liquidation_fee": 0.00055}
    safe = held(10.0, bar(-0.05, low=-0.0954), **rules)
    assert safe.steps == 1
    # Fee 0.001·10 = 0.01; then 1 − 10·0.05 = 0.5.
    assert safe.equity[1] == pytest.approx(0.99 * 0.5)
    assert safe.weight[1] == pytest.approx(10 * 0.95 / 0.5)

    # The same close, but the bar's low is 9.6 % down, below 0.904523.
    path = held(10.0, bar(-0.05, low=-0.096), bar(0.5), **rules)
    assert path.steps == 1
    assert path.equity.tolist() == [1.0, FLOOR, FLOOR], "the rebound comes too late"
    assert path.reward.tolist() == [math.log(FLOOR), 0.0]
    assert path.weight[1] == 0.0
    # Sold at the bankruptcy price x = 9/(10·(1 − 0.00055)) = 0.900495, where 1 + 10(x − 1) is the
    # closing fee 0.00055·10·x = 0.0049527; all of it on 0.99, the equity after the opening fee.
    price = 9 / (10 * (1 - 0.00055))
    closing = 0.00055 * 10 * price
    assert 1 + 10 * (price - 1) == pytest.approx(closing)
    assert path.fee[0] == pytest.approx(0.01 + 0.99 * closing)
    assert path.price_pnl[0] == pytest.approx(0.99 * 10 * (price - 1) + FLOOR)


def test_short_through_a_gap_up() -> None:
    """Short 5×: 1 − 5(x − 1) meets 0.005·5·x at x = 6/5.025 = 1.194030; nothing left at 1.2."""
    rules = {"leverage": 5.0, **FREE, "liquidation_fee": 0.00055}
    # A gap to 1.195, between the two, is booked there: 1 − 5·0.195 = 0.025 is left, less the fee
    # 0.00055·5·1.195 = 0.00328625. The bar's later fall does not bring the position back.
    path = held(-5.0, bar(-0.3, open_=0.195), bar(-0.3), **rules)
    assert path.steps == 1
    assert path.equity[1] == pytest.approx(0.025 - 0.00328625, rel=1e-12)
    assert path.equity[2] == path.equity[1]
    assert path.fee[0] == pytest.approx(0.00328625)
    assert path.price_pnl[0] == pytest.approx(-0.975)
    assert path.reward[0] == pytest.approx(math.log(0.02171375))

    # A gap to 1.5 would lose 2.5 equities: only the one there is goes, and no fee can be paid.
    path = held(-5.0, bar(0.4, open_=0.5), **rules)
    assert path.equity[1] == FLOOR
    assert path.fee[0] == 0.0
    assert path.price_pnl[0] == pytest.approx(-1 + FLOOR)

    # Opening just below 1.194030 and reaching it inside the bar goes at the bankruptcy price.
    path = held(-5.0, bar(0.1, open_=0.194, high=0.1941), **rules)
    assert path.equity[1] == FLOOR
    price = 6 / (5 * 1.00055)
    assert path.price_pnl[0] == pytest.approx(-5 * (price - 1) + FLOOR)
    assert path.fee[0] == pytest.approx(0.00055 * 5 * price)


def test_a_long_gap_is_booked_at_the_gap() -> None:
    # Long 10×, liquidation at 0.904523, bankruptcy near 0.9: an open at 0.902 leaves 0.02.
    path = held(10.0, bar(0.0, open_=-0.098), leverage=10.0, **FREE)
    assert path.equity[1] == pytest.approx(0.02 - 0.00055 * 10 * 0.902, rel=1e-9)
    assert path.steps == 1


def test_an_unlevered_long_is_never_liquidated() -> None:
    path = held(1.0, bar(-0.5, open_=-0.9, low=-0.999), bar(-0.99), **FREE)
    assert path.steps == 2
    assert path.equity[2] == pytest.approx(0.5 * 0.01)


def test_an_unlevered_long_that_loses_everything_is_ruined() -> None:
    path = held(1.0, bar(-0.99995), bar(1.0), **FREE)
    assert path.steps == 1
    assert path.equity.tolist() == [1.0, FLOOR, FLOOR]


@pytest.mark.parametrize("intrabar", [True, False])
def test_an_unlevered_short_squeezed_beyond_its_equity_is_ruined(intrabar: bool) -> None:
    path = held(-1.0, bar(1.3), intrabar=intrabar, **FREE)
    assert path.equity[1] == FLOOR
    assert path.reward[0] == pytest.approx(math.log(FLOOR))
    assert path.weight[1] == 0.0
    assert path.price_pnl[0] == pytest.approx(-1 + FLOOR + path.fee[0]), (
        "no more than there was is lost"
    )


def test_without_intrabar_margin_only_the_close_counts() -> None:
    spike = bar(0.5, high=5.0)
    assert held(-1.0, spike, **FREE).steps == 1
    assert held(-1.0, spike, **FREE).equity[1] == FLOOR
    assert held(-1.0, spike, intrabar=False, **FREE).equity[1] == pytest.approx(0.5)


def test_costs_that_eat_the_equity_ruin() -> None:
    path = held(20.0, bar(0.0), leverage=20.0, taker_fee=0.06, slippage=0.0)
    assert path.equity[1] == FLOOR
    assert path.fee[0] == pytest.approx(1.2)
    assert path.price_pnl[0] == pytest.approx(0.2 + FLOOR), "what the floor forgives"


def test_ruin_floor_is_relative_to_the_equity_before() -> None:
    path = held(-1.0, bar(-0.5), bar(2.0), ruin_floor=0.01, **FREE)
    assert path.equity.tolist() == pytest.approx([1.0, 1.5, 0.015])


def test_funding_is_paid_by_the_long_and_received_by_the_short() -> None:
    # Rate 0.1 %: a long of 2 pays 0.002 of its equity, a short of 2 receives it.
    flat, rise = bar(0.0, funding=0.001), bar(0.05, funding=0.001)
    for side in (1.0, -1.0):
        path = held(2.0 * side, flat, rise, leverage=2.0, **FREE)
        first = 1 - side * 0.002
        assert path.equity[1] == pytest.approx(first, rel=1e-14)
        assert path.funding[0] == pytest.approx(side * 0.002, rel=1e-14)
        # Charged on the position as it was filled, beside the price's 2 · 5 %.
        assert path.equity[2] == pytest.approx(first * (1 + side * 0.1 - side * 0.002), rel=1e-14)
        assert path.price_pnl[1] == pytest.approx(first * side * 0.1, rel=1e-13)
    negative = held(1.0, bar(0.0, funding=-0.001), **FREE)
    assert negative.equity[1] == pytest.approx(1.001), "a negative rate pays the long"
    assert held(0.0, flat, **FREE).equity[1] == 1.0


def test_a_liquidated_position_pays_no_funding_in_that_bar() -> None:
    path = held(-5.0, bar(0.3, funding=0.001), leverage=5.0, **FREE)
    assert path.funding[0] == 0.0


def test_a_terminated_lane_stands_still_until_it_is_reset() -> None:
    config = BrokerConfig.from_settings(leverage=10.0, **FREE)
    bars = np.stack([bar(-0.2), bar(-0.01)])
    account, scalar = Account(2, config), ScalarAccount(config)
    action = np.ones(2)
    first = account.step(action, bars)
    scalar.step(1.0, bars, 0)
    assert first.terminated.tolist() == [True, False]
    second = account.step(action, bars)
    assert second.equity[0] == first.equity[0]
    assert (second.reward[0], second.weight[0], second.fee[0], second.executed[0]) == (0, 0, 0, 0)
    assert second.terminated[0]
    assert scalar.step(1.0, bars, 1) == tuple(column[0] for column in second)
    account.reset(np.array([True, False]))
    assert account.equity.tolist() == [1.0, pytest.approx(0.9 * 0.9)]
    assert not account.terminated[0]


@pytest.mark.parametrize("held_weight", [1.5, 3.0, 10.0, 50.0, -0.5, -1.0, -3.0, -10.0, -50.0])
def test_liquidation_starts_where_equity_meets_the_maintenance_margin(held_weight: float) -> None:
    margin = 0.005
    side = math.copysign(1.0, held_weight)
    # Solve 1 + a(x − 1) = m·|a|·x by bisection, independently of the formula in the kernel.
    near, far = 1.0, 0.0 if side > 0 else 10.0
    for _ in range(200):
        middle = (near + far) / 2
        safe = 1 + held_weight * (middle - 1) > margin * abs(held_weight) * middle
        near, far = (middle, far) if safe else (near, middle)
    rules = {"leverage": 50.0, "maintenance_margin": margin, **FREE}
    for step, lived in ((1e-9, False), (-1e-9, True)):
        worst = near - 1 - side * step
        low, high = (worst, 0.0) if side > 0 else (0.0, worst)
        path = held(held_weight, bar(0.0, low=low, high=high), bar(0.0), **rules)
        assert (path.steps == 2) is lived
