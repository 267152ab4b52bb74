"""Some of many lanes, stepped as if there were no others: taken out a few at a time, and put back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...market.arrays import Float32Array, IntArray
from ...market.numerics.compiled import compiled
from ...models.bars.config import MarketConfig
from ...models.bars.dreaming import dream_bars
from ...models.bars.packed import BarLanes, BarNetwork

_AT_ONCE = 192
"""Lanes that are moved together: some 4 kB each, they are to stay in the second-level cache."""


@compiled
def _copy_row(source: Any, target: Any) -> None:
    for i in range(len(source)):
        target[i] = source[i]


@compiled
def _copy(source: BarLanes, number: int, target: BarLanes, place: int) -> None:
    _copy_row(source.z[number], target.z[place])
    _copy_row(source.h[number], target.h[place])
    _copy_row(source.c[number], target.c[place])
    _copy_row(source.features[number], target.features[place])
    _copy_row(source.raw[number], target.raw[place])
    _copy_row(source.memory[number], target.memory[place])
    _copy_row(source.drawn[number], target.drawn[place])
    target.open_time_ms[place] = source.open_time_ms[number]
    target.close[place] = source.close[number]


@compiled
def take(lanes: BarLanes, which: IntArray, room: BarLanes) -> None:
    """Copy some lanes into the first places of a room."""
    for place in range(len(which)):
        _copy(lanes, which[place], room, place)


@compiled
def put(room: BarLanes, lanes: BarLanes, which: IntArray) -> None:
    """Copy them back."""
    for place in range(len(which)):
        _copy(room, place, lanes, which[place])


class SomeLanes:
    """Room for a few lanes.

    Args:
        config: Of the world model.
    """

    def __init__(self, config: MarketConfig) -> None:
        self._room = BarLanes.empty(_AT_ONCE, config)

    def step(
        self,
        network: BarNetwork,
        lanes: BarLanes,
        which: IntArray,
        noise: Float32Array,
        temperature: np.float32,
        forced: bool = False,
    ) -> None:
        """Step some of the lanes; see `dream_bars`.

        Args:
            network: Whose bars they are.
            lanes: N, moved where they are among ``which``.
            which: Their numbers.
            noise: Of all N lanes [R, N].
            temperature: τ.
            forced: Whether ``lanes.drawn`` holds the bars that happened.
        """
        for first in range(0, len(which), _AT_ONCE):
            own = which[first : first + _AT_ONCE]
            parts: Any = (part[: len(own)] for part in self._room)
            room = BarLanes(*parts)
            take(lanes, own, room)
            table = noise[:, :0] if forced else noise[:, own]
            dream_bars(*room, *network, np.ascontiguousarray(table), 0, temperature, forced)
            put(room, lanes, own)
