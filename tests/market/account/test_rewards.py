"""Rewards: their formulae, by hand and against the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldmodel_trading.market.account.broker import Account, dream_bars
from worldmodel_trading.market.account.rewards import (
    LaneRewards,
    RewardConfig,
    ScalarReward,
    differential_sharpe,
)
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.errors import ConfigError

NAMES = ("log_return", "simple_return", "differential_sharpe")


def test_log_return_rewards_sum_to_the_log_of_equity() -> None:
    rng = np.random.default_rng(0)
    account, rewards = Account(3), LaneRewards(3)
    total = np.zeros(3)
    for _ in range(200):
        settled = account.step(rng.uniform(-1, 1, 3), dream_bars(rng.normal(0, 0.01, 3)))
        total += rewards.step(settled.reward)
    np.testing.assert_allclose(total, np.log(account.equity), rtol=1e-12)


def test_simple_return_is_the_relative_change_of_equity() -> None:
    growth = np.array([1.25, 0.5, 1.0])
    reward = LaneRewards(3, RewardConfig("simple_return")).step(np.log(growth))
    assert reward == pytest.approx([0.25, -0.5, 0.0], rel=1e-15)


def test_differential_sharpe_by_hand() -> None:
    # A = 0.01, B = 0.0005, η = 0.1, R = 0.03: the variance is 0.0005 − 0.0001 = 0.0004 = 0.02²,
    # ΔA = 0.02, ΔB = 0.0009 − 0.0005 = 0.0004,
    # D = (0.0005·0.02 − 0.01·0.0004/2) / 0.02³ = 0.000008/0.000008 = 1.
    reward, first, second = differential_sharpe(0.03, 0.01, 0.0005, 0.1, 1e-12)
    assert reward == pytest.approx(1.0, rel=1e-12)
    assert first == pytest.approx(0.012)
    assert second == pytest.approx(0.00054)


def test_differential_sharpe_is_the_derivative_of_the_moving_sharpe_ratio() -> None:
    first, second, simple, step = 0.002, 0.0003, -0.015, 1e-7

    def sharpe(rate: float) -> float:
        mean = first + rate * (simple - first)
        return mean / math.sqrt(second + rate * (simple**2 - second) - mean**2)

    slope = (sharpe(step) - sharpe(-step)) / (2 * step)
    assert differential_sharpe(simple, first, second, 0.01, 1e-12)[0] == pytest.approx(
        slope, rel=1e-6
    )


def test_first_differential_sharpe_reward_is_the_return_in_volatilities() -> None:
    # A = 0, B = σ²: D = σ²·R/σ³.
    config = RewardConfig("differential_sharpe", initial_volatility=0.02)
    assert ScalarReward(config).step(math.log(1.01)) == pytest.approx(0.5, rel=1e-12)


def test_differential_sharpe_stays_finite_on_a_flat_account_and_at_ruin() -> None:
    config = RewardConfig("differential_sharpe", adaptation_rate=0.5)
    reward = ScalarReward(config)
    values = [reward.step(0.0) for _ in range(5_000)]
    values += [reward.step(-1e-9), reward.step(0.05), reward.step(math.log(1e-4))]
    assert np.isfinite(values).all()
    assert values[:5_000] == [0.0] * 5_000


@pytest.mark.parametrize("name", NAMES)
def test_scalar_and_lanes_agree_bit_for_bit(name: str) -> None:
    config = RewardConfig(name)  # type: ignore[arg-type]
    growth = np.random.default_rng(1).normal(0.0, 0.01, (300, 4))
    lanes = LaneRewards(4, config)
    together = np.array([lanes.step(row) for row in growth])
    for lane in range(4):
        scalar = ScalarReward(config)
        alone = np.array([scalar.step(float(g)) for g in growth[:, lane]])
        assert alone.tobytes() == together[:, lane].tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_reset_of_some_lanes_leaves_the_others(name: str) -> None:
    config = RewardConfig(name)  # type: ignore[arg-type]
    growth = np.random.default_rng(2).normal(0.0, 0.01, (20, 2))
    kept, reset = LaneRewards(2, config), LaneRewards(2, config)
    for row in growth[:10]:
        kept.step(row)
        reset.step(row)
    reset.reset(np.array([True, False]))
    fresh = LaneRewards(2, config)
    for row in growth[10:]:
        a, b, c = kept.step(row), reset.step(row), fresh.step(row)
        assert b.tolist() == [c[0], a[1]]


def test_rewards_are_fresh_arrays() -> None:
    growth = np.array([0.1])
    for name in NAMES:
        assert LaneRewards(1, RewardConfig(name)).step(growth) is not growth  # type: ignore[arg-type]


def test_ruin_has_a_finite_reward() -> None:
    account = Account(1, BrokerConfig.from_settings(leverage=10.0))
    ruined = account.step(np.ones(1), dream_bars(np.array([-0.5])))
    assert ruined.terminated[0]
    assert LaneRewards(1).step(ruined.reward)[0] == pytest.approx(math.log(1e-4))
    simple = LaneRewards(1, RewardConfig("simple_return")).step(ruined.reward)
    assert simple[0] == pytest.approx(1e-4 - 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "sharpe"}, "reward is 'sharpe'; expected one of log_return, simple_return"),
        ({"adaptation_rate": 0.0}, "adaptation_rate is 0.0"),
        ({"initial_volatility": -1.0}, "initial_volatility is -1.0"),
        ({"eta": 0.1}, "RewardConfig has no setting 'eta'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RewardConfig.from_dict(settings)
    assert message in str(caught.value)
