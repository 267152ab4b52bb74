"""Stationary bootstrap of whole bars (Politis & Romano 1994), in step with the clock.

Blocks of geometric length are copied from the record, each bar relative to the close before it, so
that everything is right inside a block. A block begins at a recorded bar of the same place in the
week as the bar that it becomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ...market.arrays import BoolArray, FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.intervals import INTERVALS_MS
from ...market.numerics.compiled import compiled
from .bars import Bars, follows
from .clock import week_slots

_LEAST_BARS = 100


@dataclass(frozen=True, eq=False)
class BarBootstrap:
    """The recorded bars to draw from.

    Attributes:
        record: One path of bars, those of the training range.
        connected: Which of them [n] follow the one before without a gap.
        interval_ms: Length of a bar.
        block_bars: Mean length of a block.
    """

    record: Bars
    connected: BoolArray
    interval_ms: int
    block_bars: float

    @classmethod
    def fit(cls, candles: Candles, block_bars: float | None = None) -> Self:
        """Keep the bars of the training range.

        Args:
            candles: The training range.
            block_bars: Mean length of a block; a week by default, at least 20 bars.

        Raises:
            ConfigError: There are fewer than 100 bars, or blocks shorter than one.
        """
        if len(candles) <= _LEAST_BARS:
            raise ConfigError(
                f"{len(candles)} candles; a bootstrap needs more than {_LEAST_BARS} to draw from"
            )
        if block_bars is None:
            block_bars = max(20.0, INTERVALS_MS["W"] / candles.interval_ms)
        if not block_bars >= 1:
            raise ConfigError(f"block_bars is {block_bars}; expected a mean of 1 bar or more")
        connected = follows(candles)[1:]
        return cls(Bars.of(candles), connected, candles.interval_ms, float(block_bars))

    def bars(self, start_ms: IntArray, bars: int, rng: np.random.Generator) -> Bars:
        """Paths [N, bars] whose first bars open at these times [N]."""
        times = start_ms[:, None] + self.interval_ms * np.arange(bars)
        slots, recorded = (
            week_slots(each, self.interval_ms) for each in (times, self.record.open_time_ms[0])
        )
        usable = np.flatnonzero(self.connected)
        order = usable[np.argsort(recorded[usable], kind="stable")]
        ends = np.searchsorted(recorded[order], np.arange(max(slots.max(), recorded.max()) + 2))
        begins = rng.random(times.shape) < 1 / self.block_bars
        rows = _chosen(slots, begins, rng.random(times.shape), order, ends, self.connected)
        r = self.record

        def drawn(part: FloatArray | None) -> FloatArray | None:
            return None if part is None else part[0][rows]

        return Bars(times, r.log_return[0][rows], drawn(r.upper), drawn(r.lower), drawn(r.volume))

    def simulate(
        self, candles: Candles, rows: IntArray, paths: int, bars: int, rng: np.random.Generator
    ) -> FloatArray:
        """Log returns [N, paths, bars] in percent that may follow each of N rows: from the clock alone."""
        starts = np.repeat(candles.open_time_ms[rows] + self.interval_ms, paths)
        drawn = 100 * self.bars(starts, bars, rng).log_return
        return drawn.reshape(len(rows), paths, bars)


@compiled
def _chosen(
    slots: IntArray,
    begins: BoolArray,
    uniforms: FloatArray,
    order: IntArray,
    ends: IntArray,
    connected: BoolArray,
) -> IntArray:
    """Recorded rows [N, T]; rows ``order[ends[s] : ends[s + 1]]`` are of slot s."""
    paths, bars = slots.shape
    rows = np.empty((paths, bars), dtype=np.int64)
    for path in range(paths):
        row = -1
        for t in range(bars):
            following = row + 1
            at_end = row < 0 or following == len(connected) or not connected[following]
            if at_end or begins[path, t]:
                first, last = ends[slots[path, t]], ends[slots[path, t] + 1]
                if first == last:  # no such bar was recorded
                    first, last = 0, len(order)
                row = order[first + int(uniforms[path, t] * (last - first))]
            else:
                row = following
            rows[path, t] = row
    return rows
