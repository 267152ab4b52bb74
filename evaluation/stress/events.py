"""The named events, what the record says of a condition, and its worst windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...market.arrays import BoolArray, FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.streamed_bars import bar_numbers, stream_memories
from ...market.streams import AVERAGE_VOLUME, StreamSpec
from ...market.synthetic import SYMBOL
from ...market.times import to_ms
from ..significance import Interval, share_interval, stationary_bootstrap_interval
from .conditions import Condition, Progress

_MOST_STARTS = 20_000  # of windows that are looked at; more would overlap ever more
_BLOCK_WINDOWS = 4.0  # mean length of a bootstrap block, in windows: events come in clusters

HISTORY: Mapping[str, str] = {
    "March 2020": "2020-03-11",
    "19 May 2021": "2021-05-18",
    "FTX, November 2022": "2022-11-07",
    "5 August 2024": "2024-08-03",
}
"""Where windows begin that every trader remembers [UTC]."""


@dataclass(frozen=True)
class Scale:
    """What is usual in a training range, for windows of T bars.

    Attributes:
        deviation: √T times the root mean square of the log returns.
        log_volume: Mean of log(mean volume of T bars ÷ usual volume before them).
        volume_spread: Deviation of that.
        bars: T.
    """

    deviation: float
    log_volume: float
    volume_spread: float
    bars: int


EVENTS: Mapping[str, Callable[[Scale], Condition]] = {
    "crash": lambda s: Condition("return", True, math.expm1(-4.0 * s.deviation), s.bars),
    "squeeze": lambda s: Condition("return", False, math.expm1(4.0 * s.deviation), s.bars),
    "vol-spike": lambda s: Condition("volatility", False, 3.0 * s.deviation, s.bars),
    "drought": lambda s: Condition(
        "volume", True, math.exp(s.log_volume - 2.5 * s.volume_spread), s.bars
    ),
}
"""Named events, in the training range's own deviations: a close four of them below, or above, the first;
three times the usual volatility; volume two and a half deviations of its logarithm below the mean."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of T bars of a record, without gaps and with complete features before them.

    Attributes:
        candles: The record.
        every: The bar before each window that there is.
        rows: Those that are looked at [R]: all, or as many, evenly spread, as tell all there is.
        usual: Usual volume there [R].
        bars: T.
    """

    candles: Candles
    every: IntArray
    rows: IntArray
    usual: FloatArray
    bars: int

    @classmethod
    def of(cls, candles: Candles, spec: StreamSpec, known: BoolArray, bars: int) -> Windows:
        """All of them.

        Args:
            candles: The record.
            spec: Of the features, which say what volume is usual.
            known: After which bars a window may begin [T].
            bars: T.

        Raises:
            ConfigError: There is none.
        """
        starts = np.arange(max(len(candles) - bars, 0))
        whole = candles.open_time_ms[starts + bars] - candles.open_time_ms[starts]
        every = starts[(whole == bars * candles.interval_ms) & known[: len(starts)]]
        rows = every[:: max(1, math.ceil(len(every) / _MOST_STARTS))]
        if not len(rows):
            raise ConfigError(
                f"no window of {bars} bars without a gap, with {spec.warmup} bars before it, fits into "
                f"{len(candles)} candles: give a longer record, or fewer bars"
            )
        usual = stream_memories(candles, spec, rows)[:, AVERAGE_VOLUME]
        return cls(candles, every, rows, usual, bars)

    def between(self, start_ms: int, end_ms: int) -> Windows:
        """Those whose bars all lie there."""
        times, step = self.candles.open_time_ms[self.rows], self.candles.interval_ms
        some = (times + step >= start_ms) & (times + (self.bars + 1) * step <= end_ms)
        return Windows(self.candles, self.every, self.rows[some], self.usual[some], self.bars)

    def progress(self, condition: Condition) -> Progress:
        """How far each comes towards a condition."""
        numbers, progress = bar_numbers(self.candles), Progress(condition, len(self.rows))
        for t in range(1, condition.within + 1):
            progress.live(numbers[self.rows + t], self.usual)
        return progress

    def scale(self) -> Scale:
        """What is usual in them."""
        quiet = self.progress(Condition("volume", True, 1.0, self.bars))
        logs = np.log(np.maximum(quiet.reached(), 1e-6))
        squares = bar_numbers(self.candles)[self.rows + 1, 0] ** 2
        deviation = math.sqrt(self.bars * float(squares.mean()))
        return Scale(deviation, float(logs.mean()), float(logs.std()), self.bars)


@dataclass(frozen=True)
class Frequency:
    """How often a condition was met in a stretch of the record.

    Attributes:
        share: Of its windows, which overlap; 95% interval by a bootstrap of blocks.
        windows: How many.
        episodes: Times that it was met, windows that overlap being one.
    """

    share: Interval
    windows: int
    episodes: int

    @classmethod
    def of(cls, windows: Windows, condition: Condition, seed: int) -> Frequency | None:
        """Of those windows; None where there are none."""
        if not len(windows.rows):
            return None
        met = windows.progress(condition).hit
        apart = np.diff(windows.rows[met]) > windows.bars
        return cls(_share(met, windows, seed), len(met), int(apart.sum()) + 1 if met.any() else 0)


def _share(met: BoolArray, windows: Windows, seed: int) -> Interval:
    """Where nothing was met, blocks tell nothing: then as of so many windows side by side."""
    if not met.any():
        return share_interval(0.0, max(1, _span(windows) // windows.bars))
    stride = max(1.0, _span(windows) / len(met))
    block = min(max(1.0, _BLOCK_WINDOWS * windows.bars / stride), len(met) / 4)
    return stationary_bootstrap_interval(met, seed=seed, block_length=max(block, 1.0))


def _span(windows: Windows) -> int:
    return int(windows.rows[-1] - windows.rows[0]) + windows.bars


@dataclass(frozen=True)
class Moment:
    """A window of the record to be replayed.

    Attributes:
        title: What it is called.
        row: The bar before it.
    """

    title: str
    row: int


def remembered(windows: Windows) -> list[Moment]:
    """The windows of `HISTORY` that are recorded; the embedded market has no history."""
    found: list[Moment] = []
    if windows.candles.symbol == SYMBOL:
        return found
    times = windows.candles.open_time_ms
    for title, start in HISTORY.items():
        row = int(np.searchsorted(times, to_ms(start))) - 1
        if row in windows.every:
            found.append(Moment(title, row))
    return found


def worst(windows: Windows, condition: Condition, count: int = 2) -> list[Moment]:
    """The windows that came furthest towards a condition, none overlapping another."""
    reached = windows.progress(condition).reached()
    found: list[int] = []
    for i in np.argsort(reached if condition.below else -reached, kind="stable"):
        row = int(windows.rows[i])
        if all(abs(row - other) > windows.bars for other in found):
            found.append(row)
        if len(found) == count:
            break
    return [Moment(f"worst but {i}" if i else "worst", row) for i, row in enumerate(found)]
