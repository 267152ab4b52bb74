"""Whether the self-test says of trainers what is true of them."""

import json
import sys

import gymnasium as gym
import numpy as np
import pytest

from worldmodel_trading.agents.rules import flat
from worldmodel_trading.jobs import self_test as job
from worldmodel_trading.jobs.self_test import SelfTestConfig, self_test
from worldmodel_trading.known_market import Handed, KnownMarket, Variant
from worldmodel_trading.market.errors import ConfigError

TINY = {"seeds": 2, "episodes": 4, "bars": 1_000, "train_bars": 8_760}
TRAINERS = '''
import numpy as np

SEEN = []


class Follows:
    """Holds the sign of the last number before the account's."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.sign(observation[..., -2:-1]), None


def follows(env, seed):
    observation, info = env.reset(seed=seed)
    SEEN.append((seed, observation.shape))
    env.step(env.action_space.sample())
    return Follows()


def idle(env, weight=0.0):
    env.reset()

    class Idle:
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return np.full((len(observation), 1), weight, np.float32), None

    return Idle()


def forgets(env):
    return None


number = 3
'''


@pytest.fixture
def trainers(tmp_path, monkeypatch):
    (tmp_path / "trainers_of_a_user.py").write_text(TRAINERS)
    monkeypatch.chdir(tmp_path)
    yield "trainers_of_a_user"
    sys.modules.pop("trainers_of_a_user", None)


def test_who_follows_what_is_handed_earns_all_of_it(trainers):
    found = self_test(f"{trainers}:follows", **TINY)
    handed, edge, nothing = found.checks
    assert handed.passed
    assert "100% of what the sign of that return earns" in handed.words
    assert handed.earned.value > 10.0
    assert not edge.passed  # there the last number is another
    assert "does not find the edge" in edge.words
    assert nothing.passed
    assert not found.passed
    assert "cannot yet learn here" in str(found)
    json.dumps(found.to_dict(), allow_nan=False)
    seen = sys.modules[trainers].SEEN
    assert [seed for seed, _ in seen] == [0, 1] * 3
    assert seen[0][1][0] == seen[2][1][0] + 1


def test_who_does_nothing_has_learned_nothing(trainers):
    found = self_test(f"{trainers}:idle", **TINY)
    assert [check.passed for check in found.checks] == [False, False, True]
    assert [check.earned.value for check in found.checks] == [0.0] * 3
    assert "look for a fault in its training" in found.checks[0].words
    assert found.checks[1].best > 0.5


def test_a_trainer_takes_settings(trainers):
    held = self_test(f"{trainers}:idle", settings={"weight": 1.0}, **TINY)
    assert held.checks[0].earned.value != 0.0


def test_a_search_learns_what_it_is_handed():
    settings = {"population": 16, "generations": 10}
    found = self_test("cma_es", settings=settings, **TINY)
    handed, edge, nothing = found.checks
    assert handed.passed
    assert handed.earned.value > 1.0
    assert handed.by_seed[0] != handed.by_seed[1]
    assert edge.best > edge.earned.value
    assert nothing.passed


def test_networks_are_trained_and_judged():
    found = self_test(
        "ppo", steps=8_192, settings={"n_steps": 32, "batch_size": 1_024}, **{**TINY, "seeds": 1}
    )
    assert [check.name for check in found.checks] == [
        "handed the next return",
        "a known edge",
        "no edge",
    ]
    assert np.isfinite([check.earned.value for check in found.checks]).all()
    assert self_test("dqn", steps=2_048, **{**TINY, "seeds": 1}).checks[2].passed


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["cma_es", "ppo"])
def test_the_agents_of_the_package_learn_here(agent):
    found = self_test(agent)
    assert found.passed, str(found)
    assert found.checks[0].earned.value > 0.5 * found.checks[0].best
    assert found.checks[1].earned.value > 0.25 * found.checks[1].best


@pytest.mark.parametrize(
    ("agent", "settings", "message"),
    [
        ("ppoo", {}, "no agent 'ppoo' to train; did you mean 'ppo'"),
        ("ppo", {"stepz": 1}, "has no setting 'stepz'; did you mean 'steps'"),
        ("ppo", {"seeds": 0}, "seeds is 0"),
        ("ppo", {"settings": {"gama": 0.9}}, "has no setting 'gama'"),
        ("cma_es", {"settings": {"populations": 3}}, "has no setting 'populations'"),
        ("nowhere:train", {}, "there is no 'nowhere:train'"),
    ],
)
def test_what_is_impossible_is_refused(agent, settings, message):
    with pytest.raises(ConfigError, match=message):
        self_test(agent, **settings)


def test_what_trains_nothing_is_refused(trainers):
    with pytest.raises(ConfigError, match="is a int; expected a function"):
        self_test(f"{trainers}:number", **TINY)
    with pytest.raises(ConfigError, match="returned a NoneType; expected a policy"):
        self_test(f"{trainers}:forgets", **TINY)


def test_lanes_and_env_show_the_same_coming_return():
    market = KnownMarket(Variant(0.0, handed=True), 50, 20, seed=3)
    lanes, env = market.lanes(1), market.env()
    assert isinstance(env, Handed)
    assert env.observation_space == lanes.single_observation_space
    shown, info = lanes.reset(seed=1)
    alone, _ = env.reset(options={"start": int(info["time_ms"][0])})
    np.testing.assert_array_equal(alone, shown[0])
    for _ in range(5):
        coming = shown[0, -2]
        action = np.array([0.5], np.float32)
        alone, *_, info = env.step(action)
        shown, *_ = lanes.step(action[np.newaxis])
        np.testing.assert_array_equal(alone, shown[0])
        assert coming == pytest.approx(100 * np.log1p(info["market_return"]), rel=1e-5)


def test_no_other_variant_shows_it():
    plain = KnownMarket(Variant(1.0), 50, 20, seed=3)
    handed = KnownMarket(Variant(1.0, handed=True), 50, 20, seed=3)
    assert plain.recorded.view.shape[1] + 1 == handed.recorded.view.shape[1]
    assert isinstance(plain.env(), gym.Env)
    assert not isinstance(plain.env(), Handed)
    np.testing.assert_array_equal(plain.earned(flat()), np.zeros(50))


def test_what_an_edge_must_not_be():
    rng = np.random.default_rng(0)
    lucky = 0.5 + 0.1 * rng.standard_normal((3, 12))
    check = job._judge_nothing(lucky, 0.0)
    assert not check.passed
    assert "sees what it must not" in check.words
    assert job._judge_nothing(lucky - 0.5, 0.0).passed
    assert "pays for trades" in job._judge_nothing(lucky - 2.0, 0.0).words
    span = job._interval(lucky)
    assert span.low < 0.5 < span.high
    assert span.high - span.low == pytest.approx(4 * 0.1 / np.sqrt(36), rel=0.6)
    assert SelfTestConfig.from_dict(SelfTestConfig(seeds=2).to_dict()) == SelfTestConfig(seeds=2)
