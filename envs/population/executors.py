"""Who computes the blocks of a work: this process, or several of this machine."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from loky import ProcessPoolExecutor

from ...market.errors import WorkerError, WorldModelTradingError
from ...market.interrupts import interrupts_held

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
TRIES = 3
"""Of blocks that a worker dies over: then the blocks are to blame."""

_AT_ONCE = 3
"""Blocks that each worker has before it, so that none waits for another, and few are left where one fails:
loky's pool, told to end its workers, trips over blocks that were called off."""

Result = TypeVar("Result")
Made = TypeVar("Made", covariant=True)
Opening = Callable[[], Any]
"""A worker's first act, picklable: it makes what every block is computed with, such as a dream's engine."""
Done = Callable[[int], None]
"""Is called with a block's place among the others as it ends."""


def untold(place: int) -> None:
    """Nobody asks."""


class Work(Protocol[Made]):
    """Work cut into blocks; picklable, as the blocks are.

    A block's result is a pure function of the work and the block, so that anybody may compute it.
    """

    def compute(self, opened: Any, block: Any, /) -> Made:
        """Do one block with what a worker has opened."""


class Executor(Protocol):
    """Computes blocks."""

    def compute(
        self, work: Work[Result], blocks: Sequence[Any], done: Done = untold
    ) -> list[Result]:
        """The blocks' results, in their order."""

    def close(self) -> None:
        """Let go of whatever is held."""


class SerialExecutor:
    """Computes blocks in this process.

    Args:
        opened: What blocks are computed with.
    """

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def compute(
        self, work: Work[Result], blocks: Sequence[Any], done: Done = untold
    ) -> list[Result]:
        """The blocks' results, in their order."""
        results = []
        for place, block in enumerate(blocks):
            results.append(work.compute(self._opened, block))
            done(place)
        return results

    def close(self) -> None:
        """Nothing is held."""


class ProcessExecutor:
    """Computes blocks in processes of this machine, each on one thread.

    What they open, such as a world model with its drift, reaches the workers as bytes that each unpacks
    once. That is about a megabyte, and unlike a segment of shared memory it needs no process to
    clean up after one that was killed. A worker that dies is reported by a `RuntimeWarning`; the pool starts anew
    and does the blocks that are missing. Ctrl-C ends the workers.

    Args:
        opening: A worker's first act.
        num_workers: Processes, at least 1.
    """

    def __init__(self, opening: Opening, num_workers: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="worldmodel-trading-")
        self._faults = Path(self._folder.name) / "faults"
        self._faults.mkdir()
        self._packed = pickle.dumps(opening)
        self._num_workers = num_workers
        self._serial = 0
        self._start()

    def compute(
        self, work: Work[Result], blocks: Sequence[Any], done: Done = untold
    ) -> list[Result]:
        """The blocks' results, in their order.

        Raises:
            WorkerError: A block failed, or its workers die; the message holds the traceback.
            WorldModelTradingError: A block raised it.
        """
        self._serial += 1
        packed, results = pickle.dumps(work), dict[int, Result]()
        for attempt in range(TRIES):
            missing = {place: one for place, one in enumerate(blocks) if place not in results}
            broken = self._try(packed, missing, results, done)
            if broken is None:
                return [results[place] for place in range(len(blocks))]
            self._replace(broken, attempt, [place for place in missing if place not in results])
        raise AssertionError("unreachable: the last attempt raises")

    def close(self) -> None:
        """End the workers, whatever they are doing: they hold nothing that would be lost."""
        self._pool.shutdown(kill_workers=True)
        self._folder.cleanup()

    def _start(self) -> None:
        with interrupts_held():
            self._pool = ProcessPoolExecutor(
                self._num_workers,
                initializer=_begin,
                initargs=(self._packed, self._faults),
                env=dict.fromkeys(THREAD_VARIABLES, "1"),
            )
            self._ready: Future[None] = self._pool.submit(_is_ready)

    def _try(
        self, packed: bytes, missing: Mapping[int, Any], results: dict[int, Any], done: Done
    ) -> str | None:
        """Compute what is missing into ``results``; returns how a worker died, if one did."""
        broken: str | None = None
        left, places = deque(missing.items()), dict[Future[Any], int]()
        ended: SimpleQueue[Future[Any]] = SimpleQueue()  # which Ctrl-C leaves whole
        try:
            while left or places:
                with interrupts_held():
                    while left and len(places) < _AT_ONCE * self._num_workers:
                        place, block = left.popleft()
                        future = self._pool.submit(_compute, self._serial, packed, block)
                        places[future] = place
                        future.add_done_callback(ended.put)
                future = ended.get()
                place = places.pop(future)
                with interrupts_held():
                    failure = future.exception()
                    if failure is None:
                        results[place] = future.result()
                if isinstance(failure, BrokenProcessPool):
                    broken = str(failure)
                    left.clear()
                elif failure is not None:
                    raise told_failure(failure, failure.__cause__)
                else:
                    done(place)
        except BrokenProcessPool as error:
            broken = str(error)
        return broken

    def _replace(self, reason: str, attempt: int, blocks: Sequence[int]) -> None:
        """Start the pool anew in place of one that broke over some blocks."""
        reason = f"{reason}\n{self._last_words()}".strip()
        began = self._ready.done() and self._ready.exception() is None
        self._pool.shutdown(kill_workers=True)
        if not began:
            raise WorkerError(f"a worker died before it could work: {reason}")
        if attempt == TRIES - 1:
            raise died_again(blocks, reason)
        warn_of_death(reason, len(blocks))
        self._start()

    def _last_words(self) -> str:
        """Where in the code workers crashed, if they could still say."""
        files = sorted(self._faults.iterdir())
        said = [file.read_text(errors="replace").strip() for file in files]
        for file in files:
            file.unlink()
        return "\n".join(filter(None, said))


def told_failure(failure: BaseException, cause: object) -> BaseException:
    """What a block that failed is reported by: our own error as it is, others with their traceback."""
    if isinstance(failure, WorldModelTradingError):
        return failure
    return WorkerError(f"a worker failed:\n{cause or failure}")


def died_again(blocks: Sequence[int], reason: str) -> WorkerError:
    """What is said once the blocks are to blame."""
    named = ", ".join(map(str, blocks))
    return WorkerError(
        f"{TRIES} times workers died over blocks {named}; is there enough memory for them? {reason}"
    )


def warn_of_death(reason: str, blocks: int) -> None:
    """Warn of a worker that died, and is replaced."""
    then = f"New ones do {blocks} blocks again" if blocks else "Another takes its place"
    warnings.warn(f"a worker died: {reason}\n{then}", RuntimeWarning, stacklevel=6)


_opened: Any = None
_work: tuple[int, Work[Any]] | None = None


def _begin(packed: bytes, faults: Path) -> None:
    """A worker's first act: what it computes with, and where it leaves a last word."""
    global _opened
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's to handle
    faulthandler.enable((faults / str(os.getpid())).open("w"))
    torch.set_num_threads(1)
    _opened = pickle.loads(packed)()


def _is_ready() -> None:
    """Answered by a worker that has begun."""


def _compute(serial: int, packed: bytes, block: Any) -> Any:
    """One block of the work of that number, unpacked once."""
    global _work
    if _work is None or _work[0] != serial:
        _work = serial, pickle.loads(packed)
    return _work[1].compute(_opened, block)
