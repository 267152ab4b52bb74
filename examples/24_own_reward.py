"""A reward of your own: a function, compiled or not, that every environment takes as it is.

python examples/24_own_reward.py --steps 300000

PPO learns once for log return and once for a reward that minds drawdowns and turnover. Prints what
both did in the dream and on recorded bars that neither agent nor model has seen.
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import torch
from numba import njit

from worldmodel_trading import (
    RewardStep,
    comparison_table,
    evaluate_policy,
    make_sb3_agent,
    make_sb3_env,
)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=100_000, help="dreamed bars to train on, each")
parser.add_argument("--aversion", type=float, default=0.002, help="paid for a drawdown of 100%%")
parser.add_argument("--seed", type=int, default=0)
given = parser.parse_args()

torch.set_num_threads(1)  # small networks: more threads only wait for each other
AVERSION = given.aversion


@njit  # compiled: all lanes in one loop; without it the same, slower
def cautious(step: RewardStep) -> float:
    """Growth, less a price on being below the peak and on trading."""
    drawdown = 1.0 - step.equity / step.peak
    return step.log_growth - AVERSION * drawdown - 0.0005 * step.turnover


dream = gym.make("WorldModelDream-v0", horizon=4_000)
replay = gym.make(
    "BybitReplay-v0", world_model="default", start="2022-07-20", episode_length=None
)  # the world model that ships has seen what came before
performance = {}
for name, reward in (("log return", "log_return"), ("cautious", cautious)):
    lanes = make_sb3_env("WorldModelDream-v0", 64, horizon=256, reward=reward)
    agent = make_sb3_agent("ppo", lanes, seed=given.seed).learn(given.steps)
    performance[name] = {
        venue: evaluate_policy(env, agent, bars_per_year=8_760, seed=given.seed).performance
        for venue, env in (("dream", dream), ("replay", replay))
    }
print(comparison_table(performance, venues=("dream", "replay")))
worst = {name: venues["replay"].max_drawdown for name, venues in performance.items()}
print(
    f"\nsmaller drawdown in replay: {min(worst, key=worst.get)}; one seed tells nothing for sure."
)
