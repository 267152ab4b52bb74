"""CMA-ES (Hansen 2016, "The CMA Evolution Strategy: A Tutorial") by ask and tell.

A search is what it asked and was told, so one that was stopped goes on by being told the same again:
no state of pycma is ever written to a file.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..market.arrays import FloatArray
from ..market.errors import ConfigError
from ..market.interrupts import interrupts_held
from ..market.records import AT_LEAST_ONE, POSITIVE, Bounds, Record

Fitness = Callable[[FloatArray, int], FloatArray]
"""Scores [P] of candidates [P, D] in a generation; higher is better, and NaN is worst."""
Validation = Callable[[FloatArray], float]
"""Score of one candidate [D] on data that the search does not see; higher is better."""


@dataclass(frozen=True)
class CMAESConfig(Record):
    """How to search.

    Attributes:
        population: Candidates in a generation.
        generations: Generations at most, of each start.
        initial_sigma: Step size at the start, in units of the parameters.
        weight_decay: What parameters cost a candidate, in units of the fitness for each unit of
            their mean square. Where tanh saturates, fitness is flat, and a search that nothing
            holds drifts outwards for ever. With it, a parameter that earns nothing returns to 0,
            and of controllers that earn the same the smallest is believed. Chosen on dreams of
            Ether and on the synthetic market: docs/engine.md has the figures.
        diagonal: Restrict the covariance to its diagonal (sep-CMA-ES, Ros & Hansen 2008; linear in D).
        restarts: Starts anew from the origin, each with twice the population of the one before (IPOP,
            Auger & Hansen 2005). A start ends by pycma's own criteria, or after ``generations``;
            without restarts flat stretches of the fitness, which is noisy, end nothing.
        validate_every: Generations between looks at the validation score.
    """

    population: int = 64
    generations: int = 60
    initial_sigma: float = 0.1
    weight_decay: float = 1e-3
    diagonal: bool = True
    restarts: int = 0
    validate_every: int = 5

    _bounds = {  # noqa: RUF012
        "population": (2, math.inf),
        "generations": AT_LEAST_ONE,
        "initial_sigma": POSITIVE,
        "weight_decay": Bounds(0, math.inf, below=True),
        "restarts": (0, 20),
        "validate_every": AT_LEAST_ONE,
    }


@dataclass(frozen=True)
class Generation:
    """What one generation of a search came to.

    Attributes:
        generation: Its number, from 0, counted through all starts.
        best: The highest fitness, as all three of the candidates whose fitness is finite.
        mean: The mean fitness.
        worst: The lowest.
        sigma: The step size after it.
        validation: Score of the distribution's mean on validation; None where nobody looked.
        search: Number of the search, where there are several.
        restart: Number of the start in it, from 0.
    """

    generation: int
    best: float
    mean: float
    worst: float
    sigma: float
    validation: float | None = None
    search: int = 0
    restart: int = 0


class Told(NamedTuple):
    """What a generation asked, and was told.

    Attributes:
        candidates: [P, D].
        scores: Fitness of each [P]; NaN where it was not finite.
        penalised: What the search ranked them by, their cost subtracted [P].
    """

    candidates: FloatArray
    scores: FloatArray
    penalised: FloatArray


class Memory(Protocol):
    """Where a search keeps its generations, to go on from them."""

    def read(self, generation: int) -> Told | None:
        """What was told in a generation; None where the search has not been."""

    def write(self, lived: Generation, told: Told) -> None:
        """Keep a generation."""


@dataclass
class SearchResult:
    """What the search found.

    Attributes:
        parameters: The chosen candidate [D].
        validation: Its validation score; None where nothing validated.
        looks: How many candidates validation saw beside the one that does nothing.
        history: Its generations.
        evaluations: Candidates scored.
        centres: The distribution's mean after each generation, each [D].
    """

    parameters: FloatArray
    validation: float | None = None
    looks: int = 0
    history: list[Generation] = field(default_factory=list)
    evaluations: int = 0
    centres: list[FloatArray] = field(default_factory=list)


def search(
    fitness: Fitness,
    num_parameters: int,
    config: CMAESConfig,
    seed: int,
    validation: Validation | None = None,
    callback: Callable[[Generation], None] | None = None,
    memory: Memory | None = None,
) -> SearchResult:
    """Maximise ``fitness`` from the origin (a controller that does nothing).

    The distribution's mean is what the search stands for: every ``validate_every`` generations, and
    at the end of each start, it is scored by ``validation``, and the best-scoring mean is returned.
    Without a validation the last mean is. A candidate whose fitness is not finite ranks last.

    Args:
        fitness: Called with the candidates [P, D] and the generation's number.
        num_parameters: D.
        config: How to search.
        seed: Makes the search repeat; nothing global is seeded.
        validation: Chooses among the generations.
        callback: Receives each generation, those that the memory holds included.
        memory: Keeps the generations; those that it holds already are told again, and not scored.

    Raises:
        ConfigError: No candidate of a generation has a finite fitness, or the memory is of another
            search.
    """
    origin = np.zeros(num_parameters)
    result = SearchResult(origin, None if validation is None else validation(origin))
    steps = _Steps(fitness, config, memory)
    rng = np.random.default_rng(seed)
    for restart in range(config.restarts + 1):
        with _in_pycma():
            strategy = _strategy(num_parameters, config, restart, rng)
        stopped = False
        for left in reversed(range(config.generations)):
            lived, stopped = steps.step(strategy, restart)
            centre = np.array(strategy.result.xfavorite)
            if validation is None:
                result.parameters = centre
            elif stopped or not left or (lived.generation + 1) % config.validate_every == 0:
                lived = replace(lived, validation=validation(centre))
                _keep_best(result, centre, lived.validation)
            result.history.append(lived)
            result.centres.append(centre)
            if callback is not None:
                callback(lived)
            if stopped:
                break
    result.evaluations = steps.evaluations
    return result


class _Steps:
    """Generations one after the other: asked, scored or remembered, and told."""

    def __init__(self, fitness: Fitness, config: CMAESConfig, memory: Memory | None) -> None:
        self._fitness, self._config, self._memory = fitness, config, memory
        self._generation = 0
        self.evaluations = 0

    def step(self, strategy: Any, restart: int) -> tuple[Generation, bool]:
        """Live a generation; returns it, and whether pycma would end the start here."""
        with _in_pycma():
            candidates = np.asarray(strategy.ask())  # [P, D] of m + σ N(0, C), eq. 5
        kept = None if self._memory is None else self._memory.read(self._generation)
        if kept is None:
            told = self._score(candidates)
        else:
            told = kept
            _refuse_another_search(kept, candidates, self._generation)
        with _in_pycma():
            strategy.tell(
                list(candidates), list(_costs(told.penalised))
            )  # moves m (eq. 6), σ and C
            stopped = bool(strategy.stop())
        finite = told.scores[np.isfinite(told.scores)]
        best, mean, worst = (float(f(finite)) for f in (np.max, np.mean, np.min))
        lived = Generation(
            self._generation, best, mean, worst, float(strategy.sigma), restart=restart
        )
        if self._memory is not None and kept is None:
            self._memory.write(lived, told)
        self._generation += 1
        self.evaluations += len(candidates)
        return lived, stopped

    def _score(self, candidates: FloatArray) -> Told:
        scores = self._fitness(candidates, self._generation)
        if not np.isfinite(scores).any():
            raise ConfigError(
                f"no candidate of generation {self._generation} has a finite fitness; expected a "
                "number for at least one"
            )
        costs = self._config.weight_decay * (candidates**2).mean(axis=1)
        scores = scores + np.where(np.isfinite(scores), 0.0, np.nan)
        return Told(candidates, scores, scores - costs)


def _costs(penalised: FloatArray) -> FloatArray:
    """What pycma minimises [P]; candidates without a number cost more than all others."""
    costs: FloatArray = -penalised
    unknown = np.isnan(costs)
    costs[unknown] = costs[~unknown].max() + 1.0  # only ranks count
    return costs


def _refuse_another_search(kept: Told, candidates: FloatArray, generation: int) -> None:
    if kept.candidates.tobytes() != candidates.tobytes():
        raise ConfigError(
            f"the candidates kept of generation {generation} are not those that this search asks "
            "for: they are of another search, another version of pycma, or another kind of "
            "processor; begin anew"
        )


def _keep_best(result: SearchResult, parameters: FloatArray, score: float | None) -> None:
    """Take what validation has just scored, if it is the best so far."""
    result.looks += 1
    best = result.validation
    if score is not None and np.isfinite(score) and (best is None or not best >= score):
        result.parameters, result.validation = parameters, score


@contextmanager
def _in_pycma() -> Iterator[None]:
    """Keep to itself what pycma mends itself, and nobody who starts a search can; and hold Ctrl-C.

    Its bare excepts would swallow that.

    While all candidates agree on one parameter, as on the bias of a market that rises, the
    evolution path grows beyond 7 σ; pycma clips the update that comes of it, and warns.
    """
    with warnings.catch_warnings(), interrupts_held():
        warnings.filterwarnings("ignore", r"elements of z2\[k\] are larger", module=r"cma\.")
        yield


def _strategy(
    num_parameters: int, config: CMAESConfig, restart: int, rng: np.random.Generator
) -> Any:
    import cma

    options = {
        "popsize": config.population * 2**restart,
        "CMA_diagonal": config.diagonal,
        "maxiter": config.generations + 1,
        "verbose": -9,
        "seed": np.nan,  # leaves numpy's global generator alone
        "randn": lambda *shape: rng.standard_normal(shape),
    }
    if not config.restarts:  # the fitness is noisy: flat stretches are no convergence
        options |= {"tolfun": 0, "tolfunhist": 0, "tolstagnation": 0}
        options["tolflatfitness"] = config.generations + 1
    return cma.CMAEvolutionStrategy(num_parameters * [0.0], config.initial_sigma, options)
