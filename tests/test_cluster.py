"""The simulated scheduler, held to what is known in closed form."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
ALONE = {"dispatch_s": 0.0, "start_s": 0.0}


@pytest.fixture(scope="module")
def cluster() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT))
    yield importlib.import_module("benchmarks.cluster")
    sys.path.remove(str(ROOT))


def test_equal_tasks_come_in_waves(cluster: ModuleType) -> None:
    four = cluster.Cluster(2, 2, **ALONE)
    for count in (1, 4, 5, 8, 9):
        told = cluster.simulate(four, [cluster.Task(10.0)] * count)
        assert told.seconds == 10.0 * math.ceil(count / 4)
        assert told.busy == pytest.approx(count / (4 * math.ceil(count / 4)))


def test_a_worker_starts_once_and_each_task_is_handed_out(cluster: ModuleType) -> None:
    one = cluster.Cluster(1, 1, dispatch_s=0.5, start_s=3.0)
    assert cluster.simulate(one, [cluster.Task(2.0)] * 4).seconds == 3.0 + 4 * (0.5 + 2.0)


def test_who_hands_out_holds_up_many_workers(cluster: ModuleType) -> None:
    many = cluster.Cluster(1, 100, dispatch_s=0.1, start_s=0.0)
    told = cluster.simulate(many, [cluster.Task(2.0)] * 500)
    assert told.seconds == pytest.approx(500 * 0.1 + 2.0)  # 20 workers would be enough
    assert told.busy == pytest.approx(500 * 2.0 / (100 * 52.0))


def test_the_store_serves_one_after_the_other(cluster: ModuleType) -> None:
    many = cluster.Cluster(1, 100, store_gb_s=0.5, **ALONE)
    told = cluster.simulate(many, [cluster.Task(2.0, read_gb=1.0)] * 10)
    assert told.seconds == pytest.approx(10 * 2.0 + 2.0)


def test_memory_leaves_cores_idle(cluster: ModuleType) -> None:
    nodes = cluster.Cluster(3, 8, memory_gb=10.0, **ALONE)
    assert [nodes.workers(need) for need in (0.0, 1.0, 2.5, 6.0, 11.0)] == [24, 24, 12, 3, 0]
    assert cluster.simulate(nodes, [cluster.Task(1.0)] * 24, 2.5).seconds == 2.0


@pytest.mark.parametrize("held_up", ["nothing", "handing out", "the store"])
def test_the_formula_is_what_is_simulated_where_one_thing_holds_up(
    held_up: str, cluster: ModuleType
) -> None:
    small = cluster.Cluster(2, 8, dispatch_s=1e-6, start_s=3.0, store_gb_s=1e6)
    changed = {
        "nothing": small,
        "handing out": replace(small, dispatch_s=5.0),
        "the store": replace(small, store_gb_s=0.1),
    }[held_up]
    task = cluster.Task(8.0, read_gb=1.0)
    told = cluster.simulate(changed, [task] * 80)
    assert told.seconds == pytest.approx(cluster.by_hand(changed, 80, task), rel=1e-3)


def test_unequal_tasks_stay_within_grahams_bound(cluster: ModuleType) -> None:
    nodes = cluster.Cluster(1, 16, **ALONE)
    times = np.random.default_rng(0).lognormal(0.0, 1.0, 200)
    told = cluster.simulate(nodes, [cluster.Task(float(one)) for one in times])
    least = max(times.sum() / 16, times.max())
    assert least <= told.seconds <= (2 - 1 / 16) * least


def test_trainings_take_on_average_what_was_measured(cluster: ModuleType) -> None:
    times = [one.seconds for one in cluster.trainings(4_000)]
    assert np.mean(times) == pytest.approx(cluster.TRAINING_S, rel=0.02)


def test_its_tables_are_printed(cluster: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.main([]) == 0
    told = capsys.readouterr().out
    assert "1.31 billion" in told
    assert told.count("| 10 × 64 |") == 2
