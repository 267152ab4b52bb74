"""One stage of training: epochs, averaged weights, early stopping, checkpoints."""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ...market.errors import TrainingError
from .callbacks import Callbacks, Row
from .checkpoints import (
    Checkpoint,
    optimiser_tensors,
    restore_optimiser,
    under_prefix,
    with_prefix,
)

_LOWEST_RATE = 0.02  # share of the highest learning rate at the end
_EARLY_STEPS = 9.0  # an average over n steps forgets its start like n / (n + 9)


@dataclass(frozen=True)
class StageSettings:
    """How a stage is trained.

    Attributes:
        name: ``"vae"`` or ``"mdn_rnn"``.
        epochs: At most.
        patience: Epochs without a better validation loss before it stops.
        learning_rate: At its highest.
        gradient_clip: Largest norm of the gradient.
        ema_decay: Of the averaged weights, a step.
        keeps_start: Whether the weights that it begins with may be the best.
    """

    name: str
    epochs: int
    patience: int
    learning_rate: float
    gradient_clip: float
    ema_decay: float
    keeps_start: bool = False


@dataclass
class _Progress:
    """What a checkpoint must restore besides weights and generators."""

    epoch: int = 0  # epochs done
    steps: int = 0
    best_loss: float = math.inf
    best_epoch: int = 0
    rows: list[Row] = field(default_factory=list)


class Stage:
    """Trains one module; the averaged weights are validated and kept.

    Args:
        settings: How.
        module: What is trained.
        optimiser: Over the module's parameters.
        seed: Of data order and noise: `rng` and `generator`.
        callbacks: Told of each epoch.
        checkpoint: Where the state is kept after each epoch; None keeps none.
        resume: Go on from the checkpoint if there is one; else it is removed.
    """

    def __init__(
        self,
        settings: StageSettings,
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        seed: int,
        callbacks: Callbacks,
        checkpoint: Checkpoint | None = None,
        resume: bool = False,
    ) -> None:
        self.settings = settings
        self.module = module
        self.optimiser = optimiser
        self.averaged = copy.deepcopy(module)
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(int(self.rng.integers(2**62)))
        self._best = copy.deepcopy(module.state_dict())
        self._progress = _Progress()
        self._callbacks = callbacks
        self._checkpoint = checkpoint
        if checkpoint is not None:
            if resume:
                self._restore(checkpoint)
            else:
                checkpoint.clear()

    def fit(
        self, epoch_loss: Callable[[int], float], validate: Callable[[], dict[str, float]]
    ) -> dict[str, Tensor]:
        """Train until done or no longer better; returns the best averaged weights.

        Args:
            epoch_loss: Runs one epoch, calling `step` for each batch; returns the mean loss.
            validate: Metrics of `averaged`, ``validation_loss`` among them.

        Raises:
            TrainingError: The loss is not finite; the last checkpoint stays.
        """
        settings, progress = self.settings, self._progress
        self._callbacks.on_stage_start(settings.name, settings.epochs)
        try:
            if progress.rows:
                self._callbacks.on_resume(settings.name, progress.rows)
            elif settings.keeps_start:
                progress.best_loss, progress.best_epoch = validate()["validation_loss"], -1
            while not self._done():
                row = self._epoch(epoch_loss, validate)
                progress.rows.append(row)
                self._keep_best(float(row["validation_loss"]))
                progress.epoch += 1
                self._save()
                self._callbacks.on_epoch(row)
        finally:
            self._callbacks.on_stage_end(settings.name)
        if not math.isfinite(progress.best_loss):
            raise TrainingError(
                f"{settings.name}: the validation loss was never finite; look for outliers in the "
                "validation candles"
            )
        return self._best

    def step(self, loss: Tensor, batch: int, batches: int) -> float:
        """One optimiser step; returns the loss.

        Raises:
            TrainingError: The loss is not finite.
        """
        value, settings = loss.item(), self.settings
        if not math.isfinite(value):
            kept = (
                ""
                if self._checkpoint is None
                else f"; {self._checkpoint.file} has the epoch before"
            )
            raise TrainingError(
                f"{settings.name}: the loss is {value} at epoch {self._progress.epoch + 1}, batch "
                f"{batch + 1} of {batches}: lower the learning rate or look for outliers in the "
                f"candles{kept}"
            )
        rate = self._rate(self._progress.epoch + batch / batches)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("pace", 1.0)
        self.module.zero_grad()  # all of it: a stage may teach a part
        loss.backward()  # type: ignore[no-untyped-call]
        taught = [p for group in self.optimiser.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(taught, settings.gradient_clip)
        self.optimiser.step()
        self._average()
        return value

    def _epoch(
        self, epoch_loss: Callable[[int], float], validate: Callable[[], dict[str, float]]
    ) -> Row:
        began = time.perf_counter()
        row: Row = {"stage": self.settings.name, "epoch": self._progress.epoch + 1}
        row["train_loss"] = epoch_loss(self._progress.epoch)
        row.update(validate())
        row["seconds"] = time.perf_counter() - began
        peak = peak_memory_mb()
        if peak is not None:
            row["memory_mb"] = peak
        return row

    def _rate(self, epoch: float) -> float:
        """One epoch of linear warm-up, then half a cosine."""
        warm = min(1.0, epoch + 0.05)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / self.settings.epochs)))
        return self.settings.learning_rate * warm * (_LOWEST_RATE + (1 - _LOWEST_RATE) * cosine)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights towards the module's; early steps move more."""
        self._progress.steps += 1
        steps = self._progress.steps
        decay = min(self.settings.ema_decay, steps / (steps + _EARLY_STEPS))
        for mine, theirs in zip(self.averaged.parameters(), self.module.parameters(), strict=True):
            mine.lerp_(theirs, 1.0 - decay)

    def _keep_best(self, loss: float) -> None:
        progress = self._progress
        if loss < progress.best_loss:
            progress.best_loss, progress.best_epoch = loss, progress.epoch
            self._best = copy.deepcopy(self.averaged.state_dict())

    def _done(self) -> bool:
        progress = self._progress
        stale = progress.epoch - 1 - progress.best_epoch >= self.settings.patience
        return progress.epoch >= self.settings.epochs or stale

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        tensors = {
            **with_prefix("module", self.module.state_dict()),
            **with_prefix("averaged", self.averaged.state_dict()),
            **with_prefix("best", self._best),
            **with_prefix("optimiser", optimiser_tensors(self.optimiser)),
            "generator": self.generator.get_state(),
        }
        self._checkpoint.write(
            tensors, {"rng": self.rng.bit_generator.state, "progress": vars(self._progress)}
        )

    def _restore(self, checkpoint: Checkpoint) -> None:
        stored = checkpoint.read()
        if stored is None:
            return
        tensors, state = stored
        try:
            self._best = under_prefix("best", tensors)
            self.module.load_state_dict(under_prefix("module", tensors))
            self.averaged.load_state_dict(under_prefix("averaged", tensors))
            restore_optimiser(self.optimiser, under_prefix("optimiser", tensors))
            self.generator.set_state(tensors["generator"])
            self.rng.bit_generator.state = state["rng"]
            self._progress = _Progress(**state["progress"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"the checkpoint {checkpoint.file} is damaged ({error}): delete it and train anew"
            ) from None


def peak_memory_mb() -> float | None:
    """The process's highest resident memory so far [MB]; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak: float = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
