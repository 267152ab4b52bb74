"""CMA-ES (Hansen 2016, "The CMA Evolution Strategy: A Tutorial") by ask and tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..market.errors import ConfigError

FloatArray = NDArray[np.float64]
Fitness = Callable[[FloatArray, int], FloatArray]
"""Scores [P] of candidates [P, D] in a generation; higher is better."""
Validation = Callable[[FloatArray], float]
"""Score of one candidate [D] on data that the search does not see; higher is better."""


@dataclass(frozen=True)
class CMAESConfig:
    """How to search.

    Attributes:
        population: Candidates in a generation.
        generations: Generations at most.
        initial_sigma: Step size at the start, in units of the parameters.
        diagonal: Restrict the covariance to its diagonal (sep-CMA-ES, linear in D).
        validate_every: Generations between looks at the validation score.
    """

    population: int = 64
    generations: int = 60
    initial_sigma: float = 0.1
    diagonal: bool = True
    validate_every: int = 5

    def __post_init__(self) -> None:
        for name in ("population", "generations", "validate_every"):
            if getattr(self, name) < (2 if name == "population" else 1):
                raise ConfigError(f"cma-es {name} is {getattr(self, name)}; it is too small")
        if not self.initial_sigma > 0:
            raise ConfigError(f"cma-es initial_sigma is {self.initial_sigma}; expected above 0")


@dataclass
class SearchResult:
    """What the search found.

    Attributes:
        parameters: The chosen candidate [D].
        history: A row per generation: best, mean and worst fitness, σ, and the mean's
            validation score where one was taken.
        evaluations: Candidates scored.
    """

    parameters: FloatArray
    history: list[dict[str, float]] = field(default_factory=list)
    evaluations: int = 0


def search(
    fitness: Fitness,
    num_parameters: int,
    config: CMAESConfig,
    seed: int,
    validation: Validation | None = None,
    callback: Callable[[dict[str, float]], None] | None = None,
) -> SearchResult:
    """Maximise ``fitness`` from the origin (a controller that does nothing).

    The distribution's mean is what the search believes in: every ``validate_every`` generations
    it is scored by ``validation``, and the best-scoring mean is returned. Without a validation
    the last mean is.

    Args:
        fitness: Called with the candidates [P, D] and the generation's number.
        num_parameters: D.
        config: How to search.
        seed: Makes the search repeat; nothing global is seeded.
        validation: Chooses among the generations.
        callback: Receives each generation's row of the history.
    """
    strategy = _strategy(num_parameters, config, seed)
    origin = np.zeros(num_parameters)
    result = SearchResult(parameters=origin)
    best = -np.inf if validation is None else validation(origin)
    for generation in range(config.generations):
        candidates = np.asarray(strategy.ask())
        scores = fitness(candidates, generation)
        if not np.isfinite(scores).all():
            raise ConfigError(
                "a candidate's fitness is not finite; fitness must always be a number"
            )
        strategy.tell(list(candidates), list(-scores))
        result.evaluations += len(candidates)
        row = {
            "generation": generation,
            "best": float(scores.max()),
            "mean": float(scores.mean()),
            "worst": float(scores.min()),
            "sigma": float(strategy.sigma),
        }
        last = generation == config.generations - 1
        if validation is not None and (last or (generation + 1) % config.validate_every == 0):
            row["validation"] = validation(strategy.mean)
            if row["validation"] > best:
                best, result.parameters = row["validation"], np.array(strategy.mean)
        result.history.append(row)
        if callback is not None:
            callback(row)
        if strategy.stop():
            break
    if validation is None:
        result.parameters = np.array(strategy.mean)
    return result


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
