"""Who scores a population: the processes of this machine, and what a search needs of others."""

from __future__ import annotations

import os
from functools import partial
from typing import Protocol, Self

from ...market.account.rules import BrokerConfig
from ...market.arrays import FloatArray
from ...market.errors import ConfigError
from ...models.load import open_world_model
from ...models.world_model import WorldModel
from ..engine.opening import open_engine
from .crew import Crew, Workers
from .executors import Executor, Result
from .jobs import Dreams, Job, PathsJob, ScoreJob
from .scoring import MarketPaths, Scores


class Venue(Protocol):
    """What a search needs of a dream's engine, or of what stands in for one."""

    @property
    def world_model(self) -> WorldModel:
        """What the market is seen through."""

    @property
    def num_segments(self) -> int:
        """Where dreams, or windows of a record, can begin."""


class Scorer(Protocol):
    """What a search needs of `DreamWorkers`, `DeviceDreams` or `RecordedScorer`."""

    @property
    def engine(self) -> Venue:
        """What dreams, or plays recorded bars."""

    def score(self, parameters: FloatArray, dreams: Dreams, broker: BrokerConfig) -> Scores:
        """Trade P controllers [P, S] in N dreams."""


class DreamWorkers:
    """Dreams shared out to an executor; a context manager.

    One seed gives the same numbers bit for bit whatever the number of workers, none included: work
    is cut into blocks of fixed size, each with a seed of its own, joined in the order of the
    blocks.

    Args:
        world_model: A `WorldModel`, the folder of one, or ``"default"``.
        num_workers: Processes; 0 works in this one, None takes one for each core; or a `Crew`.
        warmup: Recorded bars that M hears first; None takes all that the bank holds.

    Attributes:
        engine: The dream, as this process sees it.
        crew: Who computes.
        executor: Through what; None once it is closed.

    Raises:
        ConfigError: There is no such crew; see `Crew`.
    """

    def __init__(
        self,
        world_model: WorldModel | str | os.PathLike[str] = "default",
        num_workers: Workers = None,
        warmup: int | None = None,
    ) -> None:
        self.crew = Crew.of(num_workers)
        self.engine = open_engine(open_world_model(world_model), warmup)
        opening = partial(open_engine, self.engine.world_model, self.engine.warmup)
        self.executor: Executor | None = self.crew.hire(opening, self.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def score(self, parameters: FloatArray, dreams: Dreams, broker: BrokerConfig) -> Scores:
        """Trade P controllers in N dreams, by the preset; see `ScoreJob`.

        Args:
            parameters: Of each candidate [P, S]; see `Layers`.
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
            ConfigError: The job does not fit the world model, or the workers are gone.
            WorkerError: A block failed.
        """
        if self.executor is None:
            raise ConfigError("these workers are gone: the pool was closed or interrupted")
        world_model = self.engine.world_model
        job.check(world_model)
        try:
            return job.assemble(self.executor.compute(job, range(len(job.blocks(world_model)))))
        except KeyboardInterrupt:
            self.close()
            raise

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        executor, self.executor = self.executor, None
        if executor is not None:
            executor.close()
