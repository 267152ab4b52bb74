"""Ray beside processes of this machine: what two workers get done, and what the way to them costs."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from worldmodel_trading.envs.population import ray_executor
from worldmodel_trading.envs.population.crew import PROCESSES, RAY, Crew
from worldmodel_trading.envs.population.executors import Executor
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.models.machine import num_cores

from .populations import free_cores, score_task
from .results import Benchmark, Line, Result, Results, quantity, ratio
from .timing import Settings, Slice, Task, alternate
from .worlds import random_world


def nothing() -> None:
    """Opens nothing."""


@dataclass(frozen=True)
class Spin:
    """Blocks that compute for so many seconds of processor time, whoever else does.

    Attributes:
        seconds: Of a block.
    """

    seconds: float

    def compute(self, opened: Any, block: int, /) -> int:
        """Count."""
        end, count = time.thread_time() + self.seconds, 0
        while time.thread_time() < end:
            count += 1
        return count


def blocks_task(executor: Executor, work: Spin, blocks: int) -> Task:
    """Blocks a second, all handed out together."""

    def task(least_s: float) -> Slice:
        start = time.perf_counter()
        executor.compute(work, range(blocks))
        return Slice(float(blocks), time.perf_counter() - start, 0.0)

    return task


def _lanes(settings: Settings) -> Results:
    world, sizes = (
        random_world(8, 64),
        (settings.size(512, 32), 32, settings.size(64, 4)),
    )
    tasks: dict[str, Task] = {}
    with ExitStack() as stack:
        for count in (1, 2):
            pool = stack.enter_context(DreamWorkers(world, Crew(count, RAY)))
            tasks[f"{count}"] = score_task(pool, *sizes)
        rates = alternate(tasks, settings)
    note = f"{num_cores()} cores; two processes that only count ÷ one: {free_cores(settings):.2f}"
    found = ratio(rates["2"], rates["1"], "candidate-steps/s", note)
    return {"ray-lanes": replace(found, by_cpu_time=None)}


def _overhead(settings: Settings) -> Results:
    seconds, results = 0.05 if settings.quick else 1.0, Results()
    crews = {"processes": Crew(2, PROCESSES), "ray": Crew(2, RAY)}
    with ExitStack() as stack:
        executors = {name: crew.hire(nothing) for name, crew in crews.items()}
        for one in executors.values():
            stack.callback(one.close)
        tasks = {name: blocks_task(one, Spin(seconds), 6) for name, one in executors.items()}
        rates = alternate(tasks, settings.fewer_rounds())
        tiny = {name: blocks_task(one, Spin(0.0), 400) for name, one in executors.items()}
        with patch.object(ray_executor, "LEAST_TASK_S", 0.0):  # each by itself
            quick = alternate(tiny, settings.fewer_rounds())
    cost = rates["processes"].wall / rates["ray"].wall - 1
    note = f"two workers, six blocks of {seconds:g} s of processor time"
    results["ray-overhead"] = Result(cost, note)
    results["ray-blocks"] = Result(
        quick["ray"].wall,
        f"blocks a second that do nothing; processes {quantity(quick['processes'].wall)}",
    )
    return results


BENCHMARKS = (
    Benchmark(
        "ray",
        (Line("ray-lanes", "two Ray workers ÷ one, lanes", 1.8),),
        _lanes,
    ),
    Benchmark(
        "ray-overhead",
        (
            Line("ray-overhead", "Ray's time ÷ processes', blocks of a second, less 1", 0.05, True),
            Line("ray-blocks", "empty blocks that Ray hands out a second"),
        ),
        _overhead,
    ),
)
