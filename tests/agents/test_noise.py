"""A hundred agents by chance, and whether any of them is called good."""

from functools import cache

import numpy as np
import pytest

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.noise import noise_agents
from worldmodel_trading.agents.rules import ConstantWeight, RandomWeights, buy_and_hold
from worldmodel_trading.envs.vector import ReplayVectorEnv
from worldmodel_trading.evaluation.comparison.luck import measure_luck
from worldmodel_trading.evaluation.lanes import run_lanes
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.optimal_policy import OptimalPolicy
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles

YEAR = 8_760


class Script:
    """Weights one after another, whatever is seen."""

    def __init__(self, weights):
        self.weights = np.float32(weights)

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        step = 0 if state is None else state
        return self.weights[step].reshape(1, 1), step + 1


class Crowd:
    """One policy a lane; linear controllers and constant weights are arrays."""

    def __init__(self, policies):
        self.policies = list(policies)
        linear = [i for i, p in enumerate(self.policies) if isinstance(p, LinearController)]
        self.linear = np.array(linear)
        self.parameters = np.stack([self.policies[i].parameters for i in linear])
        kept = [i for i, p in enumerate(self.policies) if isinstance(p, ConstantWeight)]
        self.kept = np.array(kept)
        self.weights = np.float32([self.policies[i].weight for i in kept])
        self.others = [i for i in range(len(self.policies)) if i not in {*linear, *kept}]

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        state = state or dict.fromkeys(self.others)
        actions = np.empty((len(observation), 1), np.float32)
        seen = observation[self.linear]
        inner = (seen * self.parameters[:, :-1]).sum(axis=1) + self.parameters[:, -1]
        actions[self.linear, 0] = np.tanh(inner)
        actions[self.kept, 0] = self.weights
        for lane in self.others:
            begins = episode_start[lane : lane + 1]
            here = observation[lane : lane + 1]
            acted, state[lane] = self.policies[lane].predict(here, state[lane], begins)
            actions[lane] = acted[0]
        return actions, state


@cache
def optimum(edge):
    return OptimalPolicy(SyntheticMarket(edge))


def compared(edge, seed, bars, count=100):
    """The luck of noise and of the optimal policy on unseen years."""
    candles = synthetic_candles(seed=seed, bars=bars, edge=edge)
    settings = {"candles": candles, "episode_length": None, "random_start": False}
    first = ReplayVectorEnv(1, **settings)
    observation, info = first.reset()
    row = np.searchsorted(candles.open_time_ms, info["time_ms"][0])
    policies = noise_agents(observation.shape[1], count, seed)
    policies["optimal"] = Script(optimum(edge).targets(candles)[row:])
    policies["hold"] = buy_and_hold()
    lanes = ReplayVectorEnv(len(policies), **settings)
    episodes = run_lanes(lanes, Crowd(policies.values()), seed=seed)
    returns = dict(zip(policies, episodes.returns, strict=True))
    return measure_luck(returns, returns["hold"], bars_per_year=YEAR)


def called_good(luck):
    return [name for name in luck.policies if luck.verdict(name).good]


def test_noise_is_of_three_kinds_and_repeats():
    one, two = noise_agents(5, 30, seed=1), noise_agents(5, 30, seed=1)
    assert list(one) == list(two)
    kinds = [type(policy) for policy in one.values()]
    assert [kinds.count(k) for k in (RandomWeights, ConstantWeight, LinearController)] == [10] * 3
    seen = np.random.default_rng(0).standard_normal((1, 5)).astype(np.float32)
    drawn = [[policy.predict(seen)[0].item() for policy in each.values()] for each in (one, two)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 30
    assert list(noise_agents(5, 30, seed=2)) != list(one)
    with pytest.raises(ConfigError, match="count is 0"):
        noise_agents(5, 0)


@pytest.mark.parametrize(("edge", "years"), [(0.0, 1), (1.0, 2)])
def test_no_noise_is_called_good_and_the_optimal_policy_is(edge, years):
    luck = compared(edge, seed=301, bars=years * YEAR)
    assert len(luck.policies) == luck.trials == 102
    assert called_good(luck) == (["optimal"] if edge else [])
    assert max(one.sharpe.value for one in luck.policies.values()) > 0.5  # luck looks well


@pytest.mark.slow
@pytest.mark.parametrize(("edge", "seed"), [(0.0, 304), (0.3, 303), (1.0, 302)])
def test_so_it_is_in_other_markets(edge, seed):
    good = called_good(compared(edge, seed, bars=3 * YEAR))
    # three years may or may not be enough to tell the best of a third of the edge from luck
    assert good in {0.0: ([],), 0.3: ([], ["optimal"]), 1.0: (["optimal"],)}[edge]
