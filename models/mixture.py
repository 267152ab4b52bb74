"""Gaussian mixtures whose K components share one weight across dimensions (Bishop 1994).

Every function is pure, takes any leading shape, and draws nothing by itself: randomness comes in
as uniforms and normals, so that one dream can be repeated in another engine.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOG_SIGMA_MIN = -6.0
LOG_SIGMA_MAX = 3.0
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


class Mixture(NamedTuple):
    """A batch of mixtures.

    Attributes:
        logits: Unnormalised log weights [..., K].
        means: Component means [..., K, D].
        log_sigmas: Logarithms of the component deviations [..., K, D].
    """

    logits: Tensor
    means: Tensor
    log_sigmas: Tensor


def mixture_size(num_components: int, dimensions: int) -> int:
    """Numbers that a head emits for one mixture: K (1 + 2 D)."""
    return num_components * (1 + 2 * dimensions)


def split_mixture(raw: Tensor, num_components: int, dimensions: int) -> Mixture:
    """A head's output [..., K (1 + 2 D)] as a mixture: K logits, K x D means, K x D log σ.

    log σ is clamped to [`LOG_SIGMA_MIN`, `LOG_SIGMA_MAX`].
    """
    k, kd = num_components, num_components * dimensions
    shape = (*raw.shape[:-1], k, dimensions)
    log_sigmas = raw[..., k + kd :].reshape(shape)
    return Mixture(
        logits=raw[..., :k],
        means=raw[..., k : k + kd].reshape(shape),
        log_sigmas=log_sigmas.clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX),
    )


def mixture_log_prob(mixture: Mixture, values: Tensor) -> Tensor:
    """Log density of values [..., D] under the mixture, by log-sum-exp; shape [...]."""
    scaled = (values.unsqueeze(-2) - mixture.means) * torch.exp(-mixture.log_sigmas)
    per_component = (-0.5 * scaled * scaled - mixture.log_sigmas - _HALF_LOG_TAU).sum(-1)
    log_weights = torch.log_softmax(mixture.logits, dim=-1)
    return torch.logsumexp(log_weights + per_component, dim=-1)


def sample_mixture(
    mixture: Mixture, uniforms: Tensor, normals: Tensor, temperature: float = 1.0
) -> Tensor:
    """One draw from each mixture.

    Temperature τ divides the logits and multiplies the noise by √τ (Ha & Schmidhuber 2018); at
    τ = 0 the draw is the mean of the most likely component.

    Args:
        mixture: The mixtures, [...] by K by D.
        uniforms: In [0, 1), shape [...]: choose the component by the inverse distribution.
        normals: Standard normal, shape [..., D].
        temperature: τ ≥ 0.

    Returns:
        Values [..., D].
    """
    component = choose_component(mixture.logits, uniforms, temperature)
    index = component[..., None, None].expand(*component.shape, 1, mixture.means.shape[-1])
    mean = mixture.means.gather(-2, index).squeeze(-2)
    if temperature == 0:
        return mean
    sigma = mixture.log_sigmas.gather(-2, index).squeeze(-2).exp()
    return mean + sigma * normals * math.sqrt(temperature)


def choose_component(logits: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
    """Index of the drawn component [...], from logits [..., K] and uniforms [...]."""
    if temperature < 0:
        raise ValueError(f"temperature is {temperature}; expected 0 or more")
    if temperature == 0:
        return logits.argmax(dim=-1)
    cumulative = torch.softmax(logits / temperature, dim=-1).cumsum(dim=-1)
    return (uniforms.unsqueeze(-1) >= cumulative[..., :-1]).sum(dim=-1)
