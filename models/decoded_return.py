"""The return that a mixture over latents implies, once decoded: the ``paper`` preset's forecast."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .mixture import Mixture
from .vae import LATENT_LIMIT, VAE

_ROWS = 8_192  # a block of bars, bounds the memory


def decoded_return_mixture(vae: VAE, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Means and sigmas [T, K] of the standardised return, one Gaussian for each component.

    The density of the decoded return under N(μ_k, Σ_k) has no closed form. It is represented by
    the Gaussian with the same mean and variance, these computed by the cubature rule of 2 Z
    points μ ± √Z σ_d e_d (Arasaratnam & Haykin 2009), plus the decoder's variance of the return.
    Being a mixture of Gaussians it integrates to 1.

    Args:
        vae: V; feature 0 is the return.
        mixture: Of z_{t+1}: [T, K], [T, K, Z], [T, K, Z].
    """
    noise = vae.log_variance()[0].exp()
    blocks = zip(
        torch.split(mixture.means, _ROWS), torch.split(mixture.log_sigmas, _ROWS), strict=True
    )
    moments = [_moments(vae, means, log_sigmas.exp()) for means, log_sigmas in blocks]
    mean = torch.cat([m for m, _ in moments])
    return mean, torch.sqrt(torch.cat([v for _, v in moments]) + noise)


def _moments(vae: VAE, means: Tensor, sigmas: Tensor) -> tuple[Tensor, Tensor]:
    z = means.shape[-1]
    offsets = torch.diag_embed(sigmas) * math.sqrt(z)  # [T, K, Z, Z]
    points = torch.cat([means.unsqueeze(-2) + offsets, means.unsqueeze(-2) - offsets], dim=-2)
    decoded = vae.decode(points.clamp(-LATENT_LIMIT, LATENT_LIMIT))[..., 0]  # [T, K, 2Z]
    return decoded.mean(-1), decoded.var(-1, unbiased=False)
