import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from worldmodel_trading.evaluation.rollout import (
    evaluate_policy,
    pool_episodes,
    run_episode,
    traded_weight,
)
from worldmodel_trading.market.errors import ConfigError

FEE = 0.001


class FiveBars(gym.Env):
    """A small account over given simple returns, with the info protocol and nothing else."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, returns=(0.10, -0.20, 0.05, 0.0, 0.01), timed=True, silent=()):
        self.returns, self.timed, self.silent = returns, timed, silent

    def _info(self, market_return, cost):
        info = {
            "equity": self.equity,
            "weight": self.weight,
            "price": self.price,
            "market_return": market_return,
            "cost": cost,
        }
        if self.timed:
            info["time_ms"] = 3_600_000 * self.bar
        return {key: value for key, value in info.items() if key not in self.silent}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bar, self.equity, self.weight = 0, 1.0, 0.0
        self.price = 100.0 if seed is None else 100.0 + seed
        return np.zeros(2, np.float32), self._info(0.0, 0.0)

    def step(self, action):
        target, market_return = float(action[0]), self.returns[self.bar]
        cost = FEE * abs(target - self.weight)
        before = self.equity
        self.equity = max(0.0, before * (1 - cost) * (1 + target * market_return))
        growth = 1 + target * market_return
        self.weight = target * (1 + market_return) / growth if growth > 0 else 0.0
        self.price *= 1 + market_return
        self.bar += 1
        ruined = self.equity == 0
        reward = -10.0 if ruined else math.log(self.equity / before)
        observation = np.array([market_return, self.weight], np.float32)
        done = self.bar == len(self.returns)
        return observation, reward, ruined, done and not ruined, self._info(market_return, cost)


class Constant:
    def __init__(self, weight):
        self.weight = weight

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.array([self.weight], np.float32), None


class Counting:
    """A recurrent policy: its state counts the steps, and forgets at an episode's start."""

    def __init__(self):
        self.starts = []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        assert deterministic
        assert episode_start.shape == (1,)
        self.starts.append(bool(episode_start[0]))
        count = 0 if state is None or episode_start[0] else state
        return np.array([0.1 * count], np.float32), count + 1


def test_buy_and_hold_by_hand():
    record = run_episode(FiveBars(), Constant(1.0))
    growth = np.cumprod([1.10, 0.80, 1.05, 1.0, 1.01])
    assert record.equity == pytest.approx(np.concatenate([[1.0], 0.999 * growth]))
    assert record.turnover == pytest.approx([1.0, 0, 0, 0, 0], abs=1e-12)
    assert record.cost == pytest.approx([FEE, 0, 0, 0, 0])
    assert record.reward.sum() == pytest.approx(math.log(record.equity[-1]))
    assert record.time_ms.tolist() == [3_600_000 * bar for bar in range(6)]
    assert record.price[-1] == pytest.approx(100 * growth[-1])
    assert not record.terminated
    assert len(record) == 5
    assert record.performance(8760).max_drawdown == pytest.approx(0.2)


def test_turnover_of_a_rebalanced_weight_is_the_drift():
    record = run_episode(FiveBars(returns=(0.10, -0.20)), Constant(0.5))
    drifted = 0.5 * 1.10 / 1.05
    assert record.weight[1] == pytest.approx(drifted)
    assert record.turnover == pytest.approx([0.5, drifted - 0.5])


def test_traded_weight_inverts_the_drift_of_any_target():
    rng = np.random.default_rng(0)
    target, market_return = rng.uniform(-2, 2, 50), rng.uniform(-0.2, 0.2, 50)
    drifted = target * (1 + market_return) / (1 + target * market_return)
    weight = np.concatenate([[0.0], drifted])
    assert traded_weight(weight, market_return) == pytest.approx(np.abs(target - weight[:-1]))


def test_recurrent_state_is_carried_and_starts_anew():
    policy = Counting()
    env = FiveBars(returns=(0.0, 0.0, 0.0))
    first, second = run_episode(env, policy), run_episode(env, policy)
    assert first.action == pytest.approx([0.0, 0.1, 0.2])
    assert second.action == pytest.approx([0.0, 0.1, 0.2])
    assert policy.starts == [True, False, False] * 2


def test_a_ruined_account_is_padded_with_its_ruin():
    ruin = run_episode(FiveBars(returns=(0.0, 2.0, 0.1)), Constant(-1.0))
    assert ruin.terminated
    whole = run_episode(FiveBars(returns=(0.0, 0.1, 0.1)), Constant(-1.0))
    together = pool_episodes([ruin, whole], 8760)
    assert together.equity.shape == (2, 4)
    assert together.equity[0].tolist() == [1.0, pytest.approx(0.999), 0.0, 0.0]
    assert together.weight[0, -1] == 0.0
    assert math.isfinite(together.performance.log_return)


def test_episodes_are_seeded_in_turn_and_pooled():
    evaluation = evaluate_policy(
        FiveBars(timed=False), Constant(0.5), bars_per_year=8760, episodes=3, seed=5
    )
    assert [record.price[0] for record in evaluation.records] == [105.0, 106.0, 107.0]
    assert evaluation.equity.shape == (3, 6)
    curve = evaluation.curve()
    assert curve.time_ms is None
    assert curve.equity.shape == curve.weight.shape == (3, 6)


def test_curves_of_one_replay_have_times():
    curve = evaluate_policy(FiveBars(), Constant(0.5), bars_per_year=8760).curve()
    assert curve.time_ms.shape == curve.equity.shape == curve.weight.shape == (6,)


def test_wrong_input_is_named():
    with pytest.raises(ConfigError, match="lacks weight, cost"):
        run_episode(FiveBars(silent=("weight", "cost")), Constant(0.0))
    with pytest.raises(ConfigError, match="episodes"):
        evaluate_policy(FiveBars(), Constant(0.0), bars_per_year=8760, episodes=0)
