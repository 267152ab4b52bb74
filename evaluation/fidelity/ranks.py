"""Whether the dream ranks policies as the market does, and what ranks them without the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ...models.world_model import WorldModel
from ..comparison.rank_agreement import RankAgreement, Reads, measure_rank_agreement
from .goals import Goal, Part
from .subject import TRAIN, Rows, Subject


@dataclass(frozen=True, eq=False)
class Ranks(Part):
    """Rank agreement of dream and replay.

    Attributes:
        whole: Of controllers that read all of the observation, the training range included.
        controls: Of those that read part of it, and in world models that know less; held-out
            ranges alone.
    """

    whole: RankAgreement
    controls: dict[str, RankAgreement]

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Score random controllers in dreams and replays."""
        model, held_out = subject.world_model, subject.ranges.held_out
        whole = _agreement(subject, model, subject.ranges.all)
        if subject.beside is not None:
            return cls(whole, {})
        return cls(
            whole,
            {
                "z_only": _agreement(subject, model, held_out, "z"),
                "h_only": _agreement(subject, model, held_out, "h"),
                **{
                    name: _agreement(subject, control, held_out)
                    for name, control in subject.controls.items()
                },
            },
        )

    def goals(self) -> list[Goal]:
        """The floor of a held-out range is its agreement with the training range, replayed."""
        later = [name for name in self.whole.spearman if name != TRAIN]
        return [
            Goal.of(
                f"rank agreement of dream and replay, {name}",
                self.whole.spearman[name],
                0.80,
                None,
                f"{self.whole.between(TRAIN, name).value:.2f}",
            )
            for name in later
        ] + [self._beyond(name) for name in later]

    def _beyond(self, name: str) -> Goal:
        """Before costs, with costs and exposure held fixed, the dream still tells something."""
        audit = self.whole.audits[name].gross
        floors = {floor: span.value for floor, span in audit.floors_beyond.items()}
        strongest = max(floors, key=floors.__getitem__, default=None)
        return Goal.of(
            f"rank agreement before costs, beyond costs and exposure, {name}",
            audit.beyond,
            0.0,
            None,
            "" if strongest is None else f"{floors[strongest]:.2f} ({strongest})",
        )

    def to_dict(self) -> Mapping[str, object]:
        """All of it under ``rank_agreement``."""
        return {"rank_agreement": {**self.whole.to_dict(), "controls": self.controls}}


def _agreement(
    subject: Subject, world_model: WorldModel, ranges: Mapping[str, Rows], reads: Reads = "both"
) -> RankAgreement:
    config = subject.config
    return measure_rank_agreement(
        world_model,
        subject.candles,
        ranges,
        seed=config.seed,
        controllers=config.controllers,
        dreams=config.rank_dreams,
        bars=config.bars,
        reads=reads,
        drift=config.drift,
        allow_other_market=True,  # `measure_fidelity` has asked
    )
