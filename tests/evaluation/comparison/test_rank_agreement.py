import numpy as np
import pytest
import scipy.stats

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.envs.population.scoring import Scores
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.comparison.pay import Pay
from worldmodel_trading.evaluation.comparison.rank_agreement import (
    measure_rank_agreement,
    random_controllers,
    spearman,
)
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.world_model import WorldModel

RANGES = {"validation": (1_000, 1_500), "test": (1_500, 6_000)}
SIZE = {"controllers": 120, "dreams": 256, "bars": 300}


@pytest.fixture(scope="module")
def world_model():
    return WorldModel.from_pretrained("default")


@pytest.fixture(scope="module")
def candles():
    return synthetic_candles(seed=9, bars=6_000)


@pytest.fixture(scope="module")
def agreement(world_model, candles):
    return measure_rank_agreement(world_model, candles, RANGES, seed=0, **SIZE)


def test_correlation_equals_scipy():
    rng = np.random.default_rng(0)
    first = rng.standard_normal(60)
    second = first + rng.standard_normal(60)
    interval = spearman(first, second, rng)
    assert interval.value == pytest.approx(scipy.stats.spearmanr(first, second).statistic)
    assert interval.low < interval.value < interval.high


def test_equal_and_opposite_rankings():
    scores = np.arange(20.0)
    rng = np.random.default_rng(0)
    assert spearman(scores, scores**3, rng).value == pytest.approx(1.0)
    assert spearman(scores, -scores, rng).value == pytest.approx(-1.0)
    assert spearman(scores, np.zeros(20), rng).value == 0.0


def test_replay_scores_are_those_of_the_environment(agreement, world_model, candles):
    parameters = random_controllers(world_model, 60, np.random.default_rng(0))
    times = candles.open_time_ms
    env = BybitReplayEnv(
        candles,
        world_model,
        start=int(times[1_000]),
        end=int(times[1_500]),
        episode_length=None,
        random_start=False,
    )
    for i in (0, 17):
        record = run_episode(env, LinearController(parameters[i]))
        assert len(record) == 499
        assert agreement.replay["validation"][i] == pytest.approx(
            np.log(record.equity[-1]) / 499, abs=1e-8
        )


def test_the_dream_ranks_as_the_synthetic_market_does(agreement):
    assert agreement.spearman["test"].low > 0.2
    assert set(agreement.between_ranges) == {"validation, test"}
    assert set(agreement.before_costs) == {"validation", "test", "validation, test"}
    table = agreement.to_dict()
    assert table["controllers"] == 120
    assert set(table["spearman"]) == {"validation", "test"}


def test_it_is_audited(agreement):
    audit = agreement.audits["test"]
    assert audit.net.spearman.value == pytest.approx(agreement.spearman["test"].value)
    assert audit.gross.spearman.value == pytest.approx(agreement.before_costs["test"].value)
    found = agreement.to_dict()["audits"]["test"]["before_costs"]
    assert found["beyond"]["value"] == audit.gross.beyond.value


def test_floors_are_what_the_training_range_paid(world_model):
    market = synthetic_candles()
    start = np.searchsorted(market.open_time_ms, world_model.provenance.validation_end_ms)
    later = {"later": (int(start), len(market))}
    found = measure_rank_agreement(world_model, market, later, seed=0, **SIZE).audits["later"]
    assert set(found.net.floors) == {
        "minus cost",
        "mean exposure",
        "recorded training range",
        "its last quarter",
    }
    assert found.net.floors["recorded training range"].value > 0.5  # the market does not change
    assert found.gross.beyond.low > 0.0  # and its edge is real
    assert found.gross.adds == (
        found.gross.beyond.value > max(one.value for one in found.gross.floors_beyond.values())
    )


def test_without_the_training_range_there_are_no_floors(world_model):
    market = synthetic_candles()
    start = int(np.searchsorted(market.open_time_ms, world_model.provenance.validation_end_ms))
    later = market.rows(start - 450, len(market))
    found = measure_rank_agreement(world_model, later, {"later": (450, len(later))}, seed=0, **SIZE)
    assert found.audits["later"].net.floors == {}
    assert found.audits["later"].net.strongest_floor is None


def test_it_repeats(agreement, world_model, candles):
    again = measure_rank_agreement(world_model, candles, RANGES, seed=0, **SIZE)
    np.testing.assert_array_equal(agreement.dream, again.dream)
    assert agreement.spearman == again.spearman


def test_controllers_that_read_one_part(world_model):
    z = world_model.config.latent_size
    blind = random_controllers(world_model, 5, np.random.default_rng(0), reads="h")
    assert not blind[:, :z].any()
    assert blind[:, z:].all()
    memoryless = random_controllers(world_model, 5, np.random.default_rng(0), reads="z")
    assert not memoryless[:, z:-2].any()
    assert memoryless[:, :z].all()
    assert memoryless[:, -2:].all()


def test_too_few_controllers_are_named(world_model, candles):
    with pytest.raises(ConfigError, match="at least 8"):
        measure_rank_agreement(world_model, candles, RANGES, seed=0, controllers=7)


def test_costs_given_back_leave_what_was_earned():
    # one path of four bars: gained 1% and 2%, paid 0.3% and 0.1% in all
    columns = dict.fromkeys(Scores._fields, 0.0) | {"steps": 4.0}
    arrays = {name: np.full((2, 1), value) for name, value in columns.items()}
    arrays |= {"return_sum": np.array([[0.01], [0.02]]), "cost": np.array([[0.003], [0.001]])}
    pay = Pay.of(Scores(**arrays))
    np.testing.assert_allclose(pay.gross, [0.013 / 4, 0.021 / 4])
    np.testing.assert_allclose(pay.cost, [0.003 / 4, 0.001 / 4])
