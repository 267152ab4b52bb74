"""Rewards: what an agent is paid for a bar, from the log growth g = log(E' / E) of its equity.

==========================  =====================================================================
``log_return`` (default)    g; an episode's rewards sum to log(equity)
``simple_return``           R = exp(g) − 1
``differential_sharpe``     dS/dη, the influence of R on an exponentially weighted Sharpe ratio
==========================  =====================================================================

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
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..arrays import BoolArray, FloatArray
from ..errors import ConfigError
from ..numerics.compiled import compiled
from ..records import Record
from .settlement import expm1

RewardName = Literal["log_return", "simple_return", "differential_sharpe"]

_VOLATILITY_FLOOR = 0.01  # of the initial volatility


@dataclass(frozen=True)
class RewardConfig(Record):
    """Which reward is paid.

    Attributes:
        name: ``"log_return"``, ``"simple_return"`` or ``"differential_sharpe"``.
        adaptation_rate: η of the differential Sharpe ratio, per bar; 0.01 remembers about 100 bars.
        initial_volatility: Standard deviation per bar that its estimates start from.
    """

    name: RewardName = "log_return"
    adaptation_rate: float = 0.01
    initial_volatility: float = 0.005

    _bounds = {  # noqa: RUF012
        "adaptation_rate": (1e-6, 1.0),
        "initial_volatility": (1e-6, 10.0),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name not in get_args(RewardName):
            known = ", ".join(get_args(RewardName))
            raise ConfigError(f"reward is {self.name!r}; expected one of {known}")


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


@compiled
def _sharpe_lanes(
    log_growth: FloatArray, moments: FloatArray, rate: float, min_variance: float, out: FloatArray
) -> None:
    for i in range(log_growth.shape[0]):
        out[i], moments[0, i], moments[1, i] = differential_sharpe(
            math.expm1(log_growth[i]), moments[0, i], moments[1, i], rate, min_variance
        )


class LaneRewards:
    """Rewards of N lanes.

    Args:
        num_lanes: N.
        config: The reward; defaults to the log return.
    """

    def __init__(self, num_lanes: int, config: RewardConfig | None = None) -> None:
        self.config = config or RewardConfig()
        self._moments: FloatArray = np.zeros((2, num_lanes))  # A and B
        self._min_variance = (_VOLATILITY_FLOOR * self.config.initial_volatility) ** 2
        self.reset()

    def reset(self, mask: BoolArray | None = None) -> None:
        """Start the estimates of the lanes in ``mask`` [N], or of all, afresh."""
        lanes: BoolArray | slice = slice(None) if mask is None else mask
        self._moments[0, lanes] = 0.0
        self._moments[1, lanes] = self.config.initial_volatility**2

    def step(self, log_growth: FloatArray) -> FloatArray:
        """Rewards [N], a fresh array, of the bar in which equity grew by ``log_growth`` [N]."""
        growth: FloatArray = np.array(log_growth, dtype=np.float64)
        if self.config.name == "log_return":
            return growth
        reward = np.empty_like(growth)
        if self.config.name == "simple_return":
            expm1(growth, reward)
        else:
            rate = self.config.adaptation_rate
            _sharpe_lanes(growth, self._moments, rate, self._min_variance, reward)
        return reward


class ScalarReward:
    """Reward of one lane, with plain numbers; the same bits as `LaneRewards`.

    Args:
        config: The reward; defaults to the log return.
    """

    def __init__(self, config: RewardConfig | None = None) -> None:
        self.config = config or RewardConfig()
        self._lanes = LaneRewards(1, self.config)
        self._is_log_return = self.config.name == "log_return"

    def reset(self) -> None:
        """Start the estimates afresh."""
        self._lanes.reset()

    def step(self, log_growth: float) -> float:
        """Reward of the bar in which equity grew by ``log_growth``."""
        if self._is_log_return:
            return log_growth
        return float(self._lanes.step(np.array([log_growth]))[0])
