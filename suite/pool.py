"""Independent pieces of work, in this process or in several of this machine.

Each leaves a file, whole or not at all: with it the piece is done, whoever did it and when, and work that
was stopped goes on with the pieces that lack theirs.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Protocol

from loky import ProcessPoolExecutor

from worldmodel_trading.envs.population.executors import THREAD_VARIABLES, interrupts_held
from worldmodel_trading.market.errors import WorkerError


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
    pieces: Sequence[Piece], workers: int = 0, done: Callable[[str], None] = lambda told: None
) -> None:
    """Do every piece that is not done.

    Args:
        pieces: The work.
        workers: Processes, each on one thread; 0 works in this one.
        done: Is called with what a piece is called as it ends, and with nothing for one that was done
            before.

    Raises:
        WorkerError: A worker died. What was finished stays finished.
        WorldModelTradingError: A piece raised it.
    """
    left = [piece for piece in pieces if not piece.file.is_file()]
    for _ in range(len(pieces) - len(left)):
        done("")
    if workers < 1 or len(left) < 2:
        for piece in left:
            _do(piece)
            done(piece.told)
        return
    with interrupts_held():
        pool = ProcessPoolExecutor(
            min(workers, len(left)), initializer=_begin, env=dict.fromkeys(THREAD_VARIABLES, "1")
        )
        futures = {pool.submit(_do, piece): piece for piece in left}
    try:
        for future in as_completed(futures):
            future.result()
            done(futures[future].told)
    except BrokenProcessPool as error:
        raise WorkerError(
            f"a worker died, perhaps for want of memory ({error}): what was finished is kept; go on with "
            "--resume, and fewer --workers"
        ) from None
    finally:
        pool.shutdown(kill_workers=True)


def _do(piece: Piece) -> None:
    piece.run()


def _begin() -> None:
    """A worker's first act."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's to handle
    torch.set_num_threads(1)
