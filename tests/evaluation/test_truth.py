"""The distance from the known truth: 0 for the truth, and smaller for what learned more of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldmodel_trading.evaluation.loss_tests import LossDifference
from worldmodel_trading.evaluation.truth import WHOLE_BAR, bar_log_probs, distance_to_truth
from worldmodel_trading.evaluation.untrained import with_untrained_memory
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.streams import BAR_NUMBERS
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.training.train import train_world_model

HELD_OUT = (1_900, 6_000)  # what the tiny models never saw


@pytest.fixture(scope="module")
def record() -> Candles:
    """The market of the tiny models, further on."""
    return synthetic_candles(seed=5, bars=6_000)


@pytest.fixture(scope="module")
def distance(market_model: BarWorldModel, record: Candles) -> dict[str, LossDifference]:
    return distance_to_truth(market_model, record, HELD_OUT)


def test_the_truth_is_at_no_distance(record: Candles) -> None:
    found = distance_to_truth(SyntheticMarket(), record, HELD_OUT)
    assert list(found) == [*BAR_NUMBERS, WHOLE_BAR]
    assert {gap.value for gap in found.values()} == {0.0}


def test_a_world_model_is_at_a_distance_in_every_part(
    distance: dict[str, LossDifference],
) -> None:
    assert list(distance) == [*BAR_NUMBERS, WHOLE_BAR]
    assert all(gap.low > 0.0 for gap in distance.values())
    parts = sum(distance[name].value for name in BAR_NUMBERS)
    assert distance[WHOLE_BAR].value == pytest.approx(parts)


def test_training_brings_every_part_nearer(record: Candles, market_config: MarketConfig) -> None:
    config = replace(market_config, forecast_epochs=8, head_epochs=16, batch_size=32)
    model, _ = train_world_model(record.rows(0, 1_500), record.rows(1_500, 1_900), config, seed=1)
    near = distance_to_truth(model, record, HELD_OUT)
    far = distance_to_truth(with_untrained_memory(model, 0), record, HELD_OUT)
    for name, gap in near.items():
        assert gap.low > 0.0, name
        assert gap.high < far[name].low, name


def test_it_is_the_mean_difference_of_the_bars_that_are_scored(
    market_model: BarWorldModel, record: Candles, distance: dict[str, LossDifference]
) -> None:
    """Row t forecasts bar t + 1, so the first bar that is held out is forecast by the row before."""
    rows = slice(HELD_OUT[0] - 1, HELD_OUT[1] - 1)
    gap = (SyntheticMarket().bar_log_prob(record) - market_model.bar_log_prob(record))[rows]
    assert distance[WHOLE_BAR].value == pytest.approx(gap.mean())
    error = (distance[WHOLE_BAR].high - gap.mean()) / 1.96
    assert error > 0.5 * gap.std() / np.sqrt(len(gap))


def test_another_market_is_at_the_distance_that_its_edge_makes(record: Candles) -> None:
    """N(m, σ²) from N(m', σ²) is (m − m')²/2σ²: drifts that pay the other way round, regimes known."""
    wrong = distance_to_truth(SyntheticMarket(edge=-20.0), record, HELD_OUT)
    assert wrong["log_return"].value > 0.1
    assert wrong["log_return"].low > 0.0


def test_a_world_model_that_draws_no_bars_tells_of_the_return(
    paper_model: PaperWorldModel, record: Candles
) -> None:
    found = distance_to_truth(paper_model, record, HELD_OUT)
    assert list(found) == ["log_return"]
    assert found["log_return"].low > 0.0
    density = SyntheticMarket().bar_log_prob_parts(record)[:, 0]
    ours = bar_log_probs(paper_model, record)["log_return"]
    rows = slice(HELD_OUT[0] - 1, HELD_OUT[1] - 1)
    assert found["log_return"].value == pytest.approx((density - ours)[rows].mean())


def test_nothing_to_score_is_named(market_model: BarWorldModel, record: Candles) -> None:
    with pytest.raises(ConfigError, match="enough bars before"):
        distance_to_truth(market_model, record, (2, 100))
