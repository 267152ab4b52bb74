"""With the last bars' trend, or against it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ...market.arrays import BoolArray, Float32Array
from ...market.errors import ConfigError
from ...market.features import Features, FeatureSpec
from ...market.settings import real_number
from .columns import column_of, horizons


class Momentum:
    """Follows the trend: long after a rise over the last bars, short after a fall.

    It reads the feature observation, so it trades replay on recorded features and the dream on
    those of dreamed bars (``observation="features"``).

    Args:
        horizon: Look-back in bars; one of the feature specification's horizons, None the longest.
        features: The specification the observation was made with.
        size: The action on either side, in (0, 1].

    Attributes:
        reads: Features of the observation that it can read (`check_policy`).

    Raises:
        ConfigError: The features have no momentum over so many bars, or the size is out of range.
    """

    market_alone: ClassVar[bool] = True  # so that `score_policies` asks once for all bars
    _side: ClassVar[float] = 1.0

    def __init__(
        self, horizon: int | None = None, features: Features | None = None, size: float = 1.0
    ) -> None:
        number = real_number(size)
        if number is None or not 0.0 < number <= 1.0:
            raise ConfigError(f"size is {size!r}; expected a number above 0, up to 1")
        features = features or FeatureSpec()
        self.size = number
        self.reads = len(features.names)
        self.horizon = self._default(horizons(features, "momentum")) if horizon is None else horizon
        self._column = column_of(features, "momentum", self.horizon)

    @staticmethod
    def _default(known: dict[int, int]) -> int:
        return max(known)

    def predict(
        self,
        observation: Float32Array,
        state: Any = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[Float32Array, None]:
        """Answer the side for every observation [.., D]: actions [.., 1], −size, 0 or size."""
        momentum = np.asarray(observation)[..., self._column : self._column + 1]
        return (self._side * self.size * np.sign(momentum)).astype(np.float32), None


class Reversion(Momentum):
    """Bets against the trend: short after a rise over the last bars, long after a fall.

    Args:
        horizon: As `Momentum`'s, but None the shortest: what is undone is what has just happened.
        features: As `Momentum`'s.
        size: As `Momentum`'s.
    """

    _side = -1.0

    @staticmethod
    def _default(known: dict[int, int]) -> int:
        return min(known)
