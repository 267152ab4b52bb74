"""Ranges of candles seen through V, and M run along them in its deployed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..market.errors import TrainingError
from .feature_range import CompleteRows, FeatureRange
from .mdn_rnn import MDNRNN
from .vae import VAE, Posterior


@dataclass(frozen=True)
class Encoded:
    """A feature range seen through V.

    Attributes:
        posterior: q(z|x) of every row [T, Z]; of zeros where features are incomplete.
        calendar_next: [T, 4].
        complete: Which rows have features, and which of them count.
        held: Dimensions of z that V holds at 0; their posterior has no width.
    """

    posterior: Posterior
    calendar_next: Tensor
    complete: CompleteRows
    held: tuple[int, ...] = ()

    def to(self, device: torch.device) -> Encoded:
        """The same on another device."""
        posterior = Posterior(*(part.to(device) for part in self.posterior))
        return replace(self, posterior=posterior, calendar_next=self.calendar_next.to(device))


def encode_range(vae: VAE, scaled: Tensor, source: FeatureRange) -> Encoded:
    """Standardised features [T, F] (NaN where incomplete) through V."""
    with torch.no_grad():
        complete = ~torch.isnan(scaled).any(dim=1)
        posterior = vae.encode(torch.where(complete[:, None], scaled, torch.zeros(())))
        held = vae.held_dimensions()
        posterior.log_variance[:, list(held)] = -torch.inf
    return Encoded(posterior, torch.from_numpy(source.calendar_next), source.complete, held)


@torch.no_grad()
def validation_nll(mdn_rnn: MDNRNN, encoded: Encoded) -> float:
    """Mean -log p of the latent, of the bars that count."""
    total, count = 0.0, 0
    for hidden, latents in scored_runs(mdn_rnn, encoded):
        total -= mdn_rnn.log_prob(hidden, latents[1:]).double().sum().item()
        count += len(hidden)
    if not count:
        raise TrainingError(
            "the validation range has no two complete bars in a row: give more bars"
        )
    return total / count


@torch.no_grad()
def scored_runs(mdn_rnn: MDNRNN, encoded: Encoded) -> Iterator[tuple[Tensor, Tensor]]:
    """The bars that count in the deployed form: posterior means, the state carried along each run.

    Yields:
        For each run, h before n bars [n, H], and the latents [n + 1, Z] of the bar before the first
        of them and of all n.
    """
    for start, stop in encoded.complete.runs:
        first = max(encoded.complete.scored_from - 1 - start, 0)
        if stop - start < first + 2:
            continue
        latents = encoded.posterior.mean[start:stop]
        hidden, _ = mdn_rnn(latents[None, :-1], encoded.calendar_next[None, start : stop - 1])
        yield hidden[0, first:], latents[first:]


def scaled_tensor(values: Sequence[float] | NDArray[Any]) -> Tensor:
    """Float32 tensor of standardised features."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
