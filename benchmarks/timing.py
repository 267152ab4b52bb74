"""Rates of several tasks, measured in turns: A B A B …, so that a slow minute slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple


@dataclass(frozen=True)
class Settings:
    """How long to measure.

    Attributes:
        quick: Small sizes, to see that all works; the ratios then mean little.
        rounds: Slices of each task.
        slice_s: Least length of a slice [s].
    """

    quick: bool = False
    rounds: int = 9
    slice_s: float = 0.25

    def size(self, full: int, quick: int) -> int:
        """A size of the problem."""
        return quick if self.quick else full

    def fewer_rounds(self) -> Settings:
        """For tasks whose slices take seconds."""
        return replace(self, rounds=min(self.rounds, 5))


class Slice(NamedTuple):
    """Work done without a break.

    Attributes:
        units: Of work.
        wall_s: Time that passed [s].
        cpu_s: Time that this process computed [s].
    """

    units: float
    wall_s: float
    cpu_s: float


Task = Callable[[float], Slice]
"""Works for at least so many seconds."""


@dataclass(frozen=True)
class Rate:
    """Units of work a second: the medians over the slices.

    Attributes:
        wall: By the clock.
        cpu: By the processor time used, which other programs disturb less.
        spread: Interquartile range of the wall rates ÷ their median.
    """

    wall: float
    cpu: float
    spread: float

    @classmethod
    def of(cls, slices: list[Slice]) -> Rate:
        """The medians of some slices."""
        rates = [s.units / s.wall_s for s in slices]
        middle = statistics.median(rates)
        spread = 0.0
        if len(rates) > 1:
            quartiles = statistics.quantiles(rates, n=4, method="inclusive")
            spread = (quartiles[2] - quartiles[0]) / middle
        return cls(middle, statistics.median(s.units / max(s.cpu_s, 1e-9) for s in slices), spread)


def local(work: Callable[[], float]) -> Task:
    """A task of this process: ``work`` does something and returns how many units it was."""

    def task(least_s: float) -> Slice:
        units = 0.0
        start, start_cpu = time.perf_counter(), time.process_time()
        while True:
            units += work()
            wall = time.perf_counter() - start
            if wall >= least_s:
                return Slice(units, wall, time.process_time() - start_cpu)

    return task


def alternate(tasks: Mapping[str, Task], settings: Settings) -> dict[str, Rate]:
    """Measure tasks in turns, after one turn that compiles and fills caches."""
    for task in tasks.values():
        task(0.0)
    slices: dict[str, list[Slice]] = {name: [] for name in tasks}
    for _ in range(settings.rounds):
        for name, task in tasks.items():
            slices[name].append(task(settings.slice_s))
    return {name: Rate.of(each) for name, each in slices.items()}
