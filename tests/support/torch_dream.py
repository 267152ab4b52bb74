"""A dreamed bar of the ``paper`` preset by PyTorch alone: what the engine is held to."""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodel_trading.models.mdn_rnn import State
from worldmodel_trading.models.paper_world_model import PaperWorldModel

_RETURN = 0  # column of the log return among the features


def draw_bar(
    model: PaperWorldModel,
    state: State,
    uniforms: Tensor,
    normals: Tensor,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The log return [N], float64, a fraction; and z_{t+1} [N, Z], float32.

    The noise is that of `MDNRNN.sample_next`.
    """
    with torch.no_grad():
        latent = model.mdn_rnn.sample_next(state, uniforms, normals, temperature)
        scaled = model.vae.decode(latent)[:, _RETURN]
    scale, mean = model.return_scaling
    return scaled.double() * scale + mean, latent
