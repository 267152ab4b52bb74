"""How far dreamed facts are from recorded ones, and how far two halves of the record are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np

from ...market.arrays import FloatArray
from ..significance import Interval
from .stylised import PathFacts, StylisedFacts

Number = TypeVar("Number", covariant=True)
Other = TypeVar("Other")


@dataclass(frozen=True)
class Span:
    """The two ends of an interval."""

    low: float
    high: float


@dataclass(frozen=True)
class FactDistances(Generic[Number]):
    """Distances of one set of facts from another, as numbers or as intervals of numbers.

    None is what either side lacks.

    Attributes:
        sigma_ratio: σ of a bar's return ÷ the record's; 1 is equal.
        kurtosis_ratio_1: Excess kurtosis of a bar's return ÷ the record's.
        kurtosis_ratio_4: The same of sums of 4 bars.
        kurtosis_ratio_24: Of 24.
        kurtosis_ratio_168: Of 168.
        abs_acf_rmse: Of the autocorrelation of absolute returns, over lags 1–48.
        abs_acf_168_difference: Of the autocorrelation at lag 168: the dream's minus the record's.
        hill_index: The dream's own tail index.
        return_acf_1: The dream's own autocorrelation of returns at lag 1.
        leverage: The dream's own leverage effect.
        volume_rank_difference: Rank correlation of volume and |r|, minus the record's.
        range_given_return_error: Mean over deciles of |r| of |range ÷ the record's − 1|.
    """

    sigma_ratio: Number | None = None
    kurtosis_ratio_1: Number | None = None
    kurtosis_ratio_4: Number | None = None
    kurtosis_ratio_24: Number | None = None
    kurtosis_ratio_168: Number | None = None
    abs_acf_rmse: Number | None = None
    abs_acf_168_difference: Number | None = None
    hill_index: Number | None = None
    return_acf_1: Number | None = None
    leverage: Number | None = None
    volume_rank_difference: Number | None = None
    range_given_return_error: Number | None = None

    def to_dict(self) -> dict[str, Number]:
        """What is known, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def compare_facts(dreamed: StylisedFacts, real: StylisedFacts) -> FactDistances[float]:
    """Distances of dreamed facts from real ones."""
    return FactDistances(
        sigma_ratio=dreamed.sigma / real.sigma if real.sigma else 0.0,
        kurtosis_ratio_1=_kurtosis_ratio(dreamed, real, 1),
        kurtosis_ratio_4=_kurtosis_ratio(dreamed, real, 4),
        kurtosis_ratio_24=_kurtosis_ratio(dreamed, real, 24),
        kurtosis_ratio_168=_kurtosis_ratio(dreamed, real, 168),
        abs_acf_rmse=_of_both(
            dreamed.abs_acf, real.abs_acf, lambda a, b: np.sqrt(np.mean((a - b) ** 2))
        ),
        abs_acf_168_difference=_of_both(dreamed.abs_acf_168, real.abs_acf_168, lambda a, b: a - b),
        hill_index=dreamed.hill_index,
        return_acf_1=dreamed.return_acf_1,
        leverage=dreamed.leverage,
        volume_rank_difference=_of_both(dreamed.volume_rank, real.volume_rank, lambda a, b: a - b),
        range_given_return_error=_of_both(
            dreamed.range_by_return,
            real.range_by_return,
            lambda a, b: np.abs(a / np.maximum(b, 1e-12) - 1).mean(),
        ),
    )


def _kurtosis_ratio(dreamed: StylisedFacts, real: StylisedFacts, horizon: int) -> float | None:
    return _of_both(
        dreamed.excess_kurtosis.get(horizon),
        real.excess_kurtosis.get(horizon),
        lambda a, b: a / b if abs(b) > 1e-9 else 0.0,
    )


def _of_both(
    ours: Other | None, theirs: Other | None, distance: Callable[[Other, Other], Any]
) -> float | None:
    return None if ours is None or theirs is None else float(distance(ours, theirs))


def bootstrap_distances(
    dreamed: PathFacts,
    real: StylisedFacts,
    rng: np.random.Generator,
    replications: int = 200,
    level: float = 0.95,
) -> FactDistances[Interval]:
    """`compare_facts`, with intervals from dreams that are resampled as whole paths."""
    draws = []
    for _ in range(replications):
        rows = rng.integers(dreamed.num_paths, size=dreamed.num_paths)
        counts = np.bincount(rows, minlength=dreamed.num_paths).astype(np.float64)
        draws.append(compare_facts(dreamed.facts(counts), real))
    spans = _spans(draws, level).to_dict()
    return FactDistances(
        **{
            name: Interval(value, spans[name].low, spans[name].high)
            for name, value in compare_facts(dreamed.facts(), real).to_dict().items()
        }
    )


def noise_floor(
    real: PathFacts, rng: np.random.Generator, splits: int = 200, level: float = 0.95
) -> FactDistances[Span]:
    """Intervals of `compare_facts` between two random halves of the real paths; nothing of one."""
    if real.num_paths < 2:
        return FactDistances()
    draws = []
    for _ in range(splits):
        half: FloatArray = np.zeros(real.num_paths)
        half[rng.permutation(real.num_paths)[: real.num_paths // 2]] = 1.0
        draws.append(compare_facts(real.facts(half), real.facts(1.0 - half)))
    return _spans(draws, level)


def _spans(draws: Sequence[FactDistances[float]], level: float) -> FactDistances[Span]:
    ends = [(1 - level) / 2, (1 + level) / 2]
    spans = {}
    for name in draws[0].to_dict():
        low, high = np.quantile([getattr(draw, name) for draw in draws], ends)
        spans[name] = Span(float(low), float(high))
    return FactDistances(**spans)
