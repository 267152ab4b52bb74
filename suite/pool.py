"""Independent pieces of work, in this process or in several of this machine."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from loky import ProcessPoolExecutor

from worldmodel_trading.envs.population.executors import THREAD_VARIABLES, interrupts_held
from worldmodel_trading.market.errors import WorkerError

Task = TypeVar("Task")
Result = TypeVar("Result")


def work_through(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int = 0
) -> Iterator[tuple[Task, Result]]:
    """Do every task; each with its result, as they end.

    Args:
        function: A function of a module, so that a worker finds it.
        tasks: What it is given, one after another.
        workers: Processes, each on one thread; 0 works in this one.

    Raises:
        WorkerError: A worker died. What was finished stays finished.
        WorldModelTradingError: A task raised it.
    """
    if workers < 1 or len(tasks) < 2:
        for task in tasks:
            yield task, function(task)
        return
    with interrupts_held():
        pool = ProcessPoolExecutor(
            min(workers, len(tasks)), initializer=_begin, env=dict.fromkeys(THREAD_VARIABLES, "1")
        )
        futures = {pool.submit(function, task): task for task in tasks}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise WorkerError(
            f"a worker died, perhaps for want of memory ({error}): what was finished is kept; go on with "
            "--resume, and fewer --workers"
        ) from None
    finally:
        pool.shutdown(kill_workers=True)


def _begin() -> None:
    """A worker's first act."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's to handle
    torch.set_num_threads(1)
