"""Replay: the market as it was recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from ..market.account.rewards import RewardLike
from ..market.errors import ConfigError
from ..market.settings import whole_number
from ..market.times import Time
from .arguments import refuse_unknown
from .base import Observation, Start, TradingEnv
from .followed_regimes import recorded_regimes
from .one_account import FLOAT32, AccountStep, step_recorded
from .opening import open_recorded_state
from .protocol import read_options
from .recorded import RecordedMarket, check_random_start
from .spaces import ActionKind, ObservationKind
from .trace import PastBars
from .universe import Replayed, Universe

if TYPE_CHECKING:
    from ..market.sources import CandleSource, FundingSource, InstrumentSource
    from ..models.joint_world_model import JointWorldModel
    from ..models.regimes.opening import RegimeSource
    from ..models.world_model import WorldModel


class BybitReplayEnv(TradingEnv, gym.Env[Observation, Any]):  # named twice: see `TradingEnv`
    """Trade recorded candles, paying what an exchange charges.

    ## Description
    At the close of bar t the agent sees what was known then, chooses a target weight, is filled at
    that close plus costs, and earns bar t+1. The account never moves the market.

    ## Action space
    ``actions="continuous"``: ``Box(-1, 1, (1,), float32)``, the target weight: position ÷ equity,
    times the leverage. ``actions="discrete"``: ``Discrete(3)``: 0 short, 1 flat, 2 long. A finite
    weight outside the box is clipped to it, and a number by itself is as good as an array of one;
    NaN, infinities and other shapes are refused.

    ## Observation space
    A bounded ``Box`` of float32; `observation_layout` names the slices.

    | part | with | size | bounds | meaning |
    |---|---|---|---|---|
    | ``latent`` | a world model | Z | ±10 | z_t, the posterior mean of V |
    | ``hidden`` | a world model | H | ±1 | h_t, what M remembers |
    | ``features`` | no world model, or ``observation="features"`` | F | ±100 | raw features: the model's, or by `FeatureSpec.for_interval` |
    | ``account`` | always | 1 or more | ±100 | drifted weight before the next trade, or what ``account_observation`` names |

    With a world model the space is that of ``WorldModelDream-v0`` on the same model.

    ## Reward
    log(equity ÷ equity before); the rewards of an episode sum to log(equity). ``reward`` chooses
    another.

    ## Starting state
    Equity 1, no position, at a row drawn at random (``random_start``) or the first. Features and
    latents have their history from the candles before.

    ## Episode end
    Terminated by liquidation or ruin, or with the contract: where the instrument's
    ``delivery_time_ms`` lies in the record, the account is closed at the close of the last bar
    that opened before it, at no cost, and bars after it are not played. An episode of any length may
    end so. Truncated after ``episode_length`` bars, or at the end of the range or of its stretch
    without gaps when ``episode_length`` is None: candles that merely end are no delivery.

    ## Info
    ``equity`` (1 at reset), ``weight``, ``price`` (close), ``market_return`` (simple return of the
    bar just lived), ``cost`` (fees and slippage of this step, a fraction of the equity before),
    ``slippage`` (the part of the cost that is no fee), ``funding`` (paid for the bar, such a
    fraction, too; negative is received), ``turnover`` (|Δw| traded at this step), ``time_ms`` (open
    time of the bar just closed), and, where the record reaches the contract's end, ``delivered`` (whether it
    ended with this bar; the weight is then 0); ``regime``, where
    ``regimes`` are given (its name, from the bars up to that close); and ``symbol``, where there are
    several.

    ## Reset options
    ``start``: a time: begin at the first possible row at or after it. ``symbol``, where there are
    several: whose record to play. What would be ignored is refused.

    Args:
        candles: `Candles`, a DataFrame, the path of a file of candles, a stored
            ``"bybit:SYMBOL:INTERVAL"``, or None for the embedded synthetic market. Or a list of
            such, of several symbols and one interval: each episode draws its symbol (every one is
            as likely), then its start; without ``random_start`` the first is played.
        world_model: A `WorldModel`, the folder of one, ``"default"``, or None for raw features. Of
            several symbols also a `JointWorldModel` or its folder, which has one for each.
        observation: ``"latent"`` or, of a world model, ``"features"``: the raw ones that it sees, as
            ``WorldModelDream-v0`` shows them; None is ``"latent"`` where there is a model.
        start: Episodes stay in ``[start, end)``; what precedes it serves as history. A time is ISO
            text (UTC unless it says otherwise), a date, a datetime (pandas's too), a numpy
            ``datetime64``, or a number since 1970, whose size tells seconds from milliseconds:
            ``"2024-01-10"``, ``1704844800`` and ``1704844800000`` are the same.
        end: See start.
        episode_length: Bars of an episode; None plays the whole range.
        random_start: Whether reset draws the start, or takes the first possible one.
        actions: ``"continuous"`` or ``"discrete"``.
        taker_fee: Fraction of the notional traded.
        slippage: Fraction of the notional traded.
        fill_delay: Bars between decision and fill.
        render_mode: None, ``"ansi"``, or ``"rgb_array"`` and ``"human"``, drawn by pygame
            (``pip install 'worldmodel-trading[render]'``).
        reward: What a bar pays: ``"log_return"``, ``"simple_return"``, ``"differential_sharpe"``; a
            `Reward` with settings of its own, as ``DifferentialSharpe(adaptation_rate=0.05)``; or
            any function of a `RewardStep`, whose fields are ``log_growth``, ``equity``, ``peak``,
            ``weight``, ``turnover``, ``cost`` and ``market_return``. A function compiled by
            ``numba.njit`` is called for all lanes at once; a plain one costs a vector environment
            some microseconds a lane.
        funding: Recorded rates (a file's path, ``"bybit:SYMBOL"``), a constant rate an instant, or
            None for none; see `open_funding`. Of several symbols also a mapping by symbol.
        unrecorded_funding_rate: Charged at instants that were due and are not recorded. When they
            were due is read from the record, however often its interval changes; after its end
            the instrument's present interval holds.
        instrument: The symbol's trading rules: ``"bybit:SYMBOL"``, which ``fetch`` stores, a mapping
            of an `Instrument`'s fields, or an `Instrument`. Stored candles bring their own, as
            those of several symbols must.
        regimes: Tell the market's regime in the info: `Regimes`, the folder that they were saved in, or True
            for three found in the world model's own bank; None tells none, at no cost. Needs a world model.
        account: Any other setting of the account (`BrokerConfig.from_settings`): ``leverage``,
            ``maintenance_margin``, ``no_trade_band``, ``slippage_per_range``, ``impact`` with
            ``impact_capital_usdt``, ``capital_usdt``, … ``account_observation`` names what the
            policy sees of its account, some of ``"weight"``, ``"unrealised_profit"`` (the price's
            returns in favour of the side held, since it was taken) and ``"bars_on_side"`` (bars t
            since the last change of sign, as t ÷ (t + 24)). With a capital, orders are
            rounded by the instrument's rules, or by ``qty_step``, ``tick_size`` and
            ``min_notional_usdt``; without either it is refused.

    Attributes:
        training_bars: Bars of the range that the world model was trained on; `evaluate_policy`
            refuses them unless told otherwise.
        other_market: What is wrong with candles of another symbol than the world model's, which
            `evaluate_policy` refuses likewise; empty where nothing is.

    ## Version history
    v0: the first.
    """

    public_name = "BybitReplay-v0"
    title = "BybitReplay"
    training_bars = 0
    other_market = ""

    def __init__(
        self,
        candles: CandleSource | Sequence[CandleSource] = None,
        world_model: WorldModel | JointWorldModel | str | os.PathLike[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        episode_length: int | None = 720,
        random_start: bool = True,
        actions: ActionKind = "continuous",
        taker_fee: float = 0.00055,
        slippage: float = 0.0002,
        fill_delay: int = 0,
        render_mode: str | None = None,
        reward: RewardLike = "log_return",
        funding: FundingSource | Mapping[str, FundingSource] = None,
        unrecorded_funding_rate: float = 0.0,
        instrument: InstrumentSource = None,
        observation: ObservationKind | None = None,
        regimes: RegimeSource = None,
        **account: Any,
    ) -> None:
        refuse_unknown(BybitReplayEnv, self.public_name, account)
        self._universe = universe = Universe(
            candles,
            world_model,
            start,
            end,
            funding,
            unrecorded_funding_rate,
            observation,
            instrument,
            {"taker_fee": taker_fee, "slippage": slippage, "fill_delay": fill_delay, **account},
        )
        self._episode_length = check_length(episode_length)
        self._random_start = check_random_start(random_start)
        self._places = [_Place(one, self._episode_length, regimes) for one in universe.markets]
        self._enter(0)
        longest = self._episode_length or max(
            int(place.recorded.steps_left.max()) for place in self._places
        )
        super().__init__(
            self.recorded.layout, actions, universe.broker, reward, render_mode, longest
        )
        self.world_model_hash = universe.world_model_hash
        self.other_market = universe.other_market()
        self.training_bars = universe.training_bars()

    def _enter(self, number: int) -> None:
        """Stand at the first start of one of the symbols."""
        place = self._places[number]
        self.recorded, self._starts = place.recorded, place.starts
        self._row = int(place.starts[0])
        # Plain numbers straight from the arrays; lists of them would take 60 bytes a bar.
        self._time_at: Callable[[int], int] = place.recorded.candles.open_time_ms.item
        self._close_at: Callable[[int], float] = place.recorded.candles.close.item
        self._state, self._regimes = place.state, place.regimes
        self.title = (
            f"BybitReplay {place.recorded.candles.symbol} {place.recorded.candles.interval}"
        )

    def _choose(self, symbol: object) -> None:
        """Enter the symbol that is asked for, or one that is drawn, or the first."""
        if symbol is not None:
            self._enter(self._universe.number(symbol))
        elif self._random_start:
            self._enter(int(self.np_random.integers(len(self._places))))
        else:
            self._enter(0)

    def _begin(self, options: dict[str, Any] | None) -> Start:
        drawn = len(self._places) > 1
        given = read_options(options, "start", *(["symbol"] if drawn else []))
        if drawn:
            self._choose(given.get("symbol"))
        if "start" in given:
            row = self.recorded.first_start(given["start"], self._episode_length)
        elif self._random_start:
            row = int(self._starts[self.np_random.integers(len(self._starts))])
        else:
            row = int(self._starts[0])
        self._row = row
        observation: Observation = np.zeros(self._size, FLOAT32)
        observation[: self._market_size] = self.recorded.view[row]
        if self._state is not None:
            self._state.begin(np.ones(1, dtype=np.bool_), np.array([row]))
            observation[self.observation_layout["hidden"]] = self._state.hidden[0]
        left = int(self.recorded.steps_left[row])
        num_steps = min(self._episode_length or left, left)
        return Start(num_steps, observation, self._close_at(row), self._time_at(row))

    def _step_market(
        self, target: float, due: float
    ) -> tuple[Observation, float, int, AccountStep]:
        self._row = row = self._row + 1
        recorded, observation = self.recorded, np.empty(self._size, FLOAT32)
        stepped = step_recorded(
            self._account.state, due, recorded.bars, row, recorded.view, observation
        )
        if self._state is not None:
            self._state.advance(np.array([target]), np.array([row]))
            observation[self.observation_layout["hidden"]] = self._state.hidden[0]
        if row == recorded.delivery_row:
            stepped = self._deliver(observation, stepped)
        return observation, self._close_at(row), self._time_at(row), stepped

    def _past(self) -> PastBars:
        return PastBars.of(self.recorded.candles, self._row)

    def _candle(self, before: float, price: float) -> tuple[float, float, float]:
        candles, row = self.recorded.candles, self._row
        return candles.open.item(row), candles.high.item(row), candles.low.item(row)

    def _tell(self, info: dict[str, Any]) -> bool:
        if self.recorded.delivery_row is not None:
            info["delivered"] = self._row == self.recorded.delivery_row
        if self._regimes is not None:
            info["regime"] = str(self._regimes[self._row])
        if len(self._places) > 1:
            info["symbol"] = self.recorded.candles.symbol
        return False


class _Place:
    """Where an episode can be: one symbol's record.

    Args:
        market: The record.
        episode_length: Bars of an episode; None plays to the end of the stretch.
        regimes: Anything `open_regimes` opens.
    """

    def __init__(self, market: Replayed, episode_length: int | None, regimes: RegimeSource) -> None:
        self.recorded: RecordedMarket = market.recorded
        self.starts = market.recorded.starts(episode_length)
        self.state = open_recorded_state(market.recorded, market.world_model, 1)
        self.regimes = recorded_regimes(regimes, market.world_model, market.recorded)


def check_length(episode_length: int | None) -> int | None:
    """The length, if it is None or a positive whole number."""
    bars = whole_number(episode_length)
    if episode_length is not None and (bars is None or bars < 1):
        raise ConfigError(
            f"episode_length is {episode_length!r}; expected a number of bars, or None for all"
        )
    return bars
