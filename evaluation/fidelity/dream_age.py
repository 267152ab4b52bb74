"""Does a dream freeze, explode or drift as it ages, and how far does it go from the record?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ...market.arrays import FloatArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...models.ood import OODMeter
from ...models.world_model import WorldModel
from .distances import FactDistances, compare_facts
from .goals import Part
from .paths import Dreams, dream
from .stylised import ACF_LAGS, PathFacts
from .subject import Rows, Subject

AGES = ((0, 24), (24, 168), (168, 720), (720, 2160))
"""Dream ages in bars over which decay is measured."""
OOD_LEVELS = (0.05, 0.5, 0.95)
"""Quantiles over dreams of the out-of-distribution meter's readings."""
_FROZEN = 0.05  # of the record's σ: a path that moves less stands still


@dataclass(frozen=True)
class OODShares:
    """What the out-of-distribution meter reads: 0.9 is farther out than 90% of the training bars.

    Attributes:
        ood_median: The median reading.
        ood_above_95: Share of readings above 0.95.
        ood_above_99: Share above 0.99.
    """

    ood_median: float
    ood_above_95: float
    ood_above_99: float

    @classmethod
    def of(cls, readings: FloatArray) -> Self:
        """Of readings of any shape."""
        return cls(
            float(np.median(readings)),
            float((readings > 0.95).mean()),
            float((readings > 0.99).mean()),
        )


@dataclass(frozen=True)
class AgedDreams:
    """Dreams at one age.

    Attributes:
        from_bar: The age's first bar.
        to_bar: The bar after its last.
        mean: Mean log return of a bar.
        frozen: Share of dreams that stand still.
        ood: How far their states are from those of the training range.
        distances: Of their facts from the record's.
    """

    from_bar: int
    to_bar: int
    mean: float
    frozen: float
    ood: OODShares
    distances: FactDistances[float]

    def to_dict(self) -> Mapping[str, object]:
        """All numbers in one row."""
        own = {
            "from_bar": self.from_bar,
            "to_bar": self.to_bar,
            "mean": self.mean,
            "frozen": self.frozen,
        }
        return {**own, **vars(self.ood), **self.distances.to_dict()}


@dataclass(frozen=True, eq=False)
class DreamAge(Part):
    """How dreams change as they age.

    Attributes:
        decay: Dreams at each of `AGES`.
        recorded: What the meter reads on recorded bars, by range; None where no bar has enough
            bars before it.
        readings: Quantiles at `OOD_LEVELS` of what it reads on dreams, by bar [3, T]; drawn only.
    """

    decay: tuple[AgedDreams, ...]
    recorded: dict[str, OODShares | None]
    readings: FloatArray

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Dream as long as the last of `AGES`."""
        world_model, config = subject.world_model, subject.config
        long = dream(world_model, config.decay_dreams, AGES[-1][1], seed=config.seed + 1)
        meter = OODMeter.fit(world_model)
        return cls(
            tuple(horizon_decay(long, subject.record, subject.names, meter)),
            recorded_ood(world_model, subject.candles, subject.ranges.all, meter),
            np.quantile(meter_readings(meter, long), OOD_LEVELS, axis=0),
        )

    def to_dict(self) -> Mapping[str, object]:
        """``horizon_decay``, a row per age, and ``ood`` by range."""
        return {"horizon_decay": self.decay, "ood": self.recorded}


def meter_readings(meter: OODMeter, dreams: Dreams) -> FloatArray:
    """The out-of-distribution meter's readings [N, T] along dreams."""
    if dreams.z is None or dreams.h is None:
        raise ConfigError(f"{dreams.name} keep no states: the meter has nothing to read")
    return meter.read(np.concatenate([dreams.z, dreams.h], axis=2))


def recorded_ood(
    world_model: WorldModel,
    candles: Candles,
    ranges: Mapping[str, Rows],
    meter: OODMeter,
) -> dict[str, OODShares | None]:
    """What the meter reads on recorded bars, by range: its calibration, and what is new there.

    None where no bar has enough bars before it.
    """
    table: dict[str, OODShares | None] = {}
    for name, (start, stop) in ranges.items():
        latents = world_model.latents(candles.rows(0, stop))
        states = np.concatenate([latents.z, latents.h], axis=1)[start:][latents.valid[start:]]
        table[name] = OODShares.of(meter.read(states)) if len(states) else None
    return table


def horizon_decay(
    long: Dreams, real: Dreams, names: Sequence[str], meter: OODMeter
) -> list[AgedDreams]:
    """Distances from the record by dream age.

    Args:
        long: Dreams with their states, as long as the last of `AGES`.
        real: Recorded paths.
        names: Columns of both sides' features.
        meter: Reads the dreams' states.
    """
    recorded = PathFacts(real, names)
    truth = recorded.facts()
    rows = []
    for start, stop in AGES:
        part = long.ages(start, stop)
        facts = PathFacts(part, names, recorded.decile_edges).facts()
        distances = compare_facts(facts, truth)
        if part.bars < 2 * ACF_LAGS:
            distances = replace(distances, return_acf_1=None)
        rows.append(
            AgedDreams(
                from_bar=start,
                to_bar=stop,
                mean=float(part.log_return.mean()),
                frozen=float((part.log_return.std(axis=1) < _FROZEN * truth.sigma).mean()),
                ood=OODShares.of(meter_readings(meter, part)),
                distances=distances,
            )
        )
    return rows
