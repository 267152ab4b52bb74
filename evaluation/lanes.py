"""Run a policy through every lane of a vector environment, one episode each."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from ..market.arrays import FloatArray
from .episodes import BAR_COLUMNS, Episodes
from .performance import Performance
from .policy import Policy, check_policy


def run_lanes(
    env: VectorEnv[Any, Any, Any],
    policy: Policy,
    *,
    seed: int | None = None,
    options: dict[str, Any] | None = None,
    deterministic: bool = True,
) -> Episodes:
    """One episode of each lane.

    Args:
        env: A vector environment with the info protocol of `run_episode`, in ``NEXT_STEP`` mode.
        policy: What acts, on batches [N, D].
        seed: Seeds the reset.
        options: Passed to the reset.
        deterministic: Passed to ``predict``.

    Raises:
        ConfigError: The policy was trained in another world model than the environment's.
    """
    bare = env.unwrapped
    check_policy(
        policy, getattr(bare, "world_model_hash", None), getattr(bare, "observation_layout", None)
    )
    observations, info = env.reset(seed=seed, options=options)
    running = np.ones(env.num_envs, dtype=np.bool_)
    ruined = np.zeros_like(running)
    equity, weight = [info["equity"]], [info["weight"]]
    lived: dict[str, list[FloatArray]] = {name: [] for name in BAR_COLUMNS}
    state, episode_start = None, running.copy()
    while running.any():
        actions, state = policy.predict(
            observations, state=state, episode_start=episode_start, deterministic=deterministic
        )
        observations, _, terminated, truncated, info = env.step(actions)
        equity.append(np.where(running, info["equity"], equity[-1]))
        weight.append(np.where(running, info["weight"], 0.0))
        for name, bars in lived.items():
            bars.append(np.where(running, info[name], 0.0))
        ruined |= running & terminated
        running = running & ~(terminated | truncated)
        episode_start = np.zeros_like(running)
    stacked = {name: np.stack(bars, axis=1) for name, bars in lived.items()}
    curves, weights = np.stack(equity, axis=1), np.stack(weight, axis=1)
    return Episodes(curves, weights, **stacked, terminated=ruined, time_ms=None)


def evaluate_lanes(
    env: VectorEnv[Any, Any, Any],
    policy: Policy,
    *,
    bars_per_year: float,
    seed: int | None = None,
    deterministic: bool = True,
) -> tuple[Performance, FloatArray]:
    """One episode of each of N lanes, pooled: see `run_lanes`.

    Args:
        env: Lanes, such as `ReplayVectorEnv`.
        policy: Sees batches of observations [N, D].
        bars_per_year: 8,760 for hourly bars.
        seed: Of the lanes' reset.
        deterministic: Whether a stochastic policy answers its mode.

    Returns:
        The pooled performance, and the equity [N, T + 1]; an account that ended early holds its
        last value.
    """
    lived = run_lanes(env, policy, seed=seed, deterministic=deterministic)
    return lived.performance(bars_per_year), lived.equity
