"""The drift of dreams: set as asked, and nothing else moved."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.envs.engine.paper_engine import PaperEngine
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.bar_world_model import (
    BarWorldModel,
    chosen,
    draw_bar_noise,
    start_lanes,
)
from worldmodel_trading.models.bars.dreaming import dream_bars
from worldmodel_trading.models.drift import dreamed_drift, drift_setting, with_drift
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.world_model import WorldModel

YEAR = 8_760


@pytest.mark.parametrize("drift", ["zero", 0.6, -1.5])
def test_dreams_pay_what_was_assumed(drift: float | str, market_model: BarWorldModel) -> None:
    assumed = with_drift(market_model, drift)
    wanted = 0.0 if drift == "zero" else drift
    assert dreamed_drift(market_model) != pytest.approx(wanted, abs=0.05)
    assert dreamed_drift(assumed) == pytest.approx(wanted, abs=0.01)


def test_draws_pay_it_too(market_model: BarWorldModel) -> None:
    """Over draws, to their standard error; the assumed drift is large beside it."""
    model = with_drift(market_model, 8.0)
    lanes = chosen(start_lanes(model), np.resize(np.arange(16), 2_000))
    simple = []
    for noise in draw_bar_noise(np.random.default_rng(9), 2_000, 240):
        dream_bars(*lanes, *model.network, noise, 0, np.float32(1), False)
        simple.append(np.expm1(lanes.drawn[:, 0]))
    means = np.mean(simple, axis=0) * YEAR
    error = means.std() / np.sqrt(len(means))
    assert error < 1.5
    assert means.mean() == pytest.approx(8.0, abs=4 * error)


def test_one_constant_is_added_to_every_mean(market_model: BarWorldModel, candles: Candles) -> None:
    assumed = with_drift(market_model, 1.0)
    before, after = (m.return_forecast(candles).rows(1_900, 2_500) for m in (market_model, assumed))
    np.testing.assert_array_equal(before.weights, after.weights)
    np.testing.assert_array_equal(before.sigmas, after.sigmas)
    added = after.means - before.means
    np.testing.assert_allclose(added, added[0, 0], atol=1e-6)
    lanes, noise = start_lanes(market_model), draw_bar_noise(np.random.default_rng(0), 16, 1)[0]
    drawn = []
    for model in (market_model, assumed):
        mine = chosen(lanes, np.arange(16))
        dream_bars(*mine, *model.network, noise, 0, np.float32(1), False)
        drawn.append(mine.drawn[:, 0])
    np.testing.assert_allclose(100.0 * (drawn[1] - drawn[0]), added[0, 0], atol=1e-6)


def test_what_agents_see_is_the_same(market_model: BarWorldModel, candles: Candles) -> None:
    assumed = with_drift(market_model, "zero")
    assert assumed.fingerprint == market_model.fingerprint
    for name in ("z", "h"):
        mine, theirs = (getattr(m.latents(candles), name) for m in (assumed, market_model))
        np.testing.assert_array_equal(mine, theirs)


def test_it_goes_where_the_model_goes(market_model: BarWorldModel) -> None:
    assumed = with_drift(market_model, -1.0)
    assert with_drift(market_model, -1) is assumed
    for other in (pickle.loads(pickle.dumps(assumed)), assumed.recent(1.0)):
        assert dreamed_drift(other) == dreamed_drift(assumed)
    assert market_model.mdn_rnn.drift == 0.0
    assert dreamed_drift(with_drift(assumed, 2.0)) == pytest.approx(2.0, abs=0.01)


def test_as_recorded_a_model_is_itself(tiny_model: WorldModel) -> None:
    assert with_drift(tiny_model, "recorded") is tiny_model


def test_latents_and_what_they_mean_are_the_same(
    paper_model: PaperWorldModel, candles: Candles
) -> None:
    """Of the ``paper`` preset, whose drift is added to the decoded return, one constant."""
    assumed = with_drift(paper_model, -1.5)
    assert isinstance(assumed, PaperWorldModel)
    assert assumed.drift != 0.0
    assert dreamed_drift(assumed) == pytest.approx(-1.5, abs=1e-6)
    assert assumed.fingerprint == paper_model.fingerprint
    for other in (with_drift(paper_model, -1.5), pickle.loads(pickle.dumps(assumed))):
        assert other.drift == assumed.recent(0.5).drift == assumed.drift
    again = with_drift(assumed, 0.6)
    assert again.drift > assumed.drift
    before, after = (m.return_forecast(candles).rows(1_900, 2_500) for m in (paper_model, assumed))
    np.testing.assert_array_equal(before.weights, after.weights)
    np.testing.assert_array_equal(before.sigmas, after.sigmas)
    np.testing.assert_allclose(after.means - before.means, 100.0 * assumed.drift, atol=1e-12)
    z = paper_model.bank.z[:, -1]
    np.testing.assert_array_equal(paper_model.decode(z), assumed.decode(z))


@pytest.mark.parametrize("drift", ["zero", 3.0])
def test_draws_of_latents_pay_it(drift: float | str, paper_model: PaperWorldModel) -> None:
    """By the engine, over as many bars of other dreams than it was measured on."""
    engine = PaperEngine(_opened(with_drift(paper_model, drift)))
    lanes = np.resize(np.arange(engine.num_segments), 2_000)
    state, rng = engine.start(lanes), np.random.default_rng(9)
    simple = [
        np.expm1(engine.step(state, np.zeros(2_000), engine.draw_noise(rng, 2_000)))
        for _ in range(720)
    ]
    means = np.mean(simple, axis=0) * YEAR
    error = means.std() * np.sqrt(1 / len(means) + 1 / 256)
    assert error < 0.2
    assert means.mean() == pytest.approx(0.0 if drift == "zero" else drift, abs=4 * error)


def _opened(model: WorldModel) -> PaperWorldModel:
    assert isinstance(model, PaperWorldModel)
    return model


@pytest.mark.parametrize("drift", ["none", "0.1", np.nan, 11.0, True, None])
def test_no_other_setting_is_taken(drift: Any) -> None:
    with pytest.raises(ConfigError, match="expected recorded, zero, or the mean simple return"):
        drift_setting(drift)


def test_numbers_of_any_kind_are_taken() -> None:
    assert [drift_setting(d) for d in (np.float32(0.5), 1, "zero")] == [0.5, 1.0, "zero"]


def test_every_member_pays_the_drift(market_model: BarWorldModel) -> None:
    """Also one that paid more before; beside it the first, as it is alone."""
    other = _paying_more(market_model)
    several = market_model.recent(1.0)
    several.others = (other,)
    mean = 0.5 * (dreamed_drift(market_model) + dreamed_drift(other))
    assert dreamed_drift(several) == pytest.approx(mean)
    assumed = with_drift(several, 0.5)
    assert len(assumed.members) == 2
    for member in assumed.members:
        assert dreamed_drift(member.remembering(member.mdn_rnn)) == pytest.approx(0.5, abs=0.01)


def _paying_more(model: BarWorldModel) -> BarWorldModel:
    mdn_rnn = deepcopy(model.mdn_rnn)
    mdn_rnn.drift += 0.05
    return model.remembering(mdn_rnn)
