"""Training of V on single bars, then of M on sequences of encoded bars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import PaperConfig
from ..encoded import Encoded, validation_nll
from ..mdn_rnn import MDNRNN, build_mdn_rnn
from ..vae import VAE, build_vae
from .callbacks import Callbacks
from .checkpoints import Checkpoint
from .sequences import chunk_starts
from .stage import Stage, StageSettings

_ACTION_HOLD = 0.9  # chance that a training action is held for another bar
_VAE_GRADIENT_CLIP = 10.0


@dataclass(frozen=True)
class Session:
    """What both stages of one training share.

    Attributes:
        config: The settings.
        seed: Of weights, data order and noise.
        callbacks: Told of each epoch.
        device: Where tensors live, ``"cpu"`` or ``"cuda"``; on CUDA the forward passes run in
            mixed precision. Noise is drawn on the CPU, the same on every device.
        checkpoint_dir: Folder of the checkpoints, one file a stage; None keeps none.
        identity: Of candles, settings and seed, for the checkpoints.
        resume: Go on from the checkpoints.
        member: Which of several world models of one market is trained.
        warm: Whether stages begin from weights that may be the best there are.
    """

    config: Any
    seed: int
    callbacks: Callbacks
    device: torch.device
    checkpoint_dir: Path | None = None
    identity: str = ""
    resume: bool = False
    member: int = 0
    warm: bool = False

    def members(self, count: int) -> list[Session]:
        """A session for each of several world models of one market."""
        return [replace(self, member=number) for number in range(count)]

    def stage_seed(self, number: int) -> int:
        """A seed for each stage, so that resuming M needs nothing of V's training."""
        own = [self.member] if self.member else []
        return int(np.random.default_rng([self.seed, number, *own]).integers(2**31))

    def stage_name(self, name: str) -> str:
        """What a stage is called: by its member, after the first."""
        return f"{name}-{self.member + 1}" if self.member else name

    def checkpoint(self, name: str) -> Checkpoint | None:
        """The checkpoint of a stage."""
        if self.checkpoint_dir is None:
            return None
        file = self.checkpoint_dir / f"{self.stage_name(name)}.safetensors"
        return Checkpoint(file, self.identity)

    def mixed_precision(self) -> torch.autocast:
        """The context of the forward passes."""
        cuda = self.device.type == "cuda"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=cuda)


def train_vae(train: Tensor, validation: Tensor, session: Session) -> VAE:
    """Train V on standardised feature rows [N, F]; returns the best by validation loss."""
    config: PaperConfig = session.config
    seed = session.stage_seed(1)
    vae = build_vae(config, seed).to(session.device)
    train, validation = train.to(session.device), validation.to(session.device)
    settings = StageSettings(
        name="vae",
        epochs=config.vae_epochs,
        patience=config.patience_epochs,
        learning_rate=config.vae_learning_rate,
        gradient_clip=_VAE_GRADIENT_CLIP,
        ema_decay=config.vae_ema_decay,
    )
    optimiser = torch.optim.Adam(vae.parameters(), lr=config.vae_learning_rate)
    stage = Stage(
        settings,
        vae,
        optimiser,
        seed,
        session.callbacks,
        session.checkpoint("vae"),
        session.resume,
    )
    batches = max(1, min(len(train), config.epoch_bars) // config.vae_batch_size)

    def epoch_loss(epoch: int) -> float:
        beta = config.kl_weight * min(1.0, (epoch + 1) / max(1, config.kl_warmup_epochs))
        order = torch.from_numpy(stage.rng.permutation(len(train))[: config.epoch_bars])
        total = 0.0
        for batch, rows in enumerate(order.tensor_split(batches)):
            with session.mixed_precision():
                loss = vae_loss(vae, train[rows], beta, config.free_bits, stage.generator)
            total += stage.step(loss, batch, batches)
        return total / batches

    @torch.no_grad()
    def validate() -> dict[str, float]:
        fixed = torch.Generator().manual_seed(0)
        loss = vae_loss(stage.averaged, validation, config.kl_weight, 0.0, fixed)
        return {"validation_loss": loss.item()}

    vae.load_state_dict(stage.fit(epoch_loss, validate))
    return vae.cpu()


def vae_loss(
    vae: torch.nn.Module,
    features: Tensor,
    beta: float,
    free_bits: float,
    generator: torch.Generator,
) -> Tensor:
    """-ELBO of features [B, F], the KL weighted by β and free up to ``free_bits`` a dimension."""
    assert isinstance(vae, VAE)
    posterior = vae.encode(features)
    normals = torch.randn(posterior.mean.shape, generator=generator).to(features.device)
    reconstruction = vae.reconstruction_nll(features, posterior.sample(normals)).mean()
    kl = vae.kl(posterior).mean(0).clamp(min=free_bits).sum()
    return reconstruction + beta * kl


def train_mdn_rnn(train: Encoded, validation: Encoded, session: Session) -> MDNRNN:
    """Train M on encoded sequences; returns the averaged weights, the best by validation loss."""
    config: PaperConfig = session.config
    seed = session.stage_seed(2)
    mdn_rnn = build_mdn_rnn(config, seed)
    mdn_rnn.hold(train.held)
    mdn_rnn.to(session.device)
    train, validation = train.to(session.device), validation.to(session.device)
    settings = StageSettings(
        name="mdn_rnn",
        epochs=config.mdn_rnn_epochs,
        patience=config.patience_epochs,
        learning_rate=config.mdn_rnn_learning_rate,
        gradient_clip=config.gradient_clip,
        ema_decay=config.ema_decay,
    )
    optimiser = torch.optim.AdamW(
        _decay_groups(mdn_rnn, config.weight_decay), lr=config.mdn_rnn_learning_rate
    )
    stage = Stage(
        settings,
        mdn_rnn,
        optimiser,
        seed,
        session.callbacks,
        session.checkpoint("mdn_rnn"),
        session.resume,
    )

    def epoch_loss(_: int) -> float:
        # z is drawn anew from q(z|x) every epoch (Ha & Schmidhuber 2018)
        normals = torch.randn(train.posterior.mean.shape, generator=stage.generator)
        latents = train.posterior.sample(normals.to(session.device))
        stride = config.chunk_bars - config.burn_in_bars
        starts = chunk_starts(train.complete.runs, config.chunk_bars, stride, stage.rng)
        starts = starts[: -(-config.epoch_bars // stride)]
        batches = max(1, len(starts) // config.mdn_rnn_batch_size)
        total = 0.0
        for batch, first in enumerate(np.array_split(starts, batches)):
            rows = torch.from_numpy(first[:, None] + np.arange(config.chunk_bars + 1))
            actions = _training_actions(len(first), session, stage.rng)
            mask = _dropout_mask(len(first), session, stage.generator)
            with session.mixed_precision():
                loss = mdn_rnn_loss(
                    mdn_rnn, latents[rows], train.calendar_next[rows], actions, mask, config
                )
            total += stage.step(loss, batch, batches)
        return total / batches

    def validate() -> dict[str, float]:
        assert isinstance(stage.averaged, MDNRNN)
        return {"validation_loss": validation_nll(stage.averaged, validation)}

    mdn_rnn.load_state_dict(stage.fit(epoch_loss, validate))
    return mdn_rnn.cpu()


def _decay_groups(mdn_rnn: MDNRNN, weight_decay: float) -> list[dict[str, Any]]:
    """Decay the memory; decaying z's head would pull dreams towards the mean."""
    named = list(mdn_rnn.named_parameters())
    decays = "lstm.weight"
    return [
        {"params": [p for n, p in named if n.startswith(decays)], "weight_decay": weight_decay},
        {"params": [p for n, p in named if not n.startswith(decays)], "weight_decay": 0.0},
    ]


def _training_actions(count: int, session: Session, rng: np.random.Generator) -> Tensor:
    """Actions [B, L, 1] that know nothing of the market: uniform, held for about ten bars."""
    length = session.config.chunk_bars
    drawn = rng.uniform(-1.0, 1.0, size=(count, length))
    changes = rng.random((count, length)) >= _ACTION_HOLD
    changes[:, 0] = True
    last_change = np.maximum.accumulate(np.where(changes, np.arange(length), 0), axis=1)
    held = np.take_along_axis(drawn, last_change, axis=1)
    return torch.from_numpy(held[..., None].astype(np.float32)).to(session.device)


def _dropout_mask(count: int, session: Session, generator: torch.Generator) -> Tensor | None:
    """Zeros and 1/(1-p) for the scored bars of chunks [B, L - burn-in, H]."""
    config: PaperConfig = session.config
    if not config.dropout:
        return None
    shape = (count, config.chunk_bars - config.burn_in_bars, config.hidden_size)
    kept = torch.rand(shape, generator=generator) >= config.dropout
    return (kept.float() / (1 - config.dropout)).to(session.device)


def mdn_rnn_loss(
    mdn_rnn: MDNRNN,
    latents: Tensor,
    calendars_next: Tensor,
    actions: Tensor,
    mask: Tensor | None,
    config: PaperConfig,
) -> Tensor:
    """Mean -log p of chunks [B, L+1, Z], the burn-in unscored."""
    hidden, _ = mdn_rnn(latents[:, :-1], calendars_next[:, :-1], actions)
    scored = slice(config.burn_in_bars, None)
    return -mdn_rnn.log_prob(hidden[:, scored], latents[:, 1:][:, scored], mask).mean()
