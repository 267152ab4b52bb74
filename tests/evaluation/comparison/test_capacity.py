import numpy as np
import pytest

from worldmodel_trading.agents.rules import RandomWeights
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv
from worldmodel_trading.evaluation.comparison.capacity import measure_capacity
from worldmodel_trading.evaluation.lanes import run_lanes
from worldmodel_trading.evaluation.rollout import evaluate_policy
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.optimal_policy import OptimalPolicy
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles

HOURS = 8760


class Targets:
    """Plays target weights from a start on, one after another."""

    def __init__(self, weights):
        self.weights = np.float32(weights)

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        step = 0 if state is None else state
        return self.weights[step : step + 1], step + 1


@pytest.fixture(scope="module")
def candles():
    return synthetic_candles(seed=11, bars=6_000)


@pytest.fixture(scope="module")
def best(candles):
    return OptimalPolicy(SyntheticMarket()).targets(candles)


def play(candles, targets, **settings):
    env = BybitReplayEnv(candles, episode_length=None, random_start=False, **settings)
    row = int(env.recorded.starts(None)[0])
    return evaluate_policy(env, Targets(targets[row:]), bars_per_year=HOURS).episodes


def annual(episodes):
    return HOURS * episodes.returns.mean()


def test_the_account_with_that_capital_keeps_half_and_nothing(candles, best):
    # small weights: an account that grew fourfold would trade far more than one that stood still
    targets = 0.1 * best
    free = play(candles, targets)
    found = measure_capacity(free, candles, HOURS)
    assert found.gone_usdt == pytest.approx(4 * found.halved_usdt)
    halved, gone = (
        play(candles, targets, impact=1.0, impact_capital_usdt=capital)
        for capital in (found.halved_usdt, found.gone_usdt)
    )
    assert annual(free) > 0.1
    assert annual(halved) == pytest.approx(annual(free) / 2, rel=0.05)
    assert annual(gone) == pytest.approx(0.0, abs=0.05 * annual(free))


def test_twice_the_impact_leaves_a_quarter(candles, best):
    episodes = play(candles, best)
    one, two = (measure_capacity(episodes, candles, HOURS, impact) for impact in (1.0, 2.0))
    assert two.halved_usdt == pytest.approx(one.halved_usdt / 4)


def test_the_largest_order_is_all_of_its_bar(candles):
    few = candles.rows(0, 400)
    row = int(BybitReplayEnv(few, episode_length=None).recorded.starts(None)[0])
    side = np.sign(few.close[-1] - few.close[row])  # held to the end it earns
    held = play(few, np.full(400, 0.5 * side))
    held.turnover[0, 1:] = 0.0  # the one order, without those that keep the weight
    found = measure_capacity(held, few, HOURS)
    assert found.whole_bar_usdt == pytest.approx(few.turnover[row] / 0.5)


def test_who_earns_nothing_has_no_capacity(candles):
    losing = play(candles, np.random.default_rng(0).uniform(-1, 1, 7_000))
    assert measure_capacity(losing, candles, HOURS).to_dict() == {
        "impact": 1.0,
        "halved_usdt": None,
        "gone_usdt": None,
        "whole_bar_usdt": None,
    }
    idle = play(candles, np.zeros(7_000))
    assert measure_capacity(idle, candles, HOURS).gone_usdt is None


def test_other_candles_and_dreams_are_refused(candles):
    episodes = play(candles, np.ones(7_000))
    with pytest.raises(ConfigError, match="the candles lack"):
        measure_capacity(episodes, candles.rows(0, 5_000), HOURS)
    dreams = run_lanes(DreamVectorEnv(2, "default", horizon=5), RandomWeights(), seed=0)
    with pytest.raises(ConfigError, match="got 2 without times"):
        measure_capacity(dreams, candles, HOURS)
