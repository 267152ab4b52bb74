"""One lane of a dream of latents: where it is, what it shows, and what its bars do to an account.

The numbers are those of a lane among many (`envs.dream_lanes`), to the last bit; a step is two or
three calls of compiled code instead of array operations over lanes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import numpy as np

from ..market.account.settlement import inside_bar, plain_bar, settle_state
from ..market.arrays import Float32Array, FloatArray
from ..market.numerics.compiled import compiled
from ..models.forward import RowDecoder
from .dream_bars import inside
from .dream_lane import show_market
from .dream_lanes import DreamLanes
from .engine.lane_layout import LaneModel
from .engine.one_lane import dream_lane, force_lane
from .engine.paper_engine import PaperEngine, PaperState
from .one_account import FLOAT32, AccountStep, account_of


class Forced(NamedTuple):
    """A recorded bar that is lived instead of a drawn one.

    Attributes:
        latent: z [Z].
        log_return: Of the bar.
    """

    latent: Float32Array
    log_return: float


@compiled
def step_lane(
    account: FloatArray,
    due: float,
    log_return: float,
    funding_rate: float,
    levels: FloatArray,
    features: FloatArray,
    z: Float32Array,
    h: Float32Array,
    observation: Float32Array,
) -> AccountStep:
    """Settle the bar that was dreamed, and look at what comes of it.

    Args:
        account: State of a `ScalarAccount`, updated.
        due: Target weight that is filled now.
        log_return: Of the bar.
        funding_rate: Charged on a position held through it.
        levels: Newest close, its bar's range and volume, what volume is measured against; columns
            of the range and the log volume among the features, −1 where nobody looks inside bars;
            and 1 where the policy sees the features, 0 where [z, h] [7]. The first three are
            updated. One array to hand over instead of seven numbers.
        features: Decoded [F], where anybody looks at them.
        z: Latent [Z].
        h: Hidden state [H].
        observation: [D], written.
    """
    price, before, held = levels[0], account[0], account[1]
    if levels[4] < 0.0:
        bar = plain_bar(math.expm1(log_return), price, funding_rate)
    else:
        bar_range, volume = inside(features, int(levels[4]), int(levels[5]), levels[3])
        bar = inside_bar(log_return, bar_range, price, levels[1], levels[2], funding_rate)
        levels[1], levels[2] = max(bar_range, abs(log_return)), volume
    levels[0] = price * (1.0 + bar.simple_return)
    settled = settle_state(account, due, bar)
    show_market(features, z, h, levels[6] > 0.0, observation)
    return account_of(account, before, held, bar.simple_return, settled, observation)


class PaperLane:
    """A lane that leaves `DreamLanes` for as long as an episode lasts.

    Args:
        lanes: One lane, which is placed where an episode begins.
        size: D, numbers of an observation.

    Attributes:
        time_ms: Open time of the bar that just closed [ms UTC].
        z: Its latent [Z].
        h: M's hidden state after it [H].
    """

    def __init__(self, lanes: DreamLanes, size: int) -> None:
        engine = cast(PaperEngine, lanes.engine)
        model = engine.lane_model
        self._lanes, self._model, self._size = lanes, model, size
        self._decoder = engine.lane_decoder
        self._remember(model)
        self._shows_features = "features" in lanes.layout
        self._decodes = self._shows_features or lanes.bars.decodes
        self._levels: FloatArray = np.zeros(7)
        self._levels[4:6], self._levels[6] = lanes.bars.columns, self._shows_features
        world_model = engine.world_model
        self._decode = RowDecoder(world_model.compiled_vae, world_model.scaler)
        self._features: FloatArray = np.zeros(len(engine.config.features.names))
        self._interval_ms = engine.interval_ms
        self._charge = None if lanes.funding.is_off else lanes.funding.charge_one
        self.time_ms = 0

    def _remember(self, model: LaneModel) -> None:
        """Make room for what the lane remembers, of which z, h and c are parts."""
        self._memory = model.memory()
        self.z, self.h = self._memory[model.z], self._memory[model.h]
        self._cell = self._memory[model.cell]

    def __getstate__(self) -> dict[str, Any]:
        # Copies of the parts would be arrays of their own, which no step moves.
        parts = ("_model", "z", "h", "_cell")
        return {name: value for name, value in self.__dict__.items() if name not in parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._model = cast(PaperEngine, self._lanes.engine).lane_model
        remembered = self._memory
        self._remember(self._model)
        self._memory[:] = remembered

    @property
    def price(self) -> float:
        """Newest close."""
        return self._levels.item(0)

    def state(self) -> PaperState:
        """Where it is, a copy."""
        z, h, c = (part[np.newaxis].copy() for part in (self.z, self.h, self._cell))
        return PaperState(z, h, c, np.array([self.time_ms]))

    def begin(self, observation: Float32Array) -> None:
        """Stand where the lane of `DreamLanes` stands, and look at the market from there."""
        state: PaperState = self._lanes.state
        self.z[:], self.h[:], self._cell[:] = state.z[0], state.h[0], state.c[0]
        self.time_ms = int(state.open_time_ms[0])
        self._levels[:4] = self._lanes.bars.levels(0)
        if self._decodes:
            self._decode(self.z, self._features)
        show_market(self._features, self.z, self.h, self._shows_features, observation)

    def step(
        self,
        account: FloatArray,
        target: float,
        due: float,
        rng: np.random.Generator,
        forced: Forced | None = None,
    ) -> tuple[Float32Array, AccountStep]:
        """Dream a bar and settle it; see `TradingEnv._step_market`.

        Args:
            account: State of a `ScalarAccount`, updated.
            target: What the agent wants, which this market hears.
            due: What the account fills now.
            rng: What noise and funding are drawn from.
            forced: Do not draw, but live this bar.
        """
        self.time_ms += self._interval_ms
        log_return = self._draw(target, rng) if forced is None else self._force(target, forced)
        if self._decodes:
            self._decode(self.z, self._features)
        observation: Float32Array = np.empty(self._size, FLOAT32)
        stepped = step_lane(
            account,
            due,
            log_return,
            0.0 if self._charge is None else self._charge(self.time_ms, rng),
            self._levels,
            self._features,
            self.z,
            self.h,
            observation,
        )
        return observation, stepped

    def _draw(self, target: float, rng: np.random.Generator) -> float:
        noise, model = self._lanes.noise, self._model
        step, temperature = noise.next(rng), self._lanes.temperature32
        return dream_lane(
            *model,
            target,
            *self._decoder,
            noise.table,
            step,
            temperature,
            self.time_ms,
            self._memory,
        )

    def _force(self, target: float, forced: Forced) -> float:
        gates, _, calendar, numbers = self._model
        force_lane(gates, calendar, numbers, target, forced.latent, self.time_ms, self._memory)
        return forced.log_return
