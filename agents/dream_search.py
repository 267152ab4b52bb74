"""C trained inside the dream: CMA-ES over linear controllers, chosen by replay on validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from ..envs.dream_funding import DreamFunding
from ..envs.population.jobs import Dreams
from ..envs.population.scorers import DreamWorkers, Scorer
from ..envs.population.scoring import Scores, score_replay
from ..envs.recorded import Tape
from ..envs.recorded_state import RecordedMemory
from ..market.account.rules import BrokerConfig
from ..market.candles import FloatArray
from ..market.errors import ConfigError
from ..market.settings import seed_number
from ..models.world_model import WorldModel
from .cma_es import CMAESConfig, SearchResult, search
from .linear import LinearController

Objective = Literal["log_return", "sharpe"]


@dataclass(frozen=True)
class DreamSearchConfig:
    """How a controller is trained in the dream.

    Attributes:
        cma_es: The search.
        dreams: Dreams that score each candidate; a generation shares them (common random
            numbers), the next has new ones.
        horizon: Bars of a dream.
        temperature: τ of the dream.
        objective: ``"log_return"``, mean over dreams, or ``"sharpe"``, of all their bars.
    """

    cma_es: CMAESConfig = field(default_factory=CMAESConfig)
    dreams: int = 64
    horizon: int = 720
    temperature: float = 1.0
    objective: Objective = "log_return"

    def __post_init__(self) -> None:
        for name in ("dreams", "horizon"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.objective not in get_args(Objective):
            raise ConfigError(f"objective is {self.objective!r}; expected log_return or sharpe")


def train_controller(
    world_model: WorldModel,
    config: DreamSearchConfig | None = None,
    broker: BrokerConfig | None = None,
    *,
    seed: int = 0,
    funding: DreamFunding | None = None,
    validation: Tape | None = None,
    callback: Callable[[dict[str, float]], None] | None = None,
    workers: Scorer | None = None,
) -> tuple[LinearController, SearchResult]:
    """Train a linear controller inside a world model's dreams.

    With the ``market`` preset all candidates of a generation trade the same dreamed paths; with
    ``paper`` each hears its own actions and dreams in lanes of its own, on the same noise.

    Args:
        world_model: The dream.
        config: How to search.
        broker: The account's rules, those of the replay it will be judged in.
        seed: Makes the training repeat.
        funding: What dreamed positions are charged; None is nothing.
        validation: A replay that chooses among the generations; without one the last counts.
        callback: Receives each generation's row of the history.
        workers: Who dreams of this world model: `DreamWorkers`, whose result is the same bit for
            bit, or `DeviceDreams`, the same to rounding; None works in this process.

    Raises:
        ConfigError: The workers dream of another world model.
    """
    config, broker = config or DreamSearchConfig(), broker or BrokerConfig()
    pool: Scorer = workers or DreamWorkers(world_model, num_workers=0)
    if pool.engine.world_model is not world_model:
        raise ConfigError("the workers dream of another world model than the one to train in")
    size = world_model.config.latent_size + world_model.config.hidden_size + 1
    bars_per_year = 365 * 86_400_000 / world_model.provenance.interval_ms
    rng = np.random.default_rng(seed_number(seed))

    def merit(scores: Scores) -> FloatArray:
        if config.objective == "sharpe":
            return scores.sharpe(bars_per_year)
        return np.asarray(scores.log_return.mean(axis=1))

    def fitness(candidates: FloatArray, _generation: int) -> FloatArray:
        dreams = Dreams(
            rng.integers(pool.engine.num_segments, size=config.dreams),
            config.horizon,
            int(rng.integers(2**63)),
            config.temperature,
            funding,
        )
        return merit(pool.score(candidates, dreams, broker))

    result = search(
        fitness,
        size + 1,
        config.cma_es,
        seed=int(rng.integers(1, 2**31)),
        validation=None
        if validation is None
        else _validation(world_model, validation, broker, merit),
        callback=callback,
    )
    return LinearController(result.parameters), result


def _validation(
    world_model: WorldModel, tape: Tape, broker: BrokerConfig, merit: Callable[[Scores], FloatArray]
) -> Callable[[FloatArray], float]:
    paper = world_model.config.preset == "paper"
    memory = RecordedMemory(world_model, tape, 1) if paper else None

    def validate(parameters: FloatArray) -> float:
        return float(merit(score_replay(tape, parameters[np.newaxis], broker, memory))[0])

    return validate
