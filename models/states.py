"""What M goes through on the training range, as the bank's segments tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..market.arrays import Float32Array, IntArray

if TYPE_CHECKING:
    from .world_model import WorldModel


class TrainingStates(NamedTuple):
    """What M goes through on N bars of the training range.

    Attributes:
        z: Latents [N, Z].
        h: The hidden states after they entered [N, H].
        segment: Of the warm-up bank [N].
    """

    z: Float32Array
    h: Float32Array
    segment: IntArray


def training_states(world_model: WorldModel) -> TrainingStates:
    """What M goes through along the second half of every warm-up segment, from zeros."""
    bank = world_model.bank
    width = bank.z.shape[1]
    hidden = world_model.remembered(bank.z, segment_times(world_model) + _step(world_model))
    late = slice(width // 2, None)
    segments = np.repeat(np.arange(len(bank.z)), width - width // 2)
    z, h = (part[:, late].reshape(len(segments), -1) for part in (bank.z, hidden))
    return TrainingStates(z, h, segments)


def segment_times(world_model: WorldModel) -> IntArray:
    """Open times of the bars of the bank's segments [S, W], ms UTC."""
    bank = world_model.bank
    width = bank.z.shape[1]
    times: IntArray = bank.open_time_ms[:, None] + np.arange(1 - width, 1) * _step(world_model)
    return times


def _step(world_model: WorldModel) -> int:
    return world_model.provenance.interval_ms
