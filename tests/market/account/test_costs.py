"""The rules' records: defaults, refusals, JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from rule_cases import BTCUSDT

from worldmodel_trading.market.account.costs import CostRules, Fee
from worldmodel_trading.market.account.rules import (
    BrokerConfig,
    BrokerRules,
    Execution,
    Margin,
    Rounding,
)
from worldmodel_trading.market.errors import ConfigError


def test_defaults_are_bybits_published_values() -> None:
    rules = BrokerConfig().compile()
    assert rules.costs.fee == 0.00055
    assert rules.costs.slippage == 0.0002
    assert rules.maintenance_margin == 0.005
    assert rules.leverage == 1.0
    assert math.isinf(rules.max_turnover)
    assert (rules.has_margin, rules.has_limits, rules.has_rounding) == (1.0, 0.0, 0.0)
    assert Fee().maker_fee == 0.0002


def test_settings_reach_the_rules() -> None:
    settings: dict[str, Any] = {
        "taker_fee": 0.001,
        "slippage_per_range": 0.1,
        "leverage": 3,
        "fill_delay": 2,
        "max_turnover": 0.5,
        "capital_usdt": 1_000,
        "qty_step": 0.01,
        "tick_size": 0.1,
        "min_notional_usdt": 5,
        "intrabar": False,
    }
    config = BrokerConfig.from_settings(**settings)
    rules = config.compile()
    assert rules == BrokerRules(
        costs=CostRules(fee=0.001, slippage=0.0002, slippage_per_range=0.1, impact_of_root=0.0),
        leverage=3.0,
        maintenance_margin=0.005,
        liquidation_fee=0.00055,
        ruin_floor=1e-4,
        no_trade_band=0.0,
        max_turnover=0.5,
        capital_usdt=1_000.0,
        qty_step=0.01,
        tick_size=0.1,
        min_notional_usdt=5.0,
        has_margin=0.0,
        has_limits=1.0,
        has_rounding=1.0,
        has_sized_costs=0.0,
    )
    assert all(type(value) is float for value in (*rules.costs, *rules[1:]))
    assert config.execution.fill_delay == 2


@pytest.mark.parametrize(
    "config",
    [
        BrokerConfig(),
        BrokerConfig.from_settings(leverage=5.0, capital_usdt=100.0, max_turnover=1.0, **BTCUSDT),
        BrokerConfig(costs=(Fee(liquidity="maker"),), rounding=Rounding(5.0, **BTCUSDT)),
    ],
)
def test_json_restores_an_equal_record(config: BrokerConfig) -> None:
    assert BrokerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"taker_fees": 0.1}, "has no setting 'taker_fees'; did you mean 'taker_fee'"),
        ({"zebra": 1}, "has no setting 'zebra'; expected one of taker_fee"),
        ({"taker_fee": 0.5}, "taker_fee is 0.5; expected a number, -0.01 ≤ taker_fee ≤ 0.1"),
        ({"taker_fee": float("nan")}, "taker_fee is nan"),
        ({"taker_fee": "0.1"}, "taker_fee is '0.1'; expected a number"),
        ({"taker_fee": None}, "taker_fee is None; expected a number"),
        ({"taker_fee": True}, "taker_fee is True; expected a number"),
        ({"slippage": -0.1}, "slippage is -0.1"),
        ({"liquidity": "both"}, "liquidity is 'both'; expected 'taker' or 'maker'"),
        ({"leverage": 0}, "leverage is 0"),
        ({"leverage": 200.0}, "expected leverage < 200"),
        ({"liquidation_fee": 0.01}, "the margin must cover the fee of closing"),
        ({"intrabar": 1}, "intrabar is 1; expected true or false"),
        ({"ruin_floor": 0.0}, "ruin_floor is 0.0"),
        ({"fill_delay": 1.5}, "fill_delay is 1.5; expected a whole number"),
        ({"fill_delay": -1}, "fill_delay is -1"),
        ({"max_turnover": 0.0}, "max_turnover is 0.0"),
        ({"max_turnover": math.inf}, "max_turnover is inf"),
        ({"capital_usdt": -5.0, **BTCUSDT}, "capital_usdt is -5.0"),
        ({"capital_usdt": 5.0, **BTCUSDT, "qty_step": 0.0}, "qty_step is 0.0"),
        ({"capital_usdt": 5.0}, "a capital in USDT without qty_step, tick_size, min_notional_usdt"),
        ({"capital_usdt": 5.0, "qty_step": 1.0, "tick_size": 1e-5}, "without min_notional_usdt: "),
        ({"qty_step": 0.1}, "qty_step without capital_usdt"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BrokerConfig.from_settings(**settings)
    assert message in str(caught.value)


def test_unknown_fields_of_nested_records_are_refused() -> None:
    with pytest.raises(ConfigError, match="Fee has no setting 'fee'"):
        BrokerConfig.from_dict({"costs": {"Fee": {"fee": 0.1}}})
    with pytest.raises(ConfigError, match="costs has no setting 'fee'"):
        BrokerConfig.from_dict({"costs": {"fee": 0.1}})
    with pytest.raises(ConfigError, match="at most one each of Fee, Slippage"):
        BrokerConfig(costs=(Fee(), Fee()))
    with pytest.raises(ConfigError, match="BrokerConfig has no setting 'cost'; did you mean"):
        BrokerConfig.from_dict({"cost": {}})
    with pytest.raises(ConfigError, match=r"costs is .*; expected a mapping of settings"):
        BrokerConfig.from_dict({"costs": 0.1})
    with pytest.raises(ConfigError, match="a capital in USDT without qty_step"):
        BrokerConfig.from_dict({"rounding": {"capital_usdt": 1.0}})
    with pytest.raises(ConfigError, match=r"margin is .*expected a Margin"):
        BrokerConfig(margin=Execution())  # type: ignore[arg-type]


def test_no_capital_is_no_rounding() -> None:
    assert BrokerConfig.from_settings(capital_usdt=None).rounding is None
    assert BrokerConfig.from_settings(max_turnover=None) == BrokerConfig()


def test_margin_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Margin().leverage = 5.0  # type: ignore[misc]
