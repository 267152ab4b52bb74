"""Accounts under every rule there is: a setting without a case here fails the tests."""

from __future__ import annotations

from typing import Any

from worldmodel_trading.market.account.rules import BrokerConfig

BTCUSDT = {"qty_step": 0.001, "tick_size": 0.1, "min_notional_usdt": 5.0}
"""Bybit's rules of a coin: a capital needs some."""

ALONE: dict[str, dict[str, Any]] = {
    "taker_fee": {"taker_fee": 0.002},
    "maker_fee": {"maker_fee": -0.0001, "liquidity": "maker"},
    "liquidity": {"liquidity": "maker"},
    "slippage": {"slippage": 0.001},
    "slippage_per_range": {"slippage_per_range": 0.3},
    "impact": {"impact": 1.0, "impact_capital_usdt": 1e6},
    "impact_capital_usdt": {"impact": 0.5, "impact_capital_usdt": 1e5, "leverage": 2.0},
    "leverage": {"leverage": 20.0},
    "maintenance_margin": {"leverage": 5.0, "maintenance_margin": 0.02},
    "liquidation_fee": {"leverage": 20.0, "liquidation_fee": 0.004},
    "intrabar": {"leverage": 20.0, "intrabar": False},
    "ruin_floor": {"leverage": 20.0, "intrabar": False, "ruin_floor": 0.05},
    "fill_delay": {"fill_delay": 2},
    "no_trade_band": {"leverage": 3.0, "no_trade_band": 0.2},
    "max_turnover": {"leverage": 3.0, "max_turnover": 1.0},
    "capital_usdt": {"capital_usdt": 5_000.0, "leverage": 3.0, **BTCUSDT},
    "qty_step": {"capital_usdt": 5_000.0, **BTCUSDT, "qty_step": 0.01},
    "tick_size": {"capital_usdt": 5_000.0, **BTCUSDT, "tick_size": 5.0},
    "account_observation": {
        "account_observation": ("weight", "unrealised_profit", "bars_on_side"),
        "no_trade_band": 0.1,
    },
    "min_notional_usdt": {"capital_usdt": 500.0, **BTCUSDT, "min_notional_usdt": 50.0},
}
"""For each setting, one account in which it matters."""

TOGETHER: dict[str, dict[str, Any]] = {
    "default": {},
    "ruinous costs": {"leverage": 20.0, "taker_fee": 0.03, "intrabar": False},
    "rounded and moved": {"capital_usdt": 50_000.0, "impact": 1.0, "leverage": 3.0, **BTCUSDT},
    "limits": {"leverage": 3.0, "no_trade_band": 0.2, "max_turnover": 1.0, "fill_delay": 1},
}

assert set(ALONE) == set(BrokerConfig.setting_names()), "each setting of the account needs a case"

CASES = TOGETHER | ALONE
