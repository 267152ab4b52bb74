"""Who computes a job's blocks: this process, or several of this machine."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from loky import ProcessPoolExecutor

from ...market.errors import WorkerError
from ...models.world_model import WorldModel
from ..engine.base import Engine
from ..engine.opening import open_engine
from .jobs import Job, Result

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_TRIES = 3  # of blocks that a worker dies over: then the blocks are to blame


class Executor(Protocol):
    """Computes blocks. A block is a pure function of its job and number, so anybody may do it."""

    def compute(self, job: Job[Result], blocks: Sequence[int]) -> list[Result]:
        """The blocks' results, in their order."""

    def close(self) -> None:
        """Let go of whatever is held."""


class SerialExecutor:
    """Computes blocks in this process.

    Args:
        engine: The dream.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def compute(self, job: Job[Result], blocks: Sequence[int]) -> list[Result]:
        """The blocks' results, in their order."""
        return [job.compute(self._engine, block) for block in blocks]

    def close(self) -> None:
        """Nothing is held."""


class ProcessExecutor:
    """Computes blocks in processes of this machine, each on one thread.

    The world model reaches the workers as bytes that each unpacks once, with what is not kept on disk:
    its drift. That is about a megabyte, and unlike a segment of shared memory it needs no process to
    clean up after one that was killed. A worker that dies is reported by a `RuntimeWarning`; the pool starts anew
    and does the blocks that are missing. Ctrl-C ends the workers.

    Args:
        world_model: What is dreamed.
        num_workers: Processes, at least 1.
        warmup: Recorded bars that M hears first.
    """

    def __init__(self, world_model: WorldModel, num_workers: int, warmup: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="worldmodel-trading-")
        self._faults = Path(self._folder.name) / "faults"
        self._faults.mkdir()
        self._packed = pickle.dumps(world_model)
        self._num_workers, self._warmup = num_workers, warmup
        self._serial = 0
        self._start()

    def compute(self, job: Job[Result], blocks: Sequence[int]) -> list[Result]:
        """The blocks' results, in their order.

        Raises:
            WorkerError: A block failed, or its workers die; the message holds the traceback.
        """
        self._serial += 1
        packed, results = pickle.dumps(job), dict[int, Result]()
        for attempt in range(_TRIES):
            broken = self._try(packed, [b for b in blocks if b not in results], results)
            if broken is None:
                return [results[block] for block in blocks]
            self._replace(broken, attempt, [b for b in blocks if b not in results])
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
                initargs=(self._packed, self._warmup, self._faults),
                env=dict.fromkeys(THREAD_VARIABLES, "1"),
            )
            self._ready: Future[None] = self._pool.submit(_is_ready)

    def _try(self, packed: bytes, missing: Sequence[int], results: dict[int, Any]) -> str | None:
        """Compute what is missing into ``results``; returns how a worker died, if one did."""
        broken: str | None = None
        futures: dict[Future[Any], int] = {}
        try:
            with interrupts_held():
                for block in missing:
                    futures[self._pool.submit(_compute, self._serial, packed, block)] = block
            wait(futures, return_when=FIRST_EXCEPTION)
        except BrokenProcessPool as error:
            broken = str(error)
        for future, block in futures.items():
            if not future.done():
                future.cancel()
                continue
            failure = future.exception()
            if isinstance(failure, BrokenProcessPool):
                broken = str(failure)
            elif failure is not None:
                raise WorkerError(f"a dream worker failed:\n{failure.__cause__ or failure}")
            else:
                results[block] = future.result()
        return broken

    def _replace(self, reason: str, attempt: int, blocks: Sequence[int]) -> None:
        """Start the pool anew in place of one that broke over some blocks."""
        reason = f"{reason}\n{self._last_words()}".strip()
        began = self._ready.done() and self._ready.exception() is None
        self._pool.shutdown(kill_workers=True)
        if not began:
            raise WorkerError(f"a dream worker died before it could work: {reason}")
        if attempt == _TRIES - 1:
            named = ", ".join(map(str, blocks))
            raise WorkerError(
                f"{_TRIES} times workers died over blocks {named}; is there enough memory for "
                f"them? {reason}"
            )
        warnings.warn(
            f"a dream worker died: {reason}\nNew ones do {len(blocks)} blocks again",
            RuntimeWarning,
            stacklevel=5,
        )
        self._start()

    def _last_words(self) -> str:
        """Where in the code workers crashed, if they could still say."""
        files = sorted(self._faults.iterdir())
        said = [file.read_text(errors="replace").strip() for file in files]
        for file in files:
            file.unlink()
        return "\n".join(filter(None, said))


_engine: Engine | None = None
_job: tuple[int, Job[Any]] | None = None


def _begin(packed: bytes, warmup: int, faults: Path) -> None:
    """A worker's first act: the dream it will compute, and where it leaves a last word."""
    global _engine
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's to handle
    faulthandler.enable((faults / str(os.getpid())).open("w"))
    torch.set_num_threads(1)
    _engine = open_engine(pickle.loads(packed), warmup)


def _is_ready() -> None:
    """Answered by a worker that has begun."""


def _compute(serial: int, packed: bytes, block: int) -> Any:
    """One block of the job of that number, unpacked once."""
    global _job
    assert _engine is not None
    if _job is None or _job[0] != serial:
        _job = serial, pickle.loads(packed)
    return _job[1].compute(_engine, block)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Block Ctrl-C, which processes started here inherit: it would stop them amid their imports.

    Where signals cannot be blocked (Windows), Ctrl-C may tear a worker's start; the pool says so.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
