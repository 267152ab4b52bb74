"""V: a variational autoencoder of one bar's features (Kingma & Welling 2014)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import PaperConfig

LATENT_LIMIT = 10.0
"""Latents lie in [-10, 10], encoded and dreamed alike."""

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if its posterior mean varies by more (Burda et al. 2016)."""

_LOG_VARIANCE_MIN = -9.0
_LOG_VARIANCE_MAX = 4.0
_LOG_TAU = 1.8378770664093453  # log 2π


class Posterior(NamedTuple):
    """q(z|x), a diagonal Gaussian.

    Attributes:
        mean: [B, Z].
        log_variance: [B, Z]; of a dimension that is known exactly, -inf.
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, normals: Tensor) -> Tensor:
        """Latents [B, Z] from standard normals [B, Z] (the reparametrisation of eq. 4)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * normals


class VAE(nn.Module):
    """Encoder q(z|x), decoder p(x|z) with one learned variance for each feature.

    Features come standardised.

    Args:
        feature_size: F; feature 0 is the log return.
        latent_size: Z.
        hidden_size: Units of the two hidden layers of encoder and decoder.
    """

    def __init__(self, feature_size: int, latent_size: int, hidden_size: int) -> None:
        super().__init__()
        self.feature_size = feature_size
        self.latent_size = latent_size
        self.encoder = _mlp(feature_size, hidden_size, 2 * latent_size)
        self.decoder = _mlp(latent_size, hidden_size, feature_size)
        self.decoder_log_variance = nn.Parameter(torch.zeros(feature_size))

    def encode(self, features: Tensor) -> Posterior:
        """q(z|x) of standardised features [..., F]."""
        # the squash keeps a 30-σ bar from blowing through the network
        squashed = torch.asinh(features)
        mean, log_variance = self.encoder(squashed).chunk(2, dim=-1)
        log_variance = log_variance.clamp(_LOG_VARIANCE_MIN, _LOG_VARIANCE_MAX)
        return Posterior(mean.clamp(-LATENT_LIMIT, LATENT_LIMIT), log_variance)

    def decode(self, latent: Tensor) -> Tensor:
        """Expected standardised features [..., F] of latents [..., Z]."""
        decoded: Tensor = self.decoder(latent)
        return decoded

    def log_variance(self) -> Tensor:
        """The decoder's log variances [F]."""
        return self.decoder_log_variance.clamp(_LOG_VARIANCE_MIN, _LOG_VARIANCE_MAX)

    def reconstruction_nll(self, features: Tensor, latent: Tensor) -> Tensor:
        """-log p(x|z) [B], summed over the features."""
        log_variance = self.log_variance()
        error = features - self.decode(latent)
        return 0.5 * (error**2 * torch.exp(-log_variance) + log_variance + _LOG_TAU).sum(-1)

    def held_dimensions(self) -> tuple[int, ...]:
        """Dimensions of z that are held at 0, as `silence_idle_dimensions` leaves the encoder."""
        last = self._last_layer()
        means = slice(self.latent_size)
        silent = (last.weight[means] == 0).all(1) & (last.bias[means] == 0)
        return tuple(torch.nonzero(silent).flatten().tolist())

    def _last_layer(self) -> nn.Linear:
        """The encoder's: the means of the dimensions, then their log variances."""
        last = self.encoder[-1]
        assert isinstance(last, nn.Linear)
        return last

    def kl(self, posterior: Posterior) -> Tensor:
        """KL(q(z|x) ‖ N(0, 1)) of each dimension [B, Z], analytic."""
        return gaussian_kl(posterior.mean, posterior.log_variance)


@torch.no_grad()
def silence_idle_dimensions(vae: VAE, features: Tensor) -> list[int]:
    """Hold latent dimensions that say more noise than signal at 0.

    A dimension whose posterior mean varies less from bar to bar than its posterior is wide carries
    next to nothing, but its draws would fill the dream with a noise that replay, which shows
    posterior means, never shows. Where half of them or more are such, V itself is at fault, and
    nothing is changed.

    Args:
        vae: Changed in place: the dimension's mean becomes 0, its deviation the smallest there is.
            `VAE.held_dimensions` then knows it, and M does not draw it (`MDNRNN.hold`).
        features: Standardised training features [N, F].

    Returns:
        The dimensions, of z.
    """
    posterior = vae.encode(features)
    signal, noise = posterior.mean.var(0), posterior.log_variance.exp().mean(0)
    idle = torch.nonzero(signal < noise).flatten().tolist()
    last = vae._last_layer()
    if 2 * len(idle) >= vae.latent_size:  # a V that has learned nothing yet, or has collapsed
        return []
    for dimension in idle:
        for row, bias in ((dimension, 0.0), (vae.latent_size + dimension, _LOG_VARIANCE_MIN)):
            last.weight[row] = 0.0
            last.bias[row] = bias
    return [int(dimension) for dimension in idle]


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) ‖ N(0, 1)), elementwise, nats (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean**2 + torch.exp(log_variance) - 1.0 - log_variance)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, outputs),
    )


def build_vae(config: PaperConfig, seed: int) -> VAE:
    """V with weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VAE(len(config.features.names), config.latent_size, config.vae_hidden_size)


def active_units(posterior_means: torch.Tensor) -> int:
    """How many columns of posterior means [T, Z] are active."""
    return int((posterior_means.var(0) > ACTIVE_VARIANCE).sum())
