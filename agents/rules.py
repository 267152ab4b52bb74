"""Rule-based baselines: what a trained policy has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..market.arrays import BoolArray, Float32Array
from ..market.errors import ConfigError
from ..market.features import Features, FeatureSpec


class ConstantWeight:
    """Holds one target weight: 1 is buy-and-hold, 0 is flat, -1 is always short.

    Args:
        weight: The target weight, in [-1, 1].
    """

    def __init__(self, weight: float) -> None:
        if not -1.0 <= weight <= 1.0:
            raise ConfigError(f"weight is {weight}; expected a number in [-1, 1]")
        self.weight = float(weight)

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


class Momentum:
    """Follows the trend: long after a rise over the last bars, short after a fall.

    It reads the feature observation, so it trades replay on recorded features and the dream on
    decoded ones (``observation="features"``).

    Args:
        horizon: Look-back in bars; one of the feature specification's horizons, None the longest.
        features: The specification the observation was made with.
    """

    def __init__(self, horizon: int | None = None, features: Features | None = None) -> None:
        features = features or FeatureSpec()
        names, horizon = features.names, horizon or features.slowest_momentum
        if f"momentum_{horizon}" not in names:
            known = [name for name in names if name.startswith("momentum")]
            raise ConfigError(
                f"there is no momentum over {horizon} bars; the features have {known}"
            )
        self.horizon = horizon
        self._column = names.index(f"momentum_{horizon}")

    def predict(
        self,
        observation: Float32Array,
        state: Any = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[Float32Array, None]:
        """Answer the sign of the momentum for every observation [.., D]: actions [.., 1]."""
        momentum = np.asarray(observation)[..., self._column : self._column + 1]
        return np.sign(momentum).astype(np.float32), None


def buy_and_hold() -> ConstantWeight:
    """Always fully long."""
    return ConstantWeight(1.0)


def flat() -> ConstantWeight:
    """Never in the market."""
    return ConstantWeight(0.0)
