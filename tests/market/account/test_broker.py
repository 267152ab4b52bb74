"""The account on plain rules: arithmetic, lanes, paths, limits, and the bars it reads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from account_paths import account_path
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_cases import BTCUSDT

from worldmodel_trading.market.account.broker import Account, ScalarAccount, dream_bars, replay_bars
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError

CONFIGS = {
    "default": {},
    "levered, delayed": {"leverage": 5.0, "fill_delay": 2},
    "limits": {"no_trade_band": 0.1, "max_turnover": 0.5, "slippage_per_range": 0.1},
    "rounded": {"capital_usdt": 2_000.0, "leverage": 3.0, **BTCUSDT},
    "everything": {
        "capital_usdt": 5_000.0,
        **BTCUSDT,
        "leverage": 10.0,
        "no_trade_band": 0.05,
        "max_turnover": 3.0,
        "slippage_per_range": 0.2,
        "fill_delay": 1,
        "liquidity": "maker",
    },
}


def random_market(seed: int, steps: int, lanes: int, volatility: float = 0.02) -> FloatArray:
    """Bars [T, N, 8] with wicks, funding and prices."""
    rng = np.random.default_rng(seed)
    log_return = rng.normal(0.0, volatility, (steps, lanes))
    bars = dream_bars(
        log_return,
        np.maximum(log_return, 0.0) + rng.exponential(volatility / 2, log_return.shape),
        np.minimum(log_return, 0.0) - rng.exponential(volatility / 2, log_return.shape),
        funding_rate=rng.normal(0.0, 1e-3, log_return.shape),
        fill_range=rng.exponential(volatility, log_return.shape),
        fill_price=rng.uniform(100.0, 60_000.0, log_return.shape),
    )
    gap = rng.normal(0.0, volatility / 4, log_return.shape)
    bars[..., 1] = np.clip(gap, bars[..., 3], bars[..., 2])
    return bars


def test_five_bars_worked_by_hand() -> None:
    # fee 0.1 %, slippage 0.05 %: 0.0015 of every weight traded.
    config = BrokerConfig.from_settings(taker_fee=0.001, slippage=0.0005)
    simple = np.array([0.10, -0.05, 0.02, 0.00, -0.10])
    path = account_path(np.array([1.0, 0.5, -1.0, -1.0, 0.0]), dream_bars(np.log1p(simple)), config)

    # Bar 1: buy 1 from 0: cost 0.0015. Grows by 1 + 1·0.10.
    e1 = 1.0 * (1 - 0.0015) * 1.10  # 1.09835
    # Weight stays 1·1.10/1.10 = 1. Bar 2: sell 0.5: cost 0.00075; grows by 1 − 0.5·0.05 = 0.975.
    e2 = e1 * (1 - 0.00075) * 0.975
    w2 = 0.5 * 0.95 / 0.975  # 0.487179…
    # Bar 3: from w2 to −1; grows by 1 − 0.02.
    e3 = e2 * (1 - 0.0015 * (1 + w2)) * 0.98
    w3 = -1.0 * 1.02 / 0.98  # −1.040816…
    # Bar 4: back from w3 to −1, the price stands still.
    e4 = e3 * (1 - 0.0015 * (w3 * -1 - 1)) * 1.0
    # Bar 5: buy back 1; flat, so the fall earns nothing.
    e5 = e4 * (1 - 0.0015 * 1.0)

    assert path.equity == pytest.approx([1.0, e1, e2, e3, e4, e5], rel=1e-14)
    assert path.weight == pytest.approx([0.0, 1.0, w2, w3, -1.0, 0.0], rel=1e-14)
    assert path.cost == pytest.approx(
        [0.0015, 0.00075, 0.0015 * (1 + w2), 0.0015 * (-w3 - 1), 0.0015], rel=1e-12
    )
    assert path.fee[0] == pytest.approx(0.001)
    assert path.slippage[0] == pytest.approx(0.0005)
    assert path.price_pnl[0] == pytest.approx((1 - 0.0015) * 0.10)
    assert path.reward.sum() == pytest.approx(math.log(e5), rel=1e-14)
    assert path.steps == 5


def test_buy_and_hold_is_the_closed_form() -> None:
    log_return = np.random.default_rng(1).normal(0.0, 0.01, 5_000)
    path = account_path(np.ones(5_000), dream_bars(log_return))
    cost = 0.00055 + 0.0002
    np.testing.assert_allclose(
        path.equity[1:], (1 - cost) * np.exp(np.cumsum(log_return)), rtol=1e-12
    )
    assert (path.cost[1:] == 0).all(), "a weight of 1 does not drift and is not traded again"


def test_short_and_hold_rebalances_every_bar() -> None:
    simple = np.array([0.01, -0.02, 0.03])
    path = account_path(-np.ones(3), dream_bars(np.log1p(simple)), free())
    assert path.equity[-1] == pytest.approx(0.99 * 1.02 * 0.97, rel=1e-14)


def free(**settings_: object) -> BrokerConfig:
    return BrokerConfig.from_settings(taker_fee=0.0, slippage=0.0, **settings_)


@pytest.mark.parametrize("name", CONFIGS)
def test_lanes_scalar_and_path_agree_bit_for_bit(name: str) -> None:
    config = BrokerConfig.from_settings(**CONFIGS[name])
    steps, lanes = 400, 7
    bars = random_market(3, steps, lanes)
    action = np.tanh(np.random.default_rng(4).normal(size=(steps, lanes)))
    account = Account(lanes, config)
    settled = [account.step(action[t], bars[t]) for t in range(steps)]
    for lane in range(lanes):
        own = np.ascontiguousarray(bars[:, lane])
        scalar = ScalarAccount(config)
        path = account_path(action[:, lane] * config.margin.leverage, own, config)
        for t in range(steps):
            one = scalar.step(float(action[t, lane]), own, t)
            assert one == tuple(column[lane] for column in settled[t])
            if one.terminated:
                assert path.steps == t + 1
                break
        assert path.equity[1:].tobytes() == np.array([s.equity[lane] for s in settled]).tobytes()
        assert path.reward.tobytes() == np.array([s.reward[lane] for s in settled]).tobytes()


@pytest.mark.parametrize("name", CONFIGS)
def test_no_lane_influences_another(name: str) -> None:
    config = BrokerConfig.from_settings(**CONFIGS[name])
    bars, other = random_market(5, 200, 4), random_market(6, 200, 4, volatility=0.2)
    action = np.tanh(np.random.default_rng(7).normal(size=(200, 4)))
    mixed_bars, mixed_action = bars.copy(), action.copy()
    mixed_bars[:, [0, 2, 3]], mixed_action[:, [0, 2, 3]] = other[:, [0, 2, 3]], 1.0
    one, two = Account(4, config), Account(4, config)
    for t in range(200):
        alone, among = one.step(action[t], bars[t]), two.step(mixed_action[t], mixed_bars[t])
        assert all(a[1] == b[1] for a, b in zip(alone, among, strict=True))


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**32 - 1),
    volatility=st.floats(1e-4, 0.2),
    taker_fee=st.floats(-0.001, 0.05),
    slippage=st.floats(0.0, 0.05),
    slippage_per_range=st.floats(0.0, 1.0),
    leverage=st.floats(0.1, 50.0),
    fill_delay=st.integers(0, 3),
    no_trade_band=st.sampled_from([0.0, 0.2]),
    max_turnover=st.sampled_from([None, 0.3, 5.0]),
    capital_usdt=st.sampled_from([None, 50.0, 1e5]),
    intrabar=st.booleans(),
)
def test_accounting_identity(seed: int, volatility: float, **rules: object) -> None:
    order_rules = {} if rules["capital_usdt"] is None else BTCUSDT
    config = BrokerConfig.from_settings(**rules, **order_rules)
    lanes, steps = 5, 60
    bars = random_market(seed, steps, lanes, volatility)
    action = np.random.default_rng(seed).uniform(-1.2, 1.2, (steps, lanes))
    account = Account(lanes, config)
    total = np.zeros((4, lanes))
    rewards = np.zeros(lanes)
    peak = np.ones(lanes)
    for t in range(steps):
        one = account.step(action[t], bars[t])
        total += [one.price_pnl, one.fee, one.slippage, one.funding]
        rewards += one.reward
        peak = np.maximum(peak, np.maximum(one.equity, one.fee))
        assert (one.equity > 0).all()
        assert np.isfinite(one.reward).all()
        assert (one.reward >= math.log(config.margin.ruin_floor) - 1e-12).all()
    pnl, fee, slip, funding = total
    # To 1e-9 of the largest sum that went through the account.
    assert (np.abs(one.equity - (1.0 + pnl - fee - slip - funding)) <= 1e-9 * peak).all()
    np.testing.assert_allclose(rewards, np.log(one.equity), rtol=1e-9, atol=1e-9)


def test_fill_delay_fills_the_action_of_that_many_bars_ago() -> None:
    simple = np.array([0.01, 0.02, 0.03, 0.04])
    wanted = np.array([1.0, 0.0, 0.5, 0.5])
    now = account_path(np.array([0.0, 0.0, 1.0, 0.0]), dream_bars(np.log1p(simple)))
    late = account_path(
        wanted, dream_bars(np.log1p(simple)), BrokerConfig.from_settings(fill_delay=2)
    )
    assert late.equity.tolist() == now.equity.tolist()
    assert late.executed.tolist() == [0.0, 0.0, 1.0, 0.0]


def test_no_trade_band_keeps_the_weight_held() -> None:
    simple = np.array([0.10, 0.0, 0.0])
    path = account_path(
        np.array([0.5, 0.54, 0.60]), dream_bars(np.log1p(simple)), free(no_trade_band=0.05)
    )
    drifted = 0.5 * 1.1 / 1.05  # 0.5238: 0.54 is within 0.05 of it, 0.60 is not
    assert path.executed == pytest.approx([0.5, drifted, 0.60], rel=1e-14)


def test_max_turnover_limits_each_bar() -> None:
    path = account_path(np.array([1.0, 1.0, -1.0]), dream_bars(np.zeros(3)), free(max_turnover=0.4))
    assert path.executed == pytest.approx([0.4, 0.8, 0.4], rel=1e-14)


def test_slippage_in_proportion_to_the_range_of_the_fill_bar() -> None:
    bars = dream_bars(np.zeros(2), fill_range=np.array([0.01, 0.04]))
    config = BrokerConfig.from_settings(taker_fee=0.0, slippage=0.0001, slippage_per_range=0.1)
    path = account_path(np.array([1.0, 0.0]), bars, config)
    assert path.cost == pytest.approx([0.0001 + 0.001, 0.0001 + 0.004], rel=1e-12)


def test_maker_fee_is_charged_when_asked_for() -> None:
    config = BrokerConfig.from_settings(liquidity="maker", slippage=0.0)
    assert account_path(np.ones(1), dream_bars(np.zeros(1)), config).cost[0] == pytest.approx(2e-4)


def test_actions_are_clipped_and_scaled_by_the_leverage() -> None:
    account = Account(3, free(leverage=4.0))
    settled = account.step(np.array([2.0, -0.25, -1.5]), dream_bars(np.zeros(3)))
    assert settled.executed.tolist() == [4.0, -1.0, -4.0]


def test_reset_of_some_lanes_leaves_the_others() -> None:
    config = BrokerConfig.from_settings(fill_delay=1)
    bars = random_market(8, 6, 3)
    action = np.full((6, 3), 0.7)
    account, fresh = Account(3, config), Account(3, config)
    for t in range(3):
        account.step(action[t], bars[t])
    kept = (account.equity[0], account.weight[0])
    account.reset(np.array([False, True, False]))
    assert account.equity[1] == 1.0
    assert account.weight[1] == 0.0
    assert (account.equity[0], account.weight[0]) == kept
    for t in range(3, 6):
        after, new = account.step(action[t], bars[t]), fresh.step(action[t], bars[t])
        assert after.equity[1] == new.equity[1], "a reset lane has no pending targets"
        assert after.equity[0] != new.equity[0]


def test_results_are_fresh_unless_buffers_are_asked_for() -> None:
    account = Account(2)
    bars = dream_bars(np.full(2, 0.01))
    first = account.step(np.ones(2), bars)
    snapshot = [np.array(column) for column in first]
    reused = account.step(np.zeros(2), bars, copy=False)
    assert all((a == b).all() for a, b in zip(first, snapshot, strict=True))
    assert reused.equity is account.equity


def test_the_callers_arrays_are_not_written() -> None:
    account = Account(2, BrokerConfig.from_settings(leverage=3.0, fill_delay=1))
    action, bars = np.array([0.5, 2.0]), dream_bars(np.full(2, 0.01))
    before = (action.copy(), bars.copy())
    for _ in range(3):
        account.step(action, bars)
    assert (action == before[0]).all()
    assert (bars == before[1]).all()


def candles(close: list[float], times: list[int] | None = None) -> Candles:
    ends = np.array(close)
    begins = np.concatenate([ends[:1], ends[:-1]]) * 1.001
    hours = np.arange(len(close)) if times is None else np.array(times)
    return Candles(
        open_time_ms=1_700_006_400_000 // 3_600_000 * 3_600_000 + hours * 3_600_000,
        open=begins,
        high=np.maximum(begins, ends) * 1.01,
        low=np.minimum(begins, ends) * 0.98,
        close=ends,
        volume=np.ones(len(close)),
        turnover=ends,
    )


def test_replay_bars_are_relative_to_the_close_before() -> None:
    bars = replay_bars(candles([100.0, 110.0, 99.0]), np.array([0.5, 1e-4, 2e-4]))
    assert np.isnan(bars[0]).all()
    # Bar 1: open 100.1, high 110·1.01, low 100.1·0.98, after a close of 100 in a bar 101.101…98.
    before = [math.log(100.1 * 1.01 / 98.0), 100.0, 100.0]  # one coin was traded in it
    assert bars[1] == pytest.approx([0.10, 0.001, 0.111, -0.01902, 1e-4, *before], rel=1e-9)
    assert bars[2, 0] == pytest.approx(-0.1, rel=1e-12)
    assert bars[2, 6] == 110.0


def test_replay_bars_do_not_cross_a_gap() -> None:
    bars = replay_bars(candles([100.0, 101.0, 102.0, 103.0], times=[0, 1, 5, 6]))
    assert np.isnan(bars).all(axis=1).tolist() == [True, False, True, False]


def test_a_dream_forced_along_the_record_earns_the_same_bits() -> None:
    close = np.exp(np.cumsum(np.random.default_rng(9).normal(0.0, 0.02, 300))) * 1e4
    record = candles(list(close))
    replay = replay_bars(record)[1:]
    dream = dream_bars(record.log_returns()[1:])
    action = np.tanh(np.random.default_rng(10).normal(size=299))
    lived, dreamed = account_path(action, replay), account_path(action, dream)
    assert lived.reward.tobytes() == dreamed.reward.tobytes()


def test_dream_bars_fill_the_array_they_are_given() -> None:
    out = np.empty((3, 8))
    log_return = np.array([0.1, -0.1, 0.0])
    assert dream_bars(log_return, out=out) is out
    assert out[:, 0] == pytest.approx(np.expm1(log_return), rel=1e-15)
    assert out[:, 2].tolist() == np.maximum(out[:, 0], 0).tolist()
    assert out[:, 3].tolist() == np.minimum(out[:, 0], 0).tolist()


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_lanes is 0"):
        Account(0)
    with pytest.raises(ConfigError, match=r"expected \(2,\) and \(2, 8\)"):
        Account(2).step(np.ones(2), dream_bars(np.zeros(3)))
    with pytest.raises(ConfigError, match=r"action \(3,\)"):
        Account(2).step(np.ones(3), dream_bars(np.zeros(2)))
