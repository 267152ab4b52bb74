"""The dream: the market as a world model has learned it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from ..market.account.rewards import RewardLike
from ..market.account.rules import BrokerConfig
from ..market.arrays import FloatArray, IntArray
from ..market.candles import Candles
from ..market.errors import ConfigError
from ..market.features import candles_for, recorded_bars, volume_level
from ..market.sources import with_order_rules
from ..market.times import Time, format_time, to_ms
from ..models.drift import with_drift
from ..models.load import dreamed_instrument, open_world_model
from ..models.world_model import WorldModel
from .arguments import refuse_unknown
from .bar_lane import BarLane
from .base import Observation, Start, TradingEnv
from .dream_funding import DreamFunding
from .dream_lanes import DreamLanes
from .dream_view import bars_between, candles_of, dreamed_on, warm_up_bars
from .engine.bar_engine import BarEngine
from .engine.opening import open_engine
from .followed_regimes import FollowedRegimes
from .one_account import FLOAT32, AccountStep
from .paper_lane import Forced, PaperLane
from .protocol import read_options
from .recorded import latent_record
from .spaces import ActionKind, ObservationKind
from .trace import PastBars

if TYPE_CHECKING:
    from ..market.sources import FundingSource, InstrumentSource
    from ..models.regimes.opening import RegimeSource

_ONE = np.ones(1, dtype=np.bool_)


class DreamEnv(TradingEnv, gym.Env[Observation, Any]):  # named twice: see `TradingEnv`
    """Trade a market that a world model dreams.

    ## Description
    Reset lets M hear a recorded warm-up segment; from there the world model draws every bar itself:
    with the ``market`` preset its return, wicks and volume, from which the rest follows, with ``paper``
    the next latent, from which the return is decoded. Costs, reward and ruin are replay's.

    ## Action space
    ``actions="continuous"``: ``Box(-1, 1, (1,), float32)``, the target weight: position ÷ equity,
    times the leverage. ``actions="discrete"``: ``Discrete(3)``: 0 short, 1 flat, 2 long. A finite
    weight outside the box is clipped to it, and a number by itself is as good as an array of one;
    NaN, infinities and other shapes are refused.

    ## Observation space
    A bounded ``Box`` of float32; `observation_layout` names the slices. It is the space of
    ``BybitReplay-v0`` on the same world model (``"latent"``) or without one (``"features"``).

    | part | observation | size | bounds | meaning |
    |---|---|---|---|---|
    | ``latent`` | ``"latent"`` | Z | ±10 | z_t |
    | ``hidden`` | ``"latent"`` | H | ±1 | h_t, what M remembers |
    | ``features`` | ``"features"`` | F | ±100 | raw features of the newest bar (``paper``: decoded from z_t by V) |
    | ``account`` | always | 1 or more | ±100 | drifted weight before the next trade, or what ``account_observation`` names |

    ## Reward
    log(equity ÷ equity before); the rewards of an episode sum to log(equity). ``reward`` chooses
    another.

    ## Starting state
    Equity 1, no position, after a warm-up segment drawn at random from the model's bank.

    ## Episode end
    Terminated by liquidation or ruin; truncated after ``horizon`` bars, or beyond ``ood_limit``.

    ## Info
    ``equity`` (1 at reset), ``weight``, ``price``, ``market_return`` (simple return of the bar
    just lived), ``cost`` (fees and slippage of this step, a fraction of the equity before),
    ``slippage`` (the part of the cost that is no fee), ``funding`` (paid for the bar, such a
    fraction, too; negative is received), ``turnover`` (|Δw| traded at this step), ``time_ms`` (open
    time of the bar just closed; the dream's clock runs on from the segment's), ``ood`` (the meter's reading, where it is
    on), and ``regime``, where ``regimes`` are given (its name, from the bars up to that close).

    ## Reset options
    ``segment``: index of a warm-up segment. Or ``candles`` (and ``start``, a time): do not dream but
    live these recorded candles, from ``start`` on: the dream forced along a recorded path, with M
    stepping beside it. What would be ignored is refused.

    Args:
        world_model: A `WorldModel`, the folder of one, or ``"default"``, which ships.
        temperature: τ of the mixture: 0 always draws the mode, 1 is the model as trained.
        horizon: Bars of an episode.
        warmup: Recorded bars that M hears first; None takes all that the model's bank holds.
        observation: ``"latent"`` or ``"features"``.
        actions: ``"continuous"`` or ``"discrete"``.
        taker_fee: Fraction of the notional traded.
        slippage: Fraction of the notional traded.
        render_mode: None, ``"ansi"``, or ``"rgb_array"`` and ``"human"``, drawn by pygame
            (``pip install 'worldmodel-trading[render]'``) with the fan of what may come next.
        reward: What a bar pays: a name, a `Reward` or a function; see `BybitReplayEnv`.
        funding: A constant rate an instant; recorded rates (a file's path, ``"bybit:SYMBOL"``) to
            draw from, those of the training range, each at instants of its own interval; or None
            for none.
        ood_limit: Truncate where the out-of-distribution meter reads more: the share of the
            training range's states (z, h) that are nearer to its middle, in (0, 1]. 1 only measures;
            None turns the meter off.
        instrument: The symbol's trading rules, as in ``BybitReplay-v0``; by default those that the
            store has of the symbol that the world model was trained on.
        drift: What dreams pay a position that is held, an assumption: ``"recorded"`` as the world model was
            trained, ``"zero"`` nothing on average, or the mean simple return a year as a fraction (see
            `with_drift`).
        pessimism: λ: at every bar the reward is λ · |w| · d less for a position w, where the world
            model's members disagree by d about the bar's return (see `Pessimism`); for world models
            of several members. Equity and info are as they are without.
        regimes: Tell the market's regime in the info; see `BybitReplayEnv`.
        account: Any other setting of the account; see `BybitReplayEnv`. With leverage above 1,
            slippage by range or impact, the bars' ranges and volumes are those drawn (``paper``: decoded
            from z).

    ## Version history
    v0: the first.
    """

    public_name = "WorldModelDream-v0"
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
        reward: RewardLike = "log_return",
        funding: FundingSource = None,
        ood_limit: float | None = None,
        instrument: InstrumentSource = None,
        drift: str | float = "recorded",
        pessimism: float = 0.0,
        regimes: RegimeSource = None,
        **account: Any,
    ) -> None:
        refuse_unknown(DreamEnv, self.public_name, account)
        model = with_drift(open_world_model(world_model), drift)
        traded = dreamed_instrument(model, instrument)
        broker = BrokerConfig.from_settings(
            taker_fee=taker_fee, slippage=slippage, **with_order_rules(account, traded)
        )
        self.engine = open_engine(model, warmup)
        charged = DreamFunding(funding, model, instrument)
        self._followed = FollowedRegimes.open(regimes, model, 1)
        self._lanes = DreamLanes(
            self.engine,
            1,
            observation,
            temperature,
            horizon,
            charged,
            ood_limit,
            broker,
            pessimism,
            self._followed,
        )
        self._recorded: RecordedPath | None = None
        super().__init__(
            self._lanes.layout, actions, broker, reward, render_mode, self._lanes.max_steps
        )
        self._lane: Any
        if isinstance(
            self.engine, BarEngine
        ):  # a picture looks ahead, by one member after the other
            self._lane = BarLane(self._lanes, self._size, together=render_mode is not None)
        else:
            self._lane = PaperLane(self._lanes, self._size)
        self.world_model_hash = self.engine.world_model.fingerprint
        self.title = f"WorldModelDream {self.engine.world_model.provenance.symbol}"

    def _begin(self, options: dict[str, Any] | None) -> Start:
        given = read_options(options, "segment", "candles", "start")
        if "candles" in given and "segment" in given:
            raise ConfigError(
                "reset options 'candles' and 'segment' exclude each other: an episode that lives "
                "recorded candles is warmed up by them"
            )
        if "start" in given and "candles" not in given:
            raise ConfigError(
                "reset option 'start' says where in 'candles' to begin: give them too, or a "
                "'segment' to dream from"
            )
        self._recorded = None
        if "candles" in given:
            path = RecordedPath(
                self.engine, given["candles"], given.get("start"), self._lanes.max_steps
            )
            self._lanes.place(_ONE, path.first_state(), *path.levels())
            self._recorded, num_steps = path, path.num_bars
            if self._followed is not None:
                self._followed.stand(*path.place)
        else:
            num_steps = self._lanes.begin(_ONE, self.np_random, given)
        observation: Observation = np.zeros(self._size, FLOAT32)
        self._lane.begin(observation)
        return Start(num_steps, observation, self._lane.price, self._lane.time_ms)

    def _step_market(
        self, target: float, due: float
    ) -> tuple[Observation, float, int, AccountStep]:
        forced = None if self._recorded is None else self._recorded.next()
        account, lane = self._account.state, self._lane
        observation, stepped = lane.step(account, target, due, self.np_random, forced)
        if self._lanes.pessimism is not None:
            self._doubt = lane.doubt
        if self._followed is not None:
            self._followed.update(lane.z[np.newaxis], np.array([lane.time_ms]))
        if self._recorded is not None and self._recorded.ended:
            stepped = self._deliver(observation, stepped)
        return observation, lane.price, lane.time_ms, stepped

    def _past(self) -> PastBars:
        if self._recorded is not None:
            return self._recorded.past()
        return warm_up_bars(self.engine, self._lane.time_ms, self._lane.price)

    def _candle(self, before: float, price: float) -> tuple[float, float, float]:
        if self._recorded is not None:
            return self._recorded.candle()
        closes = np.array([before, price])
        if isinstance(self.engine, BarEngine):
            opening, high, low, _ = candles_of(closes, self._lane.bar[np.newaxis])[0]
            return float(opening), float(high), float(low)
        features = self.engine.world_model.decode(self._lane.z[np.newaxis])
        opening, high, low, _ = bars_between(self.engine, closes, features)[0]
        return float(opening), float(high), float(low)

    def _future(self) -> FloatArray:
        lane, held = self._lane, self._account.weight
        return dreamed_on(self.engine, lane.state(), lane.price, held, self._lanes.temperature)

    def _tell(self, info: dict[str, Any]) -> bool:
        if self._followed is not None:
            info["regime"] = str(self._followed.names()[0])
        limit = self._lanes.ood_limit
        if limit is None:
            return False
        reading = self._lanes.reading(self._lane.z, self._lane.h).item()
        info["ood"] = reading
        return limit < 1.0 and reading > limit


class RecordedPath:
    """A stretch of candles that a dream is forced along.

    Args:
        engine: Of the dream.
        candles: Anything `open_candles` opens.
        start: Begin at the first observable row at or after it; None at the first.
        horizon: Bars at most.

    Attributes:
        num_bars: Bars that can be stepped.
        ended: Whether the contract ended with the newest bar.
    """

    def __init__(self, engine: Any, candles: Any, start: Time | None, horizon: int) -> None:
        self._engine = engine
        spec = engine.config.features
        self._record = candles_for(spec, candles)
        recorded = latent_record(self._record, engine.world_model)
        self._latents = recorded.view[:, : engine.config.latent_size]
        self._row = self._first_row(recorded.steps_left, start)
        last = self._row + min(horizon, int(recorded.steps_left[self._row]))
        self.num_bars = last - self._row
        self._log_close = np.log(self._record.close)
        self._numbers = recorded_bars(self._record, spec) if isinstance(engine, BarEngine) else None
        self._delivery_row = recorded.delivery_row
        self.ended = False

    def _first_row(self, steps_left: IntArray, start: Time | None) -> int:
        """The first row with a whole warm-up before it and a bar after it."""
        width = self._engine.warmup
        rows = np.flatnonzero(steps_left >= width) + width - 1
        if start is not None:
            rows = rows[self._record.open_time_ms[rows] >= to_ms(start)]
        if not len(rows):
            raise ConfigError(
                f"there is no recorded bar to live after {width} bars of warm-up"
                + ("" if start is None else f" at or after {format_time(to_ms(start))}")
            )
        return int(rows[0])

    def levels(self) -> tuple[FloatArray, FloatArray]:
        """The newest close [1], and what volume is measured against there [1]."""
        row = np.array([self._row])
        if self._numbers is not None:
            return self._record.close[row], np.ones(1)
        spec = self._engine.config.features
        return self._record.close[row], volume_level(self._record, spec, row)

    @property
    def place(self) -> tuple[Candles, int]:
        """The record, and the row of its newest bar."""
        return self._record, self._row

    def past(self) -> PastBars:
        """The bars up to the newest."""
        return PastBars.of(self._record, self._row)

    def candle(self) -> tuple[float, float, float]:
        """Open, high and low of the newest bar."""
        record, row = self._record, self._row
        return record.open.item(row), record.high.item(row), record.low.item(row)

    def first_state(self) -> Any:
        """Where the dream stands before its first step."""
        return self._engine.after(self._record, np.array([self._row]))

    def next(self) -> Forced | FloatArray:
        """The bar that comes."""
        self._row += 1
        self.ended = self._row == self._delivery_row
        if self._numbers is not None:
            bar: FloatArray = self._numbers[self._row]
            return bar
        change = self._log_close[self._row] - self._log_close[self._row - 1]
        return Forced(self._latents[self._row], float(change))
