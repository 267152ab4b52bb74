"""V and M as compiled code, against the PyTorch modules and against themselves in other company."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.features import calendar, compute_features
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.world_model import WorldModel


@pytest.fixture(params=["default", "market", "paper"])
def model(request: pytest.FixtureRequest) -> WorldModel:
    """The model that ships, and a tiny one of each preset."""
    if request.param == "default":
        return WorldModel.from_pretrained("default")
    tiny: WorldModel = request.getfixturevalue(f"{request.param}_model")
    return tiny


def scaled(model: WorldModel, rows: int) -> np.ndarray:
    """Standardised features with a few bars that are 30 deviations out."""
    rng = np.random.default_rng(rows)
    features = rng.normal(size=(rows, len(model.config.features.names))).astype(np.float32)
    features[:: max(1, rows // 4)] *= 30.0
    return features


def sequences(model: WorldModel, lanes: int, bars: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(lanes)
    size, calendars = model.config.latent_size, calendar
    if isinstance(model, BarWorldModel):
        size, calendars = model.config.forecast_size, model.calendars
    latents = rng.normal(size=(lanes, bars, size)).astype(np.float32)
    times = 1_700_000_000_000 // 3_600_000 * 3_600_000 + 3_600_000 * np.arange(bars)
    return latents, np.repeat(calendars(times)[None], lanes, axis=0)


@pytest.mark.parametrize("rows", [1, 5, 300])
def test_v_is_the_module(model: WorldModel, rows: int) -> None:
    features = scaled(model, rows)
    means = model.compiled_vae.encode(features)
    decoded = model.compiled_vae.decode(means)
    with torch.no_grad():
        expected = model.vae.encode(torch.from_numpy(features)).mean
        rebuilt = model.vae.decode(torch.from_numpy(means))
    np.testing.assert_allclose(means, expected.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(decoded, rebuilt.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lanes", [1, 5, 300])
def test_the_memory_is_the_module_s(model: WorldModel, lanes: int) -> None:
    latents, waves = sequences(model, lanes, 30)
    course = model.compiled_memory.run(latents, waves)
    hidden, cell = model.compiled_memory.final(latents, waves)
    actions = np.zeros((lanes, 30, int(isinstance(model, PaperWorldModel))), np.float32)
    heard = np.concatenate([latents, actions, waves], axis=-1)
    with torch.no_grad():
        expected, (_, last) = model.mdn_rnn.lstm(torch.from_numpy(heard))
    np.testing.assert_allclose(course, expected.numpy(), atol=2e-5)
    np.testing.assert_allclose(cell, last[0].numpy(), rtol=1e-5, atol=5e-5)
    np.testing.assert_array_equal(hidden, course[:, -1])


def test_a_bar_has_the_same_bits_in_any_company(model: WorldModel) -> None:
    features, vae = scaled(model, 300), model.compiled_vae
    means = vae.encode(features)
    decoded = vae.decode(means)
    order = np.random.default_rng(0).permutation(300)
    np.testing.assert_array_equal(vae.encode(features[order]), means[order])
    np.testing.assert_array_equal(vae.decode(means[order]), decoded[order])
    for rows in (slice(7, 8), slice(1, 5), slice(3, 40)):
        np.testing.assert_array_equal(vae.encode(features[rows]), means[rows])
        np.testing.assert_array_equal(vae.decode(means[rows]), decoded[rows])


def test_a_lane_remembers_the_same_bits_in_any_company(model: WorldModel) -> None:
    latents, waves = sequences(model, 300, 20)
    course = model.compiled_memory.run(latents, waves)
    for lanes in (slice(7, 8), slice(1, 5), slice(250, 300)):
        np.testing.assert_array_equal(
            model.compiled_memory.run(latents[lanes], waves[lanes]), course[lanes]
        )


def test_bars_without_features_leave_the_others_alone(model: WorldModel) -> None:
    features = scaled(model, 40)
    expected = model.compiled_vae.encode(features)
    features[11, 2] = np.nan
    found = model.compiled_vae.encode(features)
    assert np.isnan(found[11]).all()
    np.testing.assert_array_equal(np.delete(found, 11, axis=0), np.delete(expected, 11, axis=0))


def test_copies_pickles_and_reloads_say_the_same(
    model: WorldModel, candles: Candles, tmp_path: Path
) -> None:
    features = compute_features(candles, model.config.features)
    model.latents(candles)  # what is compiled from the modules is there when it is copied
    model.save_pretrained(tmp_path)
    others = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        WorldModel.from_pretrained(tmp_path),
    ]
    for other in others:
        np.testing.assert_array_equal(other.encode(features), model.encode(features))
        for name in ("z", "h", "valid"):
            one, two = (getattr(each.latents(candles), name) for each in (other, model))
            np.testing.assert_array_equal(one, two)
        bank = model.bank
        for one, two in zip(
            other.warmed(bank.z, bank.open_time_ms),
            model.warmed(bank.z, bank.open_time_ms),
            strict=True,
        ):
            np.testing.assert_array_equal(one, two)


def test_a_record_read_bar_by_bar_has_the_latents_of_the_whole(
    model: WorldModel, candles: Candles
) -> None:
    features = compute_features(candles, model.config.features)
    whole = model.encode(features)
    for row in (300, 301, 302):
        np.testing.assert_array_equal(model.encode(features[row]), whole[row])
