"""One lane of trading, whatever market it trades: the part that replay and dream share."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from ..market.broker import ScalarAccount
from ..market.candles import FloatArray
from ..market.costs import BrokerConfig
from ..market.errors import ConfigError
from ..market.rewards import RewardConfig, RewardName, ScalarReward
from .rendering import RENDER_MODES, EpisodeTrace, render_picture, render_text
from .spaces import (
    WEIGHT_BOUND,
    ActionKind,
    action_space,
    observation_space,
    target_weight,
)

Observation = NDArray[np.float32]


class TradingEnv(gym.Env[Observation, Any]):
    """An account that trades a market bar by bar.

    A subclass supplies the market: `_begin`, `_next_bar`, `_view`, `_clock_and_price`.

    Args:
        layout: Where each part lies in an observation; the account comes last.
        actions: ``"continuous"`` or ``"discrete"``.
        broker: The account's rules.
        reward: What a bar pays.
        render_mode: None, ``"ansi"`` or ``"rgb_array"``.

    Attributes:
        observation_layout: Names of the observation's parts, and their slices.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own declaration
        "render_modes": list(RENDER_MODES),
        "render_fps": 30,
    }
    title = "market"

    def __init__(
        self,
        layout: dict[str, slice],
        actions: ActionKind,
        broker: BrokerConfig,
        reward: RewardName,
        render_mode: str | None,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ConfigError(
                f"render_mode is {render_mode!r}; expected None or one of {RENDER_MODES}"
            )
        self.observation_layout = layout
        self.observation_space = observation_space(layout)
        self.action_space = action_space(actions)
        self.render_mode = render_mode
        self._actions = actions
        self._account = ScalarAccount(broker)
        self._reward = ScalarReward(RewardConfig(name=reward))
        self._size = layout["account"].stop
        self._steps_left = 0
        self._trace: EpisodeTrace | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode: equity 1, no position.

        Args:
            seed: Seeds the environment's own generator.
            options: What the market knows; see the environment.
        """
        super().reset(seed=seed)
        self._account.reset()
        self._reward.reset()
        self._steps_left = self._begin(dict(options or {}))
        info = self._info(0.0, 0.0, 0.0)
        if self.render_mode is not None:
            self._trace = EpisodeTrace(self.title)
            self._record(info)
        return self._observe(), info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Trade to the target weight at this close, then live the next bar.

        Raises:
            ActionError: The action is outside the action space.
            gymnasium.error.ResetNeeded: The episode is over, or never began.
        """
        if self._steps_left <= 0:
            raise ResetNeeded("the episode is over: call reset() before step()")
        target = target_weight(action, self._actions)
        bars, row = self._next_bar(target)
        held = self._account.weight
        settled = self._account.step(target, bars, row)
        turnover = abs(settled.executed - held)
        info = self._info(float(bars[row, 0]), settled.cost, turnover)
        ended = settled.terminated or self._is_cut_short(info)
        self._steps_left = 0 if ended else self._steps_left - 1
        truncated = self._steps_left == 0 and not settled.terminated
        if self.render_mode is not None:
            self._record(info)
        reward = self._reward.step(settled.reward)
        return self._observe(), reward, settled.terminated, truncated, info

    def render(self) -> Any:
        """The episode so far: a line of text, or pixels [400, 640, 3]."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: gym.make(…, render_mode='rgb_array')")
            return None
        if self._trace is None:
            raise ResetNeeded("there is nothing to render: call reset() first")
        return (
            render_text(self._trace) if self.render_mode == "ansi" else render_picture(self._trace)
        )

    def _observe(self) -> Observation:
        observation = self._view()
        weight = self._account.weight
        if not -WEIGHT_BOUND <= weight <= WEIGHT_BOUND:
            weight = math.copysign(WEIGHT_BOUND, weight)
        observation[-1] = weight
        return observation

    def _info(self, market_return: float, cost: float, turnover: float) -> dict[str, Any]:
        time_ms, price = self._clock_and_price()
        info: dict[str, Any] = {
            "equity": self._account.equity,
            "weight": self._account.weight,
            "price": price,
            "market_return": market_return,
            "cost": cost,
            "turnover": turnover,
            "time_ms": time_ms,
        }
        self._tell(info)
        return info

    def _tell(self, info: dict[str, Any]) -> None:
        """Add what this market tells beyond the others."""

    def _is_cut_short(self, info: dict[str, Any]) -> bool:
        """Whether the market truncates the episode before its time."""
        return False

    def _record(self, info: dict[str, Any]) -> None:
        if self._trace is not None:
            self._trace.append(info["time_ms"], info["price"], info["equity"], info["weight"])

    @abstractmethod
    def _begin(self, options: dict[str, Any]) -> int:
        """Place the market at an episode's start; returns the steps it can take."""

    @abstractmethod
    def _next_bar(self, target: float) -> tuple[FloatArray, int]:
        """Live one bar: bars [.., 7] (columns `BAR_FIELDS`) and the row that was lived."""

    @abstractmethod
    def _view(self) -> Observation:
        """What the policy sees, a fresh array [D]; the account's number is still to be written."""

    @abstractmethod
    def _clock_and_price(self) -> tuple[int, float]:
        """Open time of the bar that just closed [ms UTC], and its close."""


def refuse_options(options: dict[str, Any], *known: str) -> None:
    """Raise `ConfigError` for a reset option that is not known."""
    for name in options:
        if name not in known:
            raise ConfigError(
                f"reset option {name!r} is unknown; expected one of {', '.join(known)}"
            )
