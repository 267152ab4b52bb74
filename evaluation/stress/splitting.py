"""Importance splitting: paths of a market on which something rare happens, with their weights.

Lanes are stepped in groups. Whenever a group's weights have drifted apart it is resampled: lanes that
a guess thinks likely to meet the condition are copied, others end (sequential Monte Carlo with a
guessed chance as the potential: Del Moral & Garnier 2005, "Genealogical particle analysis of rare
events"; Chopin & Papaspiliopoulos 2020, ch. 10). Where returns matter some of their shocks are widened
as well (importance sampling). What a copy stands for is divided among the copies, and what a shock stands for
is corrected, so the estimate of the chance is unbiased whatever is guessed; a good guess makes it exact with
few paths.
The guess is learned from a few plain dreams. Groups share nothing but it, so that their spread tells the
error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from ...market.arrays import FloatArray, IntArray
from ...market.errors import ConfigError
from ..significance import Interval, share_interval
from .conditions import Condition, Progress
from .guide import Guide, Stepper, begin, defended, systematic

GROUPS = 8
_RESAMPLE_BELOW = 0.5  # share of the lanes that a group's weights are worth


@dataclass(frozen=True, eq=False)
class Sampled:
    """Paths that meet a condition, and how likely it is.

    Attributes:
        condition: Which.
        probability: Under the market, with a 95% interval by groups.
        by_group: The estimate of each group [G].
        begun: The states that the paths began from, as the stepper has them.
        bars: Of each path [M, T, 4], columns `BAR_NUMBERS`.
        weights: Of each path [M], sum 1; empty where nothing met the condition.
        group: Of each path [M].
        lanes: That were dreamed, T bars each, those that taught the guide among them.
        ancestors: Distinct moments that the paths began from.
    """

    condition: Condition
    probability: Interval
    by_group: FloatArray
    begun: Any
    bars: FloatArray
    weights: FloatArray
    group: IntArray
    lanes: int
    ancestors: int

    @property
    def effective(self) -> float:
        """Effective sample size: 1 ÷ Σ w²."""
        return float(1.0 / (self.weights**2).sum()) if len(self.weights) else 0.0

    @property
    def saving(self) -> float:
        """Plain paths that would tell the probability as exactly, ÷ paths that were dreamed.

        Plain sampling of n paths misses by √(p(1 − p) ÷ n).
        """
        p, error = self.probability.value, _error(self.by_group)
        return p * (1.0 - p) / error**2 / self.lanes if error > 0.0 else 0.0


def sample_condition(
    stepper: Stepper,
    condition: Condition,
    paths: int,
    rng: np.random.Generator,
    *,
    groups: int = GROUPS,
    guide: Guide | None = None,
) -> Sampled:
    """Sample paths of a market on which a condition is met.

    Args:
        stepper: The market.
        condition: What shall happen, within how many bars.
        paths: To dream in all, an eighth of which teach the guide.
        rng: Draws.
        groups: Independent repetitions that the paths are shared among.
        guide: What was learned of such windows before; its paths are not counted.

    Raises:
        ConfigError: There are too few paths for the groups.
    """
    learned = 0 if guide is not None else paths // 8
    lanes = (paths - learned) // groups
    if lanes < 2 or groups < 2 or (guide is None and learned < 2):
        raise ConfigError(
            f"{paths} paths in {groups} groups; expected two groups or more, and three paths for each"
        )
    if guide is None:
        guide = Guide.learn(stepper, condition, learned, rng)
    return _Splitting(stepper, condition, guide, groups, lanes).run(rng, learned)


class _Splitting:
    """G groups of n lanes on their way; `log_value` is what a lane stands for."""

    def __init__(
        self, stepper: Stepper, condition: Condition, guide: Guide, groups: int, lanes: int
    ) -> None:
        self.stepper, self.condition, self.guide = stepper, condition, guide
        self.groups, self.lanes = groups, lanes
        self.progress = Progress(condition, groups * lanes)
        self.log_value = np.zeros((groups, lanes))
        self.origin = np.arange(groups * lanes)
        self.bars: list[FloatArray] = []
        self.parents: list[tuple[int, IntArray]] = []  # bars lived before, and whose copy each is

    def run(self, rng: np.random.Generator, learned: int) -> Sampled:
        """From the beginning to the end of the window."""
        self.begun = self._begin(rng)
        self.state = self.stepper.copy(self.begun, self.origin)
        usual = self.stepper.usual_volume(self.begun).copy()
        for lived in range(self.condition.within):
            if lived:
                self._resample(rng)
            self.bars.append(self._step(rng).copy())
            self.progress.live(self.bars[-1], usual[self.origin])
        return self._sampled(learned)

    def _begin(self, rng: np.random.Generator) -> Any:
        """Lanes at moments that promise."""
        begun = []
        for group in range(self.groups):
            lanes, self.log_value[group] = begin(
                self.stepper, self.condition, self.guide, self.lanes, rng
            )
            begun.append(lanes)
        return self.stepper.join(begun)

    def _step(self, rng: np.random.Generator) -> FloatArray:
        """A bar of every lane, with wider shocks of the returns where those matter."""
        if self.condition.quantity == "volume":
            return self.stepper.step(self.state, rng)
        drawn, log_weight = self.stepper.leap(self.state, rng)
        self.log_value += log_weight.reshape(self.log_value.shape)
        return drawn

    def _resample(self, rng: np.random.Generator) -> None:
        """Copy and end lanes of the groups whose weights have drifted apart."""
        shape = (self.groups, self.lanes)
        chance = self.guide.chance(self.stepper, self.state, self.progress).reshape(shape)
        value = np.exp(self.log_value - self.log_value.max(axis=1, keepdims=True))
        mean = (value * chance).sum(axis=1, keepdims=True) / value.sum(axis=1, keepdims=True)
        log_chance = np.log(defended(chance, mean))
        logs = self.log_value + log_chance
        highest = logs.max(axis=1, keepdims=True)
        weights = np.exp(logs - highest)
        worth = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
        drifted = np.flatnonzero(worth < _RESAMPLE_BELOW * self.lanes)
        if not len(drifted):
            return
        which = np.tile(np.arange(self.lanes), (self.groups, 1))
        which[drifted] = systematic(weights[drifted], self.lanes, rng)
        level = highest[:, 0] + np.log(weights.mean(axis=1))
        new = level[:, None] - np.take_along_axis(log_chance, which, axis=1)
        self.log_value[drifted] = new[drifted]
        self._become((which + self.lanes * np.arange(self.groups)[:, None]).ravel())

    def _become(self, which: IntArray) -> None:
        self.state = self.stepper.copy(self.state, which)
        self.progress.take(which)
        self.origin = self.origin[which]
        self.parents.append((len(self.bars), which))

    def _sampled(self, learned: int) -> Sampled:
        hit = self.progress.hit.reshape(self.groups, self.lanes)
        value = np.exp(self.log_value) * hit
        by_group = value.mean(axis=1)
        met = np.flatnonzero(hit)
        weights = value.ravel()[met]
        total = weights.sum()
        return Sampled(
            condition=self.condition,
            probability=_interval(by_group, self.groups * self.lanes),
            by_group=by_group,
            begun=self.stepper.copy(self.begun, self.origin[met]),
            bars=self._history(met),
            weights=weights / total if total > 0.0 else weights,
            group=met // self.lanes,
            lanes=self.groups * self.lanes + learned,
            ancestors=len(np.unique(self.origin[met])),
        )

    def _history(self, lanes: IntArray) -> FloatArray:
        """The bars [M, T, 4] that led to some lanes: back through whose copies they are."""
        out = np.empty((len(lanes), len(self.bars), 4))
        copied = dict(self.parents)
        for lived in range(len(self.bars), 0, -1):
            if lived in copied and lived < len(self.bars):
                lanes = copied[lived][lanes]
            out[:, lived - 1] = self.bars[lived - 1][lanes]
        return out


def sample_plainly(
    stepper: Stepper, condition: Condition, paths: int, rng: np.random.Generator
) -> int:
    """How many of so many plain paths meet a condition."""
    state = stepper.start(paths, rng)
    usual, progress = stepper.usual_volume(state).copy(), Progress(condition, paths)
    for _ in range(condition.within):
        progress.live(stepper.step(state, rng), usual)
    return int(progress.hit.sum())


def _error(by_group: FloatArray) -> float:
    """Standard error of the mean of the groups."""
    return float(by_group.std(ddof=1) / np.sqrt(len(by_group)))


def _interval(by_group: FloatArray, lanes: int) -> Interval:
    """The mean of the groups, with Student's 95% interval of its logarithm: such estimates lean to one side.

    Where no lane met the condition, the upper end is that of as many plain ones.
    """
    mean = float(by_group.mean())
    if mean == 0.0:
        return share_interval(0.0, lanes)
    half = float(student.ppf(0.975, len(by_group) - 1)) * _error(by_group) / mean
    return Interval(mean, mean * np.exp(-half), min(mean * np.exp(half), 1.0))
