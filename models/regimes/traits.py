"""What a regime is, from what was recorded in it; and what it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from ...market.arrays import FloatArray, IntArray
from ...market.errors import ModelFileError

CALM, LOUD, EXTREME = 0.75, 1.25, 2.0
"""A regime's volatility ÷ that of all bars: below the first it is calm, above the others loud, and
extreme."""
SIGNIFICANT = 2.0
"""Standard errors beyond which a trend or a reversion is named."""

_SUM = 4  # bars that the variance ratio adds up


@dataclass(frozen=True)
class Traits:
    """What the bar after each bar of a regime did on the training range.

    Attributes:
        share: Of all bars.
        volatility: √mean r², percent a bar.
        relative_volatility: The same ÷ that of all bars.
        mean_return: Mean log return, percent a bar.
        trend: The mean's t-statistic.
        variance_ratio: Variance of the sum of 4 returns in the regime ÷ 4 variances.
        reversion: Its distance from 1 in standard errors that allow for changing volatility (Lo &
            MacKinlay 1988); negative where moves are taken back.
        duration: Mean stay [bars].
        duration_low: The shortest of the refits on resampled blocks.
        duration_high: The longest.
    """

    share: float
    volatility: float
    relative_volatility: float
    mean_return: float
    trend: float
    variance_ratio: float
    reversion: float
    duration: float
    duration_low: float
    duration_high: float

    def to_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From the numbers by name.

        Raises:
            ModelFileError: They are not those.
        """
        try:
            return cls(**{name: float(value) for name, value in values.items()})
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"the traits of a regime cannot be read: {error}") from None

    @property
    def name(self) -> str:
        """Volatility, trend and reversion in words."""
        up, down = self.trend > SIGNIFICANT, self.trend < -SIGNIFICANT
        if down and self.relative_volatility > EXTREME:
            return "crash"
        words = ["normal"]
        if self.relative_volatility < CALM:
            words = ["calm"]
        if self.relative_volatility > LOUD:
            words = ["high-volatility"]
        words += ["up-trend"] * up + ["down-trend"] * down
        words += ["mean-reverting"] * (self.reversion < -SIGNIFICANT)
        words += ["trending"] * (self.reversion > SIGNIFICANT)
        return " ".join(words)


def measure_traits(
    labels: Sequence[IntArray],
    log_returns: Sequence[FloatArray],
    durations: FloatArray,
    spans: FloatArray,
) -> list[Traits]:
    """The traits of every regime.

    Args:
        labels: Regime of each bar of each stretch [T].
        log_returns: Of the bar after each [T].
        durations: Mean stays [R].
        spans: Shortest and longest of the refits [2, R].
    """
    every, all_labels = np.concatenate(log_returns), np.concatenate(labels)
    whole = _root_mean_square(every)
    made = []
    for regime, (stay, low, high) in enumerate(zip(durations, *spans, strict=True)):
        inside = every[all_labels == regime]
        ratio, distance = _variance_ratio(
            [
                np.where(part == regime, moves, np.nan)
                for part, moves in zip(labels, log_returns, strict=True)
            ]
        )
        error = inside.std() / np.sqrt(max(len(inside), 1)) if len(inside) else 0.0
        mean = float(inside.mean()) if len(inside) else 0.0
        volatility = _root_mean_square(inside)
        made.append(
            Traits(
                share=len(inside) / len(every),
                volatility=100 * volatility,
                relative_volatility=volatility / whole if whole else 0.0,
                mean_return=100 * mean,
                trend=mean / float(error) if error else 0.0,
                variance_ratio=ratio,
                reversion=distance,
                duration=float(stay),
                duration_low=float(min(low, stay)),
                duration_high=float(max(high, stay)),
            )
        )
    return made


def unique_names(traits: Sequence[Traits]) -> tuple[str, ...]:
    """What the regimes are called; those that are alike are counted from the quietest."""
    names = [each.name for each in traits]
    several = {name for name, count in Counter(names).items() if count > 1}
    seen: Counter[str] = Counter()
    told = []
    for name in names:
        seen[name] += 1
        told.append(f"{name} {seen[name]}" if name in several else name)
    return tuple(told)


def _root_mean_square(values: FloatArray) -> float:
    return float(np.sqrt((values**2).mean())) if len(values) else 0.0


def _variance_ratio(stretches: Sequence[FloatArray]) -> tuple[float, float]:
    """Variance ratio of returns, NaN outside the regime, and its z (Lo & MacKinlay 1988, eq. 16-19)."""
    known = np.concatenate(stretches)
    known = known[np.isfinite(known)]
    if len(known) < 2 or not known.std():
        return 1.0, 0.0
    mean, squares = known.mean(), ((known - known.mean()) ** 2).sum()
    ratio, variance = 1.0, 0.0
    for lag in range(1, _SUM):
        weight = 2.0 * (1.0 - lag / _SUM)
        early = np.concatenate([part[:-lag] for part in stretches]) - mean
        late = np.concatenate([part[lag:] for part in stretches]) - mean
        both = np.isfinite(early) & np.isfinite(late)
        early, late = early[both], late[both]
        share = len(known) / max(len(early), 1)  # visits end: fewer pairs than bars
        ratio += weight * share * float((early * late).sum() / squares)
        variance += (weight * share) ** 2 * float((early**2 * late**2).sum() / squares**2)
    return ratio, (ratio - 1.0) / float(np.sqrt(variance)) if variance else 0.0
