"""A process that rolls dreams out and says how much memory it took.

``python -m benchmarks.memory_probe lanes|shared LANES BARS``. Idle is after all imports and with
the world model loaded, before the first step.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np
import torch

from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.scoring import score_lanes
from worldmodel_trading.market.account.rules import BrokerConfig

from .dreams import population
from .worlds import default_world, random_world


def main(kind: str, lanes: int, bars: int) -> None:
    """Roll out; print the memory before and at the peak."""
    torch.set_num_threads(1)
    world = default_world() if kind == "shared" else random_world(8, 64)
    workers, rules = DreamWorkers(world, 0), BrokerConfig()
    rng = np.random.default_rng(0)
    idle_mb = _status_mb("VmRSS")
    if kind == "shared":
        segments = rng.integers(workers.engine.num_segments, size=lanes)
        workers.score(population(world, 1), Dreams(segments, bars, seed=1), rules)
    else:  # all lanes in one batch, which needs more than the pool's blocks do
        segments = rng.integers(workers.engine.num_segments, size=16)
        score_lanes(workers.engine, population(world, lanes // 16), segments, bars, rng, rules)
    print(json.dumps({"idle_mb": idle_mb, "peak_mb": _status_mb("VmHWM")}))


def _status_mb(field: str) -> float:
    """Resident memory from the kernel [MB]; the peak where there is no such file."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return float(lines[field].split()[0]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
