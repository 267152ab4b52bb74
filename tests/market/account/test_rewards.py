"""Rewards: their formulae, by hand and against the definition."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numba import njit

from worldmodel_trading.market.account.broker import Account, dream_bars
from worldmodel_trading.market.account.rewards import (
    DifferentialSharpe,
    LaneRewards,
    LogReturn,
    Reward,
    RewardStep,
    ScalarReward,
    SimpleReturn,
    differential_sharpe,
    open_reward,
)
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.errors import ConfigError

NAMES = tuple(kind.name for kind in Reward.__subclasses__() if kind.name)


def cautious(step: RewardStep) -> float:
    """A user's: the log return less a tenth of the drawdown and a hundredth of the turnover."""
    drawdown = 1.0 - step.equity / step.peak
    return step.log_growth - 0.1 * drawdown - 0.01 * step.turnover


@dataclass(frozen=True)
class Streak(Reward):
    """A user's that remembers: how many bars in a row the account gained."""

    name = "streak"

    def start(self) -> tuple[float, ...]:
        return (0.0,)

    @staticmethod
    def pay(step: RewardStep, memory: FloatArray) -> float:
        memory[0] = memory[0] + 1.0 if step.log_growth > 0.0 else 0.0
        return float(memory[0])


REWARDS = [*NAMES, njit(cautious), cautious, Streak()]


def pay(lanes: LaneRewards, log_growth: Any, **others: Any) -> FloatArray:
    """What lanes are paid where the equity grew so; the rest is nothing unless it is said."""
    growth = np.asarray(log_growth, dtype=np.float64)
    names = ("equity", "weight", "turnover", "cost", "market_return")
    facts = {name: np.full(growth.shape, float(name == "equity")) for name in names} | others
    return lanes.step(growth, **facts)


def pay_one(lane: ScalarReward, log_growth: float, equity: float = 1.0) -> float:
    return lane.step(log_growth, equity, 0.0, 0.0, 0.0, 0.0)


def test_log_return_rewards_sum_to_the_log_of_equity() -> None:
    rng = np.random.default_rng(0)
    account, rewards = Account(3), LaneRewards(3)
    total = np.zeros(3)
    for _ in range(200):
        settled = account.step(rng.uniform(-1, 1, 3), dream_bars(rng.normal(0, 0.01, 3)))
        total += pay(rewards, settled.reward)
    np.testing.assert_allclose(total, np.log(account.equity), rtol=1e-12)


def test_simple_return_is_the_relative_change_of_equity() -> None:
    growth = np.array([1.25, 0.5, 1.0])
    reward = pay(LaneRewards(3, "simple_return"), np.log(growth))
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
    reward = ScalarReward(DifferentialSharpe(initial_volatility=0.02))
    assert pay_one(reward, math.log(1.01)) == pytest.approx(0.5, rel=1e-12)


def test_differential_sharpe_stays_finite_on_a_flat_account_and_at_ruin() -> None:
    reward = ScalarReward(DifferentialSharpe(adaptation_rate=0.5))
    values = [pay_one(reward, 0.0) for _ in range(5_000)]
    values += [pay_one(reward, growth) for growth in (-1e-9, 0.05, math.log(1e-4))]
    assert np.isfinite(values).all()
    assert values[:5_000] == [0.0] * 5_000


@pytest.mark.parametrize("reward", REWARDS)
def test_scalar_and_lanes_agree_bit_for_bit(reward: Any) -> None:
    growth = np.random.default_rng(1).normal(0.0, 0.01, (300, 4))
    equity = np.exp(np.cumsum(growth, axis=0))
    lanes = LaneRewards(4, reward)
    together = np.array([pay(lanes, g, equity=e) for g, e in zip(growth, equity, strict=True)])
    for lane in range(4):
        scalar = ScalarReward(reward)
        alone = [
            pay_one(scalar, *row) for row in zip(growth[:, lane], equity[:, lane], strict=True)
        ]
        assert np.array(alone).tobytes() == together[:, lane].tobytes()


@pytest.mark.parametrize("reward", REWARDS)
def test_reset_of_some_lanes_leaves_the_others(reward: Any) -> None:
    growth = np.random.default_rng(2).normal(0.0, 0.01, (20, 2))
    kept, reset = LaneRewards(2, reward), LaneRewards(2, reward)
    for row in growth[:10]:
        pay(kept, row, equity=np.full(2, 1.5))
        pay(reset, row, equity=np.full(2, 1.5))
    reset.reset(np.array([True, False]))
    fresh = LaneRewards(2, reward)
    for row in growth[10:]:
        a, b, c = pay(kept, row), pay(reset, row), pay(fresh, row)
        assert b.tolist() == [c[0], a[1]]


@pytest.mark.parametrize("reward", REWARDS)
def test_rewards_are_fresh_arrays(reward: Any) -> None:
    growth = np.array([0.1])
    lanes = LaneRewards(1, reward)
    assert pay(lanes, growth) is not growth
    assert pay(lanes, growth) is not pay(lanes, growth)


@pytest.mark.parametrize("reward", [cautious, njit(cautious)])
def test_a_function_is_paid_by_hand(reward: Any) -> None:
    # Up to 1.25, down to 1.0: the drawdown is 1 − 1/1.25 = 0.2, a tenth of it 0.02; half turned.
    lanes = LaneRewards(2, reward)
    up, down = np.log([1.25, 1.25]), np.log([0.8, 0.8])
    pay(lanes, up, equity=np.full(2, 1.25))
    idle = np.array([False, True])
    paid = pay(lanes, down, equity=np.ones(2), turnover=np.array([0.5, 0.5]), idle=idle)
    assert paid == pytest.approx([math.log(0.8) - 0.02 - 0.005, 0.0], rel=1e-14)


def test_every_fact_of_a_bar_reaches_a_reward() -> None:
    seen: list[RewardStep] = []

    def look(step: RewardStep) -> float:
        seen.append(step)
        return 0.0

    ScalarReward(look).step(0.1, 0.9, 0.5, 0.4, 0.3, 0.2)
    (step,) = seen
    assert step == RewardStep(0.1, 0.9, 1.0, 0.5, 0.4, 0.3, 0.2)
    assert step.market_return == 0.2
    assert {type(value) for value in step} == {float}


@pytest.mark.parametrize("reward", [*NAMES, cautious, njit(cautious), Streak()])
def test_rewards_survive_pickling(reward: Any) -> None:
    one = ScalarReward(reward)
    pay_one(one, 0.02, 1.3)
    two = pickle.loads(pickle.dumps(one))
    assert pay_one(two, -0.01, 1.2) == pay_one(one, -0.01, 1.2)


def test_a_class_of_the_user_is_known_by_its_name() -> None:
    lanes = LaneRewards(2, "streak")
    assert isinstance(lanes.reward, Streak)
    assert [pay(lanes, [0.1, g]).tolist() for g in (0.1, -0.1, 0.1)] == [[1, 1], [2, 0], [3, 1]]


def test_ruin_has_a_finite_reward() -> None:
    account = Account(1, BrokerConfig.from_settings(leverage=10.0))
    ruined = account.step(np.ones(1), dream_bars(np.array([-0.5])))
    assert ruined.terminated[0]
    assert pay(LaneRewards(1), ruined.reward)[0] == pytest.approx(math.log(1e-4))
    simple = pay(LaneRewards(1, "simple_return"), ruined.reward)
    assert simple[0] == pytest.approx(1e-4 - 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adaptation_rate": 0.0}, "adaptation_rate is 0.0"),
        ({"initial_volatility": -1.0}, "initial_volatility is -1.0"),
        ({"eta": 0.1}, "DifferentialSharpe has no setting 'eta'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DifferentialSharpe.from_dict(settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("given", ["sharpe", "", None, 3.0, SimpleReturn])
def test_what_is_no_reward_is_refused(given: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"expected one of log_return, simple_return, diff.*funct"
    ):
        open_reward(given)


def test_a_name_a_record_and_the_default_are_the_same() -> None:
    assert open_reward("differential_sharpe") == DifferentialSharpe()
    assert open_reward(LogReturn()) == LaneRewards(1).reward


def undefined(step: RewardStep) -> float:
    return step.cost / step.turnover


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (njit(error_model="numpy")(undefined), r"pays nan for RewardStep\(log_growth=0\.1"),
        (lambda step: math.nan, r"pays nan for RewardStep\(log_growth=0\.1"),
        (lambda step: None, "pays None for RewardStep"),
        (lambda step: "much", "pays 'much' for RewardStep"),
        (njit(lambda step: step.fame), "cannot be compiled for a RewardStep"),
    ],
)
def test_a_function_that_pays_no_number_is_refused(reward: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pay(LaneRewards(2, reward), [0.1, 0.1])
    with pytest.raises(ConfigError, match=message):
        pay_one(ScalarReward(reward), 0.1)


def test_a_reward_without_a_name_is_paid_as_an_object_and_takes_no_name_away() -> None:
    @dataclass(frozen=True)
    class Nameless(Reward):
        pay = LogReturn.pay

    assert open_reward(Nameless()) == Nameless()
    assert isinstance(open_reward("simple_return"), SimpleReturn)
