"""Pictures a second: an episode of 720 bars at its last bar, against Gymnasium's CartPole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

import worldmodel_trading  # noqa: F401 - registers the environments

from .results import Benchmark, Line, Result, Results, quantity, ratio
from .timing import Rate, Settings, alternate, local


def _frames(settings: Settings) -> Results:
    bars = settings.size(720, 40)
    rates = alternate(
        {
            "dream": local(_work(gym.make("WorldModelDream-v0", render_mode="rgb_array"), bars)),
            "replay": local(_work(gym.make("BybitReplay-v0", render_mode="rgb_array"), bars)),
            "cartpole": local(_work(gym.make("CartPole-v1", render_mode="rgb_array"), 1)),
        },
        settings,
    )
    return {
        "frames-dream": _a_second(rates["dream"]),
        "frames-replay": _a_second(rates["replay"]),
        "frames-cartpole": ratio(rates["replay"], rates["cartpole"], "frames/s"),
    }


def _a_second(rate: Rate) -> Result:
    return Result(rate.wall, f"{quantity(rate.wall)} frames/s", rate.cpu, {"spread": rate.spread})


def _work(env: Any, bars: int) -> Callable[[], float]:
    """Render the bar that an episode of so many has come to."""
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(bars):
        env.step(env.action_space.sample())

    def work() -> float:
        pixels = env.render()
        assert pixels.dtype == np.uint8
        return 1.0

    return work


BENCHMARKS = (
    Benchmark(
        "frames",
        (
            Line("frames-dream", "pictures a second: a dream and its fan, at bar 720", 30),
            Line("frames-replay", "the same of a replay", 30),
            Line("frames-cartpole", "BybitReplay-v0 pictures ÷ CartPole's"),
        ),
        _frames,
    ),
)
