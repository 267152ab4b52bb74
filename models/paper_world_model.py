"""The world model of Ha & Schmidhuber 2018, whose latents are drawn: the ``paper`` preset."""

from __future__ import annotations

from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from ..market.arrays import Float32Array, FloatArray, IntArray
from ..market.features import Scaler, calendar
from .config import PaperConfig
from .decoded_return import decoded_return_mixture
from .forward import CompiledLSTM, CompiledVAE
from .mdn_rnn import MDNRNN, warmup_inputs
from .provenance import Provenance, WarmupBank
from .vae import VAE
from .world_model import WorldModel

_RETURN = 0  # column of the log return among the features


class PaperWorldModel(WorldModel):
    """V of one bar's features, M over [z, a], and the return decoded from z; see `WorldModel`.

    Attributes:
        drift: Added to every dreamed log return: an assumption of dreams, no part of what was learned,
            and not kept (`models.drift`). What V decodes from z is the same under any.
    """

    config: PaperConfig
    vae: VAE
    mdn_rnn: MDNRNN
    bank: WarmupBank

    def __init__(
        self,
        config: PaperConfig,
        provenance: Provenance,
        scaler: Scaler,
        vae: VAE,
        mdn_rnn: MDNRNN,
        bank: WarmupBank,
    ) -> None:
        super().__init__(config, provenance, scaler, vae, mdn_rnn, bank)
        self.mdn_rnn.hold(self.vae.held_dimensions())
        self.drift = 0.0

    def recent(self, share: float) -> Self:
        """The same world model, whose dreams begin late; see `WorldModel.recent`."""
        made = super().recent(share)
        made.drift = self.drift
        return made

    def drifting(self, drift: float) -> PaperWorldModel:
        """The same world model, with that much added to every dreamed log return."""
        made = self.recent(1.0)
        made.drift = drift
        return made

    @property
    def return_scaling(self) -> tuple[float, float]:
        """Scale and mean that make a log return of a decoded one; the drift is in the mean."""
        return float(self.scaler.scale[_RETURN]), float(self.scaler.mean[_RETURN]) + self.drift

    @cached_property
    def compiled_vae(self) -> CompiledVAE:
        """V for use: the same bits for a bar wherever and in whatever company it is computed."""
        return CompiledVAE.of(self.vae)

    @cached_property
    def compiled_memory(self) -> CompiledLSTM:
        """M's LSTM likewise."""
        return CompiledLSTM.of(self.mdn_rnn)

    def warmed(
        self, z: Float32Array, last_open_time_ms: IntArray
    ) -> tuple[Float32Array, Float32Array]:
        """The states h and c [N, H] after all latents [N, W, Z] but the last, actions of zero."""
        step = self.provenance.interval_ms
        return self.compiled_memory.final(*warmup_inputs(z, last_open_time_ms, step))

    def remembered(self, z: Float32Array, next_open_time_ms: IntArray) -> Float32Array:
        """The state h after each latent [N, T, H], from zeros; see `WorldModel.remembered`."""
        return self.compiled_memory.run(z, calendar(next_open_time_ms))

    def heard(self, z: Float32Array) -> Float32Array:
        """What M hears of latents [..., Z]: all of them."""
        return z

    def return_mixture(
        self, after: Tensor, z: Tensor, next_open_time_ms: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and sigmas [T, K], percent, from hidden states after z entered."""
        scale, mean = (100.0 * part for part in self.return_scaling)
        with torch.no_grad():
            mixture = self.mdn_rnn.latent_mixture(after)
            means, sigmas = decoded_return_mixture(self.vae, mixture)
            weights = torch.softmax(mixture.logits.double(), dim=-1)
        return (
            weights.numpy(),
            means.double().numpy() * scale + mean,
            sigmas.double().numpy() * scale,
        )
