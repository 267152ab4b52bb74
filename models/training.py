"""Training of V, then of M, with early stopping on validation bars."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..market.errors import TrainingError
from .callbacks import Callbacks, Row
from .config import WorldModelConfig
from .dataset import FeatureRange, chunk_starts
from .mdn_rnn import MDNRNN
from .vae import VAE, Posterior

_ACTION_HOLD = 0.9  # chance that a training action is held for another bar


@dataclass(frozen=True)
class Encoded:
    """A feature range seen through V.

    Attributes:
        posterior: q(z|x) of every row [T, Z]; zeros where features are incomplete.
        calendar_next: [T, 4].
        source: The range.
    """

    posterior: Posterior
    calendar_next: Tensor
    source: FeatureRange


def build_vae(config: WorldModelConfig, seed: int) -> VAE:
    """V with weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VAE(
            len(config.features.names),
            config.latent_size,
            config.vae_hidden_size,
            carry_return=config.preset == "market",
        )


def build_mdn_rnn(config: WorldModelConfig, seed: int) -> MDNRNN:
    """M with weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MDNRNN(
            config.preset,
            config.latent_size,
            config.hidden_size,
            config.num_components,
            config.head_size,
        )


class Averaged:
    """An exponential moving average of a module's weights: the copy that is deployed."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the module's weights; early steps move more."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9.0))
        for mine, theirs in zip(self.module.parameters(), module.parameters(), strict=True):
            mine.lerp_(theirs, 1.0 - decay)


def train_vae(
    vae: VAE,
    train: Tensor,
    validation: Tensor,
    config: WorldModelConfig,
    rng: np.random.Generator,
    callbacks: Callbacks,
) -> VAE:
    """Train V on standardised feature rows [N, F] and return the best by validation loss."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    optimiser = torch.optim.Adam(vae.parameters(), lr=config.vae_learning_rate)
    averaged = Averaged(vae, config.ema_decay)
    batches = max(1, len(train) // config.vae_batch_size)

    def epoch_loss(epoch: int) -> float:
        beta = config.kl_weight * min(1.0, (epoch + 1) / max(1, config.kl_warmup_epochs))
        order = torch.from_numpy(rng.permutation(len(train)))
        total = 0.0
        for index, rows in enumerate(order.tensor_split(batches)):
            _set_rate(
                optimiser, config.vae_learning_rate, epoch + index / batches, config.vae_epochs
            )
            loss = _vae_loss(vae, train[rows], beta, config.free_bits, generator)
            _step(optimiser, vae, loss, 10.0, "vae", epoch, index)
            averaged.update(vae)
            total += loss.item()
        return total / batches

    def validate() -> dict[str, float]:
        with torch.no_grad():
            fixed = torch.Generator().manual_seed(0)
            loss = _vae_loss(averaged.module, validation, config.kl_weight, 0.0, fixed)
        return {"validation_loss": loss.item()}

    best = _run_stage(
        "vae", config.vae_epochs, config.patience_epochs, epoch_loss, validate, averaged, callbacks
    )
    vae.load_state_dict(best)
    return vae


def _vae_loss(
    vae: nn.Module, features: Tensor, beta: float, free_bits: float, generator: torch.Generator
) -> Tensor:
    assert isinstance(vae, VAE)
    posterior = vae.encode(features)
    normals = torch.randn(posterior.mean.shape, generator=generator)
    reconstruction = vae.reconstruction_nll(features, posterior.sample(normals)).mean()
    kl = vae.kl(posterior).mean(0).clamp(min=free_bits).sum()
    return reconstruction + beta * kl


def encode_range(vae: VAE, scaled: Tensor, source: FeatureRange) -> Encoded:
    """Standardised features [T, F] (NaN where incomplete) through V."""
    with torch.no_grad():
        complete = ~torch.isnan(scaled).any(dim=1)
        posterior = vae.encode(torch.where(complete[:, None], scaled, torch.zeros(())))
    return Encoded(posterior, torch.from_numpy(source.calendar_next), source)


def train_mdn_rnn(
    mdn_rnn: MDNRNN,
    train: Encoded,
    validation: Encoded,
    config: WorldModelConfig,
    rng: np.random.Generator,
    callbacks: Callbacks,
) -> MDNRNN:
    """Train M on encoded sequences and return the averaged weights, the best by validation loss."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    optimiser = torch.optim.AdamW(
        _decay_groups(mdn_rnn, config.weight_decay), lr=config.mdn_rnn_learning_rate
    )
    averaged = Averaged(mdn_rnn, config.ema_decay)
    stride = config.chunk_bars - config.burn_in_bars

    def epoch_loss(epoch: int) -> float:
        latents = _epoch_latents(train.posterior, config, generator)
        starts = chunk_starts(train.source.runs, config.chunk_bars, stride, rng)
        batches = max(1, len(starts) // config.mdn_rnn_batch_size)
        total = 0.0
        for index, first in enumerate(np.array_split(starts, batches)):
            _set_rate(
                optimiser,
                config.mdn_rnn_learning_rate,
                epoch + index / batches,
                config.mdn_rnn_epochs,
            )
            rows = torch.from_numpy(first[:, None] + np.arange(config.chunk_bars + 1))
            actions = _training_actions(len(first), config, rng)
            mask = _dropout_mask(len(first), config, generator)
            loss = _mdn_rnn_loss(
                mdn_rnn, latents[rows], train.calendar_next[rows], actions, mask, config
            )
            _step(optimiser, mdn_rnn, loss, config.gradient_clip, "mdn_rnn", epoch, index)
            averaged.update(mdn_rnn)
            total += loss.item()
        return total / batches

    def validate() -> dict[str, float]:
        assert isinstance(averaged.module, MDNRNN)
        returns, latents = validation_nll(averaged.module, validation)
        return {
            "validation_loss": returns + config.latent_loss_weight * latents
            if config.preset == "market"
            else latents,
            "validation_return_nll": returns,
            "validation_latent_nll": latents,
        }

    best = _run_stage(
        "mdn_rnn",
        config.mdn_rnn_epochs,
        config.patience_epochs,
        epoch_loss,
        validate,
        averaged,
        callbacks,
    )
    mdn_rnn.load_state_dict(best)
    return mdn_rnn


def _decay_groups(mdn_rnn: MDNRNN, weight_decay: float) -> list[dict[str, Any]]:
    """Decay what decides the return; decaying z's head would pull dreams towards the mean."""
    named = list(mdn_rnn.named_parameters())
    decays = ("lstm.weight", "return_head.weight")
    return [
        {"params": [p for n, p in named if n.startswith(decays)], "weight_decay": weight_decay},
        {"params": [p for n, p in named if not n.startswith(decays)], "weight_decay": 0.0},
    ]


def _epoch_latents(
    posterior: Posterior, config: WorldModelConfig, generator: torch.Generator
) -> Tensor:
    """Draw the latents anew from q(z|x) every epoch (Ha & Schmidhuber 2018)."""
    normals = torch.randn(posterior.mean.shape, generator=generator)
    return posterior.sample(normals)


def _training_actions(
    count: int, config: WorldModelConfig, rng: np.random.Generator
) -> Tensor | None:
    """Actions [B, L, 1] that know nothing of the market: uniform, held for about ten bars."""
    if config.preset == "market":
        return None
    length = config.chunk_bars
    drawn = rng.uniform(-1.0, 1.0, size=(count, length))
    changes = rng.random((count, length)) >= _ACTION_HOLD
    changes[:, 0] = True
    last_change = np.maximum.accumulate(np.where(changes, np.arange(length), 0), axis=1)
    held = np.take_along_axis(drawn, last_change, axis=1)
    return torch.from_numpy(held[..., None].astype(np.float32))


def _dropout_mask(
    count: int, config: WorldModelConfig, generator: torch.Generator
) -> Tensor | None:
    """Zeros and 1/(1-p) for the scored bars of chunks [B, L - burn-in, H]."""
    if not config.dropout:
        return None
    shape = (count, config.chunk_bars - config.burn_in_bars, config.hidden_size)
    kept = torch.rand(shape, generator=generator) >= config.dropout
    return kept.float() / (1 - config.dropout)


def _mdn_rnn_loss(
    mdn_rnn: MDNRNN,
    latents: Tensor,
    calendars_next: Tensor,
    actions: Tensor | None,
    mask: Tensor | None,
    config: WorldModelConfig,
) -> Tensor:
    """Mean loss of chunks [B, L+1, Z], the burn-in unscored."""
    hidden, _ = mdn_rnn(latents[:, :-1], calendars_next[:, :-1], actions)
    scored = slice(config.burn_in_bars, None)
    returns, rest = mdn_rnn.log_prob(
        hidden[:, scored], latents[:, :-1][:, scored], latents[:, 1:][:, scored], mask
    )
    weight = config.latent_loss_weight if config.preset == "market" else 1.0
    return -(returns.mean() + weight * rest.mean())


@torch.no_grad()
def validation_nll(mdn_rnn: MDNRNN, encoded: Encoded) -> tuple[float, float]:
    """Mean -log p of the standardised return and of the latent, in the deployed form (posterior means)."""
    mean = encoded.posterior.mean
    total_returns, total_latents, count = 0.0, 0.0, 0
    for start, stop in encoded.source.runs:
        first = max(encoded.source.scored_from - 1 - start, 0)  # forecasts of the bars that count
        if stop - start < first + 2:
            continue
        latents = mean[None, start:stop]
        hidden, _ = mdn_rnn(latents[:, :-1], encoded.calendar_next[None, start : stop - 1])
        returns, rest = mdn_rnn.log_prob(hidden, latents[:, :-1], latents[:, 1:])
        total_returns -= returns[0, first:].double().sum().item()
        total_latents -= rest[0, first:].double().sum().item()
        count += returns.shape[1] - first
    if not count:
        raise TrainingError(
            "the validation range has no two complete bars in a row: give more bars"
        )
    return total_returns / count, total_latents / count


def _run_stage(
    stage: str,
    epochs: int,
    patience: int,
    epoch_loss: Callable[[int], float],
    validate: Callable[[], dict[str, float]],
    averaged: Averaged,
    callbacks: Callbacks,
) -> dict[str, Tensor]:
    """Epochs until done or no longer better; returns the best averaged weights."""
    best_loss, best_epoch = math.inf, 0
    best: dict[str, Tensor] = {}
    callbacks.on_stage_start(stage, epochs)
    try:
        for epoch in range(epochs):
            began = time.perf_counter()
            loss = epoch_loss(epoch)
            row: Row = {"stage": stage, "epoch": epoch + 1, "train_loss": loss, **validate()}
            row["seconds"] = time.perf_counter() - began
            callbacks.on_epoch(row)
            if float(row["validation_loss"]) < best_loss:
                best_loss, best_epoch = float(row["validation_loss"]), epoch
                best = copy.deepcopy(averaged.module.state_dict())
            if epoch - best_epoch >= patience:
                break
    finally:
        callbacks.on_stage_end(stage)
    if not best:
        raise TrainingError(f"{stage}: the validation loss was never finite; check the candles")
    return best


def _set_rate(optimiser: torch.optim.Optimizer, highest: float, epoch: float, epochs: int) -> None:
    """One epoch of linear warm-up, then a cosine down to 2%."""
    warm = min(1.0, epoch + 0.05)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / epochs)))
    for group in optimiser.param_groups:
        group["lr"] = highest * warm * (0.02 + 0.98 * cosine)


def _step(
    optimiser: torch.optim.Optimizer,
    module: nn.Module,
    loss: Tensor,
    clip: float,
    stage: str,
    epoch: int,
    batch: int,
) -> None:
    if not math.isfinite(loss.item()):
        raise TrainingError(
            f"{stage}: the loss is {loss.item()} at epoch {epoch + 1}, batch {batch + 1}; "
            "lower the learning rate or look for outliers in the candles"
        )
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimiser.step()


def scaled_tensor(values: Sequence[float] | np.ndarray) -> Tensor:
    """Float32 tensor of standardised features."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
