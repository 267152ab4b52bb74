"""From a closed candle to an action, bar by bar: what `worldmodel-trading watch` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..envs.engine.bar_engine import BarEngine
from ..envs.engine.opening import open_engine
from ..envs.spaces import LATENT_BOUND, observation_layout, target_weight, with_account
from ..evaluation.policy import Policy, action_kind, check_policy
from ..market.account.rules import BrokerConfig
from ..market.arrays import Float32Array
from ..market.candles import Candles, join_candles
from ..market.errors import ConfigError, FeatureError
from ..market.features import StreamingFeatures, candles_for, valid_rows
from ..market.sources import open_funding
from ..market.streamed_bars import numbers_after
from ..models.regimes.opening import RegimeSource, open_regimes
from ..models.world_model import WorldModel
from .paper_account import PaperAccount

if TYPE_CHECKING:
    from ..market.sources import CandleSource, FundingSource


@dataclass(frozen=True)
class Decision:
    """What the close of a bar led to.

    Attributes:
        open_time_ms: Open time of the bar [ms UTC].
        close: Its close.
        regime: Name of the market's likeliest regime, given the bars so far.
        regime_probability: How likely it is.
        volatility: Of the bars that follow those of the regime, as recorded, percent a bar.
        target: Weight that the policy wants.
        weight: Drifted weight of a paper account before that.
        equity: Equity of the paper account, 1 at the start.
        funding: Paid for the bar, a fraction of the equity before; negative is received.
    """

    open_time_ms: int
    close: float
    regime: str
    regime_probability: float
    volatility: float
    target: float
    weight: float
    equity: float
    funding: float


class LiveTrader:
    """Follows closed candles with a paper account; it places no orders.

    The account is replay's: the same bars and rates lead to the same fills, funding and equity. Over a
    gap it is carried in cash, as a replay's whose record has one (`chain_episodes`): what was held is
    out at the last close before the gap, at no cost, and with new history the account begins flat,
    with the equity that was left.

    Args:
        world_model: Sees the market.
        policy: Chooses the target weight from [z, h, account]; one whose actions are discrete (it
            says so by ``actions`` or its action space) says 0 short, 1 flat, 2 long.
        broker: The paper account's rules; None takes those that an `Agent` was trained with, and of
            other policies Bybit's costs, unlevered.
        regimes: Anything `open_regimes` opens; None finds three in the world model's own bank.
        funding: What positions pay, anything `open_funding` opens; None for none.
        unrecorded_funding_rate: Charged at instants that were due and are not recorded, as in replay.

    Raises:
        ConfigError: The policy was trained in another world model, or reads something else than
            [z, h, account].
    """

    def __init__(
        self,
        world_model: WorldModel,
        policy: Policy,
        broker: BrokerConfig | None = None,
        regimes: RegimeSource = None,
        funding: FundingSource = None,
        unrecorded_funding_rate: float = 0.0,
    ) -> None:
        self._world_model = world_model
        self._engine = open_engine(world_model)
        self._policy, self._policy_state, self._begins = policy, None, True
        self._actions = action_kind(policy)
        rules = broker or _trained_broker(policy, world_model)
        self._paper = PaperAccount(rules, funding, unrecorded_funding_rate)
        self._account = self._paper.account
        config = world_model.config
        latents = observation_layout({"latent": config.latent_size, "hidden": config.hidden_size})
        layout = with_account(latents, self._account.config.view)
        check_policy(policy, world_model.fingerprint, layout)
        found = open_regimes(True if regimes is None else regimes, world_model)
        if found is None:
            raise ConfigError("regimes is False; expected regimes that can be told, or None")
        self._regimes = found
        self._followed = found.follow()
        self._features = StreamingFeatures(world_model.config.features)
        self._silence = self._engine.draw_noise(np.random.default_rng(0), 1)
        self._state: Any = None
        self._heard: list[Candles] = []  # bars in a row since a gap, until there are enough
        self._close = np.nan
        self._target = 0.0

    @property
    def history_bars(self) -> int:
        """Bars that `warm_up` needs."""
        features: int = self._world_model.config.features.warmup
        return features + self._engine.warmup

    def warm_up(self, history: CandleSource) -> Decision:
        """Hear recorded bars; returns the decision at the last one's close.

        An account that stands at that close goes on; one that stands elsewhere has a gap behind it.

        Args:
            history: Anything `open_candles` opens.

        Raises:
            FeatureError: There are fewer than `history_bars` without a gap at the end, or the bars
                are of another interval than the world model's. Another symbol is warned of.
        """
        history = candles_for(self._world_model.config.features, history)
        if not self._is_observed(history):
            raise FeatureError(
                f"{len(history)} bars of history are too few, or hold a gap; expected at least "
                f"{self.history_bars} in a row"
            )
        self._features = StreamingFeatures(self._world_model.config.features)
        self._features.update(history)
        return self._begin(history)

    def update(self, bar: Candles, funding: FundingSource = None) -> Decision | None:
        """Live one closed bar: settle the paper account, then decide anew.

        Args:
            bar: What comes right after the last one; of several, each is lived in turn.
            funding: Rates as they are known by now, in the place of those given before.

        Returns:
            The decision; None after a gap, until `history_bars` have come in a row again, or
            `warm_up` was called with new history.
        """
        if funding is not None:
            self._paper.rates = open_funding(funding)
        if len(bar) == 1:
            return self._live(bar)
        return [self._live(bar.rows(row, row + 1)) for row in range(len(bar))][-1]

    def _live(self, bar: Candles) -> Decision | None:
        row = self._features.update(bar)
        if self._state is not None and row is None:
            self._state, self._heard = None, []
            self._paper.to_cash()
        if self._state is None or row is None:
            return self._hear(bar)
        log_return = np.array([np.log(bar.close[0]) - np.log(self._close)])
        self._paper.live(self._target, bar)
        forced: Any = (self._encode(row[np.newaxis]), log_return)
        if isinstance(self._engine, BarEngine):
            bars = numbers_after(bar, np.array([self._close]))
            columns = len(self._world_model.config.features.needs)
            forced = np.concatenate([bars, row[np.newaxis, len(row) - columns :]], axis=1)
        self._engine.step(self._state, np.array([self._target]), self._silence, forced=forced)
        heard = self._world_model.heard(self._state.z)
        self._followed.update(heard, self._state.open_time_ms)
        self._close = float(bar.close[0])
        return self._decide()

    def _hear(self, bar: Candles) -> Decision | None:
        """Keep a bar of a stretch that is too short to decide on; begin when it no longer is."""
        if self._heard:
            last = self._heard[-1]
            if bar.open_time_ms[0] != last.open_time_ms[0] + last.interval_ms:
                self._heard = []
        self._heard.append(bar)
        if len(self._heard) < self.history_bars:
            return None
        history = join_candles(self._heard)
        return self._begin(history) if self._is_observed(history) else None

    def _is_observed(self, history: Candles) -> bool:
        """Whether the world model can be warmed up at the last of these bars."""
        window = self._world_model.features(history)[-self._engine.warmup :]
        return len(window) == self._engine.warmup and bool(valid_rows(window).all())

    def _begin(self, history: Candles) -> Decision:
        """Decide at the last close of bars that the features have heard."""
        self._state = self._engine.after(history, np.array([len(history) - 1]))
        self._followed = self._regimes.after(self._world_model, history)
        self._paper.stand(history.rows(len(history) - 1, len(history)))
        self._close, self._heard = float(history.close[-1]), []
        self._policy_state, self._begins = None, True
        return self._decide()

    def _encode(self, features: np.ndarray) -> np.ndarray:
        latents = self._world_model.encode(features)
        return np.ascontiguousarray(np.clip(latents, -LATENT_BOUND, LATENT_BOUND))

    def _asked(self, observation: Float32Array) -> float:
        """The policy's target weight; what it remembers goes on until a new warm-up."""
        begins = np.full(1, self._begins)
        action, self._policy_state = self._policy.predict(
            observation, self._policy_state, begins, deterministic=True
        )
        self._begins = False
        return target_weight(np.ravel(action), self._actions)

    def _decide(self) -> Decision:
        state = self._state
        if state is None:
            raise FeatureError("the trader has no history yet: call warm_up() first")
        weight = self._account.weight
        inputs = len(self._account.config.view.account_observation)
        observation = np.concatenate([state.z[0], state.h[0], np.empty(inputs, dtype=np.float32)])
        self._account.show(observation)
        self._target = self._asked(observation)
        believed = self._followed.believed[0]
        regime = int(believed.argmax())
        return Decision(
            open_time_ms=int(state.open_time_ms[0]),
            close=self._close,
            regime=self._regimes.names[regime],
            regime_probability=float(believed[regime]),
            volatility=self._regimes.traits[regime].volatility,
            target=self._target,
            weight=weight,
            equity=self._paper.equity,
            funding=self._paper.funding,
        )


def _trained_broker(policy: Policy, world_model: WorldModel) -> BrokerConfig | None:
    """The rules that an `Agent` was trained with; None of a policy that does not say."""
    record = getattr(policy, "record", None)
    if record is None:
        return None
    from .training import broker_of

    return broker_of(record.account, world_model)
