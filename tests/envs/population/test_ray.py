"""The executor on a Ray cluster of two nodes, started here: the same bits, whoever and whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from small_work import Deadly, Threads, Wrong, nothing

from worldmodel_trading.envs.population import ray_cluster
from worldmodel_trading.envs.population.crew import RAY, Crew
from worldmodel_trading.envs.population.jobs import Dreams, PathsJob
from worldmodel_trading.envs.population.ray_executor import RayExecutor
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.errors import ConfigError, MissingPackageError, WorkerError
from worldmodel_trading.models.world_model import WorldModel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nodes on one machine, by loopback")

HOST = "127.0.0.2"  # of 127.0.0.1 Ray makes the machine's own address
BROKER = BrokerConfig.from_settings(leverage=2.0, fill_delay=1)
# Every port is the system's choice, which never is one of Ray's own, 10002 to 19999.
PORTS = dict.fromkeys(
    ("node_manager_port", "object_manager_port", "min_worker_port", "max_worker_port"), 0
)
NODE = {"node_ip_address": HOST, "include_dashboard": False, **PORTS}
QUICK = {"health_check_period_ms": 200, "health_check_failure_threshold": 3}
OPEN = f"""
import os, sys
os.environ["RAY_AUTH_MODE"] = "disabled"
from ray.cluster_utils import Cluster
cluster = Cluster(True, head_node_args=dict(num_cpus=1, **{NODE!r}))
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of 2 CPUs and 1 that ask for a token."""
    os.environ["RAY_AUTH_MODE"] = "token"
    ray_cluster.own_token()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    nodes = Cluster(True, head_node_args={"num_cpus": 2, "_system_config": QUICK, **NODE})
    nodes.add_node(num_cpus=1, **NODE)
    yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def crew(cluster: Any) -> Crew:
    return Crew(2, RAY, cluster.address)


def started(code: str) -> subprocess.Popen[str]:
    """A cluster of another process, until that is told to end."""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def address_of(node: subprocess.Popen[str]) -> str:
    assert node.stdout is not None
    return node.stdout.readline().strip()


def population(model: WorldModel, count: int = 5) -> np.ndarray:
    size = model.config.latent_size + model.config.hidden_size + 2
    return np.random.default_rng(4).normal(0.0, 0.4, (count, size))


def some_dreams(model: WorldModel) -> Dreams:
    segments = np.random.default_rng(0).integers(len(model.bank.close), size=320)
    return Dreams(segments, 20, 7, 0.9)


def test_what_is_no_cluster_is_refused(crew: Crew) -> None:
    with pytest.raises(ConfigError, match=r"nobody answers at 127\.0\.0\.2:9 "):
        RayExecutor(nothing, 1, f"{HOST}:9")
    for address in ("ray://127.0.0.2:10001", "somewhere"):
        with pytest.raises(ConfigError, match="expected HOST:PORT, or auto"):
            RayExecutor(nothing, 1, address)


def test_without_tokens_or_without_ray_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ConfigError, match="RAY_AUTH_MODE is disabled, and Ray is used with tokens"):
        RayExecutor(nothing)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'worldmodel-trading\[ray\]'"):
        RayExecutor(nothing)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a worker died")
def test_a_worker_lost_to_memory_is_said_in_a_sentence(crew: Crew) -> None:
    full = {"memory_usage_threshold": 0.0, "memory_monitor_refresh_ms": 100}
    node = started(
        OPEN.replace("disabled", "token").replace(
            "num_cpus=1", f"_system_config={full}, num_cpus=1"
        )
    )
    try:
        executor = RayExecutor(nothing, 1, address_of(node))
        with pytest.raises(
            WorkerError, match=r"died before .*: its node ran out of memory, .*memory$"
        ):
            executor.compute(Threads(), range(2))
        executor.close()
    finally:
        node.communicate()


def test_an_instance_of_this_machine_has_a_token_and_ends(
    monkeypatch: pytest.MonkeyPatch, crew: Crew, tmp_path: Any
) -> None:
    import ray

    executor = RayExecutor(nothing, 1)
    assert executor.compute(Deadly(tmp_path, {}), range(2)) == [0, 2]
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
    executor.close()
    assert not ray.is_initialized()
    assert not ray_cluster._users


def test_a_cluster_that_asks_for_no_token_is_refused(crew: Crew) -> None:
    node = started(OPEN)
    try:
        with pytest.raises(ConfigError, match=r"answers without a token.*RAY_AUTH_MODE=token"):
            RayExecutor(nothing, 1, address_of(node))
    finally:
        node.communicate()


def test_more_workers_than_the_cluster_has_are_refused(crew: Crew) -> None:
    with pytest.raises(ConfigError, match="workers is 9, and the Ray cluster has 3 CPUs"):
        RayExecutor(nothing, 9, crew.ray_address)


@pytest.fixture(scope="class")
def plain(crew: Crew) -> Iterator[RayExecutor]:
    """Two workers that have opened nothing."""
    executor = RayExecutor(nothing, 2, crew.ray_address)
    yield executor
    executor.close()


class TestTwoWorkers:
    """Of the cluster, kept from one test to the next."""

    def test_each_worker_has_one_thread_and_blocks_that_take_no_time_go_out_together(
        self,
        plain: RayExecutor,
    ) -> None:
        done: list[int] = []
        first = plain.compute(Threads(), range(2), done.append)
        pids = {pid for pid, _, _ in [*first, *plain.compute(Threads(), range(100), done.append)]}
        assert os.getpid() not in pids
        assert len(pids) <= 2
        assert plain._bundle(Threads(), 100) > 1
        assert all(set(threads.values()) == {1} and numba == "1" for _, threads, numba in first)
        assert sorted(done) == sorted([*range(2), *range(100)])

    def test_what_a_block_raises_is_told_and_the_workers_go_on(
        self, plain: RayExecutor, tmp_path: Any
    ) -> None:
        with pytest.raises(WorkerError, match=r"(?s)File .*small_work.py.*KeyError: 'lost'"):
            plain.compute(Wrong(KeyError("lost")), range(4))
        with pytest.raises(ConfigError, match=r"^too warm$"):
            plain.compute(Wrong(ConfigError("too warm")), range(4))
        assert plain.compute(Deadly(tmp_path, {}), range(3)) == [0, 2, 4]

    def test_a_worker_killed_at_work_is_replaced_and_its_block_done_again(
        self, plain: RayExecutor, tmp_path: Any
    ) -> None:
        with pytest.warns(
            RuntimeWarning, match=r"(?s)a worker died: .*New ones do \d+ blocks again"
        ):
            found = plain.compute(Deadly(tmp_path, {3: 1}), range(6))
        assert found == [0, 2, 4, 6, 8, 10]
        assert len(list(tmp_path.iterdir())) == 1

    @pytest.mark.filterwarnings("ignore:a worker died")
    def test_a_block_over_which_workers_always_die_is_to_blame(
        self, plain: RayExecutor, tmp_path: Any
    ) -> None:
        with pytest.raises(WorkerError, match=r"3 times workers died over blocks 0;"):
            plain.compute(Deadly(tmp_path, {0: 9}), range(1))
        assert plain.compute(Deadly(tmp_path, {}), range(3)) == [0, 2, 4]


def test_scores_are_the_same_bits_on_a_cluster(crew: Crew, paper_model: WorldModel) -> None:
    model = paper_model
    alone = DreamWorkers(model, 0).score(population(model), some_dreams(model), BROKER)
    with DreamWorkers(model, crew) as pool:
        shared = pool.score(population(model), some_dreams(model), BROKER)
        again = pool.score(population(model), some_dreams(model), BROKER)
    assert np.unique(alone.log_return).size == alone.log_return.size
    for name, numbers in alone._asdict().items():
        np.testing.assert_array_equal(getattr(shared, name), numbers, err_msg=name)
        np.testing.assert_array_equal(getattr(again, name), numbers, err_msg=name)


# Last, as the cluster then has one node less.


def test_a_node_killed_in_the_middle_changes_no_bit(cluster: Any, market_model: WorldModel) -> None:
    model, (node,) = market_model, cluster.worker_nodes
    alone = DreamWorkers(model, 0).dream(some_dreams(model))
    killed: list[int] = []

    def kill(place: int) -> None:
        if not killed:
            killed.append(place)
            for process in node.all_processes["raylet"]:
                os.kill(process.process.pid, signal.SIGKILL)

    with DreamWorkers(model, Crew(3, RAY, cluster.address)) as pool:
        assert pool.executor is not None
        seen = set[int]()
        while len(seen) < 3:  # all have begun
            seen |= {pid for pid, _, _ in pool.executor.compute(Threads(), range(50))}
        job = PathsJob(some_dreams(model))
        with pytest.warns(RuntimeWarning, match="a worker died"):
            parts = pool.executor.compute(job, [0, 1, 2, 3] * 8, kill)
        shared = job.assemble(parts[-4:])
    assert killed
    np.testing.assert_array_equal(shared.view, alone.view)
    np.testing.assert_array_equal(shared.bars, alone.bars)
