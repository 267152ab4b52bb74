"""Whole populations scored: in shared dreams, in replay, by several processes, in CMA-ES."""

from __future__ import annotations

import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from worldmodel_trading.agents.cma_es import CMAESConfig, search
from worldmodel_trading.envs.population.jobs import Dreams
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.scoring import replay_paths, score_replay
from worldmodel_trading.envs.recorded import latent_record
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.files.export import read_candles
from worldmodel_trading.models.machine import num_cores
from worldmodel_trading.models.world_model import WorldModel

from .dreams import engine_task, lanes_task, population
from .peers import INSTALL_HINT, PEERS, serving
from .results import Benchmark, Line, Result, Results, missing, quantity, ratio
from .timing import Rate, Settings, Task, alternate, local
from .worlds import COST, candles_file, default_world, random_world, sgemm


def score_task(workers: DreamWorkers, candidates: int, dreams: int, bars: int) -> Task:
    """Dream and score a population, every time in other dreams; units are candidate-steps."""
    world = workers.engine.world_model
    parameters, rules = population(world, candidates), BrokerConfig()
    rng = np.random.default_rng(0)

    def work() -> float:
        segments = rng.integers(workers.engine.num_segments, size=dreams)
        seed = int(rng.integers(2**31))
        workers.score(parameters, Dreams(segments, bars, seed), rules)
        return float(candidates * dreams * bars)

    return local(work)


def _shared(settings: Settings) -> Results:
    world = default_world()
    here = DreamWorkers(world, 0)
    candidates, dreams = settings.size(1_024, 32), settings.size(64, 4)
    bars = settings.size(720, 16)
    tasks = {
        "many": score_task(here, candidates, dreams, bars),
        "few": score_task(here, settings.size(64, 8), dreams, bars),
        "lanes": lanes_task(world, settings.size(64, 4), settings.size(64, 8), 16),
        "sgemm": sgemm(),
    }
    rates = alternate(tasks, settings)
    inputs = world.config.latent_size + world.config.hidden_size
    flops = 2 * inputs  # of a candidate-step's product; the account's share is added afterwards
    bound = Rate(rates["sgemm"].wall / flops, rates["sgemm"].cpu / flops, rates["sgemm"].spread)
    unit, size = "candidate-steps/s", f"{candidates} candidates × {dreams} dreams × {bars} bars"
    note = f"{size}, dreaming included"
    return {
        "shared-product": ratio(rates["many"], bound, unit, note),
        "shared-product-64": ratio(rates["few"], bound, unit, "dreaming included"),
        "shared-lanes": ratio(rates["many"], rates["lanes"], unit),
    }


def _replay(settings: Settings) -> Results:
    with candles_file(settings.size(50_000, 2_000)) as path, ExitStack() as stack:
        tasks = {"ours": _replay_task(path, settings.size(1_000, 20))}
        names = {"vectorbt": "replay-vectorbt", "backtesting": "replay-backtesting"}
        results: Results = {}
        for name, line in names.items():
            if not PEERS[name].is_installed():
                results[line] = missing(INSTALL_HINT)
                continue
            windows = settings.size(46, 6)  # 46 · 45 / 2 = 1,035 pairs
            tasks[name] = stack.enter_context(serving(PEERS[name], path, fee=COST, windows=windows))
        rates = alternate(tasks, settings.fewer_rounds())
    for name, line in names.items():
        if name in rates:
            results[line] = ratio(rates["ours"], rates[name], "candidate-bars/s")
    return _with_note(results, f"ours {quantity(rates['ours'].wall)} candidate-bars/s")


def _with_note(results: Results, note: str) -> Results:
    return {
        name: r if r.value is not None else missing(f"{r.note.partition(': ')[2]}; {note}")
        for name, r in results.items()
    }


def _replay_task(path: Path, candidates: int) -> Task:
    """Linear controllers over all replayed bars, with costs, latents cached."""
    world, rules = default_world(), BrokerConfig()
    recorded = latent_record(read_candles(path), world)
    bars = sum(paths.view.shape[1] for paths in replay_paths(recorded))
    parameters = population(world, candidates)

    def work() -> float:
        score_replay(recorded, parameters, rules)
        return float(candidates * bars)

    return local(work)


def _workers(settings: Settings) -> Results:
    cores = num_cores()
    lanes = (settings.size(512, 32), 32, settings.size(64, 4))
    shared = (settings.size(1_024, 32), settings.size(256, 64), settings.size(720, 8))
    with ExitStack() as stack:
        tasks: dict[str, Task] = {}
        worlds = {"lanes": random_world(8, 64), "shared": default_world()}
        sizes = {"lanes": lanes, "shared": shared}
        for kind, world in worlds.items():
            for count in (1, 2):
                pool = stack.enter_context(DreamWorkers(world, count))
                tasks[f"{kind} {count}"] = score_task(pool, *sizes[kind])
        rates = alternate(tasks, settings)
    free = free_cores(settings)
    note = f"{cores} cores; two processes that only count ÷ one: {free:.2f}"
    return {
        f"workers-{kind}": _without_cpu_time(
            rates[f"{kind} 2"], rates[f"{kind} 1"], "candidate-steps/s", note
        )
        for kind in worlds
    }


def free_cores(settings: Settings) -> float:
    """What two plain processes get done ÷ what one does: below 2 where others use the cores."""
    code = (
        "import time\nend, n = time.perf_counter() + 0.5, 0\n"
        "while time.perf_counter() < end: n += 1\nprint(n)"
    )
    done: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(settings.size(3, 1)):
        for count, totals in done.items():
            processes = [
                subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
                for _ in range(count)
            ]
            totals.append(sum(float(process.communicate()[0]) for process in processes))
    return statistics.median(done[2]) / statistics.median(done[1])


def _without_cpu_time(ours: Rate, theirs: Rate, unit: str, note: str) -> Result:
    """As `ratio`, for work that other processes do."""
    return replace(ratio(ours, theirs, unit, note), by_cpu_time=None)


def _cma_es(settings: Settings) -> Results:
    world = random_world(8, 64)
    candidates, dreams, bars = settings.size(256, 8), 16, settings.size(512, 8)
    tasks = {
        "generation": _generation_task(world, candidates, dreams, bars),
        "engine": engine_task(world, 1_024, settings.size(64, 2)),
        "lanes": lanes_task(world, settings.size(64, 2), 64, dreams),
    }
    rates = alternate(tasks, settings.fewer_rounds())
    return {
        "cma-es-engine": ratio(
            rates["generation"],
            rates["engine"],
            "lane-steps/s",
            "engine: its steps alone, noise given",
        ),
        "cma-es-rollout": ratio(
            rates["generation"],
            rates["lanes"],
            "lane-steps/s",
            "rollout: policies and accounts too",
        ),
    }


def _generation_task(world: WorldModel, candidates: int, dreams: int, bars: int) -> Task:
    """One generation: ask, score every candidate in lanes of its own, tell."""
    workers, rules = DreamWorkers(world, 0), BrokerConfig()
    segments = np.random.default_rng(0).integers(workers.engine.num_segments, size=dreams)
    config = CMAESConfig(population=candidates, generations=1)

    def fitness(parameters: FloatArray, _generation: int) -> FloatArray:
        scores = workers.score(parameters, Dreams(segments, bars, seed=1), rules)
        return np.asarray(scores.log_return.mean(axis=1))

    size = world.config.latent_size + world.config.hidden_size + 2

    def work() -> float:
        search(fitness, size, config, seed=1)
        return float(candidates * dreams * bars)

    return local(work)


BENCHMARKS = (
    Benchmark(
        "shared-dreams",
        (
            Line("shared-product", "shared dreams ÷ sgemm-bound rate of the policy product", 0.20),
            Line("shared-product-64", "the same with 64 candidates"),
            Line("shared-lanes", "shared dreams ÷ stepping M for every candidate", 50),
        ),
        _shared,
    ),
    Benchmark(
        "replay-population",
        (
            Line("replay-vectorbt", "1,000 controllers on 50,000 bars ÷ vectorbt's sweep", 10),
            Line("replay-backtesting", "the same ÷ backtesting.py's single backtest", 500),
        ),
        _replay,
    ),
    Benchmark(
        "workers",
        (
            Line("workers-lanes", "two worker processes ÷ one, lanes", 1.8),
            Line("workers-shared", "two worker processes ÷ one, shared dreams", 1.7),
        ),
        _workers,
    ),
    Benchmark(
        "cma-es",
        (
            Line("cma-es-engine", "CMA-ES generation, 256 × 16 × 512 ÷ the bare engine", 0.9),
            Line("cma-es-rollout", "the same ÷ the rollout engine"),
        ),
        _cma_es,
    ),
)
