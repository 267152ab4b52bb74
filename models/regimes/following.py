"""Regimes bar by bar: what is believed at the newest close, and nothing that came after it."""

from __future__ import annotations

import numpy as np

from ...market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ...market.clock import calendar_cells
from ...market.intervals import interval_ms
from ...market.numerics.compiled import compiled
from .chain import Chain, believe
from .reading import Reading, read_step


class RegimeFilter:
    """Follows N lanes; a record, a stream and a dream of the same bars give the same bits.

    Args:
        reading: Tells the chain's coordinate from what M hears.
        chain: How the regimes follow each other.
        num_lanes: N.

    Attributes:
        believed: Probabilities of the regimes at each lane's newest bar [N, R].
    """

    def __init__(self, reading: Reading, chain: Chain, num_lanes: int = 1) -> None:
        self._reading, self._chain, size = reading, chain, len(reading.kernel) // 2
        self._bar_ms = interval_ms(reading.interval)
        self._before: Float32Array = np.zeros((num_lanes, size), dtype=np.float32)
        self._times: IntArray = np.full(num_lanes, np.iinfo(np.int64).min // 2)
        self.believed: FloatArray = np.tile(chain.stationary, (num_lanes, 1))

    def update(self, heard: Float32Array, open_time_ms: IntArray) -> FloatArray:
        """Let one bar of every lane enter.

        A bar that does not follow the lane's last one begins anew: it has no step yet, so that the
        long-run shares are believed.

        Args:
            heard: What M hears of the bars [N, Z'].
            open_time_ms: Open times [N].

        Returns:
            What is believed of each lane now [N, R], a fresh array.
        """
        reading, chain = self._reading, self._chain
        cells = calendar_cells(open_time_ms, reading.interval)
        follows: BoolArray = np.asarray(open_time_ms - self._times == self._bar_ms)
        follow(
            np.ascontiguousarray(heard),
            self._before,
            follows,
            cells,
            reading.kernel,
            reading.hours,
            chain.means,
            chain.deviations,
            chain.transition,
            chain.stationary,
            self.believed,
        )
        self._times[:] = open_time_ms
        return self.believed.copy()

    def keep(self, lanes: IntArray) -> None:
        """Let every lane go on from where another one is [N]."""
        self._before, self._times = self._before[lanes], self._times[lanes]
        self.believed = self.believed[lanes]

    def stand(
        self, lane: int, heard: Float32Array, open_time_ms: int, believed: FloatArray
    ) -> None:
        """Put a lane right after a bar: what M heard of it [Z'], and what is believed then [R]."""
        self._before[lane], self._times[lane] = heard, open_time_ms
        self.believed[lane] = believed

    def put(self, lanes: BoolArray, other: RegimeFilter, theirs: IntArray) -> None:
        """Overwrite some lanes [N] with those of another filter."""
        self._before[lanes] = other._before[theirs]
        self._times[lanes] = other._times[theirs]
        self.believed[lanes] = other.believed[theirs]


@compiled
def follow(
    heard: Float32Array,
    before: Float32Array,
    follows: BoolArray,
    cells: IntArray,
    kernel: FloatArray,
    hours: FloatArray,
    means: FloatArray,
    deviations: FloatArray,
    transition: FloatArray,
    stationary: FloatArray,
    believed: FloatArray,
) -> None:
    """Let a bar enter what is believed of each lane.

    Args:
        heard: [N, Z'].
        before: Of the bars before [N, Z'], updated.
        follows: Whether the bar follows the one before [N].
        cells: Of the bars' calendar [N, 2].
        kernel: And the one that follows: see `read_step`.
        hours: See there.
        means: And the two that follow: see `believe`.
        deviations: See there.
        transition: See there.
        stationary: What is believed where a lane begins [R].
        believed: [N, R], updated.
    """
    for n in range(heard.shape[0]):
        if follows[n]:
            coordinate = read_step(before[n], heard[n], cells[n], kernel, hours)
            believe(coordinate, means, deviations, transition, believed[n])
        else:
            believed[n] = stationary
        before[n] = heard[n]
