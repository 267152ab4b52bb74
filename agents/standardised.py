"""Observations and rewards in units that networks learn well from, without a running state."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from torch import Tensor, nn

from ..market.arrays import BoolArray, Float32Array
from ..market.errors import TrainingError
from .sb3 import Infos, NativeVecEnv

_STEPS = 64  # of every lane, for measuring
_LEAST = 1e-3  # a part that hardly moves is not blown up
_CLIP = 5.0  # deviations


class Scales(NamedTuple):
    """What an environment shows and pays.

    Attributes:
        mean: Of each number of the observation [D].
        deviation: The same [D].
        bar: Standard deviation of a bar's simple return.
    """

    mean: Float32Array
    deviation: Float32Array
    bar: float


def measure_scales(env: NativeVecEnv, seed: int) -> Scales:
    """Observations and returns of lanes that each hold one weight drawn by chance.

    Args:
        env: The lanes; they stand where the measuring ends.
        seed: Of the lanes, and of the weights.

    Raises:
        TrainingError: The market does not move.
    """
    env.seed(seed)
    env.reset()
    rng = np.random.default_rng(seed)
    space: Any = env.action_space
    held: Any = (
        rng.integers(int(space.n), size=env.num_envs)
        if isinstance(space, spaces.Discrete)
        else rng.uniform(-1, 1, (env.num_envs, 1)).astype(np.float32)
    )
    seen, returns = [], []
    for _ in range(_STEPS):
        env.step_async(held)
        seen.append(env.step_wait()[0])
        returns.append(env.last_info["market_return"])
    rows: Float32Array = np.concatenate(seen)
    bar = float(np.std(returns))
    if not bar > 0.0:
        raise TrainingError("the market never moves: there is nothing to learn from it")
    return Scales(rows.mean(axis=0), np.maximum(rows.std(axis=0), _LEAST), bar)


class Standardised(BaseFeaturesExtractor):  # type: ignore[misc, unused-ignore]
    """The observation, each number in deviations from its mean, clipped at 5 of them.

    The numbers are part of the network's state: who loads the agent feeds it observations as
    they come.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, observation_space: spaces.Box) -> None:
        size = observation_space.shape[0]
        super().__init__(observation_space, size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    def forward(self, observations: Tensor) -> Tensor:
        """Standardise [N, D]."""
        return torch.clamp((observations - self.mean) / self.deviation, -_CLIP, _CLIP)


def standardise(network: nn.Module, scales: Scales) -> None:
    """Set the numbers of every `Standardised` in a network, those of its targets too."""
    for module in network.modules():
        if isinstance(module, Standardised):
            module.mean.copy_(torch.from_numpy(scales.mean))
            module.deviation.copy_(torch.from_numpy(scales.deviation))


class ScaledRewards(VecEnvWrapper):  # type: ignore[misc, unused-ignore]
    """Rewards in units of a bar's deviation: near 1, where log returns are a thousandth.

    Args:
        env: The lanes.
        unit: What counts as a reward of 1.
    """

    def __init__(self, env: VecEnv, unit: float) -> None:
        super().__init__(env)
        self._lanes: Any = env
        self._factor = np.float32(1.0 / unit)

    def reset(self) -> Float32Array:
        """Start over: observations [N, D]."""
        observations: Float32Array = self._lanes.reset()
        return observations

    def step_wait(self) -> tuple[Float32Array, Float32Array, BoolArray, Infos]:
        """Observations [N, D], rewards [N], dones [N], infos."""
        observations, rewards, dones, infos = self._lanes.step_wait()
        return observations, rewards * self._factor, dones, infos
