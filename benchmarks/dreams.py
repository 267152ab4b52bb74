"""Lanes of dreams against the processor's matrix products and against one lane elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from worldmodel_trading.envs.dream import DreamEnv
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.population.scoring import score_lanes
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.mdn_rnn import CALENDAR_SIZE
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.world_model import WorldModel

from .numpy_loop import NumpyLane
from .results import Benchmark, Line, Result, Results, ratio
from .timing import Rate, Settings, Task, alternate, local
from .world_models_step import DreamStep
from .worlds import COST, default_world, lane_flops, per_unit, random_world, sgemm

_CANDIDATES, _DREAMS = 64, 16


def population(world: WorldModel, candidates: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Parameters of random linear controllers [P, D + 1]."""
    size = world.config.latent_size + world.config.hidden_size + 2
    return np.random.default_rng(1).normal(0.0, 0.3, (candidates, size))


def lanes_task(world: WorldModel, bars: int, candidates: int, dreams: int) -> Task:
    """The whole rollout: policies, dreams and accounts of P × N lanes; units are lane-steps."""
    engine, rng, rules = open_engine(world), np.random.default_rng(0), BrokerConfig()
    parameters = population(world, candidates)
    segments = rng.integers(engine.num_segments, size=dreams)

    def work() -> float:
        score_lanes(engine, parameters, segments, bars, rng, rules)
        return float(candidates * dreams * bars)

    return local(work)


def engine_task(world: WorldModel, lanes: int, bars: int) -> Task:
    """The engine's steps alone, the noise given; units are lane-steps."""
    engine, rng = open_engine(world), np.random.default_rng(0)
    state = engine.start(rng.integers(engine.num_segments, size=lanes))
    noise, idle = [engine.draw_noise(rng, lanes) for _ in range(4)], np.zeros(lanes)

    def work() -> float:
        for t in range(bars):
            engine.step(state, idle, noise[t % 4])
        return float(lanes * bars)

    return local(work)


def _numpy_task(world: PaperWorldModel, bars: int) -> Task:
    lane, rng = NumpyLane(world), np.random.default_rng(0)
    policy = population(world, 1)[0]
    uniforms = rng.random((bars, 2), dtype=np.float32)
    normals = rng.standard_normal((bars, 1 + world.config.latent_size), dtype=np.float32)

    def work() -> float:
        lane.rollout(policy, uniforms, normals, COST)
        return float(bars)

    return local(work)


def _to_sgemm(rates: dict[str, Rate], name: str, note: str, **details: Any) -> Result:
    return ratio(rates[name], rates["sgemm"], "FLOP/s", note, **details)


def _lane_rates(
    worlds: dict[str, WorldModel], others: dict[str, Task], settings: Settings
) -> dict[str, Rate]:
    """FLOP/s of ``NAME`` (rollouts) and ``NAME engine`` (its steps), of sgemm, and other rates."""
    candidates = settings.size(_CANDIDATES, 8)
    bars = settings.size(64, 4)
    tasks: dict[str, Task] = {"sgemm": sgemm()}
    for name, world in worlds.items():
        flops = lane_flops(world.config)
        tasks[name] = per_unit(lanes_task(world, bars, candidates, _DREAMS), flops)
        tasks[f"{name} engine"] = per_unit(
            engine_task(world, candidates * _DREAMS, settings.size(16, 2)), flops
        )
    return alternate(tasks | others, settings)


def _steps(rate: Rate, world: WorldModel) -> Rate:
    flops = lane_flops(world.config)
    return Rate(rate.wall / flops, rate.cpu / flops, rate.spread)


def _small(settings: Settings) -> Results:
    paper = random_world(8, 64)
    worlds: dict[str, WorldModel] = {"market": default_world(), "paper": paper}
    loop = {"numpy": _numpy_task(paper, settings.size(200, 20))}
    rates = _lane_rates(worlds, loop, settings)
    results = _flops_results("dream", worlds, rates)
    results["dream-numpy"] = ratio(_steps(rates["paper"], paper), rates["numpy"], "lane-steps/s")
    return results


def _flops_results(prefix: str, worlds: dict[str, WorldModel], rates: dict[str, Rate]) -> Results:
    results: Results = {}
    for name, world in worlds.items():
        steps = _steps(rates[name], world).wall
        note = f"{lane_flops(world.config) / 1e3:.1f} kFLOP and {1e9 / steps:.0f} ns a lane-step"
        results[f"{prefix}-{name}"] = _to_sgemm(rates, name, note, lane_steps_per_s=steps)
        results[f"{prefix}-{name}-engine"] = _to_sgemm(rates, f"{name} engine", "noise given")
    return results


def _large(settings: Settings) -> Results:
    worlds: dict[str, WorldModel] = {"paper": random_world(32, 256)}
    lane = DreamStep()

    def work() -> float:
        for _ in range(50):
            lane.step()
        return 50.0

    rates = _lane_rates(worlds, {"world-models": local(work)}, settings)
    results = _flops_results("large", worlds, rates)
    results["large-paper-world-models"] = ratio(
        _steps(rates["paper"], worlds["paper"]), rates["world-models"], "lane-steps/s"
    )
    return results


def _torch_step(config: PaperConfig) -> Callable[[], float]:
    """An LSTM cell and a linear head of the ``paper`` preset's sizes, one lane, eager."""
    cell = nn.LSTMCell(config.latent_size + CALENDAR_SIZE, config.hidden_size)
    outputs = config.num_components * (1 + 2 * config.latent_size)
    head = nn.Linear(config.hidden_size, outputs)
    inputs = torch.zeros(1, config.latent_size + CALENDAR_SIZE)
    state = (torch.zeros(1, config.hidden_size), torch.zeros(1, config.hidden_size))

    def work() -> float:
        nonlocal state
        with torch.inference_mode():
            for _ in range(100):
                state = cell(inputs, state)
                head(state[0])
        return 100.0

    return work


def _torch_dream(world: PaperWorldModel) -> Callable[[], float]:
    """M that the engine of ``paper`` is checked against: one lane that dreams, eager."""
    config, rnn = world.config, world.mdn_rnn
    calendar_next = torch.zeros(1, CALENDAR_SIZE)
    state = rnn.initial_state(1)
    generator = torch.Generator().manual_seed(0)

    def work() -> float:
        nonlocal state
        with torch.inference_mode():
            for _ in range(50):
                uniforms = torch.rand(1, generator=generator)
                normals = torch.randn(1, config.latent_size, generator=generator)
                latent = rnn.sample_next(state, uniforms, normals)
                state = rnn.advance(latent, calendar_next, None, state)
        return 50.0

    return work


def env_step(env: DreamEnv) -> Callable[[], float]:
    rng = np.random.default_rng(0)
    actions = list(rng.uniform(-1.0, 1.0, (200, 1)).astype(np.float32))
    env.reset(seed=0)

    def work() -> float:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return float(len(actions))

    return work


def _scalar(settings: Settings) -> Results:
    world, paper = default_world(), random_world(8, 64)
    tasks = {
        "market": local(env_step(DreamEnv(world))),
        "paper": local(env_step(DreamEnv(paper))),
        "torch": local(_torch_step(paper.config)),
        "torch dream": local(_torch_dream(paper)),
    }
    rates = alternate(tasks, settings)
    note = "account, info and resets included"
    return {
        "dream-step": ratio(rates["market"], rates["torch"], "steps/s", note),
        "dream-step-drawn": ratio(rates["paper"], rates["torch dream"], "steps/s", note),
    }


BENCHMARKS = (
    Benchmark(
        "dream",
        (
            Line("dream-market", "dream rollout, 1,024 lanes, market: FLOP/s ÷ sgemm's", 0.45),
            Line("dream-paper", "the same, paper preset", 0.50),
            Line("dream-market-engine", "market, the noise given, no policies or accounts"),
            Line("dream-paper-engine", "the same, paper preset"),
            Line("dream-numpy", "dream rollout of paper ÷ a one-lane numpy loop", 25),
        ),
        _small,
    ),
    Benchmark(
        "large-dream",
        (
            Line("large-paper", "H=256, Z=32, paper: FLOP/s ÷ sgemm's", 0.65),
            Line("large-paper-engine", "the same, the noise given"),
            Line("large-paper-world-models", "÷ ctallec/world-models' dream step", 20),
        ),
        _large,
    ),
    Benchmark(
        "dream-step",
        (
            Line("dream-step", "DreamEnv.step ÷ torch LSTMCell + head, batch 1", 4),
            Line("dream-step-drawn", "paper: the same ÷ M's own PyTorch step, draws included"),
        ),
        _scalar,
    ),
)
