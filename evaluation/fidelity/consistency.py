"""Whether what a dream shows its agents belongs together, and is as wide as what replay shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ...market.arrays import Float32Array, FloatArray
from ...market.errors import ConfigError
from ..density import WORLD_MODEL
from .goals import Goal, Part
from .subject import Subject

_NEVER_MOVES = 1e-6


@dataclass(frozen=True)
class LatentSpread:
    """σ of each dimension of z [Z], dreamed ÷ encoded.

    Far from 1 the dream shows agents latents that replay does not. None for a dimension that never
    moves: one that was silenced.

    Attributes:
        level: Of the dimension itself.
        change: Of its change in a bar.
    """

    level: tuple[float | None, ...]
    change: tuple[float | None, ...]


@dataclass(frozen=True)
class Consistency(Part):
    """The dream's observations beside each other and beside replay's.

    Attributes:
        drawn_decoded_correlation: Of the return that was drawn, with the one decoded from the z
            drawn beside it.
        latent_spread: How wide z is.
    """

    drawn_decoded_correlation: float
    latent_spread: LatentSpread

    @classmethod
    def measure(cls, subject: Subject) -> Self:
        """Read the world model's dreams.

        Raises:
            ConfigError: They keep no states.
        """
        dreams = subject.dreams[WORLD_MODEL]
        if dreams.features is None or dreams.z is None:
            raise ConfigError(f"{dreams.name} keep no states: there is nothing to compare")
        drawn, decoded = dreams.log_return.ravel(), dreams.features[..., 0].ravel()
        encoded = subject.world_model.latents(subject.train).z
        return cls(float(np.corrcoef(drawn, decoded)[0, 1]), latent_spread(dreams.z, encoded))

    def goals(self) -> list[Goal]:
        """The decoded return is the drawn one."""
        name = "drawn against decoded return, correlation"
        return [Goal.of(name, self.drawn_decoded_correlation, 0.995)]

    def to_dict(self) -> Mapping[str, object]:
        """Its fields."""
        return vars(self)


def latent_spread(dreamed: Float32Array, encoded: Float32Array) -> LatentSpread:
    """How wide dreamed latents [N, T, Z] are beside encoded ones [T, Z], NaN where missing."""
    known = encoded[np.isfinite(encoded).all(axis=1)].astype(np.float64)
    level = _ratios(dreamed.std(axis=(0, 1)), known.std(axis=0))
    steps, known_steps = np.diff(dreamed, axis=1), np.diff(known, axis=0)
    return LatentSpread(level, _ratios(steps.std(axis=(0, 1)), known_steps.std(axis=0)))


def _ratios(dreamed: NDArray[np.floating], encoded: FloatArray) -> tuple[float | None, ...]:
    pairs = zip(dreamed, encoded, strict=True)
    return tuple(float(a / b) if b > _NEVER_MOVES else None for a, b in pairs)
