"""CMA-ES: optima that are known, seeds that repeat, nothing global touched."""

from __future__ import annotations

import signal
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from worldmodel_trading.agents.cma_es import CMAESConfig, Generation, SearchResult, Told, search
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.errors import ConfigError

OPTIMUM = np.array([0.8, -0.3, 0.5, 0.0, -1.2])
SCALES = np.array([1.0, 10.0, 3.0, 0.5, 2.0])


def quadratic(candidates: np.ndarray, generation: int) -> np.ndarray:
    return 4.0 - (SCALES * (candidates - OPTIMUM) ** 2).sum(axis=1)


@pytest.mark.parametrize("diagonal", [True, False])
def test_it_finds_the_optimum_of_a_quadratic(diagonal: bool) -> None:
    config = CMAESConfig(population=16, generations=120, initial_sigma=0.3, diagonal=diagonal)
    result = search(quadratic, 5, config, seed=1)
    np.testing.assert_allclose(result.parameters, OPTIMUM, atol=1e-3)
    assert result.history[-1].best == pytest.approx(4.0, abs=1e-5)
    assert result.history[-1].sigma < 0.05
    assert result.evaluations == 16 * len(result.history)


def test_full_covariance_learns_a_rotated_valley() -> None:
    angle = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])

    def valley(candidates: np.ndarray, generation: int) -> np.ndarray:
        turned = (candidates - [1.0, 2.0]) @ angle
        return -(turned[:, 0] ** 2 + 1_000.0 * turned[:, 1] ** 2)

    config = CMAESConfig(population=12, generations=150, diagonal=False)
    np.testing.assert_allclose(search(valley, 2, config, seed=3).parameters, [1.0, 2.0], atol=0.01)


def test_one_seed_one_search_and_nothing_global_moves() -> None:
    config = CMAESConfig(population=8, generations=12)

    def found(seed: int, disturb: int) -> SearchResult:
        np.random.seed(disturb)  # noqa: NPY002 - the global generator is what is tested
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        result = search(quadratic, 5, config, seed)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
        return result

    one, two = found(seed=0, disturb=1), found(seed=0, disturb=2)
    np.testing.assert_array_equal(one.parameters, two.parameters)
    assert one.history == two.history
    assert not np.array_equal(one.parameters, found(seed=1, disturb=1).parameters)


def test_validation_chooses_among_the_generations() -> None:
    looked: list[np.ndarray] = []

    def validation(parameters: np.ndarray) -> float:
        looked.append(parameters.copy())
        return -float(abs(parameters[0] - 0.2))  # the search overshoots this on its way to 0.8

    config = CMAESConfig(population=12, generations=40, validate_every=4)
    rows: list[Generation] = []
    result = search(quadratic, 5, config, 2, validation, callback=rows.append)
    scores = [-abs(parameters[0] - 0.2) for parameters in looked]
    np.testing.assert_array_equal(result.parameters, looked[int(np.argmax(scores))])
    np.testing.assert_array_equal(looked[0], np.zeros(5))  # doing nothing is a candidate
    assert len(looked) == 1 + 40 // 4
    assert result.looks == 40 // 4
    assert result.validation == max(scores)
    assert [row.generation for row in rows if row.validation is not None] == list(range(3, 40, 4))
    assert rows == result.history


def test_a_search_that_nothing_validates_keeps_doing_nothing() -> None:
    result = search(
        quadratic, 5, CMAESConfig(population=6, generations=10), 0, lambda p: -float((p**2).sum())
    )
    np.testing.assert_array_equal(result.parameters, np.zeros(5))


def saturated(candidates: np.ndarray, generation: int) -> np.ndarray:
    """A market that only rises, as an account sees it: the more of tanh(b), the better."""
    return np.asarray(0.035 * np.tanh(candidates[:, 0]), dtype=np.float64)


@pytest.mark.parametrize("diagonal", [True, False])
def test_weight_decay_holds_a_search_where_tanh_saturates(diagonal: bool) -> None:
    config = CMAESConfig(population=8, generations=200, diagonal=diagonal)
    held = search(saturated, 6, config, seed=1)
    bias = held.parameters[0]  # where the slope of one is that of the other
    assert 0.035 / np.cosh(bias) ** 2 == pytest.approx(config.weight_decay * 2 * bias / 6, rel=0.01)
    assert np.tanh(bias) > 0.98
    assert np.abs(held.parameters[1:]).max() < 0.1  # they earn nothing
    assert held.history[-1].sigma < config.initial_sigma
    free = search(saturated, 6, replace(config, weight_decay=0.0), seed=1)
    assert np.abs(free.parameters).max() > 10
    assert free.history[-1].sigma > 1


def test_weight_decay_costs_the_mean_square() -> None:
    """b² − 2 b is least at 1; with half of w (a² + b²) beside it, at 1 / (1 + w / 2)."""

    def fitness(candidates: np.ndarray, generation: int) -> np.ndarray:
        return np.asarray(2 * candidates[:, 1] - candidates[:, 1] ** 2)

    config = CMAESConfig(population=16, generations=100, weight_decay=2.0)
    found = search(fitness, 2, config, seed=1)
    np.testing.assert_allclose(found.parameters, [0.0, 0.5], atol=1e-3)
    assert found.history[-1].best == pytest.approx(0.75, abs=1e-3)  # the fitness alone


def test_pycma_warns_no_user() -> None:
    """A market that rises and in which trading costs: pycma's evolution path leaves 7 σ behind."""

    def fitness(candidates: np.ndarray, generation: int) -> np.ndarray:
        return np.asarray(candidates[:, -1] - 10 * (candidates[:, :-1] ** 2).sum(axis=1))

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = search(fitness, 74, CMAESConfig(generations=30), seed=0)
    assert told == []
    assert found.parameters[-1] > 1.0


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
def test_a_fitness_that_is_no_number_ranks_last(nothing: float) -> None:
    """As if it were lower than all others: where it ends, only ranks count."""

    def beyond(instead: float) -> SearchResult:
        def fitness(candidates: FloatArray, generation: int) -> FloatArray:
            scores = quadratic(candidates, generation)
            return np.where(candidates[:, 1] > 0.05, instead, scores)

        return search(fitness, 5, CMAESConfig(population=12, generations=60, weight_decay=0.0), 4)

    found, low = beyond(nothing), beyond(-1e6)
    np.testing.assert_array_equal(found.parameters, low.parameters)
    assert np.isfinite([row.worst for row in found.history]).all()
    assert low.history[0].worst == -1e6


def test_a_fitness_that_is_never_a_number_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no candidate of generation 2 has a finite fitness"):
        search(
            lambda c, g: quadratic(c, g) if g < 2 else np.full(len(c), np.nan),
            5,
            CMAESConfig(population=4),
            0,
        )


def two_valleys(candidates: np.ndarray, generation: int) -> np.ndarray:
    """The better optimum, at 3, lies beyond a wall that a small step cannot see over."""
    distance = np.abs(candidates - 3.0).sum(axis=1)
    return np.where(distance < 4.0, 10.0 - distance, -(candidates**2).sum(axis=1))


def test_restarts_double_the_population_and_validation_takes_the_best() -> None:
    asked: list[int] = []

    def fitness(candidates: FloatArray, generation: int) -> FloatArray:
        asked.append(len(candidates))
        return two_valleys(candidates, generation)

    config = CMAESConfig(8, 400, 0.5, 0.0, diagonal=False, restarts=3, validate_every=1_000)
    looked: list[FloatArray] = []

    def validation(parameters: FloatArray) -> float:
        looked.append(parameters)
        return float(two_valleys(parameters[np.newaxis], 0)[0])

    found = search(fitness, 2, config, 1, validation)
    rows = found.history
    assert [row.generation for row in rows] == list(range(len(rows)))
    assert [row.restart for row in rows] == sorted(row.restart for row in rows)
    assert {row.restart for row in rows} == {0, 1, 2, 3}
    assert asked == [8 * 2**row.restart for row in rows]
    assert found.evaluations == sum(asked)
    ends = [
        row
        for row, after in zip(rows, [*rows[1:], None], strict=True)
        if after is None or after.restart != row.restart
    ]
    assert [row.generation for row in rows if row.validation is not None] == [
        row.generation for row in ends
    ]  # each start was looked at where it ended, by pycma's own criteria
    assert len(rows) < 4 * 400
    assert found.looks == 4
    assert found.validation == max(two_valleys(np.array(looked), 0))


def test_the_first_start_of_several_is_the_search_without_restarts() -> None:
    alone = search(quadratic, 5, CMAESConfig(population=6, generations=8), 3)
    several = search(quadratic, 5, CMAESConfig(population=6, generations=8, restarts=1), 3)
    assert several.history[:8] == alone.history
    assert [row.restart for row in several.history] == [0] * 8 + [1] * 8


class InMemory:
    """Keeps the generations of a search, up to one."""

    def __init__(self, until: int = 1_000) -> None:
        self.until, self.rows = until, list[Told]()

    def read(self, generation: int) -> Told | None:
        return self.rows[generation] if generation < len(self.rows) else None

    def write(self, lived: Generation, told: Told) -> None:
        if lived.generation == self.until:
            raise KeyboardInterrupt
        self.rows.append(told)


@pytest.mark.parametrize("diagonal", [True, False])
def test_a_search_told_the_same_again_goes_on_to_the_bit(diagonal: bool) -> None:
    config = CMAESConfig(population=8, generations=30, diagonal=diagonal, restarts=1)
    whole = search(quadratic, 5, config, 7)
    scored: list[int] = []

    def fitness(candidates: FloatArray, generation: int) -> FloatArray:
        scored.append(generation)
        return quadratic(candidates, generation)

    memory = InMemory(until=37)
    with pytest.raises(KeyboardInterrupt):
        search(fitness, 5, config, 7, memory=memory)
    memory.until, scored[:] = 1_000, []
    again = search(fitness, 5, config, 7, memory=memory)
    assert scored == list(range(37, 60))
    np.testing.assert_array_equal(again.parameters, whole.parameters)
    assert again.history == whole.history
    assert again.evaluations == whole.evaluations
    with pytest.raises(ConfigError, match=r"generation 0 are not those that this search asks for"):
        search(fitness, 5, config, 8, memory=memory)


@pytest.mark.parametrize(
    "settings",
    [
        {"population": 1},
        {"generations": 0},
        {"validate_every": 0},
        {"restarts": -1},
        {"initial_sigma": 0.0},
        {"initial_sigma": float("nan")},
        {"weight_decay": -1e-3},
        {"weight_decay": float("inf")},
        {"weight_decay": float("nan")},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"{next(iter(settings))} is"):
        CMAESConfig(**settings)


def test_ctrl_c_waits_for_pycma_to_end_and_is_not_swallowed() -> None:
    """pycma has bare excepts: an interrupt that is raised among them is gone."""
    seen: list[str] = []

    class Pressed(np.ndarray):
        """Scores during whose telling Ctrl-C is pressed."""

        def __neg__(self) -> FloatArray:
            signal.raise_signal(signal.SIGINT)
            seen.append("pycma works on")
            return np.negative(np.asarray(self))

    def fitness(candidates: FloatArray, generation: int) -> FloatArray:
        return (0.0 - (candidates**2).sum(axis=1)).view(Pressed)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        search(fitness, 3, CMAESConfig(population=4, generations=5), seed=0)
    assert seen == ["pycma works on"]
    assert signal.getsignal(signal.SIGINT) is handler
