"""The account over tensors against the compiled one: the same bars into both, the same books out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from account_sums import Summed
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_cases import BTCUSDT, CASES

from worldmodel_trading.envs.device.account import Bar, DeviceAccounts, settle
from worldmodel_trading.market.account.broker import Account
from worldmodel_trading.market.account.inputs import NUM_INPUTS
from worldmodel_trading.market.account.rules import BrokerConfig, BrokerRules, flatten
from worldmodel_trading.market.account.settlement import OUT_FIELDS, settle_lanes

RULES = CASES | {
    "high leverage": {"leverage": 50.0, "maintenance_margin": 0.01, "liquidation_fee": 0.002},
    "dear": {"taker_fee": 0.1, "slippage": 0.1, "leverage": 20.0},
    "rounding without ticks": {
        "capital_usdt": 300.0,
        **BTCUSDT,
        "tick_size": 0.0,
        "no_trade_band": 0.02,
    },
}

CUDA = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
    ],
)


def compiled(
    equity: np.ndarray, weight: np.ndarray, target: np.ndarray, bars: np.ndarray, rules: BrokerRules
) -> dict[str, np.ndarray]:
    equity, weight = equity.copy(), weight.copy()
    ended, out = np.zeros(len(equity), dtype=np.bool_), np.zeros((len(OUT_FIELDS), len(equity)))
    settle_lanes(
        equity,
        weight,
        ended,
        target,
        bars,
        flatten(rules),
        np.zeros((len(equity), NUM_INPUTS)),
        out,
    )
    return {
        "growth": np.exp(out[0]),
        "weight": weight,
        "executed": out[1],
        "cost": out[2],
        "ended": ended,
    }


def assert_settles_alike(
    equity: np.ndarray,
    weight: np.ndarray,
    target: np.ndarray,
    bars: np.ndarray,
    rules: BrokerRules,
    device: str = "cpu",
) -> np.ndarray:
    expected = compiled(equity, weight, target, bars, rules)
    bar = Bar(*torch.from_numpy(bars.T.copy()).to(device))
    lanes = (torch.from_numpy(a).to(device) for a in (equity, weight, target))
    settled = settle(*lanes, bar, rules)
    for name, values in expected.items():
        found = getattr(settled, name).cpu().numpy()
        np.testing.assert_allclose(found, values, rtol=1e-12, atol=1e-13, err_msg=name)
    return expected["ended"]


def random_bars(rng: np.random.Generator, count: int, spread: float) -> np.ndarray:
    """Bars [N, 8] as likely to rise as to crash, with opens away from the close before."""
    close, opened = rng.normal(0.0, spread, (2, count))
    high = np.maximum(np.maximum(close, opened), 0.0) + rng.exponential(spread, count)
    low = np.minimum(np.minimum(close, opened), 0.0) - rng.exponential(spread, count)
    funding, ranges = rng.normal(0.0, 1e-3, count), high - low
    price = rng.uniform(50.0, 60_000.0, count)
    opened = np.where(rng.random(count) < 0.5, 0.0, opened)
    prices = [np.expm1(each) for each in (close, opened, high, low)]
    turnover = rng.uniform(1e4, 1e8, count)
    return np.stack([*prices, funding, ranges, price, turnover], axis=1)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("spread", [0.002, 0.05, 0.6])
@pytest.mark.parametrize("name", list(RULES))
def test_random_bars_settle_as_compiled(name: str, spread: float, device: str) -> None:
    broker, rng = BrokerConfig.from_settings(**RULES[name]), np.random.default_rng(1)
    leverage, count = broker.margin.leverage, 4_000
    ended = assert_settles_alike(
        rng.uniform(0.01, 3.0, count),
        rng.uniform(-1.2, 1.2, count) * leverage,
        np.where(rng.random(count) < 0.1, 0.0, rng.uniform(-1.0, 1.0, count) * leverage),
        random_bars(rng, count, spread),
        broker.compile(),
        device,
    )
    if spread == 0.6 and leverage > 1.0:
        assert 0.05 < ended.mean() < 1.0


@settings(max_examples=300, deadline=None)
@given(
    equity=st.floats(1e-3, 1e3),
    weight=st.floats(-12.0, 12.0),
    target=st.floats(-10.0, 10.0),
    close=st.floats(-0.95, 3.0),
    opened=st.floats(-0.95, 3.0),
    beyond=st.floats(0.0, 0.04),
    funding=st.floats(-0.05, 0.05),
    fill_range=st.floats(0.0, 0.5),
    name=st.sampled_from([name for name in RULES if "rounding" not in name]),
)
def test_any_bar_settles_as_compiled(
    equity: float,
    weight: float,
    target: float,
    close: float,
    opened: float,
    beyond: float,
    funding: float,
    fill_range: float,
    name: str,
) -> None:
    high, low = max(close, opened, 0.0) + beyond, min(close, opened, 0.0) - beyond
    bars = np.array([[close, opened, high, low, funding, fill_range, 100.0, 1e6]])
    arrays = (np.array([number]) for number in (equity, weight, target))
    rules = BrokerConfig.from_settings(**RULES[name]).compile()
    assert_settles_alike(*arrays, bars, rules)


def test_a_liquidation_by_hand() -> None:
    """Long 3x bought at 100, margin 0.5 %: triggered at 67.0, closed at 66.7 for its fee."""
    rules = BrokerConfig.from_settings(leverage=3.0, taker_fee=0.0, slippage=0.0).compile()
    one = torch.ones(1, dtype=torch.float64)
    bar = Bar(*(value * one for value in (-0.30, 0.0, 0.0, -0.34, 0.0, 0.0, 100.0, 1.0)))
    settled = settle(one, 0.0 * one, 3.0 * one, bar, rules)
    price = 2.0 / (3.0 * (1.0 - 0.00055))  # what is left, 3 p − 2, is the fee 0.00055 · 3 p
    left = 1.0 + 3.0 * (price - 1.0)
    assert left == pytest.approx(0.00055 * 3.0 * price)
    assert settled.ended.item()
    assert settled.cost.item() == pytest.approx(left)
    assert settled.growth.item() == pytest.approx(rules.ruin_floor)
    assert settled.weight.item() == 0.0


@pytest.mark.parametrize("fill_delay", [0, 1, 3, 9])
@pytest.mark.parametrize("chunk", [1, 4, 12])
def test_accounts_run_as_the_compiled_ones(fill_delay: int, chunk: int) -> None:
    broker = BrokerConfig.from_settings(leverage=8.0, fill_delay=fill_delay)
    rng, lanes, steps = np.random.default_rng(2), 60, 24
    there, here = DeviceAccounts((lanes,), broker, fill_delay, torch.device("cpu")), None
    for _ in range(2):  # the second time afresh
        there.begin()
        here = Account(lanes, broker)
        reference = Summed(here)
        for t in range(steps):
            if t % chunk == 0:
                there.open()
            action, bars = rng.uniform(-1.5, 1.5, lanes), random_bars(rng, lanes, 0.04)
            reference.step(action, bars)
            there.step(torch.from_numpy(action), Bar(*torch.from_numpy(bars.T.copy())))
            if (t + 1) % chunk == 0:
                there.close()
            np.testing.assert_allclose(there.weight.numpy(), here.weight, rtol=1e-11, atol=1e-12)
        assert 0.1 < here.terminated.mean() < 1.0
        np.testing.assert_allclose(
            there.scores().numpy(), reference.totals(), rtol=1e-9, atol=1e-12
        )
