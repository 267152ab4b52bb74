"""Environments step by step, against other people's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv

import worldmodel_trading  # noqa: F401 - registers the environments
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.market.files.export import read_candles

from .peers import INSTALL_HINT, PEERS, serving
from .peers.answering import step_work
from .results import Benchmark, Line, Results, missing, quantity, ratio
from .timing import Settings, Task, alternate, local
from .worlds import COST, candles_file

_PEER_LINES = {
    "gym-anytrading": "step-anytrading",
    "gym-trading-env": "step-trading-env",
    "finrl": "step-finrl",
}


def _steps(settings: Settings) -> Results:
    results: Results = {}
    with candles_file(settings.size(50_000, 2_000)) as path, ExitStack() as stack:
        env = BybitReplayEnv(read_candles(path), episode_length=None, random_start=False)
        rng = np.random.default_rng(0)
        actions = list(rng.uniform(-1.0, 1.0, (2_000, 1)).astype(np.float32))
        tasks: dict[str, Task] = {"ours": local(step_work(env, actions))}
        for name, line in _PEER_LINES.items():
            if PEERS[name].is_installed():
                tasks[name] = stack.enter_context(serving(PEERS[name], path, fee=COST))
            else:
                results[line] = missing(INSTALL_HINT)
        rates = alternate(tasks, settings)
    for name, line in _PEER_LINES.items():
        if name in rates:
            results[line] = ratio(rates["ours"], rates[name], "steps/s", "bare environments")
    note = f"ours {quantity(rates['ours'].wall)} steps/s"
    return {
        name: r if r.value is not None else missing(f"{INSTALL_HINT}; {note}")
        for name, r in results.items()
    }


def _vector(settings: Settings) -> Results:
    lanes = settings.size(1_024, 64)
    native: dict[str, Any] = {"vectorization_mode": "vector_entry_point", "num_envs": lanes}
    ours = gym.make_vec("BybitReplay-v0", **native)
    one = {"one": ours.unwrapped}
    sync = SyncVectorEnv([lambda: gym.make("BybitReplay-v0")] * 8)
    cart_pole = gym.make_vec("CartPole-v1", **native)
    tasks = {
        "ours": local(_vector_work(one["one"], lanes)),
        "cartpole": local(_vector_work(cart_pole, lanes)),
        "sync": local(_vector_work(sync, 8)),
    }
    rates = alternate(tasks, settings)
    return {
        "vector-cartpole": ratio(rates["ours"], rates["cartpole"], "steps/s"),
        "vector-sync": ratio(rates["ours"], rates["sync"], "steps/s", "of 8 BybitReplay-v0"),
    }


def _vector_work(env: Any, lanes: int) -> Callable[[], float]:
    env.reset(seed=0)
    env.action_space.seed(0)
    batches = [env.action_space.sample() for _ in range(20)]

    def work() -> float:
        for actions in batches:
            env.step(actions)
        return float(len(batches) * lanes)

    return work


BENCHMARKS = (
    Benchmark(
        "replay-step",
        (
            Line("step-anytrading", "BybitReplay-v0 step, features ÷ gym-anytrading's", 1),
            Line("step-trading-env", "the same ÷ gym-trading-env's", 5),
            Line("step-finrl", "the same ÷ FinRL's numpy environment", 4),
        ),
        _steps,
    ),
    Benchmark(
        "replay-vector",
        (
            Line("vector-cartpole", "ReplayVectorEnv, 1,024 lanes ÷ CartPole's native 1,024", 0.5),
            Line("vector-sync", "the same ÷ SyncVectorEnv of 8", 50),
        ),
        _vector,
    ),
)
