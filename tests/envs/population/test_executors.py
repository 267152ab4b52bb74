"""Workers: the same bits whoever computes them, and an honest word when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controller
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.population.executors import ProcessExecutor
from worldmodel_trading.envs.population.jobs import BLOCK_LANES, Dreams, ScoreJob
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.scoring import MarketPaths, Scores, score_lanes, score_paths
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.errors import ConfigError, WorkerError
from worldmodel_trading.models.drift import with_drift
from worldmodel_trading.models.world_model import WorldModel

NUM_DREAMS = 100  # blocks of 33, 33 and 34
BROKER = BrokerConfig.from_settings(leverage=2.0, fill_delay=1)


@pytest.fixture(scope="module")
def one_worker(market_model: WorldModel) -> Iterator[DreamWorkers]:
    with DreamWorkers(market_model, 1) as pool:
        yield pool


@pytest.fixture(scope="module")
def two_workers(market_model: WorldModel) -> Iterator[DreamWorkers]:
    with DreamWorkers(market_model, 2) as pool:
        yield pool


@pytest.fixture(scope="module")
def two_paper_workers(paper_model: WorldModel) -> Iterator[DreamWorkers]:
    with DreamWorkers(paper_model, 2) as pool:
        yield pool


def population(model: WorldModel, count: int = 5) -> np.ndarray:
    size = model.config.latent_size + model.config.hidden_size + 2
    return np.random.default_rng(4).normal(0.0, 0.4, (count, size))


def some_dreams(model: WorldModel, seed: int = 7, num_bars: int = 20) -> Dreams:
    segments = np.random.default_rng(0).integers(len(model.bank.close), size=NUM_DREAMS)
    return Dreams(segments, num_bars, seed, 0.9, DreamFunding(1e-4, model))


def here(model: WorldModel) -> DreamWorkers:
    return DreamWorkers(model, num_workers=0)


def assert_same_bits(one: Scores | MarketPaths, two: Scores | MarketPaths) -> None:
    names = Scores._fields if isinstance(one, Scores) else ("view", "bars")
    for name in names:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_workers_dream_with_the_drift(market_model: WorldModel) -> None:
    model = with_drift(market_model, 8.0)
    expected = here(model).score(population(model), some_dreams(model), BROKER)
    with DreamWorkers(model, 1) as pool:
        assert_same_bits(pool.score(population(model), some_dreams(model), BROKER), expected)
    unmoved = here(market_model).score(population(model), some_dreams(model), BROKER)
    assert (unmoved.log_return != expected.log_return).any()


def test_market_scores_do_not_depend_on_the_workers(
    market_model: WorldModel, one_worker: DreamWorkers, two_workers: DreamWorkers
) -> None:
    parameters, dreams = population(market_model), some_dreams(market_model)
    alone = here(market_model).score(parameters, dreams, BROKER)
    assert alone.log_return.shape == (5, NUM_DREAMS)
    assert np.unique(alone.log_return).size == 5 * NUM_DREAMS
    for pool in (one_worker, two_workers, two_workers):
        assert_same_bits(alone, pool.score(parameters, dreams, BROKER))


@pytest.mark.slow
def test_five_workers_score_as_none_does(market_model: WorldModel) -> None:
    dreams = Dreams(np.arange(160) % market_model.num_segments, num_bars=30, seed=3)
    parameters = population(market_model)
    alone = here(market_model).score(parameters, dreams, BROKER)
    with DreamWorkers(market_model, num_workers=5) as five:
        assert_same_bits(alone, five.score(parameters, dreams, BROKER))


def test_paper_scores_do_not_depend_on_the_workers(
    paper_model: WorldModel, two_paper_workers: DreamWorkers
) -> None:
    count = BLOCK_LANES // 34 + 3  # two blocks of candidates for each of dreams
    parameters, dreams = population(paper_model, count), some_dreams(paper_model, num_bars=6)
    assert len(ScoreJob(parameters, dreams, BROKER).blocks(paper_model)) == 2 * 3
    alone = here(paper_model).score(parameters, dreams, BROKER)
    assert alone.log_return.shape == (count, NUM_DREAMS)
    assert_same_bits(alone, two_paper_workers.score(parameters, dreams, BROKER))


def test_paths_do_not_depend_on_the_workers(
    market_model: WorldModel, two_workers: DreamWorkers
) -> None:
    dreams = some_dreams(market_model)
    alone = here(market_model).dream(dreams)
    assert alone.view.shape[:2] == alone.bars.shape[:2] == (NUM_DREAMS, 20)
    assert_same_bits(alone, two_workers.dream(dreams))
    scored = score_paths(alone, population(market_model), BROKER)
    together = two_workers.score(population(market_model), dreams, BROKER)
    assert_same_bits(scored, together)


def test_candidates_dream_on_the_same_noise_whatever_block_they_are_in(
    paper_model: WorldModel,
) -> None:
    size = BLOCK_LANES // 34
    parameters = np.repeat(population(paper_model, 1), size + 1, axis=0)
    dreams = some_dreams(paper_model, num_bars=6)
    scores = here(paper_model).score(parameters, dreams, BROKER)
    # The last candidate is alone in its block: the same dreams, in other company.
    np.testing.assert_array_equal(scores.log_return[-1], scores.log_return[0])
    np.testing.assert_array_equal(scores.log_return[1], scores.log_return[0])


def test_blocks_are_the_plain_functions(market_model: WorldModel) -> None:
    pool, parameters = here(market_model), population(market_model)
    dreams = some_dreams(market_model)
    scores = pool.score(parameters, dreams, BROKER)
    block = dreams.blocks()[-1]
    assert block == slice(66, 100)
    own = score_lanes(
        pool.engine,
        parameters,
        dreams.segments[block],
        dreams.num_bars,
        dreams.generator(2),
        BROKER,
        dreams.temperature,
        dreams.funding,
    )
    np.testing.assert_allclose(own.cost, scores.cost[:, block], rtol=5e-3)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (63, [63]), (64, [32, 32]), (100, [33, 33, 34]), (512, [128] * 4), (640, [128] * 5)],
)
def test_dreams_are_cut_into_equal_blocks(count: int, sizes: list[int]) -> None:
    dreams = Dreams(np.zeros(count, dtype=int), 1, 0)
    assert [len(dreams.segments[block]) for block in dreams.blocks()] == sizes


def test_seeds_make_dreams(market_model: WorldModel) -> None:
    pool, parameters = here(market_model), population(market_model)
    one, two, other = (
        pool.score(parameters, some_dreams(market_model, seed), BROKER) for seed in (7, 7, 8)
    )
    assert_same_bits(one, two)
    assert not np.isin(one.log_return, other.log_return).any()
    same_segments = Dreams(np.zeros(NUM_DREAMS, dtype=int), 20, 0)
    ends = pool.dream(same_segments).view[:, -1]
    assert len(np.unique(ends, axis=0)) == NUM_DREAMS  # blocks do not repeat each other's noise


def test_a_failing_block_reports_its_traceback_and_the_pool_goes_on(
    market_model: WorldModel, two_workers: DreamWorkers
) -> None:
    dreams = some_dreams(market_model)
    broken = some_dreams(market_model)
    object.__setattr__(broken, "temperature", "warm")
    with pytest.raises(WorkerError, match=r"(?s)Traceback.*in compute.*warm") as caught:
        two_workers.dream(broken)
    assert "jobs.py" in str(caught.value)
    assert_same_bits(here(market_model).dream(dreams), two_workers.dream(dreams))


@pytest.mark.parametrize("preset", ["market", "paper"])
def test_the_search_finds_the_same_controller(preset: str, request: pytest.FixtureRequest) -> None:
    model: WorldModel = request.getfixturevalue(f"{preset}_model")
    name = "two_workers" if preset == "market" else "two_paper_workers"
    pool: DreamWorkers = request.getfixturevalue(name)
    config = DreamSearchConfig(CMAESConfig(population=4, generations=3), dreams=40, horizon=8)
    one, alone = train_controller(model, config, seed=3)
    two, shared = train_controller(model, config, seed=3, scorer=pool)
    np.testing.assert_array_equal(one.parameters, two.parameters)
    assert alone.history == shared.history


def test_the_search_refuses_workers_that_dream_of_something_else(
    market_model: WorldModel, paper_model: WorldModel
) -> None:
    with pytest.raises(ConfigError, match="another world model"):
        train_controller(market_model, scorer=here(paper_model))


def test_jobs_that_do_not_fit_are_refused_before_any_work(
    market_model: WorldModel, paper_model: WorldModel
) -> None:
    pool, dreams = here(market_model), some_dreams(market_model)
    with pytest.raises(ConfigError, match=r"a policy has 3 parameters; .* takes 11"):
        pool.score(np.zeros((2, 3)), dreams, BROKER)
    with pytest.raises(ConfigError, match="segments run from 0 to 16"):
        pool.dream(Dreams(np.array([0, 16]), 5, 0))
    with pytest.raises(ConfigError, match="no shared paths"):
        here(paper_model).dream(some_dreams(paper_model))
    for segments, bars, seed in (([], 5, 0), ([[1]], 5, 0), ([1], 0, 0), ([1], 5, -1)):
        with pytest.raises(ConfigError, match="expected"):
            Dreams(np.array(segments), bars, seed)
    for count in (-1, 1.5, True):
        with pytest.raises(ConfigError, match="expected a whole number, 0 or more"):
            DreamWorkers(market_model, count)  # type: ignore[arg-type, unused-ignore]


def process_ids(pool: DreamWorkers) -> list[int]:
    assert isinstance(pool.executor, ProcessExecutor)
    return list(pool.executor._pool._processes)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_a_closed_pool_leaves_nothing_behind(market_model: WorldModel) -> None:
    pool = DreamWorkers(market_model, 1)
    pids = process_ids(pool)
    folder = Path(pool.executor._folder.name)  # type: ignore[union-attr]
    assert is_running(pids[0])
    assert folder.exists()
    pool.close()
    pool.close()
    assert not is_running(pids[0])
    assert not folder.exists()
    with pytest.raises(ConfigError, match="closed"):
        pool.dream(some_dreams(market_model))


def test_a_worker_that_cannot_begin_is_not_started_again(market_model: WorldModel) -> None:
    with DreamWorkers(market_model, 1) as pool:
        os.kill(process_ids(pool)[0], signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"(?s)before it could work: .*SIGKILL"):
            pool.dream(some_dreams(market_model))


INTERRUPTED = """
import sys
import numpy as np
from worldmodel_trading.envs.population.executors import ProcessExecutor
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.scorers import DreamWorkers

if __name__ == "__main__":
    try:
        with DreamWorkers(sys.argv[1], 1) as pool:
            pool.dream(Dreams(np.zeros(2, dtype=int), 2, 0))  # it is born and at work
            print(*pool.executor._pool._processes, flush=True)
            while True:
                pool.dream(Dreams(np.zeros(64, dtype=int), 400, 0))
                print("dreamed", flush=True)
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


def test_ctrl_c_ends_all_workers(market_model: WorldModel, tmp_path: Path) -> None:
    market_model.save_pretrained(tmp_path / "model")
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path / "model"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 1
    assert process.stdout.readline() == "dreamed\n"  # and the next dream is begun
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = process.communicate(timeout=120)
    assert out.splitlines()[-1] == "stopped"
    assert set(out.splitlines()[:-1]) <= {"dreamed"}
    # rarely loky's own tracker, told so too late, warns of a semaphore that is gone already
    told = [line for line in err.splitlines() if "resource_tracker" not in line]
    assert set(told) <= {"  warnings.warn("}
    assert process.returncode == 0
    assert not any(is_running(pid) for pid in pids)


# Last, so that nothing waits for the workers that replace the dead.


def test_a_worker_killed_at_work_is_replaced_and_its_block_done_again(
    market_model: WorldModel, two_workers: DreamWorkers
) -> None:
    parameters, dreams = population(market_model), some_dreams(market_model, num_bars=30)
    alone = here(market_model).score(parameters, dreams, BROKER)
    two_workers.score(parameters, dreams, BROKER)
    before = process_ids(two_workers)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)  # nobody finishes a block
    killer = threading.Timer(0.5, os.kill, (before[0], signal.SIGKILL))
    killer.start()
    with pytest.warns(RuntimeWarning, match=r"(?s)a worker died: .*SIGKILL.*New ones do"):
        again = two_workers.score(parameters, dreams, BROKER)
    killer.join()
    assert_same_bits(alone, again)
    assert not set(process_ids(two_workers)) & set(before)
    assert_same_bits(alone, two_workers.score(parameters, dreams, BROKER))


def test_a_worker_that_crashes_leaves_its_traceback(
    paper_model: WorldModel, two_paper_workers: DreamWorkers
) -> None:
    parameters, dreams = population(paper_model), some_dreams(paper_model, num_bars=6)
    alone = here(paper_model).score(parameters, dreams, BROKER)
    other, crashes = process_ids(two_paper_workers)
    os.kill(other, signal.SIGSTOP)  # or it does all blocks before the death is found out
    os.kill(crashes, signal.SIGSEGV)
    with pytest.warns(RuntimeWarning, match=r"(?s)worker died: .*SIGSEGV.*Fatal Python error"):
        again = two_paper_workers.score(parameters, dreams, BROKER)
    assert_same_bits(alone, again)
