import copy

import numpy as np
import pytest
import torch

from worldmodel_trading.models.training.calibration import (
    calibrate_dreams,
    dreamed_moments,
    recorded_moments,
)

HOUR = 3_600_000


@pytest.fixture(scope="module")
def calibrated(market_model, split):
    """The tiny model, its latents, and a copy that calibration has moved."""
    latents = market_model.latents(split[0])
    latents = latents.z[latents.valid]
    moved = copy.deepcopy(market_model.mdn_rnn)
    calibrate_dreams(moved, market_model.bank, latents, HOUR, rounds=6, seed=1, bars=150)
    return market_model, latents, moved


@pytest.fixture(scope="module")
def misses(calibrated):
    """How far the dreams' moments are from the record's, before and after."""
    model, latents, moved = calibrated
    real = recorded_moments(latents)

    def miss(mdn_rnn):
        generator = torch.Generator().manual_seed(9)
        dreamed = dreamed_moments(mdn_rnn, model.bank, HOUR, 150, generator)
        return {
            "mean": np.abs((dreamed.mean - real.mean) / real.deviation).mean(),
            "deviation": np.abs(np.log(dreamed.deviation / real.deviation)).mean(),
            "change": np.abs(np.log(dreamed.change / real.change)).mean(),
            "return_mean": abs(dreamed.return_mean - real.return_mean),
        }

    return miss(model.mdn_rnn), miss(moved)


@pytest.mark.parametrize("moment", ["mean", "deviation", "change", "return_mean"])
def test_it_brings_dreams_nearer_to_the_recorded_moments(misses, moment):
    before, after = misses
    assert after[moment] < 0.8 * before[moment]


def test_recorded_moments_by_hand():
    latents = np.array([[0.0, 1.0], [np.arcsinh(2.0), 3.0], [np.arcsinh(-2.0), 2.0]], np.float32)
    moments = recorded_moments(latents)
    np.testing.assert_allclose(moments.mean, [2.0])
    np.testing.assert_allclose(moments.deviation, [np.sqrt(2 / 3)])
    np.testing.assert_allclose(moments.change, [np.sqrt((4 + 1) / 2)])
    assert moments.return_mean == pytest.approx(0.0, abs=1e-6)
    assert moments.return_deviation == pytest.approx(np.sqrt(8 / 3))


def test_dreamed_moments_are_those_of_the_draws(market_model):
    """The return's moments come from its mixtures: they are what drawing it would give."""
    rnn, bank = market_model.mdn_rnn, market_model.bank
    dreamed = dreamed_moments(rnn, bank, HOUR, 100, torch.Generator().manual_seed(2))
    again = dreamed_moments(rnn, bank, HOUR, 100, torch.Generator().manual_seed(3))
    assert dreamed.return_deviation == pytest.approx(again.return_deviation, rel=0.1)
    np.testing.assert_allclose(dreamed.change, again.change, rtol=0.1)


def test_what_moves_and_what_does_not(calibrated):
    model, _, moved = calibrated
    before, after = model.mdn_rnn.state_dict(), moved.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"latent_head.bias", "persistence", "return_head.bias"}
    k, d = model.config.num_components, model.config.latent_size - 1
    difference = (after["latent_head.bias"] - before["latent_head.bias"]).numpy()
    assert not difference[:k].any()  # weights of components stay
    for part in (difference[k : k + k * d], difference[k + k * d :]):
        pushes = part.reshape(k, d)
        np.testing.assert_allclose(pushes, np.tile(pushes[0], (k, 1)), atol=1e-6)
    shift = (after["return_head.bias"] - before["return_head.bias"]).numpy()
    assert not shift[:k].any()
    assert not shift[2 * k :].any()
    np.testing.assert_allclose(shift[k : 2 * k], shift[k], atol=1e-6)


def test_a_silenced_dimension_stays_silent(market_model, split):
    latents = market_model.latents(split[0])
    latents = latents.z[latents.valid].copy()
    latents[:, 2] = 0.0
    moved = copy.deepcopy(market_model.mdn_rnn)
    calibrate_dreams(moved, market_model.bank, latents, HOUR, rounds=1, seed=1, bars=20)
    k, d = market_model.config.num_components, market_model.config.latent_size - 1
    difference = (moved.latent_head.bias - market_model.mdn_rnn.latent_head.bias).detach()
    assert not difference[k + k * d :].reshape(k, d)[:, 1].any()
    assert moved.persistence[1] == market_model.mdn_rnn.persistence[1]


def test_it_repeats_with_the_seed(calibrated):
    model, latents, moved = calibrated
    again = copy.deepcopy(model.mdn_rnn)
    calibrate_dreams(again, model.bank, latents, HOUR, rounds=6, seed=1, bars=150)
    for name, value in moved.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
