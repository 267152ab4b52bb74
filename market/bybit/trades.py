"""The public archive of trades: a file a day, made into numbers of each bar while it is downloaded.

A day of Bitcoin has millions of trades. No more than a block of them is held at a time, and of each
bar its volume by price, in steps of a hundredth of a percent.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from ..arrays import BoolArray, FloatArray, IntArray
from ..errors import BybitAnswerError
from ..intervals import INTERVALS_MS, interval_ms
from ..times import numbers_to_ms
from .pages import SeriesPage

DAY_MS = INTERVALS_MS["D"]
LOG_STEP = 1e-4  # of a price level of the volume profile

_BLOCK_BYTES = 4_194_304
_COLUMNS = {
    "timestamp": pa.float64(),
    "side": pa.string(),
    "size": pa.float64(),
    "price": pa.float64(),
}
_SIDES = ("Buy", "Sell")


class DayOfTrades:
    """Trades of one UTC day, summed by bar.

    Args:
        day_ms: Its first millisecond [ms UTC].
        interval: Code of the bars, at most a day long.
    """

    def __init__(self, day_ms: int, interval: str) -> None:
        self.day_ms, self.step_ms = day_ms, interval_ms(interval)
        self.bars = DAY_MS // self.step_ms
        self._bought, self._sold, self._trades = np.zeros((3, self.bars))
        self._last_ms = np.full(self.bars, -np.inf)  # of the newest trade of each bar
        self._close = np.full(self.bars, np.nan)
        self._levels: IntArray = np.empty(0, dtype=np.int64)  # bar · 2³² + price level, ascending
        self._volumes: FloatArray = np.empty(0)  # traded there

    def add(
        self, time_ms: FloatArray, bought: BoolArray, size: FloatArray, price: FloatArray
    ) -> None:
        """Add trades [n] in any order; those of another day are left out.

        Args:
            time_ms: When [ms UTC].
            bought: Whether the taker bought.
            size: How much, as candles count volume.
            price: At which price.
        """
        bar = np.floor((time_ms - self.day_ms) / self.step_ms).astype(np.int64)
        inside = (bar >= 0) & (bar < self.bars)
        bar, time_ms, bought = bar[inside], time_ms[inside], bought[inside]
        size, price = size[inside], price[inside]
        self._bought += np.bincount(bar, size * bought, self.bars)
        self._sold += np.bincount(bar, size * ~bought, self.bars)
        self._trades += np.bincount(bar, minlength=self.bars)
        self._close_with(bar, time_ms, price)
        level = np.floor(np.log(price) / LOG_STEP).astype(np.int64)
        self._merge((bar << 32) + (level + (1 << 31)), size)

    def _close_with(self, bar: IntArray, time_ms: FloatArray, price: FloatArray) -> None:
        """Remember each bar's newest price; of trades of one moment the file's last counts."""
        order = np.lexsort((time_ms, bar))
        bar, time_ms, price = bar[order], time_ms[order], price[order]
        ends = np.flatnonzero(np.diff(bar, append=-1))
        newer = time_ms[ends] >= self._last_ms[bar[ends]]
        ends = ends[newer]
        self._last_ms[bar[ends]], self._close[bar[ends]] = time_ms[ends], price[ends]

    def _merge(self, levels: IntArray, volumes: FloatArray) -> None:
        """Add volumes to the profile."""
        together = np.concatenate([self._levels, levels])
        self._levels, where = np.unique(together, return_inverse=True)
        summed = np.bincount(where, np.concatenate([self._volumes, volumes]))
        self._volumes = summed.astype(np.float64, copy=False)

    def page(self) -> SeriesPage:
        """The day's bars: the columns of the table ``trades``."""
        control, above = self._profile()
        values = np.stack([self._bought, self._sold, self._trades, control, above], axis=1)
        times = self.day_ms + self.step_ms * np.arange(self.bars)
        return SeriesPage(times, values, self.day_ms, self.day_ms + DAY_MS)

    def _profile(self) -> tuple[FloatArray, FloatArray]:
        """ln(most traded level ÷ close) and the share of volume above the close's level [bars]."""
        bar, level = self._levels >> 32, (self._levels & 0xFFFFFFFF) - (1 << 31)
        order = np.lexsort((self._volumes, bar))  # each bar's most traded level comes last
        most = order[np.flatnonzero(np.diff(bar[order], append=-1))]
        control, above = np.zeros((2, self.bars))
        close = np.log(self._close[bar[most]])
        control[bar[most]] = (level[most] + 0.5) * LOG_STEP - close
        closes = np.floor(np.log(self._close[bar]) / LOG_STEP)
        higher = np.bincount(bar, self._volumes * (level > closes), self.bars)
        total = self._bought + self._sold
        np.divide(higher, total, out=above, where=total > 0)
        return control, above


def read_day(stream: BinaryIO, day_ms: int, interval: str) -> SeriesPage:
    """A day of the archive, from its unpacked CSV.

    Args:
        stream: The file's text, read block by block.
        day_ms: The day's first millisecond [ms UTC].
        interval: Code of the bars.

    Raises:
        BybitAnswerError: It is no such file, or a cell is no number.
    """
    day = DayOfTrades(day_ms, interval)
    for block in _blocks(stream):
        day.add(*_trades(block))
    return day.page()


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Whole lines, the header before each block of them; the header alone if there are none."""
    header, rest = b"", b""
    none_so_far = True
    while chunk := stream.read(_BLOCK_BYTES):
        rest += chunk
        cut = rest.rfind(b"\n") + 1
        if not header and cut:
            header = rest[: rest.index(b"\n") + 1]
            rest, cut = rest[len(header) :], cut - len(header)
        if cut:
            yield header + rest[:cut]
            rest, none_so_far = rest[cut:], False
    if rest.strip() or none_so_far:
        yield header + rest


def _trades(block: bytes) -> tuple[FloatArray, BoolArray, FloatArray, FloatArray]:
    options = pacsv.ConvertOptions(include_columns=list(_COLUMNS), column_types=_COLUMNS)
    try:
        table = pacsv.read_csv(io.BytesIO(block), convert_options=options)
    except (pa.ArrowException, KeyError) as error:
        text = str(error).splitlines()[0][:120]
        raise BybitAnswerError(f"the archive's file is no list of trades: {text}") from None
    sides = table["side"]
    time_ms = numbers_to_ms(_numbers(table["timestamp"]))
    size, price = _numbers(table["size"]), _numbers(table["price"])
    wrong = ~(np.isfinite(time_ms) & np.isfinite(size) & (size >= 0) & (price > 0))
    wrong |= ~np.isfinite(price) | ~_equal(sides, *_SIDES)
    if wrong.any():
        row = table.slice(int(np.argmax(wrong)), 1).to_pylist()[0]
        raise BybitAnswerError(f"the archive has a trade that cannot be: {row}")
    return time_ms, _equal(sides, _SIDES[0]), size, price


def _numbers(column: Any) -> FloatArray:
    numbers: FloatArray = column.to_numpy()
    return numbers


def _equal(column: Any, *words: str) -> BoolArray:
    equal: BoolArray = pc.is_in(column, pa.array(words)).to_numpy().astype(bool)
    return equal
