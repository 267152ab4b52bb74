"""How many regimes there are: by likelihood, and by whether another sample tells the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from ...market.arrays import FloatArray, IntArray
from .chain import Chain, Method, likeliest

COUNTS = (2, 3, 4, 5, 6)
"""Numbers of regimes that are tried."""
STABLE = 0.9
"""Adjusted Rand index of two fits from which on they tell the same regimes: above it Steinley (2004) calls an
agreement excellent."""

_BLOCK = 720  # bars that are resampled together
_QUARTILE = 0.25


@dataclass(frozen=True)
class Trial:
    """One number of regimes, tried.

    Attributes:
        count: R.
        bic: Bayesian information criterion (Schwarz 1978); lower is better.
        stability: What three of four fits on resampled blocks reach: the lower quartile of the adjusted
            Rand index (Hubert & Arabie 1985) between their labels and the fit's, all filtered on the same bars.
    """

    count: int
    bic: float
    stability: float

    def to_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


class Found(NamedTuple):
    """A chain, and what fits on resampled blocks make of it.

    Attributes:
        chain: The chain.
        trial: How it fares.
        spans: Shortest and longest mean stay in each regime among the fits [2, R].
    """

    chain: Chain
    trial: Trial
    spans: FloatArray


def choose(
    sequences: Sequence[FloatArray],
    count: int | None,
    method: Method,
    seed: int,
    bootstraps: int,
) -> tuple[Found, tuple[Trial, ...]]:
    """Fit the number of regimes asked for, or that of the lowest BIC among the stable ones.

    Where none is stable, the most stable number.

    Args:
        sequences: The coordinate along stretches of bars.
        count: R, or None.
        method: Which.
        seed: Of beginnings and resamples.
        bootstraps: Fits on resampled blocks for each number.
    """
    counts = COUNTS if count is None else (count,)
    found = [_try(sequences, number, method, seed, bootstraps) for number in counts]
    trials = tuple(each.trial for each in found)
    stable = [each for each in found if each.trial.stability >= STABLE]
    if stable:
        return min(stable, key=lambda each: each.trial.bic), trials
    return max(found, key=lambda each: each.trial.stability), trials


def _try(
    sequences: Sequence[FloatArray], count: int, method: Method, seed: int, bootstraps: int
) -> Found:
    from sklearn.metrics import adjusted_rand_score

    chain, bic = Chain.fit(sequences, count, method, seed)
    mine = _labels(chain, sequences)
    blocks = _blocks(sequences)
    rng = np.random.default_rng(seed)
    scores, stays = [], []
    for number in range(bootstraps):
        drawn = [blocks[i] for i in rng.integers(len(blocks), size=len(blocks))]
        refit = Chain.fit(drawn, count, method, seed + number + 1).chain
        theirs = _labels(refit, sequences)
        scores.append(float(adjusted_rand_score(mine, theirs)))
        stays.append(refit.durations)  # regimes are in order of their means, in both
    stays.append(chain.durations)
    spans = np.stack([np.min(stays, axis=0), np.max(stays, axis=0)])
    stability = float(np.quantile(scores, _QUARTILE)) if scores else 1.0
    return Found(chain, Trial(count, bic, stability), spans)


def _labels(chain: Chain, sequences: Sequence[FloatArray]) -> IntArray:
    return np.concatenate([likeliest(chain.filter(part)) for part in sequences])


def _blocks(sequences: Sequence[FloatArray]) -> list[FloatArray]:
    return [part[i : i + _BLOCK] for part in sequences for i in range(0, len(part), _BLOCK)]


def read_trials(values: Sequence[Mapping[str, Any]]) -> tuple[Trial, ...]:
    """From plain values."""
    return tuple(
        Trial(int(each["count"]), float(each["bic"]), float(each["stability"])) for each in values
    )
