"""What a person at a terminal sees of long work: bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from worldmodel_trading.models.callbacks import Row, TrainingCallback

_TITLES = {"vae": "V", "mdn_rnn": "M"}


def say(line: str) -> None:
    """Print a line, above any bar that is open."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


class TrainingConsole(TrainingCallback):
    """A bar for each stage of training where there is a terminal, and one line an epoch."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_stage_start(self, stage: str, epochs: int) -> None:
        """Open the bar."""
        self._bar = tqdm(total=epochs, desc=_TITLES.get(stage, stage), unit="epoch", disable=None)

    def on_epoch(self, row: Row) -> None:
        """Print the epoch's numbers."""
        numbers = "  ".join(
            f"{name} {value:.4f}"
            for name, value in row.items()
            if name not in ("stage", "epoch") and isinstance(value, int | float)
        )
        say(f"  {_TITLES.get(str(row['stage']), row['stage'])} epoch {row['epoch']:>3}  {numbers}")
        self._bar.update(1)

    def on_stage_end(self, stage: str) -> None:
        """Close the bar."""
        self._bar.close()

    def on_note(self, text: str) -> None:
        """Print it."""
        say(f"  {text}")


class _Bar:
    """A bar that closes with its block."""

    _bar: Any

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self._bar.close()


class Counter(_Bar):
    """A bar over steps that each come with a row of numbers.

    Args:
        title: Before the bar.
        total: How many steps.
        unit: What a step is.
        describe: Turns a row into the line to print; None prints nothing.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str,
        describe: Callable[[dict[str, float]], str | None] = lambda row: None,
    ) -> None:
        self._bar: Any = tqdm(total=total, desc=title, unit=unit, disable=None)
        self._describe = describe

    def __call__(self, row: dict[str, float]) -> None:
        """One step is done."""
        line = self._describe(row)
        if line is not None:
            say(line)
        self._bar.update(1)


class Amount(_Bar):
    """A bar over an amount that is known only as the work goes on.

    Args:
        title: Before the bar.
        unit: Of the amount.
    """

    def __init__(self, title: str, unit: str) -> None:
        self._bar: Any = tqdm(desc=title, unit=unit, disable=None)

    def __call__(self, done: int, total: int) -> None:
        """So much is done, of so much."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)
