import copy

import numpy as np
import pytest
import torch

from worldmodel_trading.models.calibration import _dream_moments, calibrate_dreams

HOUR = 3_600_000


@pytest.fixture(scope="module")
def calibrated(market_model, split):
    """The tiny model, its latents, and a copy that calibration has moved."""
    latents = market_model.latents(split[0])
    latents = latents.z[latents.valid]
    moved = copy.deepcopy(market_model.mdn_rnn)
    calibrate_dreams(moved, market_model.bank, latents, HOUR, rounds=3, seed=1, bars=150)
    return market_model, latents, moved


def test_it_brings_dreams_nearer_to_the_recorded_mean(calibrated):
    model, latents, moved = calibrated
    target, spread = latents[:, 1:].mean(0), latents[:, 1:].std(0)

    def distance(mdn_rnn):
        generator = torch.Generator().manual_seed(9)
        mean, _ = _dream_moments(mdn_rnn, model.bank, HOUR, 150, generator)
        return np.abs((mean - target) / spread).mean()

    assert distance(moved) < 0.8 * distance(model.mdn_rnn)


def test_only_the_means_of_the_latent_head_move(calibrated):
    model, _, moved = calibrated
    before, after = model.mdn_rnn.state_dict(), moved.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["latent_head.bias"]
    k, d = model.config.num_components, model.config.latent_size - 1
    difference = (after["latent_head.bias"] - before["latent_head.bias"]).numpy()
    assert not difference[:k].any()
    assert not difference[k + k * d :].any()
    pushes = difference[k : k + k * d].reshape(k, d)
    np.testing.assert_allclose(pushes, np.tile(pushes[0], (k, 1)), atol=1e-6)


def test_it_repeats_with_the_seed(calibrated):
    model, latents, moved = calibrated
    again = copy.deepcopy(model.mdn_rnn)
    calibrate_dreams(again, model.bank, latents, HOUR, rounds=3, seed=1, bars=150)
    assert torch.equal(again.latent_head.bias, moved.latent_head.bias)
