"""Weights by chance."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...market.arrays import BoolArray, Float32Array, IntArray
from ...market.errors import ConfigError
from ...market.settings import seed_number, whole_number


class Held(NamedTuple):
    """What `RandomWeights` carries from bar to bar: weights [N], and bars that they last [N]."""

    weight: Float32Array
    bars: IntArray


class RandomWeights:
    """Draws a target weight, uniform in [-1, 1], and holds it for some bars.

    Args:
        hold: Bars that a weight is held for.
        seed: Of its own generator: another instance with the same seed draws the same weights.

    Raises:
        ConfigError: ``hold`` is no number of bars, or the seed is none.
    """

    def __init__(self, hold: int = 1, seed: int = 0) -> None:
        bars = whole_number(hold)
        if bars is None or bars < 1:
            raise ConfigError(f"hold is {hold!r}; expected a whole number of bars, at least 1")
        self.hold = bars
        self._rng = np.random.default_rng(seed_number(seed))

    def predict(
        self,
        observation: Float32Array,
        state: Held | None = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[Float32Array, Held]:
        """Answer a weight for every observation [.., D]: actions [.., 1], and what is held."""
        shape = np.asarray(observation).shape[:-1]
        count = math.prod(shape)
        held = state or Held(np.zeros(count, dtype=np.float32), np.zeros(count, dtype=np.int64))
        over = held.bars <= 0
        if episode_start is not None:
            over |= episode_start
        weight, bars = held.weight, held.bars - 1
        if number := int(np.count_nonzero(over)):
            weight = weight.copy()
            weight[over] = self._rng.uniform(-1.0, 1.0, number)
            bars[over] = self.hold - 1
        return weight.reshape(*shape, 1).copy(), Held(weight, bars)
