"""PPO on native lanes against PPO on scalar dreams."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from worldmodel_trading.agents.sb3 import make_sb3_env

from .results import Benchmark, Line, Result, Results, ratio
from .timing import Settings, alternate, local

_ROLLOUT, _BATCH = 2_048, 512


class _Clock:
    """Time spent in an environment's steps."""

    def __init__(self, env: VecEnv) -> None:
        self.inside_s = 0.0
        for name in ("step_async", "step_wait"):
            setattr(env, name, self._timed(getattr(env, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = method(*arguments)
            self.inside_s += time.perf_counter() - start
            return result

        return timed


def _ppo(settings: Settings) -> Results:
    native = make_sb3_env("WorldModelDream-v0", 64)
    clock = _Clock(native)
    dummy = DummyVecEnv([lambda: gym.make("WorldModelDream-v0")] * 8)
    models = {name: _agent(env) for name, env in {"native": native, "dummy": dummy}.items()}
    spent = {name: 0.0 for name in models}

    def learning(name: str) -> Callable[[], float]:
        def work() -> float:
            start = time.perf_counter()
            models[name].learn(_ROLLOUT, reset_num_timesteps=False)
            spent[name] += time.perf_counter() - start
            return float(_ROLLOUT)

        return work

    rates = alternate({name: local(learning(name)) for name in models}, settings)
    share = clock.inside_s / spent["native"]
    note = f"{clock.inside_s:.2f} of {spent['native']:.2f} s"
    return {
        "ppo-frames": ratio(rates["native"], rates["dummy"], "frames/s"),
        "ppo-environment-share": Result(share, note),
    }


def _agent(env: VecEnv) -> PPO:
    steps = _ROLLOUT // env.num_envs
    return PPO("MlpPolicy", env, n_steps=steps, batch_size=_BATCH, seed=0, device="cpu")


BENCHMARKS = (
    Benchmark(
        "ppo",
        (
            Line("ppo-frames", "PPO, 64 native dream lanes ÷ DummyVecEnv of 8 dreams", 2),
            Line("ppo-environment-share", "the environment's share of the wall time", 0.15, True),
        ),
        _ppo,
    ),
)
