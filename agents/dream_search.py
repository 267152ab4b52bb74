"""C trained inside the dream: CMA-ES over controllers, chosen by replay on validation.

A search is one draw: another seed, or another processor's rounding, finds another controller. So
there are several searches, and what is claimed of the controller is claimed as a range over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np

from ..envs.dream_funding import DreamFunding
from ..envs.engine.pessimism import MOST
from ..envs.population.jobs import Dreams
from ..envs.population.policies import policy_size, spread_inputs
from ..envs.population.scorers import DreamWorkers, Scorer
from ..envs.population.scoring import score_replay, stretches
from ..envs.recorded import RecordedMarket
from ..envs.recorded_state import RecordedState
from ..market.account.rules import BrokerConfig
from ..market.arrays import BoolArray, FloatArray, IntArray
from ..market.errors import ConfigError
from ..market.records import AT_LEAST_ONE, TEMPERATURES, Record
from ..market.settings import check_count, seed_number
from ..models.world_model import WorldModel
from .candidates import FOLDER, Candidates
from .cma_es import CMAESConfig, Generation, SearchResult, search
from .identity import search_identity
from .linear import Inputs, LinearController
from .objectives import OBJECTIVES, Merit, Objective


@dataclass(frozen=True)
class DreamSearchConfig(Record):
    """How a controller is trained in the dream.

    Attributes:
        cma_es: The search.
        dreams: Dreams that score each candidate; a generation shares them (common random
            numbers), the next has new ones.
        horizon: Bars of a dream.
        temperature: τ of the dream.
        objective: What is maximised in dreams, and what validation chooses by; see `Merit`.
        tail: Share of the dreams that the objective ``"cvar"`` looks at, the worst.
        aversion: λ of the objective ``"mean_deviation"``.
        pessimism: λ: how much less a position is paid in dreams where the world model's members
            disagree; see `Pessimism`. Validation is paid in full.
        inputs: What the controller reads of an observation.
        hidden_size: Units of a hidden layer; 0 is a linear controller. With a hidden layer dreams are
            scored by processors alone.
    """

    cma_es: CMAESConfig = field(default_factory=CMAESConfig)
    dreams: int = 64
    horizon: int = 720
    temperature: float = 1.0
    objective: Objective = Merit.objective
    tail: float = Merit.tail
    aversion: float = Merit.aversion
    pessimism: float = 0.0
    inputs: Inputs = "latent_hidden_account"
    hidden_size: int = 0

    _bounds = {  # noqa: RUF012
        "dreams": AT_LEAST_ONE,
        "horizon": AT_LEAST_ONE,
        "temperature": TEMPERATURES,
        "tail": Merit._bounds["tail"],
        "aversion": Merit._bounds["aversion"],
        "pessimism": (0.0, MOST),
        "hidden_size": (0, 1_024),
    }
    _choices = {"objective": OBJECTIVES, "inputs": get_args(Inputs)}  # noqa: RUF012

    @property
    def merit(self) -> Merit:
        """What a candidate is worth."""
        return Merit(self.objective, self.tail, self.aversion)


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
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
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
        checkpoint_dir: See `train_controller`; the searches share the dataset.
        resume: See `train_controller`.
    """
    scorer = scorer or DreamWorkers(world_model, num_workers=0)
    trained = []
    for number, own in enumerate(search_seeds(seed, searches)):
        controller, found = train_controller(
            world_model,
            config,
            broker,
            seed=own,
            funding=funding,
            validation=validation,
            callback=callback,
            scorer=scorer,
            checkpoint_dir=checkpoint_dir,
            resume=resume,
            number=number,
        )
        trained.append(TrainedController(controller, found))
    return Searches(tuple(trained))


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
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
    number: int = 0,
) -> tuple[LinearController, SearchResult]:
    """Train a controller inside a world model's dreams.

    With the ``market`` preset all candidates of a generation trade the same dreamed paths; with
    ``paper`` each hears its own actions and dreams in lanes of its own, on the same noise.

    Args:
        world_model: The dream. What a held position earns in it decides most of what is found, and is
            an assumption: see `with_drift`.
        config: How to search.
        broker: The account's rules, those of the replay it will be judged in.
        seed: Makes the training repeat.
        funding: What dreamed positions are charged; None is nothing.
        validation: A replay that chooses among the generations, by the objective; without one the
            last counts. Objectives that compare dreams see it in windows of the dreams' length, each
            begun with a fresh account, and others whole.
        callback: Receives each generation, those that are gone on from included.
        scorer: Who scores the dreams in this world model: `DreamWorkers`, whose result is the same bit for
            bit, or `DeviceDreams`, the same to rounding; None works in this process.
        checkpoint_dir: Folder for a dataset, `candidates.FOLDER`, of every candidate and its score;
            None keeps none.
        resume: Go on from what lies there, on one kind of processor bit for bit as if the search had
            never stopped: generations that were scored are told again to CMA-ES, and not scored.
        number: Of the search, where several share a dataset.

    Returns:
        The controller, which says by ``seen`` on which bars it was searched and chosen, and how the
        search went.

    Raises:
        ConfigError: The scorer dreams of another world model, or the validation has too few bars for
            the objective.
        TrainingError: What lies in the folder is of another search.
    """
    config, broker = config or DreamSearchConfig(), broker or BrokerConfig()
    scorer = scorer or DreamWorkers(world_model, num_workers=0)
    if scorer.engine.world_model is not world_model:
        raise ConfigError("the scorer dreams of another world model than the one to train in")
    reads = _reads(world_model, broker, config.inputs)
    sown = seed
    if not isinstance(sown, np.random.SeedSequence):
        sown = np.random.SeedSequence(seed_number(sown))
    memory = None
    if checkpoint_dir is not None:
        facts = (scorer.engine, config, broker, sown, funding, validation)
        folder = Path(checkpoint_dir) / FOLDER
        memory = Candidates(folder, number, search_identity(*facts), resume=resume)
    rng = np.random.default_rng(sown)
    own_seed = int(rng.integers(1, 2**31))
    dreams = _DrawnDreams(config, scorer.engine.num_segments, funding, rng)
    bars_per_year = world_model.provenance.bars_per_year

    def whole(parameters: FloatArray) -> FloatArray:
        return spread_inputs(parameters, reads, config.hidden_size)

    def fitness(candidates: FloatArray, generation: int) -> FloatArray:
        scores = scorer.score(whole(candidates), dreams.of(generation), broker)
        return config.merit.of(scores.paid(), bars_per_year)

    replay = None if validation is None else _Validation(world_model, validation, broker, config)
    result = search(
        fitness,
        policy_size(int(reads.sum()), config.hidden_size),
        config.cma_es,
        seed=own_seed,
        validation=None if replay is None else lambda one: replay(whole(one[np.newaxis])),
        callback=None if callback is None else lambda row: callback(replace(row, search=number)),
        memory=memory,
    )
    if memory is not None:
        memory.close()
    controller = LinearController(
        whole(result.parameters[np.newaxis])[0],
        world_model.fingerprint,
        hidden_size=config.hidden_size,
        inputs=config.inputs,
    )
    made, searched = world_model.provenance, getattr(scorer, "recorded", None)
    controller.seen = {
        "train": (made.train_start_ms, made.train_end_ms),
        **({} if searched is None else {"search": _span(searched)}),
        **({} if validation is None else {"validation": _span(validation)}),
    }
    return controller, result


def _span(recorded: RecordedMarket) -> tuple[int, int]:
    """From the first bar that is played to the end of the last [ms UTC]."""
    candles, rows = recorded.candles, np.flatnonzero(recorded.steps_left >= 0)
    first, last = (int(candles.open_time_ms[rows[end]]) for end in (0, -1))
    return first, last + candles.interval_ms


class _DrawnDreams:
    """The dreams of each generation, drawn one after the other from one generator.

    A search that goes on asks for a later one first: those before it are drawn, and not dreamed.
    """

    def __init__(
        self,
        config: DreamSearchConfig,
        num_segments: int,
        funding: DreamFunding | None,
        rng: np.random.Generator,
    ) -> None:
        self._config, self._num_segments = config, num_segments
        self._funding, self._rng = funding, rng
        self._drawn: list[tuple[IntArray, int]] = []

    def of(self, generation: int) -> Dreams:
        """The dreams that a generation shares."""
        config, rng = self._config, self._rng
        while len(self._drawn) <= generation:
            segments = rng.integers(self._num_segments, size=config.dreams)
            self._drawn.append((segments, int(rng.integers(2**63))))
        segments, seed = self._drawn[generation]
        return Dreams(
            segments, config.horizon, seed, config.temperature, self._funding, config.pessimism
        )


def _reads(world_model: WorldModel, broker: BrokerConfig, inputs: Inputs) -> BoolArray:
    """Which numbers of an observation [D] a controller reads."""
    sizes = {
        "latent": world_model.config.latent_size,
        "hidden": world_model.config.hidden_size,
        "account": len(broker.view.account_observation),
    }
    reads = [np.full(size, part in inputs.split("_")) for part, size in sizes.items()]
    return np.concatenate(reads)


class _Validation:
    """What a candidate [1, S] is worth on a record, by the objective of the dreams."""

    def __init__(
        self,
        world_model: WorldModel,
        recorded: RecordedMarket,
        broker: BrokerConfig,
        config: DreamSearchConfig,
    ) -> None:
        paper = world_model.config.preset == "paper"
        self._state = RecordedState(world_model, recorded, 1) if paper else None
        self._recorded, self._broker, self._merit = recorded, broker, config.merit
        self._window = validation_window(recorded, config)
        self._bars_per_year = world_model.provenance.bars_per_year

    def __call__(self, parameters: FloatArray) -> float:
        scores = score_replay(
            self._recorded, parameters, self._broker, self._state, window=self._window
        )
        return float(self._merit.of(scores, self._bars_per_year)[0])


def validation_window(recorded: RecordedMarket, config: DreamSearchConfig) -> int | None:
    """Bars of the windows that an objective sees a replay in; None is the whole record at once.

    Raises:
        ConfigError: The objective compares dreams, and the record has fewer than two windows as long.
    """
    if not config.merit.is_over_dreams:
        return None
    refuse_few_windows(config, len(stretches(recorded, config.horizon)))
    return config.horizon


def refuse_few_windows(config: DreamSearchConfig, windows: int) -> None:
    """Raise `ConfigError` where the objective compares dreams and there are fewer than two windows."""
    if config.merit.is_over_dreams and windows < 2:
        raise ConfigError(
            f"the objective {config.objective} compares dreams of {config.horizon} bars, and the "
            f"validation range holds {windows} windows as long without a gap; expected 2 or more: "
            "take a longer range, a shorter horizon, or another objective"
        )
