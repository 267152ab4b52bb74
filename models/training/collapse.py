"""Signs that V or M has collapsed, said in words."""

from __future__ import annotations

import torch

from ..encoded import Encoded
from ..mdn_rnn import MDNRNN
from ..mixture import LOG_SIGMA_MIN, Mixture
from ..vae import active_units

_FLOOR_SHARE = 0.05
_ONE_COMPONENT = 0.99


def vae_warnings(encoded: Encoded) -> list[str]:
    """What looks wrong with V on the training range."""
    means = encoded.posterior.mean[encoded.complete.complete_rows]
    active, size = active_units(means), means.shape[1]
    if 2 * active >= size:
        return []
    return [
        f"V has collapsed: {active} of {size} latent dimensions vary with the bar; "
        "lower kl_weight or latent_size, or raise free_bits"
    ]


@torch.no_grad()
def mdn_rnn_warnings(mdn_rnn: MDNRNN, encoded: Encoded) -> list[str]:
    """What looks wrong with M's mixtures on the longest run of a range."""
    start, stop = max(encoded.complete.runs, key=lambda run: run[1] - run[0])
    latents = encoded.posterior.mean[None, start:stop]
    hidden, _ = mdn_rnn(latents, encoded.calendar_next[None, start:stop])
    return mixture_warnings("latent", mdn_rnn.drawn(mdn_rnn.latent_mixture(hidden)))


def mixture_warnings(name: str, mixture: Mixture) -> list[str]:
    """What looks wrong with mixtures [..., K, D]."""
    weights = torch.softmax(mixture.logits, dim=-1)
    floored = (mixture.log_sigmas <= LOG_SIGMA_MIN + 1e-3).float().mean(-1)
    share = float((weights * floored).sum(-1).mean())
    found = []
    if share > _FLOOR_SHARE:
        found.append(
            f"M's σ of the {name} is at its floor for {share:.0%} of the probability: the candles "
            "repeat values exactly, or M has memorised them; raise weight_decay or dropout"
        )
    heaviest = float(weights.flatten(0, -2).mean(0).max())
    if weights.shape[-1] > 1 and heaviest > _ONE_COMPONENT:
        found.append(
            f"M's mixture of the {name} has degenerated: one component of {weights.shape[-1]} "
            f"carries {heaviest:.1%}; lower num_components or the learning rate"
        )
    return found
