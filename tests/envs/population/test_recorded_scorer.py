"""A search in replay: windows of the record score as the record itself does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controller
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.recorded_scorer import RecordedScorer
from worldmodel_trading.envs.population.scoring import Scores, score_replay
from worldmodel_trading.envs.recorded import RecordedMarket, feature_record, latent_record, restrict
from worldmodel_trading.envs.recorded_state import RecordedState
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.world_model import WorldModel

HORIZON, HOUR_MS = 30, 3_600_000
BROKER = BrokerConfig.from_settings(leverage=2.0)


def training(candles: Candles, model: WorldModel) -> RecordedMarket:
    return restrict(latent_record(candles, model), None, int(candles.open_time_ms[1_500]))


def population(model: WorldModel) -> np.ndarray:
    size = model.config.latent_size + model.config.hidden_size + 2
    return np.random.default_rng(4).normal(0.0, 0.4, (5, size))


def test_windows_score_as_replay_of_the_same_bars(candles: Candles, tiny_model: WorldModel) -> None:
    recorded = training(candles, tiny_model)
    scorer = RecordedScorer(tiny_model, recorded, HORIZON)
    starts = recorded.starts(HORIZON)
    assert scorer.engine.num_segments == len(starts) > 1_000
    segments = np.array([0, 77, 500, len(starts) - 1])
    found = scorer.score(population(tiny_model), Dreams(segments, HORIZON, 0), BROKER)
    paper = tiny_model.config.preset == "paper"
    for column, start in enumerate(starts[segments]):
        first = int(candles.open_time_ms[start])
        window = restrict(recorded, first, first + (HORIZON + 1) * HOUR_MS)
        state = RecordedState(tiny_model, window, 5) if paper else None
        expected = score_replay(window, population(tiny_model), BROKER, state)
        for name in Scores._fields:
            one, two = getattr(found, name)[:, column], getattr(expected, name)[:, 0]
            np.testing.assert_array_equal(one, two, err_msg=name)
        assert (found.steps[:, column] == HORIZON).all()
    assert np.unique(found.log_return).size == 20


def test_a_search_in_replay_repeats_and_is_not_that_in_dreams(
    candles: Candles, market_model: WorldModel
) -> None:
    config = DreamSearchConfig(CMAESConfig(population=6, generations=3), dreams=8, horizon=HORIZON)
    found = [
        train_controller(market_model, config, seed=2, scorer=scorer)[0].parameters
        for scorer in (
            RecordedScorer(market_model, training(candles, market_model), HORIZON),
            RecordedScorer(market_model, training(candles, market_model), HORIZON),
            None,
        )
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_bars": 31}, "wants windows of 31 bars, and the scorer has windows of 30"),
        ({"segments": np.array([10**6])}, "segments run from 1000000 to 1000000; expected numbers"),
        ({"temperature": 0.9}, "temperature is 0.9, and recorded bars have none"),
        ({"pessimism": 0.5}, "pessimism is 0.5, and nobody disagrees about recorded bars"),
        ({"funding": 1e-4}, "charged the funding that their record was opened with"),
    ],
)
def test_what_recorded_bars_do_not_have_is_refused(
    settings: dict[str, Any], said: str, candles: Candles, market_model: WorldModel
) -> None:
    scorer = RecordedScorer(market_model, training(candles, market_model), HORIZON)
    if "funding" in settings:
        settings = {"funding": DreamFunding(settings["funding"], market_model)}
    wanted = {"segments": np.array([0]), "num_bars": HORIZON, "seed": 0, **settings}
    with pytest.raises(ConfigError, match=said):
        scorer.score(population(market_model), Dreams(**wanted), BROKER)


def test_windows_need_the_world_model_s_view_and_bars(
    candles: Candles, market_model: WorldModel
) -> None:
    features = feature_record(candles, market_model.config.features)
    with pytest.raises(ConfigError, match=r"shows features; expected latent, hidden"):
        RecordedScorer(market_model, features)
    with pytest.raises(ConfigError, match=r"no episode of 5000 steps fits"):
        RecordedScorer(market_model, training(candles, market_model), 5_000)
    scorer = RecordedScorer(market_model, training(candles, market_model), HORIZON)
    with pytest.raises(ConfigError, match=r"a policy has 3 parameters"):
        scorer.score(np.zeros((5, 3)), Dreams(np.array([0]), HORIZON, 0), BROKER)
