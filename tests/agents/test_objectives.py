"""Objectives: their formulas against plain ones on equity curves, and what the search makes of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import (
    DreamSearchConfig,
    train_controller,
    validation_window,
)
from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.objectives import OBJECTIVES, Merit, Objective
from worldmodel_trading.envs.population.scoring import Scores, score_replay, stretches
from worldmodel_trading.envs.recorded import RecordedMarket, latent_record, restrict
from worldmodel_trading.envs.recorded_state import RecordedState
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.performance import measure_performance
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.world_model import WorldModel

WINDOW, YEAR = 37, 8_760.0


def recorded_of(candles: Candles, model: WorldModel) -> RecordedMarket:
    return restrict(latent_record(candles, model), "2020-03-01", "2020-03-20")


def plain(merit: Merit, equity: FloatArray) -> float:
    """The objective of equity curves [N, T + 1], as one would write it down."""
    log_return = np.log(equity[:, -1])
    if merit.objective == "cvar":
        worst = sorted(log_return)
        wanted = merit.tail * len(worst)
        shares = [min(1.0, wanted - place) for place in range(math.ceil(wanted))]
        pairs = zip(shares, worst, strict=False)
        return sum(share * value for share, value in pairs) / wanted
    if merit.objective == "mean_deviation":
        mean = sum(log_return) / len(log_return)
        variance = sum((value - mean) ** 2 for value in log_return) / len(log_return)
        return float(mean - merit.aversion * math.sqrt(variance))
    found = getattr(measure_performance(equity, bars_per_year=YEAR), merit.objective)
    if merit.objective == "sharpe":  # the reported one divides by n − 1
        bars = equity[:, 1:].size
        found *= math.sqrt(bars / (bars - 1))
    return float(found)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_replay_in_windows_is_worth_what_its_curves_say(
    objective: Objective, candles: Candles, tiny_model: WorldModel
) -> None:
    recorded = recorded_of(candles, tiny_model)
    size = recorded.view.shape[1] + 1
    population = np.random.default_rng(4).normal(0.0, 0.4, (3, size + 1))
    paper = tiny_model.config.preset == "paper"
    state = RecordedState(tiny_model, recorded, 3) if paper else None
    scores = score_replay(recorded, population, BrokerConfig(), state, window=WINDOW)
    rows = stretches(recorded, WINDOW)
    assert scores.log_return.shape == (3, len(rows)) == (3, 455 // WINDOW)
    merit = Merit(objective, tail=0.3, aversion=0.7)
    found = merit.of(scores, YEAR)
    env = BybitReplayEnv(
        candles, tiny_model, "2020-03-01", "2020-03-20", WINDOW, random_start=False
    )
    for one, parameters in zip(found, population, strict=True):
        curves = []
        for start, _ in rows:
            time_ms = int(candles.open_time_ms[start])
            record = run_episode(env, LinearController(parameters), options={"start": time_ms})
            curves.append(record.equity)
        assert one == pytest.approx(plain(merit, np.array(curves)), rel=1e-8)


def some_scores(log_return: FloatArray) -> Scores:
    nothing = np.zeros_like(log_return)
    return Scores(log_return, *[nothing] * 4, nothing + 10.0, *[nothing] * 4)


def test_cvar_by_hand() -> None:
    scores = some_scores(np.array([[3.0, -1.0, 2.0, -4.0]]))
    for tail, wanted in {
        0.25: -4.0,
        0.5: -2.5,
        0.1: -4.0,  # less than one dream: the worst
        0.625: (-4.0 - 1.0 + 0.5 * 2.0) / 2.5,
        1.0: 0.0,
    }.items():
        assert Merit("cvar", tail=tail).of(scores, YEAR)[0] == pytest.approx(wanted)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_doing_nothing_is_worth_nothing_and_a_lost_account_a_number(objective: Objective) -> None:
    idle = some_scores(np.zeros((1, 4)))
    assert Merit(objective).of(idle, YEAR)[0] == 0.0
    ruined = Scores(
        *(
            np.full((1, 4), value)
            for value in (-25.0, -1.0, 1.0, 9.0, 0.1, 3.0, 1.0, 1.0 - 1e-11, 2.0, 0.0)
        )
    )
    assert -1e12 < Merit(objective).of(ruined, YEAR)[0] < 0.0
    broken = ruined._replace(square_sum=np.array([[1.0, np.nan, 1.0, 1.0]]))
    both = Scores(*(np.concatenate(pair) for pair in zip(broken, idle, strict=True)))
    np.testing.assert_array_equal(Merit(objective).of(both, YEAR), [np.nan, 0.0])


@pytest.mark.parametrize(
    "settings", [{"objective": "luck"}, {"tail": 0.0}, {"tail": 1.1}, {"aversion": -1.0}]
)
def test_impossible_objectives_are_refused(settings: dict[str, Any]) -> None:
    for record in (Merit, DreamSearchConfig):
        with pytest.raises(ConfigError, match=rf"{next(iter(settings))} is"):
            record(**settings)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains_and_validation_chooses_by_it(
    objective: Objective, candles: Candles, tiny_model: WorldModel
) -> None:
    recorded = recorded_of(candles, tiny_model)
    cma_es = CMAESConfig(population=4, generations=3, validate_every=1, weight_decay=0.0)
    config = DreamSearchConfig(cma_es, dreams=6, horizon=20, objective=objective)
    controller, found = train_controller(tiny_model, config, seed=2, validation=recorded)
    paper = tiny_model.config.preset == "paper"
    state = RecordedState(tiny_model, recorded, 1) if paper else None
    over_dreams = objective in ("cvar", "mean_deviation")
    assert validation_window(recorded, config) == (20 if over_dreams else None)
    scores = score_replay(
        recorded,
        controller.parameters[np.newaxis].astype(float),
        BrokerConfig(),
        state,
        window=20 if over_dreams else None,
    )
    assert config.merit.of(scores, tiny_model.provenance.bars_per_year)[0] == found.validation
    assert found.validation == max(0.0, *[row.validation or 0.0 for row in found.history])


def test_a_validation_too_short_to_compare_dreams_is_refused(
    candles: Candles, market_model: WorldModel
) -> None:
    recorded = recorded_of(candles, market_model)
    config = DreamSearchConfig(dreams=2, horizon=300, objective="cvar")
    with pytest.raises(ConfigError, match=r"of 300 bars, .* holds 1 windows.*a shorter horizon"):
        train_controller(market_model, config, validation=recorded)
    assert validation_window(recorded, replace(config, objective="calmar")) is None


@pytest.mark.slow
@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_parameters_stay_bounded_with_every_objective(
    objective: Objective, diagonal: bool, market_model: WorldModel
) -> None:
    """Where tanh saturates every objective is flat, and weight decay is what holds the search.

    Without it Sortino's parameters reach 200.
    """
    cma_es = CMAESConfig(population=8, generations=250, diagonal=diagonal)
    config = DreamSearchConfig(cma_es, dreams=8, horizon=24, objective=objective)
    controller, found = train_controller(market_model, config, seed=3)
    assert np.abs(controller.parameters).max() < 50.0
    assert found.history[-1].sigma < 5.0
