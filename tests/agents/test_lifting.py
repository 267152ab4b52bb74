import numpy as np
import pytest

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controller
from worldmodel_trading.agents.lifting import LiftConfig, measure_lift
from worldmodel_trading.evaluation.comparison.lift import HOLDING, RANDOM, RECORDED_SEARCH
from worldmodel_trading.market.errors import ConfigError

SEARCH = DreamSearchConfig(CMAESConfig(population=6, generations=3), dreams=4, horizon=24)
CONFIG = LiftConfig(SEARCH, searches=2, dreams=8, crossed_dreams=3)


@pytest.fixture(scope="module")
def lift(market_model, candles):
    told = []
    ranges = {"later": (1_900, len(candles))}
    made = measure_lift(
        {"a": market_model, "b": market_model}, candles, ranges, config=CONFIG, progress=told.append
    )
    assert told == ["a: searches", "b: searches", "winners in each other's dreams"]
    return made


def test_every_search_has_its_curves_and_rivals(lift, candles):
    assert [(one.world_model, one.search) for one in lift.searches] == [
        ("a", 0), ("a", 1), ("b", 0), ("b", 1),
    ]  # fmt: skip
    for one in lift.searches:
        assert set(one.rivals) == {RANDOM, RECORDED_SEARCH, HOLDING}
        assert len(one.climb.promised) == len(one.climb.dream) == 3
        assert len(one.climb.market["later"]) == 3
        assert np.isfinite(lift.curves().log_return).all()
    held = lift.searches[0].rivals[HOLDING]["later"]
    bars = len(candles) - 1_901
    earned = np.log(candles.close[-1] / candles.close[1_900]) - 0.00075
    assert held == pytest.approx(8_760 * earned / bars, abs=1e-3)


def test_one_model_twice_is_one_result(lift):
    first, second = lift.searches[0], lift.searches[2]
    np.testing.assert_array_equal(first.climb.dream, second.climb.dream)
    assert lift.crossed["a"] == pytest.approx(lift.crossed["b"])
    assert set(lift.crossed["a"]) == {"a", "b"}


def test_centres_are_what_generations_stand_for(market_model):
    controller, found = train_controller(market_model, SEARCH, seed=0)
    assert len(found.centres) == len(found.history) == 3
    np.testing.assert_array_equal(found.centres[-1], found.parameters)
    np.testing.assert_array_equal(controller.parameters, found.parameters.astype(np.float32))


def test_without_the_training_range_nothing_is_searched_on_it(market_model, candles):
    late = candles.rows(1_550, len(candles))
    later = {"later": (400, len(late))}
    config = LiftConfig(SEARCH, searches=1, dreams=8)
    found = measure_lift({"a": market_model}, late, later, config=config)
    assert set(found.searches[0].rivals) == {RANDOM, HOLDING}
    assert found.crossed == {}


def test_what_has_no_lift_is_refused(paper_model, candles):
    with pytest.raises(ConfigError, match="expected 'market'"):
        measure_lift({"a": paper_model}, candles, {}, config=CONFIG)
    with pytest.raises(ConfigError, match="hidden_size 3"):
        LiftConfig(DreamSearchConfig(hidden_size=3))
    with pytest.raises(ConfigError, match="expected log_return"):
        LiftConfig(DreamSearchConfig(objective="sharpe"))
