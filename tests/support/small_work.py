"""Work that a worker can be told to do: what it is, or its own end."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def nothing() -> None:
    """Opens nothing."""


@dataclass(frozen=True)
class Threads:
    """What each block sees of its process: its number, its threads, and where it stands."""

    def compute(self, opened: Any, block: int, /) -> tuple[int, dict[str, int], str]:
        from worldmodel_trading.models.machine import this_machine

        return os.getpid(), this_machine().threads, os.environ["NUMBA_NUM_THREADS"]


@dataclass(frozen=True)
class Deadly:
    """Twice each number; over some, a worker dies so many times before.

    Attributes:
        folder: Where the dead are counted.
        deaths: How often, by number.
    """

    folder: Path
    deaths: dict[int, int]

    def compute(self, opened: Any, block: int, /) -> int:
        for number in range(self.deaths.get(block, 0)):
            mark = self.folder / f"{block}-{number}"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return 2 * block


@dataclass(frozen=True)
class Wrong:
    """Raises what it is given."""

    error: Exception

    def compute(self, opened: Any, block: int, /) -> None:
        raise self.error


@dataclass(frozen=True)
class Note:
    """A piece that writes its own name."""

    file: Path

    @property
    def told(self) -> str:
        return self.file.name

    def run(self) -> None:
        self.file.write_text(self.file.name)


@dataclass(frozen=True)
class Grave:
    """A piece over which its worker dies, once; its file says that it did."""

    file: Path

    @property
    def told(self) -> str:
        return self.file.name

    def run(self) -> None:
        mark = self.file.with_suffix(".dead")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.file.write_text("risen")


@dataclass(frozen=True)
class Refused:
    """A piece that cannot be done."""

    file: Path
    error: Exception

    @property
    def told(self) -> str:
        return self.file.name

    def run(self) -> None:
        raise self.error
