"""What may follow a training: a history of plain rows, TensorBoard, and whatever else."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...market.interrupts import interrupts_held

Row = dict[str, float | str]


class TrainingCallback:
    """Follows a training; every method may be left as it is."""

    def on_stage_start(self, stage: str, epochs: int) -> None:
        """A stage, such as ``"vae"`` or ``"mdn_rnn"``, begins; it runs at most ``epochs`` epochs."""

    def on_resume(self, stage: str, rows: Sequence[Row]) -> None:
        """A stage goes on from a checkpoint; ``rows`` are its epochs so far, not told again."""

    def on_epoch(self, row: Row) -> None:
        """An epoch ended, and its checkpoint is written.

        Args:
            row: Its ``stage``, ``epoch`` (from 1), ``train_loss``, ``validation_loss`` and other
                metrics, ``seconds``, and ``memory_mb``, the process's peak where the system tells it.
        """

    def on_stage_end(self, stage: str) -> None:
        """A stage ended, by itself or by an error."""

    def on_note(self, text: str) -> None:
        """Something was found out that no epoch tells; ``text`` says what."""

    def on_warning(self, text: str) -> None:
        """Something looks wrong with what was trained; ``text`` says what and what to do."""


@dataclass
class TrainingHistory:
    """What happened, epoch by epoch.

    Attributes:
        rows: One plain dictionary an epoch.
        notes: Sentences about what was found out.
        warnings: Sentences about what looks wrong.
    """

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in the order in which they ran."""
        return tuple(dict.fromkeys(str(row["stage"]) for row in self.rows))

    def stage(self, stage: str) -> list[Row]:
        """The rows of one stage."""
        return [row for row in self.rows if row["stage"] == stage]


class TensorBoardCallback(TrainingCallback):
    """Writes every number of every epoch to TensorBoard event files, one folder a stage.

    A stage's folder always tells the training as it is: what an earlier or interrupted one left
    there goes, and the epochs of a stage that goes on are written again. Each is shown once. Ctrl-C waits while
    TensorBoard's queue is at work: interrupted, it would have the end wait for two minutes.

    Args:
        log_dir: Folder for the stages' folders.
    """

    def __init__(self, log_dir: str | Path) -> None:
        self._folder = Path(log_dir)
        self._writer: Any = None

    def on_stage_start(self, stage: str, epochs: int) -> None:
        """Begin the stage's file."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._folder / stage
        for old in folder.glob("events.out.tfevents.*"):
            with suppress(OSError):  # Windows keeps what a running TensorBoard has open
                old.unlink()
        # A TensorBoard that is running forgets what it has read of the stage.
        with interrupts_held():
            self._writer = SummaryWriter(str(folder), purge_step=0)

    def on_resume(self, stage: str, rows: Sequence[Row]) -> None:
        """Write the epochs so far."""
        with interrupts_held():
            for row in rows:
                self._write(row)

    def on_epoch(self, row: Row) -> None:
        """Write one row to disk."""
        with interrupts_held():
            self._write(row)
            self._writer.flush()

    def on_stage_end(self, stage: str) -> None:
        """Close the stage's file."""
        with interrupts_held():
            self._writer.close()

    def _write(self, row: Row) -> None:
        for name, value in row_numbers(row).items():
            self._writer.add_scalar(name, value, int(row["epoch"]))


def row_numbers(row: Row) -> dict[str, float]:
    """The numbers of an epoch as ``stage/name``."""
    return {
        f"{row['stage']}/{name}": value
        for name, value in row.items()
        if name not in ("stage", "epoch") and isinstance(value, int | float)
    }


class Callbacks(TrainingCallback):
    """Several callbacks as one, the history among them."""

    def __init__(self, history: TrainingHistory, others: Sequence[TrainingCallback]) -> None:
        self._history = history
        self._others = tuple(others)

    def on_stage_start(self, stage: str, epochs: int) -> None:
        """Pass on."""
        for other in self._others:
            other.on_stage_start(stage, epochs)

    def on_resume(self, stage: str, rows: Sequence[Row]) -> None:
        """Record and pass on."""
        self._history.rows.extend(rows)
        for other in self._others:
            other.on_resume(stage, rows)

    def on_epoch(self, row: Row) -> None:
        """Record and pass on."""
        self._history.rows.append(row)
        for other in self._others:
            other.on_epoch(row)

    def on_stage_end(self, stage: str) -> None:
        """Pass on."""
        for other in self._others:
            other.on_stage_end(stage)

    def on_note(self, text: str) -> None:
        """Record and pass on."""
        self._history.notes.append(text)
        for other in self._others:
            other.on_note(text)

    def on_warning(self, text: str) -> None:
        """Record and pass on."""
        self._history.warnings.append(text)
        for other in self._others:
            other.on_warning(text)
