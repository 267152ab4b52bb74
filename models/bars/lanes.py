"""Lanes of a dream of bars: how they begin, and the noise that moves them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...market.arrays import Float32Array, IntArray
from ...market.numerics.float32 import noise_from_bits
from .packed import NORMALS, UNIFORMS, BarLanes, standardise
from .world_model import BarWorldModel

_NOISE_ROWS = UNIFORMS + NORMALS


def start_lanes(world_model: BarWorldModel, warmup: int | None = None) -> BarLanes:
    """One lane after each of the bank's segments.

    Args:
        world_model: Whose bank.
        warmup: Bars of the segments that M hears; None takes all.
    """
    bank, config = world_model.bank, world_model.config
    lanes = BarLanes.empty(len(bank), config)
    heard = np.ascontiguousarray(bank.z[:, -(warmup or bank.z.shape[1]) :])
    lanes.h[:], lanes.c[:] = world_model.warmed(heard, bank.open_time_ms)
    lanes.z[:] = bank.z[:, -1]
    lanes.raw[:], lanes.memory[:], lanes.drawn[:] = bank.features, bank.memory, bank.bars[:, -1]
    lanes.open_time_ms[:] = bank.open_time_ms
    see(world_model, lanes)
    return lanes


def see(world_model: BarWorldModel, lanes: BarLanes) -> None:
    """Standardise the raw features that the lanes hold."""
    for raw, seen in zip(lanes.raw, lanes.features, strict=True):
        standardise(raw, world_model.network.moments, seen)


def chosen(lanes: BarLanes, which: IntArray) -> BarLanes:
    """Copies of some lanes."""
    parts: Any = (np.ascontiguousarray(part[which]) for part in lanes)
    return BarLanes(*parts)


def draw_bar_noise(rng: np.random.Generator, num_lanes: int, steps: int) -> Float32Array:
    """The noise of several steps of N lanes [steps, 8, N]: four uniforms, then four normals.

    The same as drawn step by step.
    """
    size = UNIFORMS * num_lanes
    words = _NOISE_ROWS * num_lanes // 2  # of 64 bits
    bits = rng.bit_generator.random_raw(steps * words).view(np.uint32).reshape(steps, -1)
    noise: Float32Array = np.empty((steps, _NOISE_ROWS * num_lanes), dtype=np.float32)
    noise_from_bits(bits, noise[:, :size], noise[:, size:])
    return noise.reshape(steps, _NOISE_ROWS, num_lanes)
