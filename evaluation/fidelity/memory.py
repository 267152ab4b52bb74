"""What M remembers and hears, beside models that know less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ..density import WORLD_MODEL
from .goals import Goal, Part
from .probes import (
    VolatilityProbes,
    WarmupEffect,
    action_sensitivity,
    volatility_probes,
    warmup_effects,
)
from .subject import Subject


@dataclass(frozen=True)
class Memory(Part):
    """V's and M's view of the market, measured on the last range.

    Attributes:
        action_sensitivity: How far M's mean forecast moves with the action, in σ.
        warmup: M after warm-ups of several lengths.
        probes: What z and h know of the volatility to come.
        return_nll: Mean negative log-likelihood of the next return [nats], of the world model and
            its controls.
    """

    action_sensitivity: float
    warmup: tuple[WarmupEffect, ...]
    probes: VolatilityProbes
    return_nll: dict[str, float]

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Probe the world model and its controls."""
        world_model, candles = subject.world_model, subject.candles
        ranges, last = subject.ranges, subject.ranges.last
        lengths = (world_model.config.warmup_bars,)
        models = {WORLD_MODEL: world_model, **subject.controls}
        return cls(
            action_sensitivity=action_sensitivity(world_model, candles, last),
            warmup=tuple(warmup_effects(world_model, candles, last)),
            probes=volatility_probes(
                world_model, candles, ranges.train, last, seed=subject.config.seed
            ),
            return_nll={
                name: warmup_effects(model, candles, last, lengths=lengths)[0].return_nll
                for name, model in models.items()
            },
        )

    def goals(self) -> list[Goal]:
        """A price taker's action moves nothing."""
        return [
            Goal.of("sensitivity to the action [σ]", self.action_sensitivity, None, 0.01),
        ]

    def to_dict(self) -> Mapping[str, object]:
        """``action_sensitivity``, ``warmup``, and the rest under ``controls``."""
        return {
            "action_sensitivity": self.action_sensitivity,
            "warmup": self.warmup,
            "controls": {"volatility_probe_r2": self.probes, "return_nll": self.return_nll},
        }
