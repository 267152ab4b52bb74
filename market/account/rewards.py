"""Rewards: what an agent is paid for a bar, each one class with one compiled method.

==========================  =====================================================================
``log_return`` (default)    g = log(E' / E); an episode's rewards sum to log(equity)
``simple_return``           R = exp(g) − 1
``differential_sharpe``     dS/dη, the influence of R on an exponentially weighted Sharpe ratio
==========================  =====================================================================

To add a named one, write its class here: every environment then knows its ``name``. A function of a
`RewardStep` needs no name: environments take it as it is, and a compiled one (`numba.njit`) is
called for all lanes in one compiled loop.

The differential Sharpe ratio (Moody & Saffell 1998, "Reinforcement Learning for Trading"; 2001,
"Learning to Trade via Direct Reinforcement", eq. 18) keeps moving estimates of the first two
moments of R, A and B, of adaptation rate η::

    D_t = (B_{t−1}·ΔA_t − A_{t−1}·ΔB_t / 2) / (B_{t−1} − A²_{t−1})^{3/2}
    ΔA_t = R_t − A_{t−1},   ΔB_t = R_t² − B_{t−1}
    A_t = A_{t−1} + η·ΔA_t, B_t = B_{t−1} + η·ΔB_t

The estimates start at A = 0, B = initial_volatility², not at zero, where the first rewards would be
unbounded; and the variance is never taken below (initial_volatility / 100)², so that an account
that stood still for long does not divide by nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

import numpy as np
from numba import njit
from numba.core.errors import NumbaError

from ..arrays import BoolArray, FloatArray
from ..errors import ConfigError
from ..numerics.compiled import compiled, first_numbers
from ..records import Record

_VOLATILITY_FLOOR = 0.01  # of the initial volatility


class RewardStep(NamedTuple):
    """What a bar did to an account: all that a reward is computed from.

    Attributes:
        log_growth: log(equity ÷ equity before).
        equity: After the bar, in initial equities.
        peak: Highest equity of the episode so far, 1 at its start; this bar's included.
        weight: Drifted weight after the bar, signed notional ÷ equity.
        turnover: |Δw| traded at the bar's beginning.
        cost: Fees and slippage of that, as a fraction of the equity before.
        market_return: Simple return of the bar.
    """

    log_growth: float
    equity: float
    peak: float
    weight: float
    turnover: float
    cost: float
    market_return: float


_FACTS: Final = len(RewardStep._fields)
RewardFunction: TypeAlias = Callable[[RewardStep], float]


class Reward(Record):
    """Base of the rewards that have a name: frozen dataclasses of their settings.

    Attributes:
        name: In ``reward=``; a reward without one is handed over as an object.
        pay: ``pay(step, memory)``: the reward, from a `RewardStep` and the lane's own memory [M],
            which it may write to.
    """

    name: ClassVar[str] = ""
    pay: ClassVar[Callable[..., Any]]

    def start(self) -> tuple[float, ...]:
        """A lane's memory [M] when an episode begins."""
        return ()


@dataclass(frozen=True)
class LogReturn(Reward):
    """The log growth of the equity."""

    name = "log_return"

    @staticmethod
    @compiled
    def pay(step: RewardStep, memory: FloatArray) -> float:
        """As it is."""
        return step.log_growth


@dataclass(frozen=True)
class SimpleReturn(Reward):
    """The relative growth of the equity."""

    name = "simple_return"

    @staticmethod
    @compiled
    def pay(step: RewardStep, memory: FloatArray) -> float:
        """R."""
        return math.expm1(step.log_growth)


@dataclass(frozen=True)
class DifferentialSharpe(Reward):
    """The influence of a bar on the Sharpe ratio of the bars before it.

    Attributes:
        adaptation_rate: η, per bar; 0.01 remembers about 100 bars.
        initial_volatility: Standard deviation per bar that the estimates start from.
    """

    adaptation_rate: float = 0.01
    initial_volatility: float = 0.005

    name = "differential_sharpe"
    _bounds = {  # noqa: RUF012
        "adaptation_rate": (1e-6, 1.0),
        "initial_volatility": (1e-6, 10.0),
    }

    def start(self) -> tuple[float, ...]:
        """A, B, η and the least variance."""
        volatility = self.initial_volatility
        least = (_VOLATILITY_FLOOR * volatility) ** 2
        return 0.0, volatility**2, self.adaptation_rate, least

    @staticmethod
    @compiled
    def pay(step: RewardStep, memory: FloatArray) -> float:
        """D_t; moves A and B on."""
        reward, memory[0], memory[1] = differential_sharpe(
            math.expm1(step.log_growth), memory[0], memory[1], memory[2], memory[3]
        )
        return reward


@compiled
def differential_sharpe(
    simple_return: float, first: float, second: float, rate: float, min_variance: float
) -> tuple[float, float, float]:
    """One step of the differential Sharpe ratio.

    Args:
        simple_return: R_t.
        first: A_{t−1}.
        second: B_{t−1}.
        rate: η.
        min_variance: Lower bound of B − A² in the denominator.

    Returns:
        D_t, A_t, B_t.
    """
    change = simple_return - first
    change_second = simple_return * simple_return - second
    variance = max(second - first * first, min_variance)
    reward = (second * change - 0.5 * first * change_second) / (variance * math.sqrt(variance))
    return reward, first + rate * change, second + rate * change_second


@dataclass(frozen=True)
class _OfFunction(Reward):
    """A user's function of a `RewardStep`, compiled or not."""

    function: RewardFunction

    name = ""


RewardLike: TypeAlias = str | Reward | RewardFunction


def open_reward(reward: RewardLike) -> Reward:
    """A reward from its name, itself, or a function of a `RewardStep`.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(reward, Reward):
        return reward
    known = {kind.name: kind for kind in Reward.__subclasses__() if kind.name}
    if isinstance(reward, str) and reward in known:
        return known[reward]()
    if callable(reward) and not isinstance(reward, type):
        return _OfFunction(reward)
    raise ConfigError(
        f"reward is {reward!r}; expected one of {', '.join(known)}, a Reward, or a function of a "
        "RewardStep"
    )


class LaneRewards:
    """Rewards of N lanes.

    Args:
        num_lanes: N.
        reward: Anything `open_reward` opens.

    Attributes:
        reward: What is paid.
    """

    def __init__(self, num_lanes: int, reward: RewardLike = "log_return") -> None:
        self.reward = open_reward(reward)
        self._start: FloatArray = np.array(self.reward.start(), dtype=np.float64)
        self._memory: FloatArray = np.empty((num_lanes, len(self._start)))
        self._steps: FloatArray = np.ones((num_lanes, _FACTS))  # the columns of `RewardStep`
        self._nobody: BoolArray = np.zeros(num_lanes, dtype=np.bool_)
        self.reset()

    def reset(self, mask: BoolArray | None = None) -> None:
        """Begin an episode in the lanes in ``mask`` [N], or in all."""
        lanes: BoolArray | slice = slice(None) if mask is None else mask
        self._memory[lanes] = self._start
        self._steps[lanes, 2] = 1.0

    def step(
        self,
        log_growth: FloatArray,
        equity: FloatArray,
        weight: FloatArray,
        turnover: FloatArray,
        cost: FloatArray,
        market_return: FloatArray,
        idle: BoolArray | None = None,
    ) -> FloatArray:
        """Rewards [N], a fresh array, of a bar; the arguments [N] are `RewardStep`'s.

        Args:
            log_growth: Of each lane's equity.
            equity: After the bar.
            weight: After the bar.
            turnover: At its beginning.
            cost: Of that.
            market_return: Of the bar.
            idle: Lanes to which the bar is nothing; they are paid 0.

        Raises:
            ConfigError: A function of the user's pays no finite number.
        """
        if type(self.reward) is LogReturn:
            return np.array(log_growth, dtype=np.float64)
        peak = np.maximum(self._steps[:, 2], equity)
        facts = (log_growth, equity, peak, weight, turnover, cost, market_return)
        for column, values in enumerate(facts):
            self._steps[:, column] = values
        return self._paid(self._nobody if idle is None else idle)

    def _paid(self, idle: BoolArray) -> FloatArray:
        pay, out = _pay_of(self.reward), np.zeros(len(idle))
        if _is_compiled(pay):
            try:
                _lanes_of(pay)(self._steps, idle, self._memory, out)
            except NumbaError as error:
                raise ConfigError(
                    f"the reward {pay.__name__} cannot be compiled for a RewardStep: {error}"
                ) from error
        else:
            for lane in np.flatnonzero(~idle).tolist():
                out[lane] = self._interpreted(pay, lane)
        if not np.isfinite(out).all():
            lane = int(np.flatnonzero(~np.isfinite(out))[0])
            raise ConfigError(self._refusal(float(out[lane]), lane))
        return out

    def _interpreted(self, pay: Any, lane: int) -> float:
        paid = pay(RewardStep(*self._steps[lane].tolist()), self._memory[lane])
        try:
            return float(paid)
        except (TypeError, ValueError):
            raise ConfigError(self._refusal(paid, lane)) from None

    def _refusal(self, paid: object, lane: int) -> str:
        step = RewardStep(*self._steps[lane].tolist())
        return f"the reward pays {paid!r} for {step}; expected a finite number"


class ScalarReward:
    """Reward of one lane, with plain numbers; the same bits as `LaneRewards`.

    Args:
        reward: Anything `open_reward` opens.
    """

    def __init__(self, reward: RewardLike = "log_return") -> None:
        self._lanes = LaneRewards(1, reward)

    def reset(self) -> None:
        """Begin an episode."""
        self._lanes.reset()

    def step(
        self,
        log_growth: float,
        equity: float,
        weight: float,
        turnover: float,
        cost: float,
        market_return: float,
    ) -> float:
        """Reward of a bar; see `LaneRewards.step`."""
        lanes = self._lanes
        row = lanes._steps[0]
        peak = max(row.item(2), equity)
        row[:] = log_growth, equity, peak, weight, turnover, cost, market_return
        return lanes._paid(lanes._nobody).item(0)


def _is_compiled(function: Any) -> bool:
    return hasattr(function, "py_func")


def _pay_of(reward: Reward) -> Any:
    """What is called with a step and a lane's memory."""
    if not isinstance(reward, _OfFunction):
        return reward.pay
    function: Any = reward.function
    if _is_compiled(function):
        return _without_memory(function)
    return lambda step, memory: function(step)


@cache
def _without_memory(function: Any) -> Any:
    @njit
    def pay(step: RewardStep, memory: FloatArray) -> Any:
        return function(step)

    pay.__name__ = function.__name__
    return pay


@cache
def _lanes_of(pay: Any) -> Any:
    """One compiled call for all lanes; compiled in every process: no file knows the function."""

    @njit(error_model="numpy")
    def lanes(steps: FloatArray, idle: BoolArray, memory: FloatArray, out: FloatArray) -> None:
        for i in range(out.shape[0]):
            if not idle[i]:
                out[i] = pay(RewardStep(*first_numbers(steps[i], _FACTS)), memory[i])

    return lanes
