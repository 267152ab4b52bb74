"""A parent that uses the package, and other people's vector environments that start processes.

``python processes_client.py PAPER fork``, or ``PAPER forkserver spawn``, with a world model of the
``paper`` preset: steps lanes one by one, then many, trains a world model, then an agent; and then,
with fork after each of them, has two processes step a dream and a replay, and compares both with the
same environments here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch

# What the parent alone needs is imported where it does: children begin with this file, too.

STEPS, SEEDS = 4, (3, 4)
WORLDS: list[tuple[str, dict[str, Any]]] = [
    ("WorldModelDream-v0", {"leverage": 2.0, "ood_limit": 1.0}),  # V decodes highs and lows
    ("BybitReplay-v0", {"world_model": "default", "leverage": 2.0}),
]
BIG = 1 << 17  # numbers that PyTorch shares out to its threads


class Thinking(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose user computes with PyTorch beside it, in its own process."""

    def step(self, action: Any) -> Any:
        assert torch.ones(BIG).exp().sum() > 0
        return self.env.step(action)


def make(name: str, settings: dict[str, Any]) -> gym.Env[Any, Any]:
    return gym.make(f"worldmodel_trading:{name}", **settings)


def make_thinking(name: str, settings: dict[str, Any]) -> gym.Env[Any, Any]:
    return Thinking(make(name, settings))


def settings_of(paper: str) -> list[tuple[str, dict[str, Any]]]:
    """Environments of every kind that computes in its own way."""
    return [
        *WORLDS,
        ("WorldModelDream-v0", {}),
        ("WorldModelDream-v0", {"observation": "features"}),
        ("WorldModelDream-v0", {"world_model": paper}),
        ("BybitReplay-v0", {"world_model": paper}),
        ("BybitReplay-v0", {}),
    ]


def scalar_steps(paper: str) -> None:
    for name, settings in settings_of(paper):
        env = gym.make(name, **settings)
        env.reset(seed=0)
        for _ in range(20):
            env.step(np.ones(1, dtype=np.float32))


def vector_steps(paper: str) -> None:
    for name, settings in settings_of(paper):
        envs = gym.make_vec(name, num_envs=1_024, **settings)
        envs.reset(seed=0)
        for _ in range(3):
            envs.step(np.ones((1_024, 1), dtype=np.float32))


def training(_: str) -> None:
    from worldmodel_trading.market.synthetic import synthetic_candles
    from worldmodel_trading.models.config import PaperConfig
    from worldmodel_trading.models.training.train import train_world_model

    candles = synthetic_candles(seed=1, bars=1_900)
    config = PaperConfig(
        latent_size=3, vae_batch_size=1_024, vae_epochs=1, hidden_size=8, mdn_rnn_epochs=1,
        warmup_bars=24, bank_segments=8, calibration_rounds=0,
    )  # fmt: skip
    train_world_model(candles.rows(0, 1_500), candles.rows(1_500, 1_900), config)


def ppo_update(_: str) -> None:
    from stable_baselines3 import PPO

    from worldmodel_trading.agents.sb3 import make_sb3_env

    env = make_sb3_env("WorldModelDream-v0", 64, horizon=32)
    PPO("MlpPolicy", env, n_steps=32, batch_size=2_048, n_epochs=1, device="cpu").learn(2_048)


# What a parent may have done, and whether that computes with PyTorch.
HISTORIES: list[tuple[Callable[[str], None], bool]] = [
    (scalar_steps, False),
    (vector_steps, False),
    (training, True),
    (ppo_update, True),
]


def alone() -> tuple[np.ndarray, np.ndarray]:
    """Observations [STEPS, 2, D] and rewards [STEPS, 2] of the environments in this process."""
    envs = [make(name, settings) for name, settings in WORLDS]
    for env, seed in zip(envs, SEEDS, strict=True):
        env.reset(seed=seed)
    action = np.full(1, 0.5, dtype=np.float32)
    steps = [[env.step(action)[:2] for env in envs] for _ in range(STEPS)]
    observations, rewards = (
        np.array([[part[i] for part in both] for both in steps]) for i in (0, 1)
    )
    return observations, rewards


def in_gymnasium(method: str) -> tuple[np.ndarray, np.ndarray]:
    """The same in processes of `AsyncVectorEnv`."""
    makers = [partial(make_thinking, name, settings) for name, settings in WORLDS]
    envs = gym.vector.AsyncVectorEnv(makers, context=method)
    envs.reset(seed=list(SEEDS))
    steps = [envs.step(np.full((2, 1), 0.5, dtype=np.float32))[:2] for _ in range(STEPS)]
    found = np.array([step[0] for step in steps]), np.array([step[1] for step in steps])
    envs.close()
    return found


def in_sb3(method: str) -> tuple[np.ndarray, np.ndarray]:
    """The same in processes of `SubprocVecEnv`, whose seeds follow one another."""
    from stable_baselines3.common.vec_env import SubprocVecEnv

    makers: list[Any] = [partial(make_thinking, name, settings) for name, settings in WORLDS]
    envs = SubprocVecEnv(makers, start_method=method)
    envs.seed(SEEDS[0])
    envs.reset()
    steps = [envs.step(np.full((2, 1), 0.5, dtype=np.float32))[:2] for _ in range(STEPS)]
    found = np.array([step[0] for step in steps]), np.array([step[1] for step in steps])
    envs.close()
    return found


def by_id(method: str) -> None:
    """What a user types."""
    envs = gym.make_vec(
        "WorldModelDream-v0",
        num_envs=2,
        vectorization_mode="async",
        vector_kwargs={"context": method},
    )
    envs.reset(seed=0)
    assert envs.step(np.ones((2, 1), dtype=np.float32))[0].shape[0] == 2
    envs.close()


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def compare(method: str, expected: tuple[np.ndarray, np.ndarray]) -> None:
    """Processes started now step as the environments here do, to the last bit."""
    for found in (in_gymnasium(method), in_sb3(method)):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1].astype(found[1].dtype))


def main(paper: str, *methods: str) -> None:
    import scipy.linalg  # noqa: F401 - starts threads when it is loaded
    import sklearn.covariance  # noqa: F401 - likewise
    import stable_baselines3  # noqa: F401 - its modules, too, are there before any fork

    torch.set_num_threads(2)
    expected, before = alone(), threads()
    for history, computes in HISTORIES:
        history(paper)
        print(history.__name__, flush=True)
        if methods == ("fork",):
            compare("fork", expected)
            by_id("fork")
        else:  # a fork would have ended the threads of numpy's BLAS
            assert (threads() > before) == computes, "an environment entered a pool of threads"
    if methods != ("fork",):
        for method in methods:
            compare(method, expected)
            print(method, flush=True)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
