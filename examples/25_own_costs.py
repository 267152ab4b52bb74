"""Costs of your own: the three models that there are, set as you pay, and one that is not there.

python examples/25_own_costs.py --capital 5000000

Fee, slippage by the bar's range, and square-root impact are settings of every environment. What is
none of them, here interest on borrowed coins, can be charged in the reward, where an agent feels it,
and afterwards on what an agent did. Prints what the same rule earns under each.
"""

from __future__ import annotations

import argparse

import gymnasium as gym
import numpy as np

import worldmodel_trading  # noqa: F401 - registers the environments
from worldmodel_trading import RewardStep, make_rule, run_episode

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--capital", type=float, default=1_000_000, help="of the account, USDT")
parser.add_argument("--interest", type=float, default=0.10, help="a year, on what is sold short")
parser.add_argument("--bars", type=int, default=2_000)
given = parser.parse_args()

BY_BAR = given.interest / 8_760


def after_interest(step: RewardStep) -> float:
    """Log growth, less interest on a short position."""
    return step.log_growth - BY_BAR * max(-step.weight, 0.0)


costs = {
    "no costs": {"taker_fee": 0.0, "slippage": 0.0},
    "as given": {},
    "maker": {"liquidity": "maker", "slippage": 0.0},
    "wider in fast markets": {"slippage": 0.0, "slippage_per_range": 0.05},
    "impact": {"impact": 1.0, "impact_capital_usdt": given.capital},
}
for name, settings in costs.items():
    env = gym.make(
        "BybitReplay-v0",
        start="2022-07-20",
        episode_length=given.bars,
        random_start=False,
        reward=after_interest,
        **settings,
    )
    episode = run_episode(env, make_rule("momentum"), seed=0)
    grown = np.log(episode.equity[-1] / episode.equity[0])
    print(
        f"{name}: log return {grown:+.4f}, costs {np.sum(episode.cost):.4f}; "
        f"after interest {np.sum(episode.reward):+.4f}"
    )
