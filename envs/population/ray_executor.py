"""Computes blocks on the nodes of a Ray cluster: actors open what they need once, blocks go out, results come back."""

from __future__ import annotations

import math
import pickle
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...market.errors import ConfigError, WorkerError
from ...models.provenance import library_versions
from .executors import (
    THREAD_VARIABLES,
    TRIES,
    Done,
    Opening,
    Result,
    Work,
    died_again,
    told_failure,
    untold,
    warn_of_death,
)
from .ray_cluster import connect, disconnect

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LEAST_TASK_S = 0.1
"""Blocks that take less go out several at once: a task's way there and back takes milliseconds."""


class _Actor:
    """A process of a node: what it opened, and the work that it does."""

    def begin(self, packed: bytes, path: list[str]) -> dict[str, str]:
        """Open what blocks are computed with; the versions of the libraries that will compute them."""
        sys.path.extend(folder for folder in path if folder not in sys.path)
        self._opened = pickle.loads(packed)()
        self._serial = 0
        return library_versions()

    def compute(self, serial: int, packed: bytes, blocks: list[Any]) -> tuple[list[Any], float]:
        """Some blocks of the work of that number, and how long one took [s]."""
        if self._serial != serial:
            self._work: Work[Any] = pickle.loads(packed)
            self._serial = serial
        began = time.perf_counter()
        results = [self._work.compute(self._opened, block) for block in blocks]
        return results, (time.perf_counter() - began) / len(blocks)


class _Task(NamedTuple):
    """What an actor is doing: the places of its blocks in the work of that number; none as it begins."""

    actor: Any
    serial: int = 0
    places: tuple[int, ...] = ()


class RayExecutor:
    """Computes blocks in actors of a Ray cluster, each on one CPU and one thread.

    An actor takes one task at a time. One that dies, or whose node does, is reported by a `RuntimeWarning`
    and replaced, and its blocks are done again.

    Args:
        opening: An actor's first act.
        num_workers: Actors; None is one for each CPU of the cluster, or each core of this machine.
        address: ``HOST:PORT``, ``auto``, or None for an instance of this machine alone.
        most: Actors that there is work for.

    Raises:
        ConfigError: There is no such cluster, it has fewer CPUs, or it asks nobody for a token.
        MissingPackageError: Ray is not installed.
    """

    def __init__(
        self,
        opening: Opening,
        num_workers: int | None = None,
        address: str | None = None,
        most: int | None = None,
    ) -> None:
        from ...models.machine import num_cores  # and with it torch, which not all actors need

        self._ray: Any = connect(address, num_workers or num_cores())
        try:
            count = num_workers or max(1, self._cpus())
            self._share = float(
                address is not None
            )  # of a CPU: on this machine as many as are asked for
            if count > self._cpus() and self._share:
                raise ConfigError(
                    f"workers is {count}, and the Ray cluster has {self._cpus()} CPUs: give fewer"
                )
            self._opening = self._ray.put(pickle.dumps(opening))
            self._serial, self._failed_starts = 0, 0
            self._pace: dict[type, float] = {}  # seconds that a block of such work takes
            self._idle: list[Any] = []
            self._busy: dict[Any, _Task] = {}
            for _ in range(min(count, most or count)):
                self._hire()
        except BaseException:
            disconnect(self._ray)
            raise

    def compute(
        self, work: Work[Result], blocks: Sequence[Any], done: Done = untold
    ) -> list[Result]:
        """The blocks' results, in their order.

        Raises:
            WorkerError: A block failed, or its workers die; the message holds the traceback.
            WorldModelTradingError: A block raised it.
        """
        self._serial += 1
        packed, results = self._ray.put(pickle.dumps(work)), dict[int, Any]()
        left, deaths = deque(range(len(blocks))), Counter[int]()
        while len(results) < len(blocks):
            while self._idle and left:
                bundle = [left.popleft() for _ in range(self._bundle(work, len(left)))]
                self._send(self._idle.pop(), packed, bundle, [blocks[place] for place in bundle])
            task, answer = self._next()
            if task.serial != self._serial:
                continue  # an actor has begun, or is free of work that was given up
            if isinstance(answer, str):
                deaths.update(task.places)
                if max(deaths.values()) >= TRIES:
                    raise died_again(task.places, answer)
                left.extendleft(reversed(task.places))
                continue
            made, self._pace[type(work)] = answer
            for place, result in zip(task.places, made, strict=True):
                results[place] = result
                done(place)
        return [results[place] for place in range(len(blocks))]

    def close(self) -> None:
        """End the actors, whatever they are doing, and leave the cluster."""
        for actor in [*self._idle, *(task.actor for task in self._busy.values())]:
            self._ray.kill(actor)
        disconnect(self._ray)

    def _cpus(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def _hire(self) -> None:
        actor = (
            self._ray.remote(_Actor)
            .options(
                num_cpus=self._share,
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": dict.fromkeys(THREAD_VARIABLES, "1")},
            )
            .remote()
        )
        self._busy[actor.begin.remote(self._opening, sys.path)] = _Task(actor)

    def _bundle(self, work: Work[Any], left: int) -> int:
        """How many blocks go out at once: enough for `LEAST_TASK_S`, and none that others could do."""
        pace = self._pace.get(type(work), LEAST_TASK_S)
        wanted = math.ceil(LEAST_TASK_S / max(pace, 1e-9))
        return max(1, min(wanted, left // (len(self._idle) + len(self._busy))))

    def _send(self, actor: Any, packed: Any, places: list[int], blocks: list[Any]) -> None:
        answer = actor.compute.remote(self._serial, packed, blocks)
        self._busy[answer] = _Task(actor, self._serial, tuple(places))

    def _next(self) -> tuple[_Task, Any]:
        """The next task that ends, and its answer: of one that died, why; another actor then begins."""
        (ended, *_), _ = self._ray.wait(list(self._busy), num_returns=1)
        task = self._busy.pop(ended)
        try:
            answer = self._ray.get(ended)
        except self._ray.exceptions.RayTaskError as error:
            return self._failed(task, error), None
        except self._ray.exceptions.RayError as error:
            reason = reason_of(error)
            self._replace(task, reason)
            return task, reason
        if not task.serial:
            self._failed_starts = 0
            _refuse_other_versions(answer)
        self._idle.append(task.actor)
        return task, answer

    def _failed(self, task: _Task, error: Any) -> _Task:
        """A task that raised: of work that was given up nobody asks."""
        if task.serial:
            self._idle.append(task.actor)
        if task.serial in (0, self._serial):
            raise told_failure(error.cause, _COLOURS.sub("", str(error))) from None
        return task

    def _replace(self, task: _Task, reason: str) -> None:
        """Another actor in place of one that died."""
        self._failed_starts += not task.serial
        if self._failed_starts >= TRIES:
            raise WorkerError(f"a worker died before it could work: {reason}")
        if not self._cpus():
            raise WorkerError(f"no node of the Ray cluster is left: {reason}")
        warn_of_death(reason, len(task.places))
        self._ray.kill(task.actor)
        self._hire()


def reason_of(error: Exception) -> str:
    """How an actor died, in a sentence."""
    if type(error).__name__ == "OutOfMemoryError":
        return (
            "its node ran out of memory, and Ray ended it: start fewer workers, or on nodes with more "
            "memory"
        )
    lines = [line for line in str(error).splitlines() if not line.startswith("\t")]
    return " ".join(line.strip() for line in lines if line.strip())


def _refuse_other_versions(theirs: dict[str, str]) -> None:
    """Refuse a node whose libraries round otherwise."""
    ours = library_versions()
    odd = [name for name in ours if theirs.get(name) != ours[name]]
    if odd:
        told = ", ".join(f"{name} {theirs.get(name)} (here {ours[name]})" for name in odd)
        raise ConfigError(
            f"a node of the Ray cluster has {told}: the results would not be the same; install the same "
            "versions on every node"
        )
