"""Agents that know nothing: a comparison that calls one of them good is wrong."""

from __future__ import annotations

import numpy as np

from ..evaluation.policy import Policy
from ..market.settings import check_count, seed_number
from .linear import LinearController
from .rules.chance import RandomWeights
from .rules.constant import ConstantWeight

HOLDS = (1, 6, 24, 168)
"""Bars that weights drawn by chance are held for."""
SCALES = (0.03, 0.1, 0.3, 1.0)
"""Standard deviations of random controllers' parameters."""


def noise_agents(observation_size: int, count: int = 100, seed: int = 0) -> dict[str, Policy]:
    """Agents by chance, by name: weights that change, weights that stay, and linear controllers.

    The three kinds take turns. A controller's parameters may happen to follow an edge that exists,
    but it pays for every change of its mind.

    Args:
        observation_size: D, numbers that linear controllers see.
        count: How many.
        seed: One seed gives the same agents, which then draw the same weights.

    Raises:
        ConfigError: The count or the seed is none.
    """
    check_count("count", count)
    check_count("observation_size", observation_size)
    rng = np.random.default_rng(seed_number(seed))
    agents: dict[str, Policy] = {}
    for number in range(count):
        kind, turn = number % 3, number // 3
        if kind == 0:
            hold = HOLDS[turn % len(HOLDS)]
            policy: Policy = RandomWeights(hold, int(rng.integers(2**31)))
            agents[f"noise {number}: random for {hold}"] = policy
        elif kind == 1:
            weight = float(rng.uniform(-1.0, 1.0))
            agents[f"noise {number}: always {weight:+.2f}"] = ConstantWeight(weight)
        else:
            scale = SCALES[turn % len(SCALES)]
            parameters = scale * rng.standard_normal(observation_size + 1)
            agents[f"noise {number}: linear {scale:g}"] = LinearController(parameters)
    return agents
