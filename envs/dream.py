"""The dream: the market as a world model has learned it."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from ..market.broker import dream_bars
from ..market.candles import FloatArray, IntArray, Time, to_ms
from ..market.costs import BrokerConfig
from ..market.errors import ConfigError
from ..market.sources import open_candles
from ..models.world_model import WorldModel
from .engine import DreamEngine, DreamState
from .replay import check_length
from .spaces import FEATURE_BOUND, ActionKind, observation_layout
from .tape import latent_tape
from .trading import Observation, TradingEnv, refuse_options
from .worlds import open_world_model

ObservationKind = Literal["latent", "features"]


class DreamEnv(TradingEnv):
    """Trade a market that a world model dreams.

    ## Description
    Reset lets M hear a recorded warm-up segment; from there the world model draws every bar itself:
    the next latent and the next return come from M's mixture. Costs, reward and ruin are replay's.

    ## Action space
    ``actions="continuous"``: ``Box(-1, 1, (1,), float32)``, the target weight: position ÷ equity,
    times the leverage. ``actions="discrete"``: ``Discrete(3)``: 0 short, 1 flat, 2 long.

    ## Observation space
    A bounded ``Box`` of float32; `observation_layout` names the slices. It is the space of
    ``BybitReplay-v0`` on the same world model (``"latent"``) or without one (``"features"``).

    | part | observation | size | bounds | meaning |
    |---|---|---|---|---|
    | ``latent`` | ``"latent"`` | Z | ±10 | z_t |
    | ``hidden`` | ``"latent"`` | H | ±1 | h_t, what M remembers |
    | ``features`` | ``"features"`` | F | ±100 | raw features, decoded from z_t by V |
    | ``account`` | always | 1 | ±100 | drifted weight before the next trade |

    ## Reward
    log(equity ÷ equity before); the rewards of an episode sum to log(equity).

    ## Starting state
    Equity 1, no position, after a warm-up segment drawn at random from the model's bank.

    ## Episode end
    Terminated by liquidation or ruin; truncated after ``horizon`` bars.

    ## Info
    ``equity`` (1 at reset), ``weight``, ``price``, ``market_return`` (simple return of the bar
    just lived), ``cost`` (fraction of equity paid at this step), ``time_ms`` (open time of the bar
    just closed; the dream's clock runs on from the segment's).

    ## Reset options
    ``segment``: index of a warm-up segment. ``candles`` (and ``start``): do not dream but live
    these recorded candles, from ``start`` on: the dream forced along a recorded path, with M
    stepping beside it.

    Args:
        world_model: A `WorldModel`, the folder of one, or ``"default"``, which ships.
        temperature: τ of the mixture: 0 always draws the mode, 1 is the model as trained.
        horizon: Bars of an episode.
        warmup: Recorded bars that M hears first; None takes all that the model's bank holds.
        observation: ``"latent"`` or ``"features"``.
        actions: ``"continuous"`` or ``"discrete"``.
        taker_fee: Fraction of the notional traded.
        slippage: Fraction of the notional traded.
        render_mode: None, ``"ansi"`` or ``"rgb_array"``.
        account: Any other setting of the account (`BrokerConfig.from_settings`). With leverage
            above 1, or slippage by range, the bars' highs and lows are decoded from z.

    ## Version history
    v0: the first.
    """

    title = "WorldModelDream"

    def __init__(
        self,
        world_model: WorldModel | str | os.PathLike[str] = "default",
        temperature: float = 1.0,
        horizon: int = 720,
        warmup: int | None = None,
        observation: ObservationKind = "latent",
        actions: ActionKind = "continuous",
        taker_fee: float = 0.00055,
        slippage: float = 0.0002,
        render_mode: str | None = None,
        **account: Any,
    ) -> None:
        broker = BrokerConfig.from_settings(taker_fee=taker_fee, slippage=slippage, **account)
        check_dream(temperature, horizon, observation)
        self.engine = DreamEngine(open_world_model(world_model), warmup)
        self._temperature = float(temperature)
        self._horizon = horizon
        self._observation_kind = observation
        self._lane = DreamLanes(self.engine, observation, dreams_extremes(broker))
        self._market = self.engine.start(np.zeros(1, dtype=np.int64))
        self._close = 1.0
        self._recorded: RecordedPath | None = None
        super().__init__(dream_layout(self.engine, observation), actions, broker, render_mode)
        self.title = f"WorldModelDream {self.engine.world_model.provenance.symbol}"

    def _begin(self, options: dict[str, Any]) -> int:
        refuse_options(options, "segment", "candles", "start")
        self._recorded = None
        if "candles" in options:
            return self._begin_recorded(options["candles"], options.get("start"))
        segment = options.get("segment")
        if segment is None:
            segment = int(self.np_random.integers(self.engine.num_segments))
        elif not 0 <= segment < self.engine.num_segments:
            raise ConfigError(
                f"segment is {segment}; the world model's bank holds {self.engine.num_segments}"
            )
        self._market = self.engine.start(np.array([segment]))
        self._close = float(self.engine.world_model.bank.close[segment])
        self._lane.begin(self._market)
        return self._horizon

    def _begin_recorded(self, candles: Any, start: Time | None) -> int:
        self._recorded = RecordedPath(self.engine, candles, start, self._horizon)
        self._market = self._recorded.first_state()
        self._close = self._recorded.close
        self._lane.begin(self._market)
        return self._recorded.num_bars

    def _next_bar(self, target: float) -> tuple[FloatArray, int]:
        forced = None if self._recorded is None else self._recorded.next()
        noise = self.engine.draw_noise(self.np_random, 1)
        log_return = self.engine.step(
            self._market, np.array([target]), noise, self._temperature, forced
        )
        bars = self._lane.live(self._market, log_return, self._close)
        self._close *= float(np.exp(log_return[0]))
        return bars, 0

    def _view(self) -> Observation:
        return self._lane.view(self._market)[0]

    def _time_ms(self) -> int:
        return int(self._market.open_time_ms[0])

    def _price(self) -> float:
        return self._close


class DreamLanes:
    """What lanes of a dream show and do to an account, given the engine's state.

    Args:
        engine: Moves the state.
        observation: ``"latent"`` or ``"features"``.
        extremes: Whether highs and lows are decoded from z, or are the bar's two ends.
    """

    def __init__(self, engine: DreamEngine, observation: ObservationKind, extremes: bool) -> None:
        self._engine = engine
        self._observation = observation
        self._extremes = extremes
        names = engine.config.features.names
        self._range_column = names.index("range")
        self._fill_range: FloatArray = np.zeros(1)

    def begin(self, state: DreamState, lanes: Any = slice(None)) -> None:
        """Lanes start over from ``state``, which holds all of them."""
        if len(self._fill_range) != len(state.z):
            self._fill_range = np.zeros(len(state.z))
        if self._extremes:
            self._fill_range[lanes] = self._ranges(state)[lanes]

    def live(self, state: DreamState, log_return: FloatArray, fill_price: Any) -> FloatArray:
        """The bars [N, 7] that the lanes just lived, after the engine's step."""
        if not self._extremes:
            return dream_bars(log_return, fill_price=fill_price)
        ranges = np.maximum(self._ranges(state), np.abs(log_return))
        above = 0.5 * (ranges - np.abs(log_return))  # the excess over the body, split evenly
        bars = dream_bars(
            log_return,
            log_high=np.maximum(log_return, 0.0) + above,
            log_low=np.minimum(log_return, 0.0) - above,
            fill_range=self._fill_range,
            fill_price=fill_price,
        )
        self._fill_range = ranges
        return bars

    def view(self, state: DreamState) -> Observation:
        """What policies see besides the account [N, D - 1]."""
        if self._observation == "features":
            features = self._engine.world_model.decode(state.z)
            return np.clip(features, -FEATURE_BOUND, FEATURE_BOUND).astype(np.float32)
        out = np.empty((len(state.z), state.z.shape[1] + state.h.shape[1]), dtype=np.float32)
        self._engine.view(state, out)
        return out

    def _ranges(self, state: DreamState) -> FloatArray:
        return self._engine.world_model.decode(state.z)[:, self._range_column].clip(min=0.0)


class RecordedPath:
    """A stretch of candles that a dream is forced along.

    Args:
        engine: Of the dream.
        candles: Anything `open_candles` opens.
        start: Begin at the first observable row at or after it; None at the first.
        horizon: Bars at most.
    """

    def __init__(self, engine: DreamEngine, candles: Any, start: Time | None, horizon: int) -> None:
        self._engine = engine
        self._record = open_candles(candles)
        tape = latent_tape(self._record, engine.world_model)
        self._latents = tape.view[:, : engine.config.latent_size]
        self._row = self._first_row(tape.steps_left, start)
        last = self._row + min(horizon, int(tape.steps_left[self._row]))
        self.num_bars = last - self._row
        self._log_close = np.log(self._record.close)

    def _first_row(self, steps_left: IntArray, start: Time | None) -> int:
        """The first row with a whole warm-up before it and a bar after it."""
        width = self._engine.warmup
        rows = np.flatnonzero(steps_left >= width) + width - 1
        if start is not None:
            rows = rows[self._record.open_time_ms[rows] >= to_ms(start)]
        if not len(rows):
            raise ConfigError(
                f"there is no recorded bar to live after {width} bars of warm-up"
                + ("" if start is None else f" at or after {start}")
            )
        return int(rows[0])

    @property
    def close(self) -> float:
        """The newest close."""
        return float(self._record.close[self._row])

    def first_state(self) -> DreamState:
        """Where the dream stands before its first step."""
        rows = slice(self._row - self._engine.warmup + 1, self._row + 1)
        times = self._record.open_time_ms[self._row : self._row + 1]
        return self._engine.warm_up(np.ascontiguousarray(self._latents[rows][None]), times)

    def next(self) -> tuple[Observation, FloatArray]:
        """The latents [1, Z] and the log return [1] of the bar that comes."""
        self._row += 1
        change = self._log_close[self._row] - self._log_close[self._row - 1]
        return self._latents[self._row][None], np.array([change])


def dream_layout(engine: DreamEngine, observation: ObservationKind) -> dict[str, slice]:
    """Where each part lies in a dream's observation."""
    config = engine.config
    if observation == "features":
        return observation_layout({"features": len(config.features.names), "account": 1})
    return observation_layout(
        {"latent": config.latent_size, "hidden": config.hidden_size, "account": 1}
    )


def dreams_extremes(broker: BrokerConfig) -> bool:
    """Whether the account's rules look at highs, lows or ranges at all."""
    return broker.margin.leverage > 1.0 or broker.costs.slippage_per_range > 0.0


def check_dream(temperature: float, horizon: int, observation: str) -> None:
    """Raise `ConfigError` for settings that no dream can have."""
    if not (isinstance(temperature, int | float) and 0.0 <= temperature < 100.0):
        raise ConfigError(f"temperature is {temperature!r}; expected a number, 0 or more")
    if check_length(horizon) is None:
        raise ConfigError("horizon is None; a dream has no end of its own: give a number of bars")
    if observation not in ("latent", "features"):
        raise ConfigError(f"observation is {observation!r}; expected 'latent' or 'features'")
