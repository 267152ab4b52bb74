"""A population in pessimistic dreams is paid what environments pay, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from rule_cases import BTCUSDT

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controller
from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.envs.device.scorer import DeviceDreams
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.scoring import dream_paths, score_paths
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.world_model import WorldModel

BARS, LANES, PESSIMISM = 40, 6, 3.0
RULES = {
    "plain": {},
    "limited": {"leverage": 3.0, "max_turnover": 0.2},
    "liquidated": {"leverage": 60.0, "maintenance_margin": 0.005},
    "rounded": {"capital_usdt": 1_000.0, "impact": 0.5, **BTCUSDT},
}


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("bias", [-1.0, 0.3])
def test_environments_take_from_a_policy_what_the_population_loses(
    bias: float, rules: str, family: BarWorldModel
) -> None:
    """A policy of a bias alone wants the same weight to the last bit, however sums are ordered."""
    segments = np.array([0, 5, 17, 20, 33, 40])
    engine, broker = open_engine(family), BrokerConfig.from_settings(**RULES[rules])
    paid, doubts = {}, []
    for factor in (0.0, PESSIMISM):
        lanes = gym.make_vec(
            "WorldModelDream-v0",
            num_envs=LANES,
            world_model=family,
            horizon=BARS,
            pessimism=factor,
            autoreset_mode="disabled",
            **RULES[rules],
        ).unwrapped
        lanes.reset(seed=1, options={"segment": list(segments)})
        rng = np.random.default_rng()
        rng.bit_generator.state = lanes.np_random.bit_generator.state
        size = family.config.latent_size + family.config.hidden_size + 2
        parameters = np.append(np.zeros(size - 1), bias).astype(np.float32)
        actions, _ = LinearController(parameters).predict(np.zeros((LANES, size - 1), np.float32))
        steps, weights = [], []
        for _ in range(BARS):
            steps.append(lanes.step(actions))
            weights.append(np.abs(lanes._account._out[1]))  # held through the bar: row `executed`
            doubts.append(lanes._lanes.doubt)
            lanes._done[:] = False  # accounts that ended stand still
        paid[factor] = np.array([step[1] for step in steps])
        lived = np.cumsum([step[2] for step in steps], axis=0) - [step[2] for step in steps] == 0
    paths = dream_paths(engine, segments, BARS, rng, broker=broker, pessimism=PESSIMISM)
    assert paths.doubt is not None
    np.testing.assert_array_equal(np.array(doubts[BARS:])[lived], paths.doubt.T[lived])
    penalty = paths.doubt.T * np.array(weights)
    np.testing.assert_array_equal(paid[PESSIMISM][lived], (paid[0.0] - penalty)[lived])
    scores = score_paths(paths, parameters[np.newaxis], broker)
    taken = np.zeros(LANES)
    for bar in np.where(lived, penalty, 0.0):
        taken += bar
    np.testing.assert_array_equal(scores.penalty[0], taken)
    assert (taken > 0.0).all()
    np.testing.assert_array_equal(scores.paid().log_return, scores.log_return - scores.penalty)
    assert lived.all() == (rules != "liquidated")


def dreams_of(family: BarWorldModel, pessimism: float) -> Dreams:
    segments = np.random.default_rng(0).integers(family.num_segments, size=70)
    return Dreams(segments, 20, 7, pessimism=pessimism)


def population(model: BarWorldModel) -> np.ndarray:
    size = model.config.latent_size + model.config.hidden_size + 2
    return np.random.default_rng(4).normal(0.0, 0.4, (5, size))


def test_pessimism_takes_in_proportion_and_leaves_the_account_alone(
    family: BarWorldModel,
) -> None:
    workers = DreamWorkers(family, 0)
    none, one, two = (
        workers.score(population(family), dreams_of(family, factor), BrokerConfig())
        for factor in (0.0, 1.0, 2.0)
    )
    assert (none.penalty == 0.0).all()
    np.testing.assert_array_equal(2.0 * one.penalty, two.penalty)
    for name in set(none._fields) - {"penalty"}:
        np.testing.assert_array_equal(getattr(none, name), getattr(two, name), err_msg=name)
    paths = workers.dream(dreams_of(family, 1.0))
    assert paths.doubt is not None
    assert paths.doubt.shape == (70, 20)
    with DreamWorkers(family, 2) as processes:
        again = processes.score(population(family), dreams_of(family, 2.0), BrokerConfig())
    np.testing.assert_array_equal(again.penalty, two.penalty)


def test_a_search_is_paid_less_for_what_is_doubtful(family: BarWorldModel) -> None:
    """So much pessimism leaves nothing to gain: what is found trades far less."""
    turnover = {}
    for factor in (0.0, 1e4):
        config = DreamSearchConfig(
            CMAESConfig(population=16, generations=25), dreams=32, horizon=20, pessimism=factor
        )
        controller, _ = train_controller(family, config, BrokerConfig(), seed=0)
        scores = DreamWorkers(family, 0).score(
            controller.parameters[np.newaxis], dreams_of(family, 0.0), BrokerConfig()
        )
        turnover[factor] = scores.turnover.mean()
    assert turnover[1e4] < 0.25 * turnover[0.0]


def test_pessimism_without_members_or_on_a_device_is_refused(
    family: BarWorldModel, market_model: WorldModel
) -> None:
    few = replace(dreams_of(family, 0.5), segments=np.array([0]))
    with pytest.raises(ConfigError, match=r"pessimism is 0.5, and this world model has one member"):
        DreamWorkers(market_model, 0).score(population(family), few, BrokerConfig())
    with (
        DeviceDreams(family, "cpu") as there,
        pytest.raises(ConfigError, match=r"pessimism is 0.5, and dreams on a device have none"),
    ):
        there.score(population(family), few, BrokerConfig())
