"""C trained inside the dream: CMA-ES over linear controllers, chosen by replay on validation.

A search is one draw: another seed, or another processor's rounding, finds another controller. So
there are several searches, and what is claimed of the controller is claimed as a range over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from ..envs.dream_funding import DreamFunding
from ..envs.population.jobs import Dreams
from ..envs.population.scorers import DreamWorkers, Scorer
from ..envs.population.scoring import Scores, score_replay
from ..envs.recorded import RecordedMarket
from ..envs.recorded_state import RecordedState
from ..market.account.rules import BrokerConfig
from ..market.arrays import FloatArray
from ..market.errors import ConfigError
from ..market.records import AT_LEAST_ONE, TEMPERATURES, Record
from ..market.settings import check_count, seed_number
from ..models.world_model import WorldModel
from .cma_es import CMAESConfig, Generation, SearchResult, search
from .linear import LinearController

Objective = Literal["log_return", "sharpe"]


@dataclass(frozen=True)
class DreamSearchConfig(Record):
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

    _bounds = {  # noqa: RUF012
        "dreams": AT_LEAST_ONE,
        "horizon": AT_LEAST_ONE,
        "temperature": TEMPERATURES,
    }
    _choices = {"objective": get_args(Objective)}  # noqa: RUF012


@dataclass(frozen=True, eq=False)
class TrainedController:
    """What one of several searches found.

    Attributes:
        controller: The controller that validation chose in this search.
        found: How the search went.
    """

    controller: LinearController
    found: SearchResult


@dataclass(frozen=True, eq=False)
class Searches:
    """Several searches for a controller.

    Attributes:
        trained: What each found.
    """

    trained: tuple[TrainedController, ...]

    @property
    def deployed(self) -> int:
        """Number of the search whose controller validation scored best; the first among equals."""
        scores = [one.found.validation for one in self.trained]
        return int(np.argmax([-np.inf if score is None else score for score in scores]))

    @property
    def looks(self) -> int:
        """How many controllers validation compared: those seen, and the one that does nothing."""
        return 1 + sum(one.found.looks for one in self.trained)

    @property
    def evaluations(self) -> int:
        """Candidates scored in all searches."""
        return sum(one.found.evaluations for one in self.trained)


def search_seeds(seed: int, count: int) -> list[np.random.SeedSequence]:
    """Seeds of several searches: the run's own, then children that it spawns.

    More searches leave the seeds of the first ones as they are.

    Raises:
        ConfigError: There is no search at all, or the seed is none.
    """
    check_count("searches", count)
    own = np.random.SeedSequence(seed_number(seed))
    return [own, *own.spawn(count - 1)]


def train_controllers(
    world_model: WorldModel,
    config: DreamSearchConfig | None = None,
    broker: BrokerConfig | None = None,
    *,
    searches: int,
    seed: int = 0,
    funding: DreamFunding | None = None,
    validation: RecordedMarket | None = None,
    callback: Callable[[Generation], None] | None = None,
    scorer: Scorer | None = None,
) -> Searches:
    """Train a controller several times, each time with another seed; see `train_controller`.

    The first is the one that `train_controller` finds with the same seed.

    Args:
        world_model: The dream.
        config: How to search.
        broker: The account's rules.
        searches: How many.
        seed: Makes all of them repeat; see `search_seeds`.
        funding: What dreamed positions are charged; None is nothing.
        validation: A replay that chooses among the generations of each.
        callback: Receives each generation, with the number of its search.
        scorer: Who scores the dreams; the searches share them. None works in this process.
    """
    scorer = scorer or DreamWorkers(world_model, num_workers=0)
    trained = []
    for number, own in enumerate(search_seeds(seed, searches)):
        told = None if callback is None else _numbered(callback, number)
        controller, found = train_controller(
            world_model,
            config,
            broker,
            seed=own,
            funding=funding,
            validation=validation,
            callback=told,
            scorer=scorer,
        )
        trained.append(TrainedController(controller, found))
    return Searches(tuple(trained))


def _numbered(callback: Callable[[Generation], None], search: int) -> Callable[[Generation], None]:
    return lambda generation: callback(replace(generation, search=search))


def train_controller(
    world_model: WorldModel,
    config: DreamSearchConfig | None = None,
    broker: BrokerConfig | None = None,
    *,
    seed: int | np.random.SeedSequence = 0,
    funding: DreamFunding | None = None,
    validation: RecordedMarket | None = None,
    callback: Callable[[Generation], None] | None = None,
    scorer: Scorer | None = None,
) -> tuple[LinearController, SearchResult]:
    """Train a linear controller inside a world model's dreams.

    With the ``market`` preset all candidates of a generation trade the same dreamed paths; with
    ``paper`` each hears its own actions and dreams in lanes of its own, on the same noise.

    Args:
        world_model: The dream. What a held position earns in it decides most of what is found, and is
            an assumption: see `with_drift`.
        config: How to search.
        broker: The account's rules, those of the replay it will be judged in.
        seed: Makes the training repeat.
        funding: What dreamed positions are charged; None is nothing.
        validation: A replay that chooses among the generations; without one the last counts.
        callback: Receives each generation.
        scorer: Who scores the dreams in this world model: `DreamWorkers`, whose result is the same bit for
            bit, or `DeviceDreams`, the same to rounding; None works in this process.

    Raises:
        ConfigError: The scorer dreams of another world model.
    """
    config, broker = config or DreamSearchConfig(), broker or BrokerConfig()
    scorer = scorer or DreamWorkers(world_model, num_workers=0)
    if scorer.engine.world_model is not world_model:
        raise ConfigError("the scorer dreams of another world model than the one to train in")
    size = world_model.config.latent_size + world_model.config.hidden_size + 1
    bars_per_year = world_model.provenance.bars_per_year
    sown = isinstance(seed, np.random.SeedSequence)
    rng = np.random.default_rng(seed if sown else seed_number(seed))

    def merit(scores: Scores) -> FloatArray:
        if config.objective == "sharpe":
            return scores.sharpe(bars_per_year)
        return np.asarray(scores.log_return.mean(axis=1))

    def fitness(candidates: FloatArray, _generation: int) -> FloatArray:
        dreams = Dreams(
            rng.integers(scorer.engine.num_segments, size=config.dreams),
            config.horizon,
            int(rng.integers(2**63)),
            config.temperature,
            funding,
        )
        return merit(scorer.score(candidates, dreams, broker))

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
    return LinearController(result.parameters, world_model.fingerprint), result


def _validation(
    world_model: WorldModel,
    recorded: RecordedMarket,
    broker: BrokerConfig,
    merit: Callable[[Scores], FloatArray],
) -> Callable[[FloatArray], float]:
    paper = world_model.config.preset == "paper"
    state = RecordedState(world_model, recorded, 1) if paper else None

    def validate(parameters: FloatArray) -> float:
        return float(merit(score_replay(recorded, parameters[np.newaxis], broker, state))[0])

    return validate
