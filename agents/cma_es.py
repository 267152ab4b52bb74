"""CMA-ES (Hansen 2016, "The CMA Evolution Strategy: A Tutorial") by ask and tell."""

from __future__ import annotations

import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..market.arrays import FloatArray
from ..market.errors import ConfigError
from ..market.records import AT_LEAST_ONE, POSITIVE, Bounds, Record

Fitness = Callable[[FloatArray, int], FloatArray]
"""Scores [P] of candidates [P, D] in a generation; higher is better."""
Validation = Callable[[FloatArray], float]
"""Score of one candidate [D] on data that the search does not see; higher is better."""


@dataclass(frozen=True)
class CMAESConfig(Record):
    """How to search.

    Attributes:
        population: Candidates in a generation.
        generations: Generations at most.
        initial_sigma: Step size at the start, in units of the parameters.
        weight_decay: What parameters cost a candidate, in units of the fitness for each unit of
            their mean square. Where tanh saturates, fitness is flat, and a search that nothing
            holds drifts outwards for ever. With it, a parameter that earns nothing returns to 0,
            and of controllers that earn the same the smallest is believed. Chosen on dreams of
            Ether and on the synthetic market: docs/engine.md has the figures.
        diagonal: Restrict the covariance to its diagonal (sep-CMA-ES, Ros & Hansen 2008; linear in D).
        validate_every: Generations between looks at the validation score.
    """

    population: int = 64
    generations: int = 60
    initial_sigma: float = 0.1
    weight_decay: float = 1e-3
    diagonal: bool = True
    validate_every: int = 5

    _bounds = {  # noqa: RUF012
        "population": (2, math.inf),
        "generations": AT_LEAST_ONE,
        "initial_sigma": POSITIVE,
        "weight_decay": Bounds(0, math.inf, below=True),
        "validate_every": AT_LEAST_ONE,
    }


@dataclass(frozen=True)
class Generation:
    """What one generation of a search came to.

    Attributes:
        generation: Its number, from 0.
        best: The highest fitness.
        mean: The mean fitness.
        worst: The lowest.
        sigma: The step size after it.
        validation: Score of the distribution's mean on validation; None where nobody looked.
        search: Number of the search, where there are several.
    """

    generation: int
    best: float
    mean: float
    worst: float
    sigma: float
    validation: float | None = None
    search: int = 0


@dataclass
class SearchResult:
    """What the search found.

    Attributes:
        parameters: The chosen candidate [D].
        validation: Its validation score; None where nothing validated.
        looks: How many candidates validation saw beside the one that does nothing.
        history: Its generations.
        evaluations: Candidates scored.
    """

    parameters: FloatArray
    validation: float | None = None
    looks: int = 0
    history: list[Generation] = field(default_factory=list)
    evaluations: int = 0


def search(
    fitness: Fitness,
    num_parameters: int,
    config: CMAESConfig,
    seed: int,
    validation: Validation | None = None,
    callback: Callable[[Generation], None] | None = None,
) -> SearchResult:
    """Maximise ``fitness`` from the origin (a controller that does nothing).

    The distribution's mean is what the search stands for: every ``validate_every`` generations
    it is scored by ``validation``, and the best-scoring mean is returned. Without a validation
    the last mean is.

    Args:
        fitness: Called with the candidates [P, D] and the generation's number.
        num_parameters: D.
        config: How to search.
        seed: Makes the search repeat; nothing global is seeded.
        validation: Chooses among the generations.
        callback: Receives each generation.
    """
    with _in_pycma():
        strategy = _strategy(num_parameters, config, seed)
    origin = np.zeros(num_parameters)
    result = SearchResult(origin, None if validation is None else validation(origin))
    for generation in range(config.generations):
        with _in_pycma():
            candidates = np.asarray(strategy.ask())  # [P, D] of m + σ N(0, C), eq. 5
        scores = fitness(candidates, generation)
        if not np.isfinite(scores).all():
            raise ConfigError(
                "a candidate's fitness is not finite; fitness must always be a number"
            )
        costs = config.weight_decay * (candidates**2).mean(axis=1)
        with _in_pycma():
            strategy.tell(list(candidates), list(-(scores - costs)))  # moves m (eq. 6), σ and C
            centre, stopped = np.array(strategy.result.xfavorite), bool(strategy.stop())
        result.evaluations += len(candidates)
        score = None
        last = stopped or generation == config.generations - 1
        if validation is None:
            result.parameters = centre
        elif last or (generation + 1) % config.validate_every == 0:
            score = validation(centre)
            _keep_best(result, centre, score)
        best, mean, worst = (float(f(scores)) for f in (np.max, np.mean, np.min))
        lived = Generation(generation, best, mean, worst, float(strategy.sigma), score)
        result.history.append(lived)
        if callback is not None:
            callback(lived)
        if stopped:
            break
    return result


def _keep_best(result: SearchResult, parameters: FloatArray, score: float) -> None:
    """Take what validation has just scored, if it is the best so far."""
    result.looks += 1
    if result.validation is None or score > result.validation:
        result.parameters, result.validation = parameters, score


@contextmanager
def _in_pycma() -> Iterator[None]:
    """Keep to itself what pycma mends itself, and nobody who starts a search can; and hold Ctrl-C.

    While all candidates agree on one parameter, as on the bias of a market that rises, the
    evolution path grows beyond 7 σ; pycma clips the update that comes of it, and warns.
    """
    with warnings.catch_warnings(), _interrupt_held():
        warnings.filterwarnings("ignore", r"elements of z2\[k\] are larger", module=r"cma\.")
        yield


@contextmanager
def _interrupt_held() -> Iterator[None]:
    """Let Ctrl-C wait for the block's end: pycma swallows it in its bare excepts.

    Python handles signals in its main thread alone, and only there can that be changed.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _strategy(num_parameters: int, config: CMAESConfig, seed: int) -> Any:
    import cma

    rng = np.random.default_rng(seed)
    options = {
        "popsize": config.population,
        "CMA_diagonal": config.diagonal,
        "maxiter": config.generations + 1,
        "tolfun": 0,  # the fitness is noisy: flat stretches are no convergence
        "tolfunhist": 0,
        "tolstagnation": 0,
        "tolflatfitness": config.generations + 1,
        "verbose": -9,
        "seed": np.nan,  # leaves numpy's global generator alone
        "randn": lambda *shape: rng.standard_normal(shape),
    }
    return cma.CMAEvolutionStrategy(num_parameters * [0.0], config.initial_sigma, options)
