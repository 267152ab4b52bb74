"""Independent pieces of work, in this process, in several of this machine, or on the nodes of a Ray cluster.

Each leaves a file, whole or not at all: with it the piece is done, whoever did it and when, and work that
was stopped goes on with the pieces that lack theirs. Nodes therefore share the job's folder: what a long
piece keeps on its way, such as a training's checkpoints, must outlive the node that does it.
"""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from worldmodel_trading.envs.population.crew import RAY, Crew, Workers
from worldmodel_trading.market.bybit.table import DATA_VARIABLE
from worldmodel_trading.market.errors import ConfigError, WorkerError


class Piece(Protocol):
    """A piece of work; it is pickled on its way to a worker."""

    @property
    def file(self) -> Path:
        """What is there once it is done."""

    @property
    def told(self) -> str:
        """What it is called."""

    def run(self) -> None:
        """Do it, and write the file."""


def work_through(
    pieces: Sequence[Piece], workers: Workers = 0, done: Callable[[str], None] = lambda told: None
) -> None:
    """Do every piece that is not done.

    Args:
        pieces: The work.
        workers: Processes, each on one thread; 0 works in this one; or a `Crew`.
        done: Is called with what a piece is called as it ends, and with nothing for one that was done
            before.

    Raises:
        WorkerError: Workers die. What was finished stays finished.
        WorldModelTradingError: A piece raised it.
    """
    left = [piece for piece in pieces if not piece.file.is_file()]
    for _ in range(len(pieces) - len(left)):
        done("")
    crew = Crew.of(workers)
    if not left:
        return
    if len(left) < 2 or (crew.executor != RAY and not crew.processes):
        for piece in left:
            piece.run()
            done(piece.told)
        return
    try:
        with _seen(left[0].file.parent) as seen:
            executor = crew.hire(seen, most=len(left))
            try:
                executor.compute(_Pieces(), left, lambda place: done(left[place].told))
            finally:
                executor.close()
    except WorkerError as error:
        raise WorkerError(f"{error}\nWhat was finished is kept: go on with --resume") from None


@dataclass(frozen=True)
class _Pieces:
    """Pieces as blocks of a work."""

    def compute(self, opened: None, piece: Piece, /) -> None:
        """Do one, and leave its file."""
        piece.run()


@dataclass(frozen=True)
class _Seen:
    """A worker's first act: to stand where the job was started, and to see its folder.

    Attributes:
        started: The job's working folder; paths may be relative to it.
        mark: A file in the job's folder.
        content: Of it.
        store: Where the job keeps what it fetched; None is where it is by default.
    """

    started: Path
    mark: Path
    content: str
    store: str | None

    def __call__(self) -> None:
        """Look.

        Raises:
            ConfigError: The folder is another one here, or none.
        """
        try:
            os.chdir(self.started)
            seen = self.mark.read_text(encoding="utf-8") == self.content
        except OSError:
            seen = False
        if self.store is not None:
            os.environ[DATA_VARIABLE] = self.store
        if not seen:
            raise ConfigError(
                f"the node {platform.node()} does not see {self.mark.parent} of {self.started}: start the "
                "job in a folder that all nodes share under the same path, and keep its --out, world "
                "models and candles there"
            )


@contextmanager
def _seen(folder: Path) -> Iterator[_Seen]:
    """Leave a mark in the job's folder while its workers work."""
    folder.mkdir(parents=True, exist_ok=True)
    content = secrets.token_hex(8)
    mark = folder / f".{content}.tmp"
    mark.write_text(content, encoding="utf-8")
    try:
        yield _Seen(Path.cwd(), mark, content, os.environ.get(DATA_VARIABLE))
    finally:
        mark.unlink(missing_ok=True)
