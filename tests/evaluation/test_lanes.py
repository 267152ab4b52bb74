import numpy as np
import pytest

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.rules import buy_and_hold
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv
from worldmodel_trading.evaluation.lanes import evaluate_lanes
from worldmodel_trading.evaluation.rollout import chain_episodes, run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.synthetic import synthetic_candles

HOURS = 8760
COSTS = 0.00055 + 0.0002


def test_buy_and_hold_in_dreams_pays_once_and_follows_the_price():
    env = DreamVectorEnv(6, "default", horizon=50)
    measured, equity = evaluate_lanes(env, buy_and_hold(), bars_per_year=HOURS, seed=3)
    assert equity.shape == (6, 51)
    assert (equity[:, 0] == 1).all()
    assert measured.costs == pytest.approx(COSTS)
    assert measured.turnover == pytest.approx(1 / 50)
    assert measured.log_return == pytest.approx(np.log(equity[:, -1]).mean())


def test_lanes_repeat_under_one_seed():
    size = DreamVectorEnv(1, "default").single_observation_space.shape[0]
    policy = LinearController(0.1 * np.random.default_rng(0).standard_normal(size + 1))
    runs = [
        evaluate_lanes(
            DreamVectorEnv(4, "default", horizon=30), policy, bars_per_year=HOURS, seed=s
        )
        for s in (5, 5, 6)
    ]
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert not np.array_equal(runs[0][1], runs[2][1])


def test_stretches_between_gaps_are_joined():
    candles = synthetic_candles(seed=4, bars=900)
    keep = np.r_[0:450, 460:900]
    names = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    gapped = Candles(*(getattr(candles, name)[keep] for name in names), interval="60")
    env = BybitReplayEnv(gapped, episode_length=None, random_start=False)
    records = [
        run_episode(env, buy_and_hold(), options={"start": int(gapped.open_time_ms[row])})
        for row in env.recorded.starts(None)
    ]
    assert len(records) == 2
    joined = chain_episodes(records, HOURS)
    product = records[0].equity[-1] * records[1].equity[-1]
    curve = joined.curve()
    assert curve.equity[-1] == pytest.approx(product)
    assert joined.performance.log_return == pytest.approx(np.log(product))
    assert joined.performance.costs == pytest.approx(2 * COSTS)
    assert len(curve.time_ms) == len(curve.equity) == len(curve.weight)
    assert (np.diff(curve.time_ms) > 0).all()
