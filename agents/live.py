"""From a closed candle to an action, bar by bar: what `worldmodel-trading watch` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..envs.engine.bar_engine import BarEngine
from ..envs.engine.opening import open_engine
from ..envs.spaces import LATENT_BOUND, observation_layout, with_account
from ..evaluation.policy import Policy, check_policy
from ..market.account.broker import ScalarAccount, dream_bars
from ..market.account.rules import BrokerConfig
from ..market.arrays import Float32Array, FloatArray
from ..market.candles import Candles
from ..market.errors import ConfigError, FeatureError
from ..market.features import StreamingFeatures, candles_for, valid_rows
from ..market.streamed_bars import numbers_after
from ..models.regimes.opening import RegimeSource, open_regimes
from ..models.world_model import WorldModel

if TYPE_CHECKING:
    from ..market.sources import CandleSource


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
    """

    open_time_ms: int
    close: float
    regime: str
    regime_probability: float
    volatility: float
    target: float
    weight: float
    equity: float


class LiveTrader:
    """Follows closed candles with a paper account; it places no orders.

    Args:
        world_model: Sees the market.
        policy: Chooses the target weight from [z, h, account]; one whose ``actions`` are
            ``"discrete"`` says 0 short, 1 flat, 2 long.
        broker: The paper account's rules.
        regimes: Anything `open_regimes` opens; None finds three in the world model's own bank.

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
    ) -> None:
        self._world_model = world_model
        self._engine = open_engine(world_model)
        self._policy, self._policy_state, self._begins = policy, None, True
        self._account = ScalarAccount(broker)
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
        self._close = np.nan
        self._last: Candles | None = None
        self._target = 0.0

    @property
    def history_bars(self) -> int:
        """Bars that `warm_up` needs."""
        features: int = self._world_model.config.features.warmup
        return features + self._engine.warmup

    def warm_up(self, history: CandleSource) -> Decision:
        """Hear recorded bars; returns the decision at the last one's close.

        Args:
            history: Anything `open_candles` opens.

        Raises:
            FeatureError: There are fewer than `history_bars` without a gap at the end, or the bars
                are of another interval than the world model's. Another symbol is warned of.
        """
        history = candles_for(self._world_model.config.features, history)
        features = self._world_model.features(history)
        window = features[-self._engine.warmup :]
        if len(window) < self._engine.warmup or not valid_rows(window).all():
            raise FeatureError(
                f"{len(history)} bars of history are too few, or hold a gap; expected at least "
                f"{self.history_bars} in a row"
            )
        self._features = StreamingFeatures(self._world_model.config.features)
        self._features.update(history)
        self._state = self._engine.after(history, np.array([len(history) - 1]))
        self._followed = self._regimes.after(self._world_model, history)
        self._close, self._last = float(history.close[-1]), history
        self._policy_state, self._begins = None, True
        return self._decide()

    def update(self, bar: Candles) -> Decision | None:
        """Live one closed bar: settle the paper account, then decide anew.

        Returns:
            The decision; None after a gap, until the features are complete again and `warm_up`
            has been called with new history.
        """
        row = self._features.update(bar)
        close = float(bar.close[-1])
        if self._state is None or row is None:
            self._state = None
            return None
        log_return = np.array([np.log(close) - np.log(self._close)])
        self._account.step(self._target, self._bar(bar))
        forced: Any = (self._encode(row[np.newaxis]), log_return)
        if isinstance(self._engine, BarEngine):
            bars = numbers_after(bar.rows(len(bar) - 1, len(bar)), np.array([self._close]))
            columns = len(self._world_model.config.features.needs)
            forced = np.concatenate([bars, row[np.newaxis, len(row) - columns :]], axis=1)
        self._engine.step(self._state, np.array([self._target]), self._silence, forced=forced)
        heard = self._world_model.heard(self._state.z)
        self._followed.update(heard, self._state.open_time_ms)
        self._close, self._last = close, bar
        return self._decide()

    def _bar(self, bar: Candles) -> FloatArray:
        """What the newest bar [1, 8] does to the account, its fill in the bar before."""
        before, logs = self._last, np.log(self._close)
        assert before is not None
        return dream_bars(
            np.log(bar.close[-1:]) - logs,
            np.log(bar.high[-1:]) - logs,
            np.log(bar.low[-1:]) - logs,
            fill_range=np.log(before.high[-1:]) - np.log(before.low[-1:]),
            fill_price=self._close,
            fill_turnover=before.turnover[-1:],
        )

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
        target = float(np.ravel(action)[0])
        if getattr(self._policy, "actions", None) == "discrete":
            target -= 1.0
        return min(max(target, -1.0), 1.0)

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
            equity=self._account.equity,
        )
