"""One target weight for ever."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ...market.arrays import BoolArray, Float32Array
from ...market.errors import ConfigError
from ...market.settings import real_number


class ConstantWeight:
    """Holds one target weight: 1 is buy-and-hold, 0 is flat, -1 is always short.

    Args:
        weight: The target weight, in [-1, 1].
    """

    market_alone: ClassVar[bool] = True  # so that `score_policies` asks once for all bars

    def __init__(self, weight: float) -> None:
        number = real_number(weight)
        if number is None or not -1.0 <= number <= 1.0:
            raise ConfigError(f"weight is {weight}; expected a number in [-1, 1]")
        self.weight = number

    def predict(
        self,
        observation: Float32Array,
        state: Any = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[Float32Array, None]:
        """Answer the weight for every observation [.., D]: actions [.., 1]."""
        shape = (*np.asarray(observation).shape[:-1], 1)
        return np.full(shape, self.weight, dtype=np.float32), None


def buy_and_hold() -> ConstantWeight:
    """Always fully long."""
    return ConstantWeight(1.0)


def flat() -> ConstantWeight:
    """Never in the market."""
    return ConstantWeight(0.0)
