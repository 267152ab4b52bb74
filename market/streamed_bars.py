"""Recorded bars as the streamed features take them: their numbers, and walks along a record."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .arrays import FloatArray, IntArray, chunks
from .candles import Candles
from .groups import ColumnStream
from .streams import BAR_NUMBERS, StreamSpec, advance_along


def bar_numbers(candles: Candles) -> FloatArray:
    """The four numbers of every bar [T, 4], float64; NaN for the first bar after a gap.

    Columns as `BAR_NUMBERS`. A bar's body begins at the close before it, so that gaps between close
    and open count as moves of the bar.
    """
    numbers = np.full((len(candles), len(BAR_NUMBERS)), np.nan)
    for start, stop in candles.segments():
        for rows in chunks(start + 1, stop):
            numbers[rows] = _numbers(candles, rows)
    return numbers


def _numbers(candles: Candles, rows: slice) -> FloatArray:
    """`bar_numbers` of rows [T, 4] that all follow the row before them without a gap."""
    return numbers_after(candles, candles.close[rows.start - 1 : rows.stop - 1], rows)


def numbers_after(candles: Candles, before: FloatArray, rows: slice = slice(None)) -> FloatArray:
    """`bar_numbers` of bars, or of some rows of them, [T, 4], whose closes before are given [T]."""
    high, low, close = candles.high[rows], candles.low[rows], candles.close[rows]
    first, last = np.log(before), np.log(close)
    upper = np.maximum(np.log(high) - np.maximum(first, last), 0.0)
    lower = np.maximum(np.minimum(first, last) - np.log(low), 0.0)
    return np.stack([last - first, upper, lower, candles.volume[rows]], axis=1)


class FeatureStream:
    """Features bar by bar of one stretch without a gap; the same bits as `stream_features`.

    Args:
        spec: Which features.

    Attributes:
        memory: What they remember [S].
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.memory: FloatArray = np.zeros(spec.memory_size)
        self._columns = ColumnStream(spec.columns, spec.span)
        self._close: FloatArray = np.empty(0)  # the newest, if there is one
        self._seen = 0

    def update(self, bars: Candles) -> FloatArray | None:
        """Append bars, each right after the last; the newest row [F], or None while it is not complete."""
        first = 0 if self._seen else 1
        before = np.concatenate([self._close, bars.close[:-1]])
        self._seen += len(bars)
        self._close = bars.close[-1:]
        out = np.empty((len(before), len(self._spec.names)))
        columns = self._columns.update(bars)
        if len(before):
            entering = bars.rows(first, len(bars))
            numbers = numbers_after(entering, before)
            advance_along(*self._spec.table, numbers, entering.open_time_ms, self.memory, out)
            out[:, out.shape[1] - columns.shape[1] :] = columns[first:]
        if self._seen <= self._spec.warmup or np.isnan(columns[-1]).any():
            return None
        row: FloatArray = out[-1]
        return row


def stream_features(candles: Candles, spec: StreamSpec) -> FloatArray:
    """Features of every bar [T, F], float64; NaN where a stretch has not warmed up, or a column is.

    Each stretch without a gap begins from an empty memory.
    """
    out = np.empty((len(candles), len(spec.names)))
    for start, stop in candles.segments():
        stretch = _Stretch(candles, spec, start, stop)
        for rows in chunks(start, stop):
            stretch.write(rows, out[rows])
    return out


def stream_chunks(candles: Candles, spec: StreamSpec) -> Iterator[tuple[int, FloatArray]]:
    """`stream_features` by `chunks` of rows: the first row of each, and its features [n, F]."""
    for start, stop in candles.segments():
        stretch = _Stretch(candles, spec, start, stop)
        for rows in chunks(start, stop):
            out = np.empty((rows.stop - rows.start, len(spec.names)))
            stretch.write(rows, out)
            yield rows.start, out


class _Stretch:
    """Bars without a gap, whose features are written chunk by chunk from the first to the last.

    Args:
        candles: The record.
        spec: Which features.
        start: Its first row.
        stop: The row after its last.
    """

    def __init__(self, candles: Candles, spec: StreamSpec, start: int, stop: int) -> None:
        self._candles, self._spec, self._start = candles, spec, start
        self._warm = start + spec.warmup
        self._lasts = stop > self._warm
        self._memory: FloatArray = np.zeros(spec.memory_size)
        self._columns = ColumnStream(spec.columns, spec.span)

    def write(self, rows: slice, out: FloatArray) -> None:
        """Features of the rows after those written before, into ``out`` [n, F]."""
        if not self._lasts:
            out[:] = np.nan
            return
        candles, spec = self._candles, self._spec
        entering = slice(max(rows.start, self._start + 1), rows.stop)
        numbers, times = _numbers(candles, entering), candles.open_time_ms[entering]
        advance_along(*spec.table, numbers, times, self._memory, out[entering.start - rows.start :])
        if spec.columns:
            columns = self._columns.update(candles.rows(rows.start, rows.stop))
            out[:, out.shape[1] - columns.shape[1] :] = columns
        out[: max(0, self._warm - rows.start)] = np.nan


def stream_memories(candles: Candles, spec: StreamSpec, rows: IntArray) -> FloatArray:
    """What the features remember right after each of those bars [N, S]; rows in any order."""
    memories = np.zeros((len(rows), spec.memory_size))
    order = np.argsort(rows, kind="stable")
    for start, stop in candles.segments():
        memory, done = np.zeros(spec.memory_size), start + 1
        for i in order[np.searchsorted(rows[order], start) : np.searchsorted(rows[order], stop)]:
            for part in chunks(done, int(rows[i]) + 1):
                out = np.empty((part.stop - part.start, len(spec.names)))
                times = candles.open_time_ms[part]
                advance_along(*spec.table, _numbers(candles, part), times, memory, out)
            memories[i], done = memory, max(done, int(rows[i]) + 1)
    return memories
