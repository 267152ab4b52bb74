"""Who does the work: this process, several of this machine, or those of a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...market.errors import ConfigError
from ...market.records import FROM_ZERO, Record
from ...models.machine import num_cores
from .executors import Executor, Opening, ProcessExecutor, SerialExecutor

SERIAL, PROCESSES, RAY = "serial", "processes", "ray"
EXECUTORS = (SERIAL, PROCESSES, RAY)


@dataclass(frozen=True)
class Crew(Record):
    """Who computes; what is computed is the same.

    Attributes:
        workers: Processes, each on one thread; 0 is this one alone. None is one a core, and of a Ray
            cluster one for each of its CPUs.
        executor: ``serial``, this process alone; ``processes`` of this machine; or ``ray``.
        ray_address: Of a Ray cluster: ``HOST:PORT``, or ``auto`` for the one that this machine is a node
            of; None starts an instance on this machine, for as long as it is needed.

    Raises:
        ConfigError: The settings contradict each other.
    """

    workers: int | None = None
    executor: str = PROCESSES
    ray_address: str | None = None

    _bounds = {"workers": FROM_ZERO}  # noqa: RUF012
    _choices = {"executor": EXECUTORS}  # noqa: RUF012

    def __post_init__(self) -> None:
        """Refuse what cannot be, before any work."""
        super().__post_init__()
        if self.executor == SERIAL and self.workers:
            raise ConfigError(
                f"workers is {self.workers}, and the executor 'serial' has none: leave one of them out"
            )
        if self.executor == RAY and self.workers == 0:
            raise ConfigError(
                "workers is 0, and the executor is 'ray': give 1 or more, or leave one of them out"
            )
        if self.ray_address is not None and self.executor != RAY:
            raise ConfigError(
                f"ray_address is {self.ray_address!r}, and the executor is {self.executor!r}: say "
                "executor='ray' (--executor ray)"
            )

    @classmethod
    def of(cls, workers: int | Crew | None) -> Crew:
        """A crew, or a number of processes as one."""
        return workers if isinstance(workers, Crew) else cls(workers)

    @property
    def processes(self) -> int:
        """Processes of this machine that are started."""
        if self.executor == SERIAL:
            return 0
        return num_cores() if self.workers is None else self.workers

    def hire(self, opening: Opening, opened: Any = None, most: int | None = None) -> Executor:
        """The executor.

        Args:
            opening: A worker's first act.
            opened: What it makes, where this process has made it already.
            most: Workers that there is work for.

        Raises:
            ConfigError: Ray is not installed, or the cluster is not to be had.
        """
        if self.executor == RAY:
            from .ray_executor import RayExecutor

            return RayExecutor(opening, self.workers, self.ray_address, most)
        count = min(self.processes, most or self.processes)
        if not count:
            return SerialExecutor(opening() if opened is None else opened)
        return ProcessExecutor(opening, count)


Workers = int | Crew | None
"""As jobs take it: a number of processes, None for one a core, or a `Crew`."""
