"""What a person at a terminal sees of long work: bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, Self

from tqdm import tqdm

from worldmodel_trading.models.training.callbacks import Row, TrainingCallback

tqdm.monitor_interval = 0
"""No thread that watches the bars: Ctrl-C at a wrong moment would leave it a lock to wait for at exit."""

_TITLES = {"forecast": "V, forecast", "vae": "V", "mdn_rnn": "M", "heads": "M, wicks and volume"}
_LINES = 8  # of a stage; the bar shows the epochs between them
_SHOWN = {"train_loss": "train", "validation_loss": "validation"}

_quiet = False


def _title(stage: str) -> str:
    return _TITLES.get(stage, stage.replace("_", " "))


def be_quiet(quiet: bool) -> None:
    """Whether what `say` and the bars tell of work under way is kept from the terminal."""
    global _quiet
    _quiet = quiet


def say(line: str) -> None:
    """Print a line on work under way, above any bar that is open."""
    if not _quiet:
        tell(line)


def tell(line: str) -> None:
    """Print what was asked for, or must be known, above any bar that is open."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def _open_bar(**settings: Any) -> Any:
    return tqdm(**settings, disable=True if _quiet else None)


class TrainingConsole(TrainingCallback):
    """A bar for each stage of training where there is a terminal, and a line every few epochs."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._every = 1
        self._unsaid: Row | None = None

    def on_stage_start(self, stage: str, epochs: int) -> None:
        """Open the bar."""
        self._bar = _open_bar(total=epochs, desc=_title(stage), unit="epoch")
        self._every = math.ceil(epochs / _LINES)

    def on_resume(self, stage: str, rows: Sequence[Row]) -> None:
        """Say where the stage goes on."""
        say(f"  {_title(stage)} goes on after epoch {len(rows)}")
        self._bar.update(len(rows))

    def on_epoch(self, row: Row) -> None:
        """Move the bar, and print every few epochs' numbers."""
        self._bar.set_postfix_str(f"validation {row['validation_loss']:.4f}", refresh=False)
        self._bar.update(1)
        self._unsaid = row
        if row["epoch"] == 1 or int(row["epoch"]) % self._every == 0:
            self._say_last()

    def on_stage_end(self, stage: str) -> None:
        """Print the last epoch's numbers, and close the bar."""
        self._say_last()
        self._bar.close()

    def on_note(self, text: str) -> None:
        """Print it."""
        say(f"  {text}")

    def on_warning(self, text: str) -> None:
        """Print it."""
        tell(f"  warning: {text}")

    def _say_last(self) -> None:
        if self._unsaid is not None:
            say(_epoch_line(self._unsaid))
        self._unsaid = None


def _epoch_line(row: Row) -> str:
    numbers = "  ".join(f"{shown} {row[name]:.4f}" for name, shown in _SHOWN.items() if name in row)
    title = _title(str(row["stage"]))
    return f"  {title} epoch {row['epoch']:>3}  {numbers}  {row['seconds']:.1f} s"


class _Bar:
    """A bar that closes with its block."""

    _bar: Any

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        self._bar.close()


class Counter(_Bar):
    """A bar over steps.

    Args:
        title: Before the bar.
        total: How many steps.
        unit: What a step is.
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        self._bar: Any = _open_bar(total=total, desc=title, unit=unit)

    def __call__(self, line: str = "") -> None:
        """One step is done; a line about it is printed, an empty one is not."""
        if line:
            say(line)
        self._bar.update(1)


class Amount(_Bar):
    """A bar over an amount that is known only as the work goes on.

    Args:
        title: Before the bar.
        unit: Of the amount.
    """

    def __init__(self, title: str, unit: str) -> None:
        self._bar: Any = _open_bar(desc=title, unit=unit)

    def __call__(self, done: int, total: int) -> None:
        """So much is done, of so much."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)
