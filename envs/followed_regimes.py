"""The regime that each lane is in, for the info of environments that are asked to tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..market.arrays import BoolArray, Float32Array, IntArray
from ..market.errors import ConfigError

if TYPE_CHECKING:
    from ..market.candles import Candles
    from ..models.regimes.opening import RegimeSource
    from ..models.regimes.regimes import Regimes
    from ..models.world_model import WorldModel
    from .recorded import RecordedMarket

Names = NDArray[np.str_]


class FollowedRegimes:
    """Follows lanes that dream, from the bars that they were warmed up with.

    Args:
        regimes: Which.
        world_model: The dream.
        num_lanes: N.
    """

    def __init__(self, regimes: Regimes, world_model: WorldModel, num_lanes: int) -> None:
        self._regimes, self._world_model = regimes, world_model
        self._names: Names = np.array(regimes.names)
        self._lanes = regimes.follow(num_lanes)
        self._starts = regimes.after_bank(world_model)

    @classmethod
    def open(
        cls, source: RegimeSource, world_model: WorldModel, num_lanes: int
    ) -> FollowedRegimes | None:
        """From anything that `open_regimes` opens; None follows none."""
        from ..models.regimes.opening import open_regimes

        found = open_regimes(source, world_model)
        return None if found is None else cls(found, world_model, num_lanes)

    def begin(self, lanes: BoolArray, segments: IntArray) -> None:
        """Let lanes [N] stand after segments of the bank [lanes.sum()]."""
        self._lanes.put(lanes, self._starts, segments % len(self._world_model.bank))

    def stand(self, record: Candles, row: int) -> None:
        """Let the first lane stand after a bar of a record."""
        there = self._regimes.after(self._world_model, record, row)
        first: BoolArray = np.arange(len(self._lanes.believed)) == 0
        self._lanes.put(first, there, np.zeros(1, dtype=np.int64))

    def update(self, z: Float32Array, open_time_ms: IntArray) -> None:
        """Hear one bar of every lane: latents [N, Z], open times [N]."""
        self._lanes.update(self._world_model.heard(z), open_time_ms)

    def names(self) -> Names:
        """The likeliest regime of each lane [N]."""
        told: Names = self._names[self._lanes.believed.argmax(axis=1)]
        return told


def recorded_regimes(
    source: RegimeSource, world_model: WorldModel | None, recorded: RecordedMarket
) -> Names | None:
    """The regime at every close of a record [T], ``"unknown"`` where its features are not complete.

    Raises:
        ConfigError: Regimes are asked for without a world model to see them.
    """
    if source is None or source is False:
        return None
    if world_model is None:
        raise ConfigError("regimes are seen through a world model: give world_model, too")
    from ..models.regimes.opening import open_regimes

    found = open_regimes(source, world_model)
    assert found is not None
    names: Names = np.array([*found.names, "unknown"])
    told: Names = names[found.classify(world_model, recorded.record)]
    return told[recorded.first_row :][: len(recorded.candles)]
