"""What a cluster takes: a scheduler simulated, task by task, beside what arithmetic says.

``python -m benchmarks.cluster`` prints the tables of docs/scale.md. Nothing is run on a cluster: costs of a
unit of work were measured on one core, the cluster and its network are assumed.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

# Measured, with where: docs/performance.md, docs/comparison.md and docs/scale.md.
PAGE_BARS = 1_000  # of a REST answer
PAGES_A_SECOND = 100.0  # that one address may ask for, with some room: 600 in 5 s are allowed
PAGE_KB = 95.0  # of one answer: 1,000 bars of seven strings
TRAINING_SPREAD = 0.25  # σ of the logarithm: equal trainings took 23 to 65 s
TRAINING_GB = 3.0  # at peak: the main job held 2.8
COMPARISON_S = (
    300.0  # core seconds of one symbol's, audit included: docs/comparison.md, hourly bars
)
COMPARISON_CELLS = 8  # pieces that it is cut into
DISPATCH_S = 0.002  # of the process that hands out tasks, each
START_S = 3.0  # a worker's imports
RAW_BYTES, FEATURE_COLUMNS = 56, 4  # of a bar: seven float64; what is kept of features, float32
SYMBOLS, YEARS, SEEDS = 500, 5, 5
BARS = YEARS * 365 * 24 * 60  # of a symbol
TRAINING_S = 234.0  # V and M of as many bars, one core: python -m benchmarks.growth --bars 2600000


@dataclass(frozen=True)
class Cluster:
    """Nodes that work, one process that hands out, one store that all read from.

    Attributes:
        nodes: How many.
        cores: Of each.
        memory_gb: Of each [GB].
        dispatch_s: Of the process that hands out, for each task [s].
        start_s: Until a worker can work [s].
        store_gb_s: What the store reads in all [GB/s]; 1.25 is a network of 10 Gbit/s.
    """

    nodes: int = 10
    cores: int = 64
    memory_gb: float = 256.0
    dispatch_s: float = DISPATCH_S
    start_s: float = START_S
    store_gb_s: float = 1.25

    def workers(self, memory_gb: float) -> int:
        """How many tasks of some memory [GB] run at once."""
        fits = math.floor(self.memory_gb / memory_gb) if memory_gb > 0 else self.cores
        return self.nodes * min(self.cores, fits)


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Attributes:
        seconds: On one core [s].
        read_gb: Read from the store before [GB].
    """

    seconds: float
    read_gb: float = 0.0


@dataclass(frozen=True)
class Simulated:
    """What came of it.

    Attributes:
        seconds: Until the last task ended [s].
        busy: Share of the workers' time in which they computed.
    """

    seconds: float
    busy: float


def simulate(cluster: Cluster, tasks: Iterable[Task], memory_gb: float = 0.0) -> Simulated:
    """Hand out tasks in their order, each to the worker that is free first.

    The process that hands out and the store serve one task at a time, in the order in which they are asked,
    so that one pass over the tasks is the whole course of events.
    """
    free = [cluster.start_s] * cluster.workers(memory_gb)
    heapq.heapify(free)
    handing = reading = end = worked = 0.0
    for task in tasks:
        handing = max(heapq.heappop(free), handing) + cluster.dispatch_s
        reading = max(handing, reading) + task.read_gb / cluster.store_gb_s
        done = (reading if task.read_gb else handing) + task.seconds
        heapq.heappush(free, done)
        end, worked = max(end, done), worked + task.seconds
    return Simulated(end, worked / (len(free) * end))


def by_hand(cluster: Cluster, count: int, task: Task, memory_gb: float = 0.0) -> float:
    """How long equal tasks take [s] where one thing alone holds them up: the slowest of the three.

    Workers: start + ⌈n ÷ W⌉ (d + t + r). Handing out: start + n d + r + t. Store: start + d + n r + t.
    """
    workers, d, t = cluster.workers(memory_gb), cluster.dispatch_s, task.seconds
    r = task.read_gb / cluster.store_gb_s
    waves = math.ceil(count / workers) * (d + t + r)
    return cluster.start_s + max(waves, count * d + r + t, d + count * r + t)


def trainings(count: int, seconds: float = TRAINING_S, seed: int = 0) -> list[Task]:
    """World models of a symbol each, which take on average so long [s], spread as it was measured."""
    rng = np.random.default_rng(seed)
    spread = rng.lognormal(-(TRAINING_SPREAD**2) / 2, TRAINING_SPREAD, count)
    read = BARS * RAW_BYTES / 1e9
    return [Task(float(seconds * x), read) for x in spread]


def volume() -> list[str]:
    """What there is to fetch and to keep."""
    bars = SYMBOLS * BARS
    pages = bars / PAGE_BARS
    return [
        f"bars: {SYMBOLS} × {YEARS} × 365 × 24 × 60 = {bars / 1e9:.2f} billion",
        f"raw: {RAW_BYTES} bytes a bar = {bars * RAW_BYTES / 1e9:.0f} GB",
        f"features: {FEATURE_COLUMNS} columns of float32 = {bars * FEATURE_COLUMNS * 4 / 1e9:.0f} GB",
        f"pages: {pages / 1e6:.2f} million, {pages * PAGE_KB / 1e6:.0f} GB of answers",
        f"download: {pages / PAGES_A_SECOND / 3600:.1f} hours from one address at {PAGES_A_SECOND:.0f} "
        f"pages a second ({PAGES_A_SECOND * PAGE_KB / 1e3:.1f} MB/s)",
    ]


def training_rows() -> list[list[str]]:
    """500 models × 5 seeds on clusters of several sizes."""
    count, rows = SYMBOLS * SEEDS, []
    mean = Task(TRAINING_S, BARS * RAW_BYTES / 1e9)
    for nodes in (1, 5, 10, 20, 40):
        cluster = Cluster(nodes)
        told = simulate(cluster, trainings(count), TRAINING_GB)
        hand = by_hand(cluster, count, mean, TRAINING_GB)
        rows.append(
            [
                f"{nodes} × {cluster.cores}",
                f"{cluster.workers(TRAINING_GB)}",
                f"{hand / 3600:.1f} h",
                f"{told.seconds / 3600:.1f} h",
                f"{told.busy:.0%}",
            ]
        )
    return rows


def need_rows() -> list[list[str]]:
    """The same on 10 nodes, by what a training takes."""
    rows = []
    for need in (4.0, 8.0, 16.0):
        cells = [f"{need:.0f} GB", f"{Cluster().workers(need)}"]
        for seconds in (1200.0, TRAINING_S, 300.0):
            told = simulate(Cluster(), trainings(SYMBOLS * SEEDS, seconds), need)
            cells.append(f"{told.seconds / 3600:.1f} h")
        rows.append(cells)
    return rows


def comparison_rows() -> list[list[str]]:
    """A comparison of every symbol: cells as pieces."""
    rows = []
    for nodes in (1, 5, 10, 20, 40):
        cluster, count = Cluster(nodes), SYMBOLS * COMPARISON_CELLS
        task = Task(COMPARISON_S / COMPARISON_CELLS, BARS * RAW_BYTES / 1e9)
        told = simulate(cluster, [task] * count)
        hand = by_hand(cluster, count, task)
        rows.append(
            [
                f"{nodes} × {cluster.cores}",
                f"{hand / 60:.1f} min",
                f"{told.seconds / 60:.1f} min",
                f"{told.busy:.0%}",
            ]
        )
    return rows


def block_rows() -> list[list[str]]:
    """Blocks of dreams by their length: what share of the workers' time is computing."""
    rows = []
    for seconds in (0.01, 0.1, 0.3, 1.0, 10.0):
        shares = []
        for nodes in (1, 2, 5, 10):
            cluster = replace(Cluster(nodes), start_s=0.0)
            count = 20 * cluster.workers(0.0)
            shares.append(f"{simulate(cluster, [Task(seconds)] * count).busy:.0%}")
        rows.append([f"{seconds:g} s", *shares])
    return rows


def table(head: list[str], rows: list[list[str]]) -> str:
    """Rows as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(given: list[str] | None = None) -> int:
    """Print the tables."""
    argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__).parse_args(
        given
    )
    print("\n".join(f"- {line}" for line in volume()))
    sizes = ["nodes × cores", "trainings at once", "by hand", "simulated", "busy"]
    print(f"\n{table(sizes, training_rows())}")
    needs = [
        "a training needs",
        "at once",
        *(f"it takes {s:,.0f} s" for s in (1200, TRAINING_S, 300)),
    ]
    print(f"\n{table(needs, need_rows())}")
    print(f"\n{table(['nodes × cores', 'by hand', 'simulated', 'busy'], comparison_rows())}")
    print(f"\n{table(['a block takes', '64', '128', '320', '640 workers busy'], block_rows())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
