"""Stylised facts of the dreams and of the generators beside them, against the record's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..density import WORLD_MODEL
from ..significance import Interval
from .distances import FactDistances, Span, bootstrap_distances, noise_floor
from .goals import Goal, Part
from .stylised import PathFacts, StylisedFacts
from .subject import Subject


@dataclass(frozen=True, eq=False)
class Facts(Part):
    """What markets are known for, in the record and in every set of dreams.

    Attributes:
        record: Facts of the training range.
        generated: Facts of every generator's paths, by name.
        distances: Their distances from the record, by generator.
        noise_floor: Distances between random halves of the record.
        notes: What there is to say about the generators, by name.
    """

    record: StylisedFacts
    generated: dict[str, StylisedFacts]
    distances: dict[str, FactDistances[Interval]]
    noise_floor: FactDistances[Span]
    notes: dict[str, str]

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Compare every generator's paths with the record."""
        recorded = PathFacts(subject.record, subject.names)
        truth, rng = recorded.facts(), np.random.default_rng(subject.config.seed)
        sets = {
            name: PathFacts(paths, subject.names, recorded.decile_edges)
            for name, paths in subject.dreams.items()
        }
        return cls(
            record=truth,
            generated={name: paths.facts() for name, paths in sets.items()},
            distances={
                name: bootstrap_distances(paths, truth, rng) for name, paths in sets.items()
            },
            noise_floor=noise_floor(recorded, rng),
            notes={name: paths.note for name, paths in subject.dreams.items() if paths.note},
        )

    def goals(self) -> list[Goal]:
        """The world model's distances, as far as they could be measured."""
        ours, floor = self.distances[WORLD_MODEL], self.noise_floor
        rows = [
            _goal("σ of returns ÷ real", ours.sigma_ratio, floor.sigma_ratio, 0.95, 1.05),
            _kurtosis("1 bar", ours.kurtosis_ratio_1, floor.kurtosis_ratio_1),
            _kurtosis("4 bars", ours.kurtosis_ratio_4, floor.kurtosis_ratio_4),
            _kurtosis("24 bars", ours.kurtosis_ratio_24, floor.kurtosis_ratio_24),
            _goal(
                "autocorrelation of |r|, RMSE over lags 1–48",
                ours.abs_acf_rmse,
                floor.abs_acf_rmse,
                None,
                0.02,
            ),
            _inside(
                "autocorrelation of |r| at lag 168, minus real",
                ours.abs_acf_168_difference,
                floor.abs_acf_168_difference,
            ),
            _goal("Hill index of the top 1%", ours.hill_index, floor.hill_index, 2.5, 4.0),
            _goal(
                "volume–|r| rank correlation minus real",
                ours.volume_rank_difference,
                floor.volume_rank_difference,
                -0.1,
                0.1,
            ),
            _goal(
                "range given |r|, mean relative error",
                ours.range_given_return_error,
                floor.range_given_return_error,
                None,
                0.1,
            ),
        ]
        return [row for row in rows if row is not None]

    def to_dict(self) -> Mapping[str, object]:
        """Facts of the record and the world model, distances of all, and the noise floor."""
        return {
            "real_facts": self.record,
            "dream_facts": self.generated[WORLD_MODEL],
            "facts": self.distances,
            "facts_noise_floor": self.noise_floor,
            "generator_notes": self.notes,
        }


def _kurtosis(horizon: str, measured: Interval | None, floor: Span | None) -> Goal | None:
    return _goal(f"excess kurtosis ÷ real, {horizon}", measured, floor, 0.6, 1.6)


def _inside(name: str, measured: Interval | None, floor: Span | None) -> Goal | None:
    """A goal to lie no farther off than halves of the record do from one another."""
    return None if floor is None else _goal(name, measured, floor, floor.low, floor.high)


def _goal(
    name: str,
    measured: Interval | None,
    floor: Span | None,
    at_least: float | None,
    at_most: float | None,
) -> Goal | None:
    """A goal; None where the fact could not be measured."""
    words = f"{floor.low:.3g} to {floor.high:.3g}" if floor else ""
    return None if measured is None else Goal.of(name, measured, at_least, at_most, words)
