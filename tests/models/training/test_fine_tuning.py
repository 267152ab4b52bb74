"""Teaching a world model another market: what changes, what stays, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, OtherMarketError, TrainingError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.training.bar_calibration import (
    _LEVEL,
    _between,
    _Moments,
    _rescaled,
    _told,
)
from worldmodel_trading.models.training.fine_tuning import FineTuneConfig, fine_tune, pays
from worldmodel_trading.models.world_model import WorldModel

QUICK = FineTuneConfig(epochs=2, pace=1.0)


def moved(bars: int = 1_200) -> Candles:
    """Another market: its prices tenfold, its moves three times as large."""
    candles = synthetic_candles(seed=8, bars=bars)
    parts = {
        name: 1_000.0 * (getattr(candles, name) / candles.open[0]) ** 3
        for name in ("open", "high", "low", "close")
    }
    return replace(candles, symbol="OTHERUSDT", instrument=None, **parts)


@pytest.fixture(scope="module")
def target() -> tuple[Candles, Candles]:
    candles = moved()
    return candles.rows(0, 900), candles.rows(900, 1_200)


def nll(world_model: WorldModel, candles: Candles) -> float:
    returns = np.append(100 * np.diff(np.log(candles.close)), np.nan)
    losses = -world_model.return_forecast(candles).log_prob(returns)
    return float(np.nanmean(losses[900:]))


@pytest.fixture(scope="module")
def tuned(market_model: BarWorldModel, target: tuple[Candles, Candles]) -> BarWorldModel:
    return fine_tune(market_model, *target, QUICK, seed=3)[0]


@pytest.mark.filterwarnings("ignore:the candles are of")
def test_it_forecasts_the_new_market_better_than_its_parent(
    market_model: BarWorldModel, tuned: BarWorldModel
) -> None:
    assert nll(tuned, moved()) < nll(market_model, moved()) - 0.1


def test_it_is_the_targets_and_names_its_parent(
    market_model: BarWorldModel, tuned: BarWorldModel, target: tuple[Candles, Candles]
) -> None:
    made = tuned.provenance
    assert (made.symbol, made.parent) == ("OTHERUSDT", market_model.fingerprint)
    assert made.train_end_ms == made.validation_start_ms == int(target[1].open_time_ms[0])
    assert made.data_hash == target[0].data_hash()
    assert tuned.fingerprint != market_model.fingerprint
    assert float(tuned.mdn_rnn.return_scale) > 1.5 * float(market_model.mdn_rnn.return_scale)
    assert set(tuned.bank.close) <= set(target[0].close)


def test_the_parent_stays_as_it_was(
    candles: Candles, market_model: BarWorldModel, tuned: BarWorldModel
) -> None:
    for name, tensor in market_model.mdn_rnn.lstm.state_dict().items():
        assert torch.equal(tensor, tuned.mdn_rnn.lstm.state_dict()[name]), name
    assert not any(one.requires_grad for one in market_model.vae.parameters())
    assert market_model.provenance.symbol == candles.symbol


def test_the_same_seed_gives_the_same_model_and_a_folder_keeps_it(
    market_model: BarWorldModel,
    tuned: BarWorldModel,
    target: tuple[Candles, Candles],
    tmp_path: Path,
) -> None:
    before = torch.get_rng_state()
    again, _ = market_model.fine_tune(*target, QUICK, seed=3)
    assert again.fingerprint == tuned.fingerprint
    assert torch.equal(torch.get_rng_state(), before)
    again.save_pretrained(tmp_path)
    read = WorldModel.from_pretrained(tmp_path)
    assert (read.fingerprint, read.provenance) == (tuned.fingerprint, tuned.provenance)


def test_a_frozen_encoder_is_the_parents(
    market_model: BarWorldModel, target: tuple[Candles, Candles]
) -> None:
    made, history = fine_tune(market_model, *target, replace(QUICK, freeze_encoder=True))
    assert history.stages == ("head", "trunk", "heads")
    for name, tensor in market_model.vae.state_dict().items():
        assert torch.equal(tensor, made.vae.state_dict()[name]), name


def test_its_own_market_leaves_the_forecast_as_it_was(
    candles: Candles, market_model: BarWorldModel
) -> None:
    rare = FineTuneConfig(epochs=1, pace=1e-6)
    made, history = fine_tune(
        market_model, candles.rows(0, 1_500), candles.rows(1_500, 1_900), rare
    )
    np.testing.assert_array_equal(made.scaler.mean, market_model.scaler.mean)
    for part in ("return_head", "now"):
        for name, tensor in getattr(market_model.mdn_rnn, part).state_dict().items():
            torch.testing.assert_close(tensor, getattr(made.mdn_rnn, part).state_dict()[name])
    assert any("100%" in note or "0% of the way" in note for note in history.notes)


def test_what_cannot_be_taught_is_refused(
    market_model: BarWorldModel, paper_model: PaperWorldModel, target: tuple[Candles, Candles]
) -> None:
    with pytest.raises(ConfigError, match=r"preset is 'paper'.*only 'market'"):
        fine_tune(paper_model, *target)
    with pytest.raises(TrainingError, match=r"has 14 bars in a row.*expected at least 24"):
        fine_tune(market_model, target[0].rows(0, 350), target[1])
    times = 86_400_000 * (19_000 + np.arange(len(target[0])))
    days = replace(target[0], interval="D", open_time_ms=times)
    with pytest.raises(OtherMarketError, match="interval is D"):
        fine_tune(market_model, days, target[1])


def test_a_gain_pays_where_it_exceeds_its_standard_error() -> None:
    rng = np.random.default_rng(0)
    losses = rng.normal(size=1_600)
    assert pays(losses, losses - 0.1)
    assert not pays(losses, losses)
    assert not pays(losses, losses + 0.1)
    chance = [pays(losses, losses + rng.normal(size=1_600)) for _ in range(200)]
    assert 0.05 < np.mean(chance) < 0.3  # a normal exceeds its deviation in 16 of 100


def test_dreams_are_held_to_the_parents_as_far_as_its_units_are(
    market_model: BarWorldModel, tuned: BarWorldModel
) -> None:
    told = _Moments(0.01, 1.5, 0.8, 0.3, np.array([-0.2, -0.1, 0.4]), np.full(3, 1e-3))
    same = _rescaled(told, market_model, tuned)
    old, new = market_model.scaler, tuned.scaler
    for mine, theirs in (
        (told.level, same.level),
        (told.level + told.spread, same.level + same.spread),
    ):
        raw = mine * old.scale[_LEVEL] + old.mean[_LEVEL]
        assert theirs * new.scale[_LEVEL] + new.mean[_LEVEL] == pytest.approx(raw)
    record = _Moments(0.04, -0.5, 0.2, 0.0, np.array([0.0, 0.1, 0.2]), np.full(3, 0.02))
    half = _Moments(0.02, 0.5, 0.4, 0.0, np.array([-0.1, 0.0, 0.3]), np.full(3, 0.01))
    all_known = told._replace(volume_trend=0.0, steps_error=np.zeros(3))
    for share, expected in ((0.0, all_known), (0.5, half), (1.0, record)):
        for mine, theirs in zip(_between(told, record, share), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_of_an_excess_what_a_record_tells_from_none_is_corrected() -> None:
    errors = np.array([0.1, 0.1, 1e6])  # the last of a record too short to tell
    record = _Moments(0.04, 0.0, 0.2, 0.0, np.zeros(3), errors)
    np.testing.assert_allclose(_told(np.array([0.2, -0.05, 0.5]), record), [0.15, 0.0, 0.0])
