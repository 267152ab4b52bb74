"""What orders cost, worked out by hand, and that every way to trade is charged the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from account_paths import account_path
from rule_cases import BTCUSDT

from worldmodel_trading.market.account.broker import dream_bars
from worldmodel_trading.market.account.costs import COST_MODELS, CostRules, Fee, cost_model
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.errors import ConfigError


def test_impact_by_hand() -> None:
    """1 · σ · √(order ÷ turnover): a million trades a quarter of it in a bar of four million.

    The bar's range is 0.02·2√ln 2, so its σ is 0.02 (Parkinson); √(250,000 ÷ 4,000,000) is 0.25.
    """
    config = BrokerConfig.from_settings(
        impact=1.0, impact_capital_usdt=1e6, taker_fee=0.0, slippage=0.0
    )
    bar_range = 0.02 * 2.0 * math.sqrt(math.log(2.0))
    bars = dream_bars(np.zeros(2), fill_range=bar_range, fill_turnover=4e6)
    path = account_path(np.array([0.25, 0.25]), bars, config)
    assert path.slippage.tolist() == pytest.approx([0.25 * 0.02 * 0.25, 0.0], abs=1e-9)
    assert path.fee.tolist() == [0.0, 0.0]
    # Four times the order costs twice as much of each dollar.
    whole = account_path(np.array([1.0]), bars[:1], config)
    assert whole.slippage[0] == pytest.approx(1.0 * 0.02 * 0.5)


def test_impact_grows_with_the_equity_that_trades() -> None:
    config = BrokerConfig.from_settings(impact=1.0, impact_capital_usdt=1e6)
    bars = dream_bars(np.log([2.0, 1.0]), fill_range=0.03, fill_turnover=1e7)
    path = account_path(np.array([1.0, 0.0]), bars, config)
    share = path.slippage / (np.array([1.0, path.equity[1]]) * 1.0) - 0.0002
    assert share[1] / share[0] == pytest.approx(math.sqrt(path.equity[1]), rel=1e-12)


def test_a_bar_without_trades_or_range_moves_nothing() -> None:
    config = BrokerConfig.from_settings(impact=1.0, impact_capital_usdt=1e6)
    path = account_path(np.ones(1), dream_bars(np.zeros(1), fill_turnover=0.0), config)
    assert path.cost[0] == pytest.approx(0.00075)


def test_capital_for_rounding_serves_impact_too() -> None:
    with_own = BrokerConfig.from_settings(impact=0.7, impact_capital_usdt=2e5)
    with_rounding = BrokerConfig.from_settings(impact=0.7, capital_usdt=2e5, **BTCUSDT)
    assert with_own.compile().costs == with_rounding.compile().costs


def test_impact_without_capital_is_refused() -> None:
    with pytest.raises(ConfigError, match="impact is 1, but nothing says how large"):
        BrokerConfig.from_settings(impact=1.0)


def test_the_costs_say_what_they_look_at() -> None:
    assert BrokerConfig().reads == frozenset()
    assert not BrokerConfig().looks_inside_bars
    assert BrokerConfig.from_settings(slippage_per_range=0.1).reads == {"bar_range"}
    moved = BrokerConfig.from_settings(impact=1.0, impact_capital_usdt=1.0)
    assert moved.reads == {"bar_range", "turnover", "order"}
    assert moved.compile().has_sized_costs == 1.0


def test_every_model_names_the_numbers_that_it_gives() -> None:
    for model in COST_MODELS:
        assert len(model().values(None)) == len(model.names)
    assert len(set(CostRules._fields)) == len(CostRules._fields)


def test_a_cost_model_that_comes_too_late_is_refused_and_changes_nothing() -> None:
    before = list(COST_MODELS)
    with pytest.raises(ConfigError, match=r"Late comes too late: .*reward=function"):

        @cost_model
        class Late(Fee):
            names = ("late",)

    assert before == COST_MODELS
    assert BrokerConfig.from_settings(taker_fee=0.001)
