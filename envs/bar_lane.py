"""One lane of a dream of bars: where it is, what it shows, and what its bars do to an account.

The numbers are those of a lane among many (`envs.dream_lanes`), to the last bit: the same compiled
function steps it and settles its account.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ..market.account.settlement import exact_bar, settle_state
from ..market.arrays import Float32Array, FloatArray, IntArray
from ..market.numerics.compiled import compiled
from ..market.numerics.handed import Handed, row_at, rows_at
from ..models.bars.dreaming import dream_bars
from .dream_lane import show_market
from .dream_lanes import DreamLanes
from .engine.bar_engine import STILL, BarState
from .engine.member_engine import MemberEngine
from .one_account import FLOAT32, AccountStep, account_of

_DRAWN, _LEVELS = 7, 13  # places of the newest bar, and of a `BarLane`'s own numbers
_NOBODY = Handed()


@compiled
def dream_at(places: IntArray, first_noise: int, temperature: np.float32, forced: bool) -> None:
    """`dream_bars` of the lane and the networks whose arrays lie at the first thirteen places."""
    dream_bars(
        rows_at(places, 0, np.float32),
        rows_at(places, 1, np.float32),
        rows_at(places, 2, np.float32),
        rows_at(places, 3, np.float32),
        rows_at(places, 4, np.float64),
        rows_at(places, 5, np.float64),
        row_at(places, 6, np.int64),
        rows_at(places, _DRAWN, np.float64),
        row_at(places, 8, np.float64),
        row_at(places, 9, np.float32),
        row_at(places, 10, np.int64),
        row_at(places, 11, np.float64),
        rows_at(places, 12, np.float32),
        first_noise,
        temperature,
        forced,
    )


@compiled
def step_bar(
    places: IntArray,
    leader: IntArray,
    first_noise: int,
    temperature: np.float32,
    forced: bool,
    account: FloatArray,
    due: float,
    funding_rate: float,
    observation: Float32Array,
) -> AccountStep:
    """Dream a bar, settle it, and look at what comes of it, in one call: a call costs, and an array.

    Args:
        places: Where the arrays of a `BarLane` lie: see `Handed`.
        leader: Where those of the member lie that draws the bar, for this lane to live; none [0, 3] where
            it draws by itself.
        first_noise: See `dream_bars`, like the two that follow.
        temperature: See there.
        forced: See there; then nobody draws.
        account: State of a `ScalarAccount`, updated.
        due: Target weight that is filled now.
        funding_rate: Charged on a position held through the bar.
        observation: [D], written.
    """
    z, h = rows_at(places, 0, np.float32), rows_at(places, 1, np.float32)
    raw_features, drawn = rows_at(places, 4, np.float64), rows_at(places, _DRAWN, np.float64)
    levels = row_at(places, _LEVELS, np.float64)
    led = len(leader) > 0 and not forced
    if led:
        dream_at(leader, first_noise, temperature, False)
        drawn[0, :] = rows_at(leader, _DRAWN, np.float64)[0, :]
    dream_at(places, first_noise, temperature, forced or led)
    price, before, held = levels[0], account[0], account[1]
    log_return, upper, lower = drawn[0, 0], drawn[0, 1], drawn[0, 2]
    bar = exact_bar(log_return, upper, lower, price, levels[1], levels[2], funding_rate)
    levels[0] = price * (1.0 + bar.simple_return)
    levels[1], levels[2] = abs(log_return) + upper + lower, drawn[0, 3]
    settled = settle_state(account, due, bar)
    show_market(raw_features[0], z[0], h[0], levels[3] > 0.0, observation)
    return account_of(account, before, held, bar.simple_return, settled, observation)


class BarLane:
    """A lane that leaves `DreamLanes` for as long as an episode lasts; see `PaperLane`.

    Args:
        lanes: One lane, which is placed where an episode begins.
        size: D, numbers of an observation.
        together: Whether all members follow the path, whoever draws it: whoever looks ahead from the
            lane's `state` needs that.

    Attributes:
        time_ms: Open time of the bar that just closed [ms UTC].
        doubt: What the bar just lived takes from the reward of a weight of 1; 0 without pessimism.
    """

    def __init__(self, lanes: DreamLanes, size: int, together: bool = False) -> None:
        self._lanes, self._size = lanes, size
        several = isinstance(lanes.engine, MemberEngine)
        self._together = several and (together or lanes.pessimism is not None)
        self._state: Any = lanes.engine.start(np.zeros(1, dtype=np.int64))
        # newest close, its bar's range and volume; and 1 where the policy sees features, 0 where [z, h]
        self._levels: FloatArray = np.zeros(4)
        self._levels[3] = "features" in lanes.layout
        engine: Any = lanes.engine  # a `BarEngine`, or a `MemberEngine`
        table = lanes.noise.table
        self._handed = Handed(*self._state.lanes, *engine.network, table, self._levels)
        others = zip(engine.others, self._state.others, strict=True) if several else ()
        self._others = [Handed(*theirs, *other.network, table) for other, theirs in others]
        self._leader = _NOBODY
        self._interval_ms = lanes.engine.interval_ms
        self._charge = None if lanes.funding.is_off else lanes.funding.charge_one
        self.time_ms = 0
        self.doubt = 0.0

    @property
    def price(self) -> float:
        """Newest close."""
        return self._levels.item(0)

    @property
    def z(self) -> Float32Array:
        """The newest bar's latent [Z]."""
        newest: Float32Array = self._state.z[0]
        return newest

    @property
    def h(self) -> Float32Array:
        """M's hidden state after it [H]."""
        newest: Float32Array = self._state.h[0]
        return newest

    @property
    def bar(self) -> FloatArray:
        """The newest bar [4], columns `market.streams.BAR_NUMBERS`."""
        newest: FloatArray = self._state.bars[0]
        return newest

    def state(self) -> BarState:
        """Where it is, a copy."""
        there: BarState = self._state.repeated(1)
        return there

    def begin(self, observation: Float32Array) -> None:
        """Stand where the lane of `DreamLanes` stands, and look at the market from there."""
        self._state.put(np.ones(1, dtype=np.bool_), self._lanes.state)
        member = self._state.member.item(0) if self._others else 0
        self._leader = self._others[member - 1] if member else _NOBODY
        self.time_ms = int(self._state.open_time_ms[0])
        log_return, upper, lower, volume = self.bar
        self._levels[:3] = self._lanes.bars.price[0], abs(log_return) + upper + lower, volume
        lanes = self._state.lanes
        show_market(lanes.raw[0], lanes.z[0], lanes.h[0], self._levels[3] > 0.0, observation)

    def step(
        self,
        account: FloatArray,
        target: float,
        due: float,
        rng: np.random.Generator,
        forced: Any = None,
    ) -> tuple[Float32Array, AccountStep]:
        """Dream a bar and settle it; see `TradingEnv._step_market`.

        Args:
            account: State of a `ScalarAccount`, updated.
            target: What the agent wants, which this market does not hear.
            due: What the account fills now.
            rng: What noise and funding are drawn from.
            forced: Do not draw, but live this bar, and the columns beside it [4 + D].
        """
        shared = self._lanes
        self.time_ms += self._interval_ms
        given = forced is not None
        column = 0 if given else shared.noise.next(rng)
        if shared.pessimism is not None:
            self.doubt = shared.pessimism.doubt(self._state).item()
        if given:
            self._live(forced)
        observation: Float32Array = np.empty(self._size, FLOAT32)
        stepped = step_bar(
            self._handed.places,
            self._leader.places,
            column,
            shared.temperature32,
            given,
            account,
            due,
            0.0 if self._charge is None else self._charge(self.time_ms, rng),
            observation,
        )
        if self._together and forced is None:
            cast(MemberEngine, shared.engine).follow(self._state)
        return observation, stepped

    def _live(self, forced: FloatArray) -> None:
        """Have the bar at hand for the lane to live; the other members live it now."""
        self._state.lanes.drawn[0, : len(forced)] = forced
        if self._others:
            engine = cast(MemberEngine, self._lanes.engine)
            engine.lead(self._state, STILL, self._lanes.temperature32, forced)
