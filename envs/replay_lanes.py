"""N lanes of replay: where each is on the record, and what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ..market.times import Time
from .followed_regimes import Names
from .protocol import Chance, draw_integers, for_lanes
from .recorded import RecordedMarket, check_random_start
from .recorded_state import RecordedState


class ReplayLanes:
    """Lanes that replay one record.

    Args:
        recorded: The record.
        num_lanes: N.
        episode_length: Bars of an episode; None plays to the end of the stretch.
        random_start: Whether starts are drawn, or are the first possible one.
        state: M's state beside the record, where it depends on the actions.
        regimes: Their names at each close of the record [T], or None.

    Attributes:
        rows: Where the lanes are on the record [N].
        layout: Where each part lies in an observation.
        max_steps: Steps that an episode has at most.
    """

    option = "start"
    doubt: FloatArray | None = None

    def __init__(
        self,
        recorded: RecordedMarket,
        num_lanes: int,
        episode_length: int | None,
        random_start: bool,
        state: RecordedState | None = None,
        regimes: Names | None = None,
    ) -> None:
        self.layout = recorded.layout
        self._recorded = recorded
        self._starts = recorded.starts(episode_length)
        self._length = episode_length
        self._random_start = check_random_start(random_start)
        self._state = state
        self._regimes = regimes
        self.max_steps = episode_length or int(recorded.steps_left.max())
        self._last = len(recorded.candles) - 1
        self.rows: IntArray = np.full(num_lanes, self._starts[0])

    @property
    def time_ms(self) -> IntArray:
        """Open times of the bars that just closed [N]."""
        times: IntArray = self._recorded.candles.open_time_ms[self.rows]
        return times

    @property
    def price(self) -> FloatArray:
        """Newest closes [N]."""
        closes: FloatArray = self._recorded.candles.close[self.rows]
        return closes

    def begin(
        self, lanes: BoolArray, chance: Chance, where: Time | Sequence[Time | None] | None = None
    ) -> IntArray | int:
        """Start lanes [N] over, at or after the times given; returns the steps they can take."""
        times = for_lanes(self.option, where, lanes)
        rows = np.full(len(times), self._starts[0])
        anywhere = np.array([time is None for time in times])
        if self._random_start:
            drawing = lanes.copy()
            drawing[lanes] = anywhere
            rows[anywhere] = self._starts[draw_integers(chance, len(self._starts), drawing)]
        for i in np.flatnonzero(~anywhere):
            rows[i] = self._recorded.first_start(times[i], self._length)
        self.rows[lanes] = rows
        if self._state is not None:
            self._state.begin(lanes, rows)
        left: IntArray = self._recorded.steps_left[rows]
        return left if self._length is None else np.asarray(np.minimum(left, self._length))

    def advance(self, targets: FloatArray, chance: Chance, waiting: BoolArray) -> FloatArray:
        """Live one bar: the bars lived [N, 8], columns `BAR_FIELDS`."""
        # A lane that waits for its reset stands on its last bar; it must not run off the record.
        self.rows = np.minimum(self.rows + 1, self._last)
        if self._state is not None:
            self._state.advance(targets, self.rows)
        return self._recorded.bars[self.rows]

    def view(self, out: Float32Array) -> None:
        """Write what policies see besides the account into ``out`` [N, D - 1]."""
        out[:] = self._recorded.view[self.rows]
        if self._state is not None:
            out[:, self.layout["hidden"]] = self._state.hidden

    def extra_info(self) -> dict[str, BoolArray | Names]:
        """``delivered`` [N], where the record reaches the contract's end; ``regime`` [N], if told."""
        told: dict[str, BoolArray | Names] = {}
        ended = self.delivered()
        if ended is not None:
            told["delivered"] = ended
        if self._regimes is not None:
            told["regime"] = self._regimes[self.rows]
        return told

    def delivered(self) -> BoolArray | None:
        """Lanes [N] that stand on the contract's last bar; None where the record has none."""
        if self._recorded.delivery_row is None:
            return None
        return np.asarray(self.rows == self._recorded.delivery_row)

    def cut_short(self, info: dict[str, FloatArray]) -> BoolArray | None:
        """No lane: a record ends where it ends."""
        return None
