"""One lane of a dream of bars: where it is, what it shows, and what its bars do to an account.

The numbers are those of a lane among many (`envs.dream_lanes`), to the last bit: the same compiled
function steps it, and a second one settles its account.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ..market.account.settlement import exact_bar, settle_state
from ..market.arrays import Float32Array, FloatArray, IntArray
from ..market.numerics.compiled import compiled
from ..models.bars.dreaming import dream_bars
from ..models.bars.packed import BarLanes
from .dream_lane import show_market
from .dream_lanes import DreamLanes
from .engine.bar_engine import BarEngine, BarState
from .engine.base import Noise
from .engine.member_engine import MemberEngine
from .one_account import FLOAT32, AccountStep, account_of


@compiled
def step_bar(
    z: Float32Array,
    h: Float32Array,
    c: Float32Array,
    features: Float32Array,
    raw_features: FloatArray,
    memory: FloatArray,
    open_time_ms: IntArray,
    drawn: FloatArray,
    close: FloatArray,
    parameters: Float32Array,
    sizes: IntArray,
    numbers: FloatArray,
    noise: Float32Array,
    first_noise: int,
    temperature: np.float32,
    forced: bool,
    account: FloatArray,
    due: float,
    funding_rate: float,
    levels: FloatArray,
    observation: Float32Array,
) -> AccountStep:
    """Dream a bar, settle it, and look at what comes of it, in one call: a call costs, and an array.

    Args:
        z: And the fifteen that follow: see `dream_bars`, of one lane.
        h: See there.
        c: See there.
        features: See there.
        raw_features: See there.
        memory: See there.
        open_time_ms: See there.
        drawn: See there.
        close: See there.
        parameters: See there.
        sizes: See there.
        numbers: See there.
        noise: See there.
        first_noise: See there.
        temperature: See there.
        forced: See there.
        account: State of a `ScalarAccount`, updated.
        due: Target weight that is filled now.
        funding_rate: Charged on a position held through the bar.
        levels: Newest close, its bar's range and volume, all updated; and 1 where the policy sees the
            features, 0 where [z, h] [4].
        observation: [D], written.
    """
    dream_bars(
        z,
        h,
        c,
        features,
        raw_features,
        memory,
        open_time_ms,
        drawn,
        close,
        parameters,
        sizes,
        numbers,
        noise,
        first_noise,
        temperature,
        forced,
    )
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
        self._alone = not lanes.engine.world_model.others  # or one of several members
        self._together = not self._alone and (together or lanes.pessimism is not None)
        self._state: Any = lanes.engine.start(np.zeros(1, dtype=np.int64))
        self._levels: FloatArray = np.zeros(4)
        self._levels[3] = "features" in lanes.layout
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
            forced: Do not draw, but live this bar [4].
        """
        lanes: BarLanes = self._state.lanes
        shared = self._lanes
        self.time_ms += self._interval_ms
        column = 0 if forced is not None else shared.noise.next(rng)
        given = forced is not None
        if shared.pessimism is not None:
            self.doubt = shared.pessimism.doubt(self._state).item()
        if given:
            lanes.drawn[0] = forced
        if not self._alone:
            given = self._led(column, forced)
        observation: Float32Array = np.empty(self._size, FLOAT32)
        stepped = step_bar(
            *lanes,
            *cast(BarEngine, shared.engine).network,
            shared.noise.table,
            column,
            shared.temperature32,
            given,
            account,
            due,
            0.0 if self._charge is None else self._charge(self.time_ms, rng),
            self._levels,
            observation,
        )
        if self._together and forced is None:
            cast(MemberEngine, shared.engine).follow(self._state)
        return observation, stepped

    def _led(self, column: int, forced: FloatArray | None) -> bool:
        """Let the other members step; whether the bar is there thus."""
        shared = self._lanes
        engine, table = cast(MemberEngine, shared.engine), shared.noise.table
        noise = Noise(table[:, column : column + 1])
        return bool(engine.lead(self._state, noise, shared.temperature32, forced)[0])
