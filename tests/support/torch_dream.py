"""A dreamed bar by PyTorch alone: what the engine is held to."""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodel_trading.models.mdn_rnn import State
from worldmodel_trading.models.world_model import WorldModel

_RETURN = 0  # column of the log return among the features


def draw_bar(
    model: WorldModel, state: State, uniforms: Tensor, normals: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The log return [N], float64, a fraction; and z_{t+1} [N, Z], float32.

    The noise is that of `MDNRNN.sample_next`.
    """
    with torch.no_grad():
        draw = model.mdn_rnn.sample_next(state, uniforms, normals, temperature)
        scaled = draw.scaled_return
        if scaled is None:
            scaled = model.vae.decode(draw.latent)[:, _RETURN]
    returns = scaled.double() * model.scaler.scale[_RETURN] + model.scaler.mean[_RETURN]
    return returns, draw.latent
