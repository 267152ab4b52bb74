"""How good the world model's forecasts of the next return are, beside the baselines'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ...market.streams import BAR_NUMBERS
from ..baselines.scores import GJR_GARCH, TITLES
from ..density import DensityScores, density_scores
from ..loss_tests import LossDifference
from ..significance import Interval, share_interval
from ..truth import WHOLE_BAR, distance_to_truth
from .goals import Goal, Part
from .subject import Subject

_NATS_A_NUMBER = 0.02  # of distance from the truth


@dataclass(frozen=True)
class Forecasts(Part):
    """Density forecasts of the next return on the held-out ranges.

    Attributes:
        by_range: Their scores.
        from_truth: Distance from the truth on the last range, nats, by part of the bar
            (`distance_to_truth`); empty where nobody knows the truth.
    """

    by_range: dict[str, DensityScores]
    from_truth: dict[str, LossDifference]

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Score the forecasts."""
        world_model, candles, ranges = subject.world_model, subject.candles, subject.ranges
        scores = density_scores(
            world_model,
            candles,
            subject.baselines,
            ranges.held_out,
            seed=subject.config.seed,
        )
        known = "synthetic" in world_model.provenance.source
        return cls(scores, distance_to_truth(world_model, candles, ranges.last) if known else {})

    def goals(self) -> list[Goal]:
        """Better than the baselines, calibrated, and near the truth where it is known."""
        goals = [goal for name, scores in self.by_range.items() for goal in _of_range(name, scores)]
        return goals + [_of_truth(name, gap) for name, gap in self.from_truth.items()]

    def to_dict(self) -> Mapping[str, object]:
        """``density`` by range, and ``from_truth`` by part where the truth is known."""
        truth = {"from_truth": self.from_truth} if self.from_truth else {}
        return {"density": self.by_range, **truth}


def _of_truth(name: str, gap: LossDifference) -> Goal:
    numbers = len(BAR_NUMBERS) if name == WHOLE_BAR else 1
    return Goal.of(
        f"distance from the known truth [nats], {name.replace('_', ' ')}",
        Interval(gap.value, gap.low, gap.high),
        None,
        _NATS_A_NUMBER * numbers,
    )


def _of_range(label: str, scores: DensityScores) -> list[Goal]:
    shape = scores.calibration
    floor = f"≤ {shape.pit_ks_floor:.3f}"
    gaps = [
        Goal.of(
            f"NLL minus that of the {TITLES[name]} [nats], {label}",
            Interval(gap.value, gap.low, gap.high),
            None,
            0.0,
        )
        for name, gap in scores.nll_minus.items()
        if name != GJR_GARCH
    ]
    return [
        *gaps,
        Goal.of(f"CRPS skill against HAR-t, {label}", scores.crps_skill_to_har_t, 0.0),
        Goal.of(f"PIT distance, {label}", shape.pit_ks, None, 0.03, floor),
        Goal.of(
            f"coverage of the 90% interval, {label}",
            share_interval(shape.coverage_90, scores.bars),
            0.88,
            0.92,
        ),
        Goal.of(
            f"1% and 5% value at risk, {label}, tests that refuse it",
            sum(test.refused for test in scores.var),
            None,
            0.0,
        ),
    ]
