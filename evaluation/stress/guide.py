"""What a market's outlook tells of the rest of a window: learned from a few plain paths, to steer others.

Three sums of the bars to come are forecast from the outlook before them: of squared returns, of volume,
and how far the price gets. What a forecast misses is taken to be the logarithm of an F variable, whose
two degrees of freedom make a tail on either side, matched by its variance and skewness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.special import digamma, fdtrc, polygamma

from ...market.arrays import FloatArray, IntArray
from .conditions import Condition, Progress

_TARGETS = 3  # squares, volume, the square of the reach
_RIDGE = 1e-3
_FLOOR = 1e-12
_LEAST_CHANCE = 1e-12
_WIDE_SHARE, _WIDTH = 0.25, 2.0
_DEFENCE = 0.1  # of the mean chance
_OVERSAMPLED = 8  # moments to begin from, for each lane
_FIRST, _SECOND = np.meshgrid(*2 * [np.geomspace(0.6, 300.0, 60)], indexing="ij")
_VARIANCES = polygamma(1, _FIRST / 2) + polygamma(
    1, _SECOND / 2
)  # of the logarithm of an F variable
_THIRDS = polygamma(2, _FIRST / 2) - polygamma(2, _SECOND / 2)  # its third central moment


class Stepper(Protocol):
    """A market that can be stepped from copies of where it stands."""

    def start(self, count: int, rng: np.random.Generator) -> Any:
        """The states of N lanes, each at a moment drawn at random."""

    def step(self, state: Any, rng: np.random.Generator) -> FloatArray:
        """Live one bar of every lane, in place; the bars [N, 4], columns `BAR_NUMBERS`."""

    def leap(self, state: Any, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """The same with `wider` shocks; the bars, and the logarithm of what each lane then stands for [N]."""

    def copy(self, state: Any, which: IntArray) -> Any:
        """Copies of some lanes."""

    def join(self, states: Sequence[Any]) -> Any:
        """The lanes of several states, one after the other."""

    def outlook(self, state: Any) -> FloatArray:
        """Numbers that tell how wild and how busy the bars to come are [N, K]."""

    def usual_volume(self, state: Any) -> FloatArray:
        """Volume of a bar that is usual where each lane stands [N]."""


@dataclass(frozen=True, eq=False)
class Guide:
    """Forecasts of the rest of a window of T bars, by how many have been lived.

    Attributes:
        weights: Of the outlook [T, 3, K + 1].
        degrees: Of the F variables that are missed [T, 3, 2].
        paths: Plain paths that it was learned from.
    """

    weights: FloatArray
    degrees: FloatArray
    paths: int

    @classmethod
    def learn(
        cls, stepper: Stepper, condition: Condition, paths: int, rng: np.random.Generator
    ) -> Guide:
        """Step plain paths, half of them from moments that the others find promising.

        What follows a moment does not depend on why it was chosen, so that both may be learned from; and
        it has to be known best where the condition is likely.
        """
        half, bars = paths // 2, condition.within
        first = _Lived.step(stepper, stepper.start(half, rng), bars, rng)
        guide = cls.fit([first])
        promising = begin(stepper, condition, guide, paths - half, rng, 0.5)[0]
        return cls.fit([first, _Lived.step(stepper, promising, bars, rng)])

    @classmethod
    def fit(cls, lived: Sequence[_Lived]) -> Guide:
        """Regress what came on the outlook before it, bar by bar."""
        seen, targets = (
            np.concatenate(parts, axis=axis)
            for parts, axis in zip(zip(*lived, strict=True), (1, 2), strict=True)
        )
        fits = [_regress(*pair) for pair in zip(seen, targets, strict=True)]
        weights, degrees = (np.stack(parts) for parts in zip(*fits, strict=True))
        return cls(weights, degrees, seen.shape[1])

    def chance(self, stepper: Stepper, state: Any, progress: Progress) -> FloatArray:
        """The guess [N], nowhere 0, so that nothing that can happen is ruled out."""
        lived = progress.bars
        told = _with_one(stepper.outlook(state)) @ self.weights[lived].T
        return np.maximum(progress.chance(Foreseen(told, self.degrees[lived])), _LEAST_CHANCE)


@dataclass(frozen=True, eq=False)
class Foreseen:
    """See `Ahead`.

    Attributes:
        log_means: Of the three sums [N, 3].
        degrees: [3, 2].
    """

    log_means: FloatArray
    degrees: FloatArray

    def squares(self, beyond: FloatArray) -> FloatArray:
        """See `Ahead`."""
        return self._more(0, beyond)

    def volume(self, beyond: FloatArray) -> FloatArray:
        """See `Ahead`."""
        return self._more(1, beyond)

    def reach(self, beyond: FloatArray) -> FloatArray:
        """See `Ahead`."""
        return self._more(2, beyond**2)

    def _more(self, target: int, beyond: FloatArray) -> FloatArray:
        first, second = self.degrees[target]
        ratio = (beyond + _FLOOR) * np.exp(_log_mean(first, second) - self.log_means[:, target])
        return np.asarray(fdtrc(first, second, ratio))


class _Lived(NamedTuple):
    """Plain paths: outlooks [T, N, K], and logarithms of what came after them [T, 3, N]."""

    seen: FloatArray
    targets: FloatArray

    @classmethod
    def step(cls, stepper: Stepper, state: Any, bars: int, rng: np.random.Generator) -> _Lived:
        """Live so many bars."""
        usual = np.maximum(stepper.usual_volume(state), _FLOOR)
        seen, lived = [], []
        for _ in range(bars):
            seen.append(stepper.outlook(state).copy())
            drawn = stepper.step(state, rng)
            lived.append(np.stack([drawn[:, 0], drawn[:, 3] / usual]))
        return cls(np.stack(seen), np.log(_rest(np.stack(lived)) + _FLOOR))


def begin(
    stepper: Stepper,
    condition: Condition,
    guide: Guide,
    count: int,
    rng: np.random.Generator,
    power: float = 1.0,
) -> tuple[Any, FloatArray]:
    """The states of N lanes at moments that promise, and the logarithm of what each stands for [N].

    They are drawn from many by a power of their chance: moments cost no dream.
    """
    many = stepper.start(count * _OVERSAMPLED, rng)
    chance = guide.chance(stepper, many, Progress(condition, count * _OVERSAMPLED)) ** power
    chance = defended(chance, chance.mean())
    which = systematic(chance[None], count, rng)[0]
    return stepper.copy(many, which), np.log(chance.mean()) - np.log(chance[which])


def defended(chance: FloatArray, mean: FloatArray | float) -> FloatArray:
    """Chances by which lanes are drawn, none of them far below their mean, since a guess may be wrong.

    A lane that the guess gives up, and that meets the condition after all, would otherwise stand for so
    much that estimates lean to one side: mostly too low, now and then far too high (defensive
    importance sampling; Hesterberg 1995).
    """
    return chance + _DEFENCE * mean


def wider(shocks: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Standard normal shocks [N], some of which are made larger, and the logarithm of their weights [N].

    With probability a the shock is multiplied by s: x then weighs φ(x) ÷ ((1 − a) φ(x) + a φ(x/s)/s), which is
    never more than 1/(1 − a).
    """
    chosen = rng.random(len(shocks)) < _WIDE_SHARE
    made = np.where(chosen, _WIDTH * shocks, shocks)
    ratio = np.exp(0.5 * made**2 * (1.0 - 1.0 / _WIDTH**2)) / _WIDTH
    return made, -np.log(1.0 - _WIDE_SHARE + _WIDE_SHARE * ratio)


def systematic(weights: FloatArray, count: int, rng: np.random.Generator) -> IntArray:
    """Columns [G, n] drawn by weights [G, m], each row by one uniform number (systematic resampling)."""
    edges = np.cumsum(weights, axis=1)
    edges /= edges[:, -1:]
    points = (np.arange(count) + rng.random((len(weights), 1))) / count
    shift = np.arange(len(weights))[:, None]  # so that rows follow one another
    found = np.searchsorted((edges + shift).ravel(), (points + shift).ravel(), side="right")
    found = found.reshape(points.shape) - shift * weights.shape[1]
    columns: IntArray = np.minimum(found, weights.shape[1] - 1)
    return columns


def _rest(lived: FloatArray) -> FloatArray:
    """The three sums of the bars to come [T, 3, N], of returns and relative volumes [T, 2, N]."""
    returns = lived[:, 0]
    squares, volume = (np.cumsum(part[::-1], axis=0)[::-1] for part in (returns**2, lived[:, 1]))
    highest, lowest = np.zeros((2, *returns.shape))
    for t in range(len(returns) - 1, -1, -1):
        last = t + 1 == len(returns)
        highest[t] = returns[t] + (0.0 if last else np.maximum(highest[t + 1], 0.0))
        lowest[t] = returns[t] + (0.0 if last else np.minimum(lowest[t + 1], 0.0))
    reach = np.maximum(highest, -lowest)
    return np.stack([squares, volume, reach**2], axis=1)


def _with_one(outlook: FloatArray) -> FloatArray:
    return np.concatenate([outlook, np.ones((len(outlook), 1))], axis=1)


def _regress(outlook: FloatArray, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ridge weights [3, K + 1] of targets [3, N], and the degrees of what they miss [3, 2]."""
    table = _with_one(outlook)
    penalty = _RIDGE * len(table) * np.eye(table.shape[1])
    penalty[-1, -1] = 0.0  # the level is free
    solved = np.linalg.solve(table.T @ table + penalty, table.T @ targets.T)
    weights = np.asarray(solved.T, dtype=np.float64)
    missed = targets - weights @ table.T
    missed -= missed.mean(axis=1, keepdims=True)
    return weights, np.stack([_match(one) for one in missed])


def _match(missed: FloatArray) -> FloatArray:
    """Degrees of freedom [2] of the F variable whose logarithm has that variance and skewness."""
    variance, third = float((missed**2).mean()), float((missed**3).mean())
    size = max(variance, _FLOOR)
    miss = np.log(_VARIANCES / size) ** 2 + 0.1 * ((_THIRDS - third) / size**1.5) ** 2
    best = np.unravel_index(int(miss.argmin()), miss.shape)
    return np.array([_FIRST[best], _SECOND[best]])


def _log_mean(first: float, second: float) -> float:
    """Mean of the logarithm of an F variable."""
    return float(digamma(first / 2) - np.log(first / 2) - digamma(second / 2) + np.log(second / 2))
