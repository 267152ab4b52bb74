"""The synthetic market as a training ground whose truth is known, in variants that test a trainer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from worldmodel_trading.envs.recorded import RecordedMarket, feature_record
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.replay_lanes import ReplayLanes
from worldmodel_trading.envs.spaces import FEATURE_BOUND, ActionKind, observation_layout
from worldmodel_trading.envs.vector import TradingVectorEnv
from worldmodel_trading.evaluation.lanes import run_lanes
from worldmodel_trading.evaluation.policy import Policy
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import Float32Array, FloatArray, IntArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.features import FeatureSpec
from worldmodel_trading.market.optimal_policy import OptimalPolicy
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles

YEAR: Final = 8_760
COST: Final = 0.00075
"""Fee and slippage that environments charge by default."""
_PERCENT: Final = 100.0
_JUDGED: Final = 1_000_003  # the path that judges; those that are learned on have other seeds
_BEFORE: Final = 1_000  # bars that features need for their history


@dataclass(frozen=True)
class Variant:
    """One version of the market.

    Attributes:
        edge: Multiplies every regime's drift: 1 is the market's own edge, 0 none.
        handed: Whether the observation holds the coming bar's return.
    """

    edge: float
    handed: bool = False


class KnownMarket:
    """A record of one variant of the synthetic market, as lanes and as a Gymnasium environment.

    Args:
        variant: Which.
        episodes: How many it has room for, one after another.
        length: Bars of each.
        seed: Of the path.
    """

    def __init__(self, variant: Variant, episodes: int, length: int, seed: int) -> None:
        bars = episodes * length + _BEFORE
        self.variant, self.episodes, self.length = variant, episodes, length
        self.candles: Candles = synthetic_candles(seed=seed, bars=bars, edge=variant.edge)
        record = feature_record(self.candles, FeatureSpec.for_interval(self.candles.interval))
        self.recorded: RecordedMarket = _handed(record) if variant.handed else record

    def lanes(
        self,
        num_envs: int,
        actions: ActionKind = "continuous",
        mode: AutoresetMode = AutoresetMode.SAME_STEP,
    ) -> TradingVectorEnv:
        """So many episodes at once, each begun by chance."""
        return _KnownLanes(self, num_envs, actions, mode)

    def env(self) -> gym.Env[Float32Array, Any]:
        """One episode at a time, begun by chance, for trainers that take a Gymnasium environment."""
        env = BybitReplayEnv(self.candles, episode_length=self.length)
        return Handed(env) if self.variant.handed else env

    def starts(self) -> IntArray:
        """Rows at which its episodes begin [N]."""
        first = int(np.flatnonzero(self.recorded.steps_left >= 0)[0])
        return first + self.length * np.arange(self.episodes)

    def earned(self, policy: Policy, actions: ActionKind = "continuous") -> FloatArray:
        """Annual log return after costs of a policy in each episode [N]."""
        lanes = self.lanes(self.episodes, actions, AutoresetMode.NEXT_STEP)
        times = self.candles.open_time_ms[self.starts()].tolist()
        equity = run_lanes(lanes, policy, seed=0, options={"start": times}).equity
        annual: FloatArray = np.log(equity[:, -1]) * YEAR / self.length
        return annual

    @cached_property
    def best(self) -> float:
        """The mean of the best policy: the optimal one, or the sign of the return that is handed."""
        if not (self.variant.edge or self.variant.handed):
            return 0.0
        if self.variant.handed:
            weights = np.sign(np.append(self.recorded.bars[1:, 0], 0.0))
        else:
            weights = optimal_policy(self.variant.edge).targets(self.candles)
        return float(self.earned(_Script(np.nan_to_num(weights), self.starts())).mean())


@cache
def judging_market(variant: Variant, episodes: int, length: int) -> KnownMarket:
    """What judges: a path that nobody learns on."""
    return KnownMarket(variant, episodes, length, _JUDGED)


@cache
def optimal_policy(edge: float) -> OptimalPolicy:
    """The best policy of a market with this edge."""
    return OptimalPolicy(SyntheticMarket(edge), COST)


class Handed(gym.Wrapper[Float32Array, Any, Float32Array, Any]):
    """Shows the coming bar's log return [percent], before the account's part of the observation.

    Args:
        env: A replay.
    """

    def __init__(self, env: BybitReplayEnv) -> None:
        super().__init__(env)
        self._coming = _coming(env.recorded)
        self._times = env.recorded.candles.open_time_ms
        self._place = env.observation_layout["account"].start
        box: Any = env.observation_space
        low, high = (np.insert(end, self._place, FEATURE_BOUND * s) for end, s in _ends(box))
        self.observation_space = spaces.Box(low, high, dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._add(observation, info), info

    def step(self, action: Any) -> tuple[Float32Array, Any, bool, bool, dict[str, Any]]:
        """Live one bar."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._add(observation, info), reward, terminated, truncated, info

    def _add(self, observation: Float32Array, info: dict[str, Any]) -> Float32Array:
        row = int(np.searchsorted(self._times, info["time_ms"]))
        return np.insert(observation, self._place, self._coming[row])


class _KnownLanes(TradingVectorEnv, VectorEnv[Float32Array, Any, Any]):
    """Lanes on a record that is there already."""

    def __init__(
        self, market: KnownMarket, num_envs: int, actions: ActionKind, mode: AutoresetMode
    ) -> None:
        lanes = ReplayLanes([market.recorded], num_envs, market.length, True)
        super().__init__(num_envs, lanes, actions, BrokerConfig(), "log_return", mode, None)


class _Script:
    """Weights that are known for every row, from a row of each lane on."""

    def __init__(self, weights: FloatArray, rows: IntArray) -> None:
        self._weights, self._rows = weights.astype(np.float32), rows

    def predict(
        self,
        observation: Float32Array,
        state: int | None = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Float32Array, int]:
        """The next weights [N, 1]."""
        step = state or 0
        weights: Float32Array = self._weights[self._rows + step, None]
        return weights, step + 1


def _coming(recorded: RecordedMarket) -> Float32Array:
    """The next bar's log return [percent] at each row [T]; 0 where there is none."""
    returns = _PERCENT * np.log1p(np.append(recorded.bars[1:, 0], 0.0))
    bounded: FloatArray = np.clip(np.nan_to_num(returns), -FEATURE_BOUND, FEATURE_BOUND)
    return bounded.astype(np.float32)


def _handed(recorded: RecordedMarket) -> RecordedMarket:
    """The record with the coming return as one more feature."""
    view = np.column_stack([recorded.view, _coming(recorded)])
    return replace(recorded, view=view, layout=observation_layout({"features": view.shape[1]}))


def _ends(box: Any) -> list[tuple[Float32Array, float]]:
    return [(box.low, -1.0), (box.high, 1.0)]
