"""N lanes of replay: where each is on its record, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from .followed_regimes import Names
from .protocol import Chance, draw_integers, for_lanes
from .recorded import RecordedMarket, check_random_start, which_symbol
from .recorded_state import RecordedState


class ReplayLanes:
    """Lanes that replay records, one symbol's or several.

    The records lie one after the other, so that a row says both whose bar it is and which.

    Args:
        records: One for each symbol.
        num_lanes: N.
        episode_length: Bars of an episode; None plays to the end of the stretch.
        random_start: Whether symbols and starts are drawn, or are the first possible ones.
        state: M's state beside the only record, where it depends on the actions.
        regimes: Their names at each close of all records, or None.

    Attributes:
        rows: Where the lanes are [N].
        market: Whose record that is [N].
        layout: Where each part lies in an observation.
        max_steps: Steps that an episode has at most.
    """

    doubt: FloatArray | None = None

    def __init__(
        self,
        records: Sequence[RecordedMarket],
        num_lanes: int,
        episode_length: int | None,
        random_start: bool,
        state: RecordedState | None = None,
        regimes: Names | None = None,
    ) -> None:
        self._symbols = np.array([one.candles.symbol for one in records])
        self._alone = len(records) == 1
        self.options: tuple[str, ...] = ("start",) if self._alone else ("start", "symbol")
        self.layout = records[0].layout
        self._records, self._firsts = records, _firsts(records)
        self._view = _joined([one.view for one in records])
        self._bars = _joined([one.bars for one in records])
        self._steps_left = _joined([one.steps_left for one in records])
        self._times = _joined([one.candles.open_time_ms for one in records])
        self._closes = _joined([one.candles.close for one in records])
        self._ends = _delivery_rows(records, self._firsts)
        self._starts = [
            one.starts(episode_length) + first
            for one, first in zip(records, self._firsts, strict=False)
        ]
        self._length = episode_length
        self._random_start = check_random_start(random_start)
        self._state = state
        self._regimes = regimes
        self.max_steps = episode_length or int(self._steps_left.max())
        self.market: IntArray = np.zeros(num_lanes, dtype=np.int64)
        self.rows: IntArray = np.full(num_lanes, self._starts[0][0])

    @property
    def time_ms(self) -> IntArray:
        """Open times of the bars that just closed [N]."""
        times: IntArray = self._times[self.rows]
        return times

    @property
    def price(self) -> FloatArray:
        """Newest closes [N]."""
        closes: FloatArray = self._closes[self.rows]
        return closes

    def begin(
        self, lanes: BoolArray, chance: Chance, where: Mapping[str, Any] | None = None
    ) -> IntArray | int:
        """Start lanes [N] over, in the symbols and at or after the times given.

        Returns:
            The steps that they can take [lanes.sum()].
        """
        asked = where or {}
        self.market[lanes] = market = self._markets(lanes, chance, asked.get("symbol"))
        times = for_lanes("start", asked.get("start"), lanes)
        anywhere = np.array([time is None for time in times])
        rows = np.array([self._starts[number][0] for number in market])
        if self._random_start:
            self._draw(lanes, anywhere, market, chance, rows)
        for i in np.flatnonzero(~anywhere):
            number = int(market[i])
            first = self._records[number].first_start(times[i], self._length)
            rows[i] = first + self._firsts[number]
        self.rows[lanes] = rows
        if self._state is not None:
            self._state.begin(lanes, rows)
        left: IntArray = self._steps_left[rows]
        return left if self._length is None else np.asarray(np.minimum(left, self._length))

    def _markets(self, lanes: BoolArray, chance: Chance, symbols: Any) -> IntArray:
        """Whose records the lanes that start over enter [lanes.sum()]."""
        asked = for_lanes("symbol", symbols, lanes)
        market = np.zeros(len(asked), dtype=np.int64)
        if self._random_start and not self._alone:
            market = draw_integers(chance, len(self._records), lanes)
        for i, symbol in enumerate(asked):
            if symbol is not None:
                market[i] = which_symbol(symbol, self._symbols.tolist())
        return market

    def _draw(
        self,
        lanes: BoolArray,
        anywhere: BoolArray,
        market: IntArray,
        chance: Chance,
        rows: IntArray,
    ) -> None:
        """Draw the rows [lanes.sum()] of the lanes that may begin anywhere, symbol by symbol."""
        for number in np.unique(market):
            mine = anywhere & (market == number)
            drawing, starts = lanes.copy(), self._starts[number]
            drawing[lanes] = mine
            rows[mine] = starts[draw_integers(chance, len(starts), drawing)]

    def advance(self, targets: FloatArray, chance: Chance, waiting: BoolArray) -> FloatArray:
        """Live one bar: the bars lived [N, 8], columns `BAR_FIELDS`."""
        # A lane that waits for its reset stands on its last bar; it must not run off its record.
        self.rows = np.minimum(self.rows + 1, self._firsts[self.market + 1] - 1)
        if self._state is not None:
            self._state.advance(targets, self.rows)
        lived: FloatArray = self._bars[self.rows]
        return lived

    def view(self, out: Float32Array) -> None:
        """Write what policies see besides the account into ``out`` [N, D - 1]."""
        out[:] = self._view[self.rows]
        if self._state is not None:
            out[:, self.layout["hidden"]] = self._state.hidden

    def extra_info(self) -> dict[str, BoolArray | Names]:
        """What not every replay tells [N]: ``delivered``, ``regime``, ``symbol``.

        The first where a record reaches its contract's end, the last where there are several.
        """
        told: dict[str, BoolArray | Names] = {}
        ended = self.delivered()
        if ended is not None:
            told["delivered"] = ended
        if self._regimes is not None:
            told["regime"] = self._regimes[self.rows]
        if not self._alone:
            told["symbol"] = self._symbols[self.market]
        return told

    def delivered(self) -> BoolArray | None:
        """Lanes [N] that stand on their contract's last bar; None where no record has one."""
        if (self._ends < 0).all():
            return None
        return np.asarray(self.rows == self._ends[self.market])

    def cut_short(self, info: dict[str, FloatArray]) -> BoolArray | None:
        """No lane: a record ends where it ends."""
        return None


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays end to end; one by itself is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _firsts(records: Sequence[RecordedMarket]) -> IntArray:
    """First rows of records that lie end to end, and the row after the last [S + 1]."""
    return np.cumsum([0, *(len(one.candles) for one in records)], dtype=np.int64)


def _delivery_rows(records: Sequence[RecordedMarket], firsts: IntArray) -> IntArray:
    """Rows with which contracts end [S]; -1 where one lives on."""
    return np.array(
        [
            -1 if one.delivery_row is None else first + one.delivery_row
            for one, first in zip(records, firsts, strict=False)
        ]
    )
