"""Rollouts on a GPU against the compiled engine on one core."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from worldmodel_trading.envs.device.scorer import DeviceDreams
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.scorers import DreamWorkers, Scorer
from worldmodel_trading.market.account.rules import BrokerConfig

from .dreams import population
from .results import Benchmark, Line, Result, Results, missing, ratio
from .timing import Settings, Task, alternate, local
from .worlds import default_world, random_world

_LINES = (
    Line("device-lanes", "paper lanes on CUDA ÷ the compiled engine on one core"),
    Line("device-shared", "shared dreams on CUDA ÷ the same"),
)


def _task(scorer: Scorer, candidates: int, dreams: int, bars: int) -> Task:
    """Score a population in other dreams each time, noise included; units are candidate-steps."""
    parameters, rules = population(scorer.engine.world_model, candidates), BrokerConfig()
    rng = np.random.default_rng(0)

    def work() -> float:
        segments = rng.integers(scorer.engine.num_segments, size=dreams)
        scorer.score(parameters, Dreams(segments, bars, int(rng.integers(2**31))), rules)
        return float(candidates * dreams * bars)

    return local(work)


def _run(settings: Settings) -> Results:
    if not torch.cuda.is_available():
        return {line.name: missing("no CUDA here") for line in _LINES}
    bars, dreams = settings.size(720, 16), settings.size(64, 4)
    worlds = {"lanes": random_world(8, 64), "shared": default_world()}
    results: Results = {}
    for name, world in worlds.items():
        few, many = settings.size(16, 4), settings.size(1_024 if name == "lanes" else 4_096, 8)
        with DeviceDreams(world, "cuda") as there, DreamWorkers(world, 0) as here:
            tasks = {"cuda": _task(there, many, dreams, bars), "core": _task(here, few, dreams, 64)}
            if name == "shared":  # on a core, too, as many as make its product worth while
                tasks["core"] = _task(here, settings.size(1_024, 8), dreams, bars)
            rates = alternate(tasks, settings.fewer_rounds())
        note = f"{torch.cuda.get_device_name()}: {many} × {dreams} × {bars}, noise from the CPU"
        results[f"device-{name}"] = _by_the_clock(
            ratio(rates["cuda"], rates["core"], "candidate-steps/s", note)
        )
    return results


def _by_the_clock(result: Result) -> Result:
    """Without the ratio of processor time, which says nothing about a GPU."""
    return replace(result, by_cpu_time=None)


BENCHMARKS = (Benchmark("device", _LINES, _run),)
