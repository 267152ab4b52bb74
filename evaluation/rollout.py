"""Run a policy through an environment and keep what happened.

Any Gymnasium environment that speaks the info protocol will do (``equity``, ``weight``,
``market_return``, ``cost``, ``price`` and, where they are known, ``slippage``, ``funding``,
``turnover`` and ``time_ms``), and any policy that has Stable-Baselines3's ``predict``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..envs.replay import BybitReplayEnv
from ..market.arrays import FloatArray, IntArray
from ..market.errors import ConfigError, OtherMarketError, TrainingBarsError
from ..market.settings import seed_number
from ..models.provenance import refused_market
from .episodes import BAR_COLUMNS, Episodes
from .performance import Performance, measure_performance
from .policy import Policy, check_actions, check_policy

_REQUIRED_INFO = ("equity", "weight", "price", "market_return", "cost")


class Environment(Protocol):
    """The part of a Gymnasium environment that a rollout uses."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Live one bar."""


@dataclass(frozen=True, eq=False)
class EpisodeRecord:
    """What one episode of T bars did.

    Attributes:
        equity: Equity [T + 1], 1 at the start.
        weight: Weight at each close [T + 1], before the trade of that close.
        price: Price at each close [T + 1].
        action: Actions [T] or [T, A].
        reward: Rewards [T].
        cost: Fees and slippage per bar [T], fractions of the equity before.
        slippage: The part of the cost that is no fee [T]; 0 where the environment does not tell.
        funding: Paid per bar [T], such fractions, too; 0 where the environment does not tell.
        turnover: |Δw| traded per bar [T].
        market_return: Simple return of each bar [T].
        time_ms: Time of each close [T + 1], ms UTC; None in a dream.
        terminated: Whether the episode ended by ruin or liquidation, not by its length.
    """

    equity: FloatArray
    weight: FloatArray
    price: FloatArray
    action: NDArray[Any]
    reward: FloatArray
    cost: FloatArray
    slippage: FloatArray
    funding: FloatArray
    turnover: FloatArray
    market_return: FloatArray
    time_ms: IntArray | None
    terminated: bool

    def __len__(self) -> int:
        return len(self.reward)

    def performance(self, bars_per_year: float) -> Performance:
        """How the account did."""
        return measure_performance(
            self.equity, self.turnover, self.cost, bars_per_year=bars_per_year
        )


@dataclass(frozen=True, eq=False)
class Curve:
    """What a page draws of one policy in one venue.

    Attributes:
        equity: Equity [T + 1], 1 at the start; [N, T + 1] of several episodes.
        weight: Weights likewise; None where nobody kept them.
        time_ms: Time of each close [T + 1], ms UTC; None in dreams.
        lowest: Lowest equity over several searches [T + 1]; None where there is one.
        highest: The highest.
        price: Price at each close [T + 1]; None where nobody kept it.
    """

    equity: FloatArray
    weight: FloatArray | None = None
    time_ms: IntArray | None = None
    lowest: FloatArray | None = None
    highest: FloatArray | None = None
    price: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Several episodes of one policy, padded to the longest.

    Attributes:
        performance: All episodes pooled, as `performance` documents.
        episodes: What they lived through.
        records: The episodes themselves.
    """

    performance: Performance
    episodes: Episodes
    records: tuple[EpisodeRecord, ...]

    @property
    def equity(self) -> FloatArray:
        """Equity [N, T + 1]; an account that ended early holds its last value."""
        return self.episodes.equity

    @property
    def weight(self) -> FloatArray:
        """Weights [N, T + 1]; 0 after an early end."""
        return self.episodes.weight

    def curve(self) -> Curve:
        """Arrays for the report: those of one episode without the leading axis."""
        if len(self.records) > 1:
            return Curve(self.equity, self.weight)
        only = self.records[0]
        return Curve(self.equity[0], self.weight[0], only.time_ms, price=only.price)


def run_episode(
    env: Environment,
    policy: Policy,
    seed: int | None = None,
    options: dict[str, Any] | None = None,
    deterministic: bool = True,
) -> EpisodeRecord:
    """Run one episode to its end.

    Args:
        env: Scalar Gymnasium environment with the info protocol above.
        policy: What acts; its recurrent state is carried from step to step.
        seed: Seeds the environment's reset.
        options: Passed to the reset.
        deterministic: Passed to ``predict``.

    Raises:
        ConfigError: The environment's info lacks a key, the policy was trained in another world
            model than the environment's, or its actions are discrete and the environment's are not.
    """
    infos, actions, rewards, terminated = [], [], [], False
    for step in play_episode(env, policy, seed, options, deterministic):
        infos.append(_checked_info(step.info))
        if step.action is not None:
            actions.append(np.copy(step.action))
            rewards.append(float(step.reward))
            terminated = bool(step.terminated)
    return _record(infos, actions, rewards, terminated)


class Step(NamedTuple):
    """What an environment answered, and the action that it answered to.

    Attributes:
        observation: What is seen now.
        info: What is told now.
        action: None of a reset, like what follows.
        reward: Of the action.
        terminated: Whether the episode ended by itself.
        truncated: Whether it was cut short.
    """

    observation: Any
    info: dict[str, Any]
    action: Any = None
    reward: Any = 0.0
    terminated: bool = False
    truncated: bool = False


def play_episode(
    env: Environment,
    policy: Policy,
    seed: int | None = None,
    options: dict[str, Any] | None = None,
    deterministic: bool = True,
) -> Iterator[Step]:
    """Play one episode, and tell of the reset and each step; arguments as in `run_episode`.

    Raises:
        ConfigError: The policy was trained in another world model than the environment's.
    """
    bare = _unwrapped(env)
    check_policy(
        policy, getattr(bare, "world_model_hash", None), getattr(bare, "observation_layout", None)
    )
    check_actions(policy, getattr(bare, "action_space", None))
    observation, info = env.reset(seed=None if seed is None else seed_number(seed), options=options)
    step = Step(observation, info)
    yield step
    state, episode_start = None, np.ones(1, dtype=bool)
    while not (step.terminated or step.truncated):
        action, state = policy.predict(
            step.observation, state=state, episode_start=episode_start, deterministic=deterministic
        )
        observation, reward, terminated, truncated, info = env.step(action)
        step = Step(observation, info, action, reward, bool(terminated), bool(truncated))
        yield step
        episode_start = np.zeros(1, dtype=bool)


def evaluate_policy(
    env: Environment,
    policy: Policy,
    *,
    bars_per_year: float,
    episodes: int = 1,
    seed: int | None = None,
    options: dict[str, Any] | None = None,
    deterministic: bool = True,
    allow_training_bars: bool = False,
    allow_other_market: bool = False,
) -> Evaluation:
    """Run episodes and measure them together.

    Args:
        env: As in `run_episode`.
        policy: As in `run_episode`.
        bars_per_year: 8,760 for hourly bars.
        episodes: How many to run; episode i is seeded with ``seed + i``.
        seed: First seed; None leaves the environment's own randomness.
        options: Passed to every reset.
        deterministic: Passed to ``predict``.
        allow_training_bars: Evaluate on bars that the environment's world model was trained on.
        allow_other_market: Evaluate on bars of another symbol than the world model's.

    Raises:
        TrainingBarsError: The replay holds such bars, and they are not allowed.
        OtherMarketError: The replay is of another market, and that is not allowed.
    """
    if episodes < 1:
        raise ConfigError(f"episodes is {episodes}; expected at least 1")
    other = getattr(_unwrapped(env), "other_market", "")
    if other and not allow_other_market:
        raise OtherMarketError(refused_market(other))
    seen = int(getattr(_unwrapped(env), "training_bars", 0))
    if seen and not allow_training_bars:
        raise TrainingBarsError(
            f"the world model was trained on {seen} bars of this replay: begin after its training "
            "range (start=…), or say allow_training_bars=True"
        )
    records = [
        run_episode(env, policy, None if seed is None else seed + i, options, deterministic)
        for i in range(episodes)
    ]
    return pool_episodes(records, bars_per_year)


def _unwrapped(env: Environment) -> object:
    return getattr(env, "unwrapped", env)


def pool_episodes(records: Sequence[EpisodeRecord], bars_per_year: float) -> Evaluation:
    """Measure finished episodes together."""
    bars = max(len(record) for record in records)
    equity = np.stack([_padded(r.equity, bars + 1, float(r.equity[-1])) for r in records])
    weight = np.stack([_padded(r.weight, bars + 1, 0.0) for r in records])
    lived = {
        name: np.stack([_padded(getattr(r, name), bars, 0.0) for r in records])
        for name in BAR_COLUMNS
    }
    terminated = np.array([r.terminated for r in records])
    time_ms = records[0].time_ms if len(records) == 1 else None
    episodes = Episodes(equity, weight, **lived, terminated=terminated, time_ms=time_ms)
    return Evaluation(episodes.performance(bars_per_year), episodes, tuple(records))


def chain_episodes(records: Sequence[EpisodeRecord], bars_per_year: float) -> Evaluation:
    """Measure episodes that follow one another as one: a replay whose record has gaps.

    The account is carried over a gap in cash: each episode starts flat, with the equity that the
    one before left.
    """
    if len(records) == 1:
        return pool_episodes(records, bars_per_year)
    carried = np.cumprod([1.0, *(record.equity[-1] for record in records[:-1])])
    equity = [r.equity[1:] * before for r, before in zip(records, carried, strict=True)]
    times = [r.time_ms[1:] for r in records if r.time_ms is not None]
    joined = EpisodeRecord(
        equity=np.concatenate([[1.0], *equity]),
        weight=np.concatenate([[0.0], *(r.weight[1:] for r in records)]),
        price=np.concatenate([records[0].price[:1], *(r.price[1:] for r in records)]),
        action=np.concatenate([r.action for r in records]),
        reward=np.concatenate([r.reward for r in records]),
        **{name: np.concatenate([getattr(r, name) for r in records]) for name in BAR_COLUMNS},
        time_ms=(
            np.concatenate([records[0].time_ms[:1], *times])
            if records[0].time_ms is not None
            else None
        ),
        terminated=any(record.terminated for record in records),
    )
    return pool_episodes([joined], bars_per_year)


def play_through(env: BybitReplayEnv, policy: Policy, bars_per_year: float) -> Evaluation:
    """Play a whole replay: one episode for each stretch without a gap, joined.

    Args:
        env: With ``episode_length=None`` and ``random_start=False``.
        policy: What acts.
        bars_per_year: 8,760 for hourly bars.
    """
    times = env.recorded.candles.open_time_ms
    records = [
        run_episode(env, policy, options={"start": int(times[row])})
        for row in env.recorded.starts(None)
    ]
    return chain_episodes(records, bars_per_year)


def traded_weight(weight: FloatArray, market_return: FloatArray) -> FloatArray:
    """|Δw| [T] traded at each close, from weights [T + 1] before the trades.

    A weight a held over a bar of simple return R drifts to w' = a(1 + R)/(1 + aR); solved for a,
    the trade was |a − w|, whatever turned the action into a. A lost account (w' not above the
    bound where that inverts) counts as no trade.
    """
    after, before = weight[1:], weight[:-1]
    denominator = 1 + market_return - after * market_return
    possible = np.abs(denominator) > 1e-9
    target = np.where(possible, after / np.where(possible, denominator, 1.0), before)
    traded: FloatArray = np.abs(target - before)
    return traded


def _checked_info(info: dict[str, Any]) -> dict[str, Any]:
    missing = [key for key in _REQUIRED_INFO if key not in info]
    if missing:
        raise ConfigError(
            f"the environment's info lacks {', '.join(missing)}; see the info protocol"
        )
    return info


def _record(
    infos: list[dict[str, Any]],
    actions: list[NDArray[Any]],
    rewards: list[float],
    terminated: bool,
) -> EpisodeRecord:
    weight, market_return = _column(infos, "weight"), _column(infos[1:], "market_return")
    turnover = (
        _column(infos[1:], "turnover")
        if "turnover" in infos[-1]
        else traded_weight(weight, market_return)
    )
    action = np.stack(actions)
    return EpisodeRecord(
        equity=_column(infos, "equity"),
        weight=weight,
        price=_column(infos, "price"),
        action=action[:, 0] if action.ndim == 2 and action.shape[1] == 1 else action,
        reward=np.array(rewards),
        cost=_column(infos[1:], "cost"),
        slippage=_column(infos[1:], "slippage", 0.0),
        funding=_column(infos[1:], "funding", 0.0),
        turnover=turnover,
        market_return=market_return,
        time_ms=(
            np.array([int(info["time_ms"]) for info in infos], dtype=np.int64)
            if all("time_ms" in info for info in infos)
            else None
        ),
        terminated=terminated,
    )


def _column(infos: list[dict[str, Any]], key: str, missing: float = math.nan) -> FloatArray:
    return np.array([float(info.get(key, missing)) for info in infos])


def _padded(values: FloatArray, length: int, fill: float) -> FloatArray:
    return np.concatenate([values, np.full(length - len(values), fill)])
