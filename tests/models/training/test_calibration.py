"""Dreams of the ``paper`` preset, held to the training range's moments."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldmodel_trading.models.training.calibration import (
    calibrate_dreams,
    dreamed_moments,
    recorded_moments,
)
from worldmodel_trading.models.training.train import train_world_model

HOUR = 3_600_000


def recorded(model, candles):
    """Latents and standardised returns of complete training bars."""
    latents = model.latents(candles)
    scaled = model.scaler.transform(model.features(candles))
    return latents.z[latents.valid], scaled[latents.valid, 0].astype(np.float32)


def moved(model, latents, returns, rounds=12, bars=150):
    """Copies of V and M after calibration."""
    vae, mdn_rnn = copy.deepcopy(model.vae), copy.deepcopy(model.mdn_rnn)
    calibrate_dreams(vae, mdn_rnn, model.bank, latents, returns, HOUR, rounds, 1, bars)
    return vae, mdn_rnn


@pytest.fixture(scope="module")
def calibrated(split, paper_config):
    """A tiny model whose V decodes returns, what it recorded, and V and M as they are moved."""
    longer = replace(paper_config, vae_epochs=150, mdn_rnn_epochs=20, vae_batch_size=64)
    model, _ = train_world_model(*split, longer, seed=5)
    latents, returns = recorded(model, split[0])
    return model, (latents, returns), moved(model, latents, returns)


@pytest.fixture(scope="module")
def misses(calibrated):
    """How far the dreams' moments are from the record's, before and after."""
    model, record, after = calibrated
    real = recorded_moments(*record)
    moves = real.change > 0.0  # what is silenced does not

    def miss(vae, mdn_rnn):
        generator = torch.Generator().manual_seed(9)
        dreamed = dreamed_moments(vae, mdn_rnn, model.bank, HOUR, 150, generator)
        return {
            "change": np.abs(np.log(dreamed.change[moves] / real.change[moves])).mean(),
            "return_mean": abs(dreamed.return_mean - real.return_mean),
        }

    return miss(model.vae, model.mdn_rnn), miss(*after)


@pytest.mark.parametrize("moment", ["change", "return_mean"])
def test_it_brings_dreams_nearer_to_the_recorded_moments(misses, moment):
    before, after = misses
    assert after[moment] < 0.8 * before[moment]


def test_where_the_record_was_louder_dreams_become_louder(calibrated):
    model, (latents, returns), as_loud = calibrated
    louder = moved(model, latents, 1.5 * returns)
    deviations = [
        dreamed_moments(
            vae, mdn_rnn, model.bank, HOUR, 150, torch.Generator().manual_seed(9)
        ).return_deviation
        for vae, mdn_rnn in (as_loud, louder)
    ]
    assert deviations[1] > 1.03 * deviations[0]


def test_recorded_moments_by_hand():
    latents = np.array([[1.0], [3.0], [2.0]], np.float32)
    moments = recorded_moments(latents, np.array([0.0, 2.0, -2.0], np.float32))
    np.testing.assert_allclose(moments.mean, [2.0])
    np.testing.assert_allclose(moments.change, [np.sqrt((4 + 1) / 2)])
    assert moments.return_mean == pytest.approx(0.0, abs=1e-6)
    assert moments.return_deviation == pytest.approx(np.sqrt(8 / 3))


def test_what_moves_and_what_does_not(calibrated):
    model, _, (vae, mdn_rnn) = calibrated
    for before, after, expected in (
        (model.mdn_rnn.state_dict(), mdn_rnn.state_dict(), {"latent_head.bias"}),
        (model.vae.state_dict(), vae.state_dict(), {"decoder.4.bias"}),
    ):
        assert {n for n in before if not torch.equal(before[n], after[n])} == expected
    k, d = model.config.num_components, model.config.latent_size
    difference = (mdn_rnn.latent_head.bias - model.mdn_rnn.latent_head.bias).detach().numpy()
    assert not difference[:k].any()  # weights of components stay
    for part in (difference[k : k + k * d], difference[k + k * d :]):
        pushes = part.reshape(k, d)
        np.testing.assert_allclose(pushes, np.tile(pushes[0], (k, 1)), atol=1e-6)
    for one, two in zip(
        vae.decoder[-1].parameters(), model.vae.decoder[-1].parameters(), strict=True
    ):
        assert torch.equal(one[1:], two[1:])  # of the return alone


def test_a_silenced_dimension_stays_silent(paper_model, split):
    latents, returns = recorded(paper_model, split[0])
    latents = latents.copy()
    latents[:, 2] = 0.0
    _, after = moved(paper_model, latents, returns, rounds=1, bars=20)
    k, d = paper_model.config.num_components, paper_model.config.latent_size
    difference = (after.latent_head.bias - paper_model.mdn_rnn.latent_head.bias).detach()
    assert not difference[k + k * d :].reshape(k, d)[:, 2].any()


def test_it_repeats_with_the_seed(calibrated):
    model, record, after = calibrated
    for one, two in zip(moved(model, *record), after, strict=True):
        for name, value in one.state_dict().items():
            assert torch.equal(two.state_dict()[name], value)
