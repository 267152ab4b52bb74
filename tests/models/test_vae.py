import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from worldmodel_trading.market.features import compute_features, valid_rows
from worldmodel_trading.models.vae import (
    LATENT_LIMIT,
    VAE,
    Posterior,
    gaussian_kl,
    silence_idle_dimensions,
)


def test_the_analytic_kl_matches_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 50, 8, generator=generator)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros(()), torch.ones(())))
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected, rtol=1e-5, atol=1e-6)


def test_the_kl_by_hand():
    # N(1, 4) against N(0, 1): (1 + 4 - 1 - log 4) / 2 = 1.3069
    kl = gaussian_kl(torch.tensor(1.0), torch.log(torch.tensor(4.0)))
    assert kl.item() == pytest.approx(1.30685, abs=1e-5)


def test_sampling_is_mean_plus_noise():
    posterior = Posterior(torch.ones(3, 2), torch.log(torch.full((3, 2), 4.0)))
    drawn = posterior.sample(torch.full((3, 2), -1.5))
    torch.testing.assert_close(drawn, torch.full((3, 2), -2.0))


def test_shapes_and_limits():
    vae = VAE(10, 6, 16)
    features = 1e4 * torch.randn(32, 10, generator=torch.Generator().manual_seed(0))
    posterior = vae.encode(features)
    assert posterior.mean.shape == posterior.log_variance.shape == (32, 6)
    assert posterior.mean.abs().max() <= LATENT_LIMIT
    assert vae.decode(posterior.mean).shape == (32, 10)
    assert vae.kl(posterior).shape == (32, 6)
    assert torch.isfinite(vae.reconstruction_nll(features / 1e4, posterior.mean)).all()


def test_reconstruction_nll_is_that_of_a_gaussian():
    vae = VAE(3, 2, 8)
    with torch.no_grad():
        vae.decoder_log_variance.copy_(torch.tensor([0.0, 1.0, -2.0]))
    features, latent = torch.randn(2, 5, 3)[0], torch.randn(5, 2)
    decoder = Normal(vae.decode(latent), (0.5 * vae.log_variance()).exp())
    expected = -decoder.log_prob(features).sum(-1)
    torch.testing.assert_close(vae.reconstruction_nll(features, latent), expected)


def test_reconstruction_beats_the_mean_by_far_on_unseen_candles(default_model, unseen_candles):
    features = compute_features(unseen_candles, default_model.config.features)
    features = features[valid_rows(features)]
    decoded = default_model.decode(default_model.encode(features))
    error, variance = ((features - decoded) ** 2).mean(0), features.var(0)
    varies = variance > 1e-20  # in this market no close repeats: there are no flat bars
    r2 = 1 - error[varies] / variance[varies]
    # 58 features in 16 numbers, ten of which are taught to forecast
    names = np.array(default_model.config.features.names)[varies]
    named = dict(zip(names, r2, strict=True))
    assert np.median(r2) > 0.6, named
    assert min(named[name] for name in ("level", "volatility_24", "range")) > 0.5, named


def test_a_dimension_of_noise_is_silenced_and_the_others_are_not_touched() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = VAE(feature_size=4, latent_size=4, hidden_size=8)
        features = torch.randn(500, 4)
    with torch.no_grad():
        last = vae.encoder[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight[:4] *= 20.0  # means that speak
        last.weight[2] *= 1e-4  # all but this one
        last.bias[4:] = -4.0
        last.bias[6] = 0.0
    before = vae.encode(features)
    assert silence_idle_dimensions(vae, features) == [2]
    after = vae.encode(features)
    kept = [0, 1, 3]
    torch.testing.assert_close(after.mean[:, kept], before.mean[:, kept])
    torch.testing.assert_close(after.log_variance[:, kept], before.log_variance[:, kept])
    assert (after.mean[:, 2] == 0).all()
    assert (after.log_variance[:, 2] == -9.0).all()
    assert silence_idle_dimensions(vae, features) == [2]
