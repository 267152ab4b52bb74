"""N lanes of a dream: where each is, what it shows, and what its bars do to an account."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..market.candles import FloatArray, IntArray
from ..market.costs import BrokerConfig
from ..market.errors import ConfigError
from ..models.ood import OODMeter
from .dream_account import DreamBars
from .dream_funding import DreamFunding
from .engine import DreamEngine, DreamState, Noise
from .spaces import FEATURE_BOUND, observation_layout

ObservationKind = Literal["latent", "features"]
Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
_FEW_LANES, _STEPS_AHEAD = 4, 64


class DreamLanes:
    """Lanes that dream.

    Args:
        engine: Steps them.
        num_lanes: N.
        observation: ``"latent"`` shows [z, h], ``"features"`` what V decodes from z.
        temperature: τ of the mixture.
        horizon: Bars of an episode.
        funding: What a position held through a bar is charged.
        ood_limit: Quantile of the out-of-distribution meter beyond which an episode is truncated;
            1 only measures, None does not.
        broker: The account's rules; see `DreamBars`.

    Attributes:
        state: Where the lanes are.
        layout: Where each part lies in an observation.
        ood_limit: As given.
    """

    def __init__(
        self,
        engine: DreamEngine,
        num_lanes: int,
        observation: ObservationKind,
        temperature: float,
        horizon: int,
        funding: DreamFunding,
        ood_limit: float | None,
        broker: BrokerConfig,
    ) -> None:
        if not (isinstance(temperature, int | float) and 0.0 <= temperature < 100.0):
            raise ConfigError(f"temperature is {temperature!r}; expected a number, 0 or more")
        if ood_limit is not None and not 0.0 < ood_limit <= 1.0:
            raise ConfigError(f"ood_limit is {ood_limit}; expected a quantile in (0, 1], or None")
        self.ood_limit = ood_limit
        self._meter = None if ood_limit is None else OODMeter.fit(engine.world_model)
        self.engine = engine
        self.num_lanes = num_lanes
        self.layout = _layout(engine, observation)
        self._temperature = float(temperature)
        self._horizon = horizon
        self._funding = funding
        self._bars = DreamBars(engine, num_lanes, broker)
        self._drawn: list[Noise] = []
        self.state = engine.start(np.zeros(num_lanes, dtype=np.int64))

    @property
    def price(self) -> FloatArray:
        """Newest closes [N], quote currency."""
        return self._bars.price

    @property
    def time_ms(self) -> IntArray:
        """Open times of the bars that just closed [N]."""
        return self.state.open_time_ms

    def begin(self, lanes: BoolArray, rng: np.random.Generator, segment: int | None = None) -> int:
        """Start lanes [N] over, each at a segment drawn at random, or all at one.

        Returns:
            The steps that they can take.
        """
        if lanes.all():
            self._drawn = []  # the generator may be a new one
        count = int(lanes.sum())
        available = self.engine.num_segments
        if segment is not None and not (
            isinstance(segment, int | np.integer) and 0 <= segment < available
        ):
            raise ConfigError(
                f"segment is {segment!r}; expected the index of one of the {available} segments "
                "in the world model's bank"
            )
        segments = rng.integers(available, size=count)
        if segment is not None:
            segments[:] = segment
        self.place(lanes, self.engine.start(segments), self.engine.world_model.bank.close[segments])
        return self._horizon

    def place(self, lanes: BoolArray, state: DreamState, price: FloatArray) -> None:
        """Put lanes [N] into given states at given prices [lanes.sum()]."""
        self.state.put(lanes, state)
        self._bars.begin(self.state, price, lanes)

    def advance(
        self,
        targets: FloatArray,
        rng: np.random.Generator,
        forced: tuple[Float32Array, FloatArray] | None = None,
    ) -> FloatArray:
        """Dream one bar of every lane; see `DreamEngine.step`.

        Returns:
            The bars lived [N, 7], columns `BAR_FIELDS`.
        """
        noise = self._draw(rng)
        log_return = self.engine.step(self.state, targets, noise, self._temperature, forced)
        bars = self._bars.live(self.state, log_return)
        if not self._funding.is_off:
            bars[:, 4] = self._funding.charge(self.state.open_time_ms, rng)
        return bars

    def _draw(self, rng: np.random.Generator) -> Noise:
        """The next step's noise; for few lanes it is drawn many steps at a time."""
        if self.num_lanes > _FEW_LANES:
            return self.engine.draw_noise(rng, self.num_lanes)
        if not self._drawn:
            uniforms, normals = self.engine.draw_noise(rng, self.num_lanes * _STEPS_AHEAD)
            edges = range(0, len(uniforms), self.num_lanes)
            steps = [slice(first, first + self.num_lanes) for first in edges]
            self._drawn = [Noise(uniforms[step], normals[step]) for step in reversed(steps)]
        return self._drawn.pop()

    def view(self, out: Float32Array) -> None:
        """Write what policies see besides the account into ``out`` [N, D - 1]."""
        if "features" in self.layout:
            features = self.engine.world_model.decode(self.state.z)
            np.clip(features, -FEATURE_BOUND, FEATURE_BOUND, out=features)
            out[:] = features
        else:
            self.engine.view(self.state, out)

    def extra_info(self) -> dict[str, FloatArray]:
        """``ood``: the meter's readings [N], if it is on."""
        if self._meter is None:
            return {}
        return {"ood": self._meter.read(np.concatenate([self.state.z, self.state.h], axis=1))}

    def cut_short(self, info: dict[str, FloatArray]) -> BoolArray | None:
        """Lanes [N] whose reading is beyond the limit; None where there is none."""
        if self.ood_limit is None or self.ood_limit == 1.0:
            return None
        return info["ood"] > self.ood_limit


def _layout(engine: DreamEngine, observation: str) -> dict[str, slice]:
    config = engine.config
    if observation == "features":
        return observation_layout({"features": len(config.features.names), "account": 1})
    if observation == "latent":
        return observation_layout(
            {"latent": config.latent_size, "hidden": config.hidden_size, "account": 1}
        )
    raise ConfigError(f"observation is {observation!r}; expected 'latent' or 'features'")
