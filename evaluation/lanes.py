"""Run a policy through every lane of a vector environment, one episode each."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from ..market.arrays import FloatArray
from .performance import Performance, measure_performance
from .policy import Policy, check_policy


def evaluate_lanes(
    env: VectorEnv[Any, Any, Any],
    policy: Policy,
    *,
    bars_per_year: float,
    seed: int | None = None,
    deterministic: bool = True,
) -> tuple[Performance, FloatArray]:
    """One episode of each lane, pooled.

    Args:
        env: A vector environment with the info protocol of `run_episode`, in ``NEXT_STEP`` mode.
        policy: What acts, on batches [N, D].
        bars_per_year: 8,760 for hourly bars.
        seed: Seeds the reset.
        deterministic: Passed to ``predict``.

    Returns:
        The pooled performance, and the equity [N, T + 1]; an account that ended early holds its
        last value.

    Raises:
        ConfigError: The policy was trained in another world model than the environment's.
    """
    check_policy(policy, getattr(env.unwrapped, "world_model_hash", None))
    observations, info = env.reset(seed=seed)
    running = np.ones(env.num_envs, dtype=np.bool_)
    equity, turnover, cost = [info["equity"]], [], []
    state, episode_start = None, running.copy()
    while running.any():
        actions, state = policy.predict(
            observations, state=state, episode_start=episode_start, deterministic=deterministic
        )
        observations, _, terminated, truncated, info = env.step(actions)
        equity.append(np.where(running, info["equity"], equity[-1]))
        turnover.append(np.where(running, info["turnover"], 0.0))
        cost.append(np.where(running, info["cost"], 0.0))
        running = running & ~(terminated | truncated)
        episode_start = np.zeros_like(running)
    curves = np.stack(equity, axis=1)
    measured = measure_performance(
        curves, np.stack(turnover, axis=1), np.stack(cost, axis=1), bars_per_year=bars_per_year
    )
    return measured, curves
