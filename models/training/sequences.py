"""Sequences for training: runs of bars, cut so that no chunk crosses a gap."""

from __future__ import annotations

import numpy as np

from ...market.arrays import IntArray
from ...market.errors import TrainingError
from ..feature_range import Run


def chunk_starts(
    runs: tuple[Run, ...], length: int, stride: int, rng: np.random.Generator
) -> IntArray:
    """First rows of an epoch's chunks, shuffled.

    A chunk is ``length`` bars and the one after them, all in one run. The cuts move by a random
    offset each epoch, so that M meets every bar at every distance from a chunk's start.

    Raises:
        TrainingError: No run is long enough for one chunk.
    """
    starts = []
    for start, stop in runs:
        last = stop - length - 1
        if last >= start:
            offset = int(rng.integers(min(stride, last - start + 1)))
            starts.append(np.arange(start + offset, last + 1, stride))
    if not starts:
        longest = max((stop - start for start, stop in runs), default=0)
        raise TrainingError(
            f"the longest stretch of complete bars is {longest}, too short for one training chunk "
            f"of {length + 1}: give a longer range or set chunk_bars lower"
        )
    joined = np.concatenate(starts)
    rng.shuffle(joined)
    return joined
