"""How a peer's script answers; read by the peer's own Python, so it imports nothing of ours."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def read_columns(path: str) -> dict[str, list[float]]:
    """The candles' columns."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("timestamp", "open", "high", "low", "close", "volume")
    return {name: [float(row[name]) for row in rows] for name in names}


def given() -> tuple[str, dict[str, Any]]:
    """The candles' path and the settings, from the command line."""
    return sys.argv[1], json.loads(sys.argv[2])


def answer(work: Callable[[], float]) -> None:
    """Work for as many seconds as each line of the standard input says; print the times.

    Args:
        work: Does something and returns how many units it was.
    """
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what the peer prints by itself is no answer
        for line in sys.stdin:
            answers.write(json.dumps(measure(work, float(line))) + "\n")
            answers.flush()


def measure(work: Callable[[], float], least_s: float) -> dict[str, float]:
    """Repeat some work for at least so many seconds."""
    units = 0.0
    start, start_cpu = time.perf_counter(), time.process_time()
    while True:
        units += work()
        wall = time.perf_counter() - start
        if wall >= least_s:
            return {"units": units, "wall_s": wall, "cpu_s": time.process_time() - start_cpu}


def step_work(env: Any, actions: list[Any]) -> Callable[[], float]:
    """Steps a Gymnasium environment through a list of actions, restarting where it ends."""
    env.reset()

    def work() -> float:
        step, reset = env.step, env.reset
        for action in actions:
            _, _, terminated, truncated, _ = step(action)
            if terminated or truncated:
                reset()
        return len(actions)

    return work
