"""Dream work shared out to processes: a population goes out once, its scores come back."""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch

from ...market.account.rules import BrokerConfig
from ...market.candles import FloatArray
from ...market.errors import ConfigError, WorkerError
from ...market.settings import whole_number
from ...models.load import open_world_model
from ...models.world_model import WorldModel
from ..engine.engine import DreamEngine
from .jobs import Dreams, Job, PathsJob, Result, ScoreJob, run_here
from .scoring import MarketPaths, Scores

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_TRIES = 3  # of a block whose workers die: then the block is to blame
_PATIENCE_S = 5.0  # for a worker that was told to end


class _Task(NamedTuple):
    """A block of a job; the job itself comes along when the worker does not have it yet."""

    serial: int
    block: int
    job: Job[Any] | None = None


class _Answer(NamedTuple):
    """What became of a block; a serial of -1 says that the worker is ready."""

    serial: int
    block: int
    result: Any = None
    traceback: str | None = None


class DreamWorkers:
    """Processes that dream, each on one thread; a context manager.

    One seed gives the same numbers bit for bit whatever the number of workers, none included: work
    is cut into blocks of fixed size, each with a seed of its own, joined in the order of the
    blocks. A job is sent to each worker once, then only block numbers go out and results come back.

    The world model reaches the workers as a saved folder that each loads once, checksums verified:
    about a megabyte, and unlike a segment of shared memory it needs no process to clean up after
    one that was killed.

    A worker that dies is reported by a `RuntimeWarning` with its traceback or signal, replaced,
    and its block done again. Ctrl-C ends the workers. They are spawned: a script that makes a pool
    needs ``if __name__ == "__main__":``.

    Args:
        world_model: A `WorldModel`, the folder of one, or ``"default"``.
        num_workers: Processes; 0 works in this one, None takes one for each core.
        warmup: Recorded bars that M hears first; see `DreamEngine`.

    Attributes:
        engine: The dream, as this process sees it.
        num_workers: Processes.

    Raises:
        ConfigError: ``num_workers`` is no number of processes.
    """

    def __init__(
        self,
        world_model: WorldModel | str | os.PathLike[str] = "default",
        num_workers: int | None = None,
        warmup: int | None = None,
    ) -> None:
        processes = _num_cores() if num_workers is None else whole_number(num_workers)
        if processes is None or processes < 0:
            raise ConfigError(f"num_workers is {num_workers!r}; expected 0 or more processes")
        self.engine = DreamEngine(open_world_model(world_model), warmup)
        self.num_workers = processes
        self._serial = 0
        self._closed = False
        self._workers: list[_Worker] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if processes:
            self._folder = tempfile.TemporaryDirectory(prefix="worldmodel-trading-")
            self.engine.world_model.save_pretrained(self._folder.name)
            self._workers = [self._hire(number) for number in range(processes)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def process_ids(self) -> list[int]:
        """Of the workers alive."""
        return [worker.pid for worker in self._workers]

    def score(self, parameters: FloatArray, dreams: Dreams, broker: BrokerConfig) -> Scores:
        """Trade P linear controllers in N dreams, by the preset; see `ScoreJob`.

        Args:
            parameters: W and b of each candidate [P, D + 1].
            dreams: Which dreams.
            broker: The account's rules.
        """
        return self.run(ScoreJob(parameters, dreams, broker))

    def dream(self, dreams: Dreams) -> MarketPaths:
        """Dream paths that every candidate may share (``market`` preset)."""
        return self.run(PathsJob(dreams))

    def run(self, job: Job[Result]) -> Result:
        """Do a job.

        Raises:
            ConfigError: The job does not fit the world model, or the pool is closed.
            WorkerError: A block failed; the message holds the worker's traceback.
        """
        if self._closed:
            raise ConfigError("these workers are gone: the pool was closed or interrupted")
        if not self.num_workers:
            return run_here(self.engine, job)
        job.check(self.engine.world_model)
        self._serial += 1
        try:
            parts = self._collect(job, len(job.blocks(self.engine.world_model)))
        except WorkerError:
            raise
        except BaseException:
            self.close()
            raise
        return job.assemble(parts)

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        self._closed = True
        for worker in self._workers:
            worker.dismiss()
        for worker in self._workers:
            worker.end()
        self._workers = []
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _collect(self, job: Job[Result], count: int) -> list[Result]:
        """All blocks' results, in order."""
        queue, deaths = deque(range(count)), Counter[int]()
        results: dict[int, Result] = {}
        while len(results) < count:
            self._share_out(job, queue)
            for connection in wait([worker.connection for worker in self._workers]):
                worker = next(w for w in self._workers if w.connection is connection)
                answer = worker.receive()
                if answer is None:
                    block = self._replace(worker)
                    if block is not None:
                        deaths[block] += 1
                        self._give_up(block, deaths[block])
                        queue.appendleft(block)
                elif answer.traceback is not None and answer.serial in (-1, self._serial):
                    raise WorkerError(f"a dream worker failed:\n{answer.traceback}")
                elif answer.serial == self._serial:
                    results[answer.block] = answer.result
        return [results[block] for block in range(count)]

    def _share_out(self, job: Job[Any], queue: deque[int]) -> None:
        """Give each idle worker a block."""
        for worker in self._workers:
            if queue and worker.is_idle:
                worker.assign(self._serial, job, queue.popleft())

    def _replace(self, worker: _Worker) -> int | None:
        """Hire anew in place of a dead worker; returns the block it was at, if it was at one."""
        reason = worker.obituary()
        if not worker.is_ready:
            self.close()
            raise WorkerError(
                f"a dream worker died before it could work: {reason}. Workers are spawned: does "
                'the script guard its work by `if __name__ == "__main__":`?'
            )
        worker.end()
        task = worker.task
        self._workers[self._workers.index(worker)] = self._hire(worker.number)
        block = task.block if task is not None and task.serial == self._serial else None
        warnings.warn(
            f"dream worker {worker.number} died: {reason}. A new one takes its place"
            + ("" if block is None else f" and does block {block} again"),
            RuntimeWarning,
            stacklevel=5,
        )
        return block

    @staticmethod
    def _give_up(block: int, deaths: int) -> None:
        if deaths >= _TRIES:
            raise WorkerError(
                f"{deaths} workers died over block {block}; is there enough memory for it?"
            )

    def _hire(self, number: int) -> _Worker:
        assert self._folder is not None
        return _Worker(number, Path(self._folder.name), self.engine.warmup)


class _Worker:
    """A process, as its pool sees it."""

    def __init__(self, number: int, folder: Path, warmup: int) -> None:
        self.number = number
        self.is_ready = False
        self.task: _Task | None = None
        self._knows = 0  # serial of the job that it was sent last
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._faults = folder / f"faults-of-worker-{number}"
        self._faults.touch()
        self._process = context.Process(
            target=_serve, args=(theirs, folder, warmup, self._faults), daemon=True
        )
        with _one_thread_at_birth(), _interrupts_held():
            self._process.start()
        theirs.close()
        self.pid = int(self._process.pid or 0)

    @property
    def is_idle(self) -> bool:
        """Whether it can be given a block."""
        return self.is_ready and self.task is None

    def assign(self, serial: int, job: Job[Any], block: int) -> None:
        """Send it a block, and the job with the first."""
        self.task = _Task(serial, block, None if self._knows == serial else job)
        self._knows = serial
        try:
            self.connection.send(self.task)
        except OSError:
            return  # it is dead, which `receive` will find

    def receive(self) -> _Answer | None:
        """Its answer; None if it is dead."""
        try:
            answer: _Answer = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.is_ready, self.task = True, None
        return answer

    def obituary(self) -> str:
        """How it died: by what signal or with what code, and where, if it could still say."""
        self._process.join(_PATIENCE_S)
        code = self._process.exitcode
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = f"killed by {signal.Signals(-code).name}"
        said = self._faults.read_text(errors="replace").strip()
        return f"{how}\n{said}\n" if said else how

    def dismiss(self) -> None:
        """Stop it where it is: it holds nothing that would be lost."""
        self._process.terminate()

    def end(self) -> None:
        """See it end."""
        self._process.join(_PATIENCE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()
        self.connection.close()


def _serve(connection: Connection, folder: Path, warmup: int, faults: Path) -> None:
    """A worker's life: answer tasks until the pool hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's to handle
    with faults.open("w") as file:
        faulthandler.enable(file)
        try:
            torch.set_num_threads(1)
            engine = DreamEngine(WorldModel.from_pretrained(folder), warmup)
            connection.send(_Answer(-1, -1))
            _answer_tasks(connection, engine)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # the pool is gone
        except Exception:
            connection.send(_Answer(-1, -1, traceback=traceback.format_exc()))
        finally:
            faulthandler.disable()


def _answer_tasks(connection: Connection, engine: DreamEngine) -> None:
    job: Job[Any] | None = None
    while True:
        task: _Task = connection.recv()
        job = task.job or job
        assert job is not None
        try:
            answer = _Answer(task.serial, task.block, job.compute(engine, task.block))
        except Exception:
            answer = _Answer(task.serial, task.block, traceback=traceback.format_exc())
        connection.send(answer)


def _num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _one_thread_at_birth() -> Iterator[None]:
    """Let processes started here give their libraries one thread, before they load them."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block Ctrl-C, which processes started here inherit: it would stop them amid their imports."""
    resource_tracker.ensure_running()  # starting it later would unblock signals again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
