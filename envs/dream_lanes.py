"""N lanes of a dream: where each is, what it shows, and what its bars do to an account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..market.account.rules import BrokerConfig
from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ..market.errors import ConfigError
from ..market.records import TEMPERATURES
from ..market.settings import plain, real_number, whole_number
from ..models.ood import OODMeter
from .dream_bars import lived_bars
from .dream_funding import DreamFunding
from .engine.base import Engine, Noise
from .engine.pessimism import Pessimism
from .followed_regimes import FollowedRegimes
from .protocol import Chance, draw_integers, for_lanes
from .spaces import FEATURE_BOUND, ObservationKind, check_observation, observation_layout

_STEPS_AHEAD = 64
_AHEAD_UP_TO = 4  # lanes: more of them draw a step at a time


class NoiseAhead:
    """The noise of few lanes, drawn many steps at a time: a call costs more than the numbers do.

    Args:
        engine: Draws it.
        num_lanes: N.

    Attributes:
        table: The random numbers of each lane and step [R, S · N], float32; a step's lanes are
            neighbours.
    """

    def __init__(self, engine: Engine, num_lanes: int) -> None:
        self._engine = engine
        self._num_lanes = num_lanes
        self._size = _STEPS_AHEAD * num_lanes
        self.table: Float32Array = np.empty((engine.noise_rows, self._size), dtype=np.float32)
        self._next = self._size

    def forget(self) -> None:
        """Draw anew at the next step."""
        self._next = self._size

    def next(self, rng: np.random.Generator) -> int:
        """The first column of the next step's noise."""
        first = self._next
        if first == self._size:
            self.table[:] = self._engine.draw_noise(rng, self._size).table
            first = 0
        self._next = first + self._num_lanes
        return first


class OwnNoise:
    """The noise of lanes that draw from a generator each, the draws of a lane by itself.

    Args:
        engine: Draws it.
        num_lanes: N.
    """

    def __init__(self, engine: Engine, num_lanes: int) -> None:
        self._engine = engine
        shape = (num_lanes, _STEPS_AHEAD, engine.noise_rows)
        self._table: Float32Array = np.empty(shape, dtype=np.float32)
        self._next: IntArray = np.full(num_lanes, _STEPS_AHEAD)

    def forget(self, lanes: BoolArray) -> None:
        """Draw anew for lanes [N] at their next step."""
        self._next[lanes] = _STEPS_AHEAD

    def next(self, own: Sequence[np.random.Generator], waiting: BoolArray) -> Any:
        """The next step's noise; lanes [N] that wait draw nothing, and get any."""
        for lane in np.flatnonzero((self._next == _STEPS_AHEAD) & ~waiting).tolist():
            self._table[lane] = self._engine.draw_noise(own[lane], _STEPS_AHEAD).table.T
            self._next[lane] = 0
        step = np.minimum(self._next, _STEPS_AHEAD - 1)
        table = self._table[np.arange(len(step)), step].T  # [R, N]
        self._next += ~waiting
        return Noise(table)


class DreamLanes:
    """Lanes that dream.

    Args:
        engine: Steps them.
        num_lanes: N.
        observation: ``"latent"`` shows [z, h], ``"features"`` those of the bars (``paper``: what V
            decodes from z).
        temperature: τ of the mixture.
        horizon: Bars of an episode.
        funding: What a position held through a bar is charged.
        ood_limit: Quantile of the out-of-distribution meter beyond which an episode is truncated;
            1 only measures, None does not.
        broker: The account's rules.
        pessimism: λ; see `Pessimism`.
        followed: Tells the lanes' regimes, or None.

    Attributes:
        state: Where the lanes are.
        noise: What few lanes draw from.
        bars: What the lanes' bars do to their accounts.
        funding: As given.
        layout: Where each part lies in an observation.
        max_steps: The horizon.
        temperature: τ.
        temperature32: τ in float32, as compiled code takes it.
        ood_limit: A quantile, or None.
        pessimism: What makes `doubt`, or None.
        doubt: What the bar just lived takes from the reward of a weight of 1 [N], or None.
        followed: As given.
    """

    options: tuple[str, ...] = ("segment",)

    def __init__(
        self,
        engine: Engine,
        num_lanes: int,
        observation: ObservationKind,
        temperature: float,
        horizon: int,
        funding: DreamFunding,
        ood_limit: float | None,
        broker: BrokerConfig,
        pessimism: float = 0.0,
        followed: FollowedRegimes | None = None,
    ) -> None:
        self.max_steps = _check_horizon(horizon)
        self.temperature = check_temperature(temperature)
        self.temperature32 = np.float32(self.temperature)
        self.ood_limit = _check_quantile(ood_limit)
        self.pessimism = Pessimism.of(engine, pessimism)
        self.doubt: FloatArray | None = None
        self.followed = followed
        self._meter = None if ood_limit is None else OODMeter.fit(engine.world_model)
        self.engine = engine
        self.num_lanes = num_lanes
        self.layout = _layout(engine, observation)
        self.funding = funding
        self.bars = lived_bars(engine, num_lanes, broker)
        self.noise = NoiseAhead(engine, num_lanes)
        self._own_noise: OwnNoise | None = None
        self.state = engine.start(np.zeros(num_lanes, dtype=np.int64))

    @property
    def price(self) -> FloatArray:
        """Newest closes [N], quote currency."""
        price: FloatArray = self.bars.price
        return price

    @property
    def time_ms(self) -> IntArray:
        """Open times of the bars that just closed [N]."""
        times: IntArray = self.state.open_time_ms
        return times

    def begin(
        self, lanes: BoolArray, chance: Chance, where: Mapping[str, Any] | None = None
    ) -> int:
        """Start lanes [N] over at the segments given, or drawn; returns the steps they can take."""
        wanted = [
            self._segment(index)
            for index in for_lanes("segment", (where or {}).get("segment"), lanes)
        ]
        if lanes.all():
            self.noise.forget()  # the generator may be a new one
        if self._own_noise is not None:
            self._own_noise.forget(lanes)
        # Drawn even where they are given, so that the noise is the same wherever a dream begins.
        segments = draw_integers(chance, self.engine.num_segments, lanes)
        for i, index in enumerate(wanted):
            if index is not None:
                segments[i] = index
        self.place(lanes, self.engine.start(segments), *self.engine.levels(segments))
        if self.followed is not None:
            self.followed.begin(lanes, segments)
        return self.max_steps

    def _segment(self, given: object) -> int | None:
        """The index of a segment, or None for any."""
        index, available = whole_number(given), self.engine.num_segments
        if given is not None and (index is None or not 0 <= index < available):
            raise ConfigError(
                f"segment is {given!r}; expected the index of one of the {available} segments "
                "in the world model's bank"
            )
        return index

    def place(
        self, lanes: BoolArray, state: Any, price: FloatArray, volume_level: FloatArray
    ) -> None:
        """Put lanes [N] into given states, at given prices and levels of volume [lanes.sum()]."""
        self.state.put(lanes, state)
        self.bars.begin(self.state, price, volume_level, lanes)

    def advance(
        self,
        targets: FloatArray,
        chance: Chance,
        waiting: BoolArray,
        forced: Any = None,
    ) -> FloatArray:
        """Dream one bar of every lane; see `Engine.step`.

        Args:
            targets: What the agents want [N].
            chance: What noise and funding are drawn from.
            waiting: Lanes [N] that wait for a reset: they draw nothing from generators of their own.
            forced: Do not draw, but live what did happen; see the engine's step.

        Returns:
            The bars lived [N, 8], columns `BAR_FIELDS`.
        """
        noise = self._draw(chance, waiting)
        if self.pessimism is not None:
            self.doubt = self.pessimism.doubt(self.state)
        log_return = self.engine.step(self.state, targets, noise, self.temperature, forced)
        if self.pessimism is not None and forced is None:
            self.pessimism.follow(self.state)
        if self.followed is not None:
            self.followed.update(self.state.z, self.state.open_time_ms)
        bars: FloatArray = self.bars.step(self.state, log_return)
        if not self.funding.is_off:
            bars[:, 4] = self._charge(chance, waiting)
        return bars

    def _charge(self, chance: Chance, waiting: BoolArray) -> FloatArray:
        """Funding of the bar just dreamed [N]."""
        times = self.state.open_time_ms
        if isinstance(chance, np.random.Generator):
            return self.funding.charge(times, chance)
        charged = np.zeros(self.num_lanes)
        for lane in np.flatnonzero(~waiting).tolist():
            charged[lane] = self.funding.charge(times[lane], chance[lane])
        return charged

    def _draw(self, chance: Chance, waiting: BoolArray) -> Any:
        """The next step's noise."""
        if not isinstance(chance, np.random.Generator):
            if self._own_noise is None:
                self._own_noise = OwnNoise(self.engine, self.num_lanes)
            return self._own_noise.next(chance, waiting)
        if self.num_lanes > _AHEAD_UP_TO:
            return self.engine.draw_noise(chance, self.num_lanes)
        first = self.noise.next(chance)
        return Noise(self.noise.table[:, first : first + self.num_lanes])

    def view(self, out: Float32Array) -> None:
        """Write what policies see besides the account into ``out`` [N, D - 1]."""
        if "features" in self.layout:
            features = self.bars.features(self.state)
            np.clip(features, -FEATURE_BOUND, FEATURE_BOUND, out=features)
            out[:] = features
        else:
            self.engine.view(self.state, out)

    def extra_info(self) -> dict[str, Any]:
        """``ood``: the meter's readings [N], if it is on; ``regime``: names [N], if they are told."""
        told: dict[str, Any] = {}
        if self.ood_limit is not None:
            told["ood"] = self.reading(self.state.z, self.state.h)
        if self.followed is not None:
            told["regime"] = self.followed.names()
        return told

    def reading(self, z: Float32Array, h: Float32Array) -> FloatArray:
        """The meter's readings [...] of latents [..., Z] and hidden states [..., H]."""
        assert self._meter is not None
        return self._meter.read(np.concatenate([z, h], axis=-1))

    def delivered(self) -> BoolArray | None:
        """No lane: the instrument that is dreamed does not end."""
        return None

    def cut_short(self, info: dict[str, FloatArray]) -> BoolArray | None:
        """Lanes [N] whose reading is beyond the limit; None where there is none."""
        if self.ood_limit is None or self.ood_limit == 1.0:
            return None
        return info["ood"] > self.ood_limit


def check_temperature(temperature: float) -> float:
    """The temperature, if it is one: not negative, and below 100."""
    tau = real_number(temperature)
    if tau is None or not TEMPERATURES.hold(tau):
        expected = TEMPERATURES.describe("temperature")
        raise ConfigError(f"temperature is {plain(temperature)!r}; expected a number, {expected}")
    return float(tau)


def _check_horizon(horizon: int) -> int:
    bars = whole_number(horizon)
    if bars is None or bars < 1:
        raise ConfigError(
            f"horizon is {horizon!r}; expected a number of bars: a dream has no end of its own"
        )
    return bars


def _check_quantile(ood_limit: float | None) -> float | None:
    limit = real_number(ood_limit)
    if ood_limit is not None and (limit is None or not 0.0 < limit <= 1.0):
        raise ConfigError(f"ood_limit is {ood_limit!r}; expected a quantile in (0, 1], or None")
    return limit


def _layout(engine: Engine, observation: str) -> dict[str, slice]:
    config = engine.config
    if check_observation(observation) == "features":
        return observation_layout({"features": len(config.features.names)})
    return observation_layout({"latent": config.latent_size, "hidden": config.hidden_size})
