"""One lane of trading, whatever market it trades: the part that replay and dream share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded

from ..market.account.broker import ScalarAccount
from ..market.account.rewards import LogReturn, RewardLike, ScalarReward, open_reward
from ..market.account.rules import BrokerConfig
from ..market.arrays import Float32Array, FloatArray
from ..market.settings import seed_number
from .one_account import AccountStep
from .protocol import complete_spec, refuse_closed
from .rendering import (
    RENDER_MODES,
    Screen,
    check_render_mode,
    render_text,
)
from .spaces import (
    ActionKind,
    action_space,
    market_size,
    observation_space,
    target_weight,
    with_account,
)
from .trace import EpisodeTrace, PastBars

Observation = Float32Array


class Start(NamedTuple):
    """Where an episode begins.

    Attributes:
        num_steps: That it can take.
        observation: What the policy sees, a fresh array [D]; the account's number is 0.
        price: Newest close.
        time_ms: Open time of the bar that just closed [ms UTC].
    """

    num_steps: int
    observation: Observation
    price: float
    time_ms: int


class TradingEnv(gym.Env[Observation, Any]):
    """An account that trades a market bar by bar.

    A subclass supplies the market: `_begin` places it at an episode's start, `_step_market` lives a bar.
    It names Gymnasium's class as a direct base too, where some tools look for it (skrl's
    `wrap_env`).

    Args:
        layout: Where each part of what the market shows lies; the account comes after it.
        actions: ``"continuous"`` or ``"discrete"``.
        broker: The account's rules.
        reward: What a bar pays.
        render_mode: None, ``"ansi"``, ``"rgb_array"`` or ``"human"``.
        max_steps: Steps that an episode has at most.

    Attributes:
        observation_layout: Names of the observation's parts, and their slices.
        world_model_hash: `WorldModel.fingerprint` of the one that the market is seen through.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own declaration
        "render_modes": list(RENDER_MODES),
        "render_fps": 30,
    }
    title = "market"
    _spec: EnvSpec | None = None
    world_model_hash: str | None = None

    def __init__(
        self,
        layout: dict[str, slice],
        actions: ActionKind,
        broker: BrokerConfig,
        reward: RewardLike,
        render_mode: str | None,
        max_steps: int,
    ) -> None:
        check_render_mode(render_mode)
        self.observation_layout = with_account(layout, broker.view)
        self.observation_space = observation_space(self.observation_layout, broker.view)
        self.action_space = action_space(actions)
        self.render_mode = render_mode
        self._actions = actions
        self._account = ScalarAccount(broker)
        # Most often the log growth itself is the reward: then nothing is called for it.
        paid = open_reward(reward)
        self._reward = None if isinstance(paid, LogReturn) else ScalarReward(paid)
        self._market_size, self._size = market_size(layout), self.observation_layout["account"].stop
        self._steps_left = 0
        self._doubt = 0.0  # what the last bar takes from the reward of a weight of 1
        self._trace: EpisodeTrace | None = None
        self._max_steps = max_steps
        self._closed = False
        self._screen = Screen(str(render_mode), self.metadata["render_fps"])

    @property
    def spec(self) -> EnvSpec | None:
        """What `gymnasium.make` made it from, with the steps that an episode has at most."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = complete_spec(spec, self._max_steps)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode: equity 1, no position.

        Args:
            seed: Seeds the environment's own generator.
            options: What the market knows; see the environment. What it would ignore is refused.

        Raises:
            ConfigError: The seed is none, or an option would be ignored.
            gymnasium.error.ClosedEnvironmentError: The environment is closed.
        """
        refuse_closed(self._closed)
        super().reset(seed=None if seed is None else seed_number(seed))
        self._steps_left = 0  # where the options are refused, there is no episode
        start = self._begin(options)
        self._account.reset()
        if self._reward is not None:
            self._reward.reset()
        self._steps_left, observation, price, time_ms = start
        info: dict[str, Any] = {
            "equity": 1.0,
            "weight": 0.0,
            "price": price,
            "market_return": 0.0,
            "cost": 0.0,
            "slippage": 0.0,
            "funding": 0.0,
            "turnover": 0.0,
            "time_ms": time_ms,
        }
        self._tell(info)
        if self.render_mode is not None:
            self._trace = EpisodeTrace(self.title, self._past(), self._steps_left)
            self._show()
        return observation, info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Trade to the target weight at this close, then live the next bar.

        Raises:
            ActionError: The action is not finite, or has the wrong shape or type.
            gymnasium.error.ResetNeeded: The episode is over, or never began.
            gymnasium.error.ClosedEnvironmentError: The environment is closed.
        """
        if self._steps_left <= 0:
            refuse_closed(self._closed)
            raise ResetNeeded("the episode is over: call reset() before step()")
        target = target_weight(action, self._actions)
        observation, price, time_ms, stepped = self._step_market(target, self._account.due(target))
        equity, weight, reward, cost, turnover, market_return, terminated, held, slip, paid = (
            stepped
        )
        info = {
            "equity": equity,
            "weight": weight,
            "price": price,
            "market_return": market_return,
            "cost": cost,
            "slippage": slip,
            "funding": paid,
            "turnover": turnover,
            "time_ms": time_ms,
        }
        ended = self._tell(info) or terminated
        self._steps_left = 0 if ended else self._steps_left - 1
        truncated = self._steps_left == 0 and not terminated
        if self._trace is not None:
            bar = (*self._candle(self._trace.newest_close, price), price)
            self._trace.append(time_ms, bar, equity, weight, cost)
            self._show()
        if self._reward is not None:
            reward = self._reward.step(reward, equity, weight, turnover, cost, market_return)
        if self._doubt:
            reward -= self._doubt * abs(held)
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        """The episode so far: a line of text, or pixels [640, 960, 3]; a window shows itself."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: gym.make(…, render_mode='rgb_array')")
            return None
        if self._trace is None:
            raise ResetNeeded("there is nothing to render: call reset() first")
        if self.render_mode == "ansi":
            return render_text(self._trace)
        return self._screen.show(self._trace, self._future())

    def _show(self) -> None:
        """A window follows by itself, as Gymnasium's do."""
        if self.render_mode == "human":
            self.render()

    def close(self) -> None:
        """End the environment, and its window: no episode starts after that, and no step is taken."""
        self._screen.close()
        super().close()
        self._steps_left, self._closed = 0, True

    def _deliver(self, observation: Observation, stepped: AccountStep) -> AccountStep:
        """Close the account at the last price of a contract that ended with the bar just lived."""
        self._account.close()
        self._account.show(observation)
        equity, _, growth, cost, turnover, market_return, _ = stepped[:7]
        return (equity, 0.0, growth, cost, turnover, market_return, True, *stepped[7:])

    def _tell(self, info: dict[str, Any]) -> bool:
        """Add what this market tells beyond the others; whether it cuts the episode short."""
        return False

    @abstractmethod
    def _past(self) -> PastBars:
        """Bars up to the one that the episode starts after, for a picture."""

    @abstractmethod
    def _candle(self, before: float, price: float) -> tuple[float, float, float]:
        """Open, high and low of the bar just lived, from the close before it to its own."""

    def _future(self) -> FloatArray | None:
        """Closes of what may come next [N, B], where the market has an idea of it."""
        return None

    @abstractmethod
    def _begin(self, options: dict[str, Any] | None) -> Start:
        """Place the market at an episode's start; refuses options that it would ignore."""

    @abstractmethod
    def _step_market(
        self, target: float, due: float
    ) -> tuple[Observation, float, int, AccountStep]:
        """Live one bar: the market moves on, and the account with it.

        Args:
            target: What the agent wants: a market that hears actions hears this one.
            due: What the account fills now; with a fill delay, an older target.

        Returns:
            What the policy sees, a fresh array [D]; the newest close; the open time of the bar
            that just closed [ms UTC]; and what the bar did to the account.
        """
