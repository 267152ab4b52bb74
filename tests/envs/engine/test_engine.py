"""The engine against M itself: the same state and the same noise into both, the same step out."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch_dream import draw_bar

from worldmodel_trading.envs.engine import many_lanes as kernels
from worldmodel_trading.envs.engine.base import Noise
from worldmodel_trading.envs.engine.opening import open_engine
from worldmodel_trading.envs.engine.paper_engine import PaperEngine
from worldmodel_trading.market.features import calendar
from worldmodel_trading.models.mdn_rnn import State
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.world_model import WorldModel


def test_a_drift_moves_returns_alone(paper_model: PaperWorldModel) -> None:
    """By the same constant in every lane: z, h and c are the same to the last bit."""
    drifting = paper_model.drifting(0.01)
    engines = [PaperEngine(model) for model in (paper_model, drifting)]
    states = [engine.start(np.zeros(70, dtype=np.int64)) for engine in engines]
    rng = np.random.default_rng(2)
    for _ in range(20):
        noise, targets = engines[0].draw_noise(rng, 70), rng.uniform(-1, 1, 70)
        plain, moved = (
            engine.step(state, targets, noise)
            for engine, state in zip(engines, states, strict=True)
        )
        np.testing.assert_allclose(moved - plain, 0.01, atol=1e-15)
        assert_same_state(states[1], states[0], np.arange(70))


@pytest.mark.parametrize("drift", [0.0, 0.01])
@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
@pytest.mark.parametrize("num_lanes", [1, 3, 70])
def test_steps_equal_the_pytorch_module(
    paper_model: PaperWorldModel, num_lanes: int, temperature: float, drift: float
) -> None:
    paper_model = paper_model.drifting(drift)
    engine, rng = PaperEngine(paper_model), np.random.default_rng(2)
    state = engine.start(rng.integers(engine.num_segments, size=num_lanes))
    for _ in range(20):
        memory = State(*(torch.from_numpy(a.copy()) for a in (state.h, state.c, state.z)))
        waves = torch.from_numpy(calendar(state.open_time_ms + engine.interval_ms))
        noise, targets = engine.draw_noise(rng, num_lanes), rng.uniform(-1, 1, num_lanes)
        actions = torch.from_numpy(targets[:, None].astype(np.float32))
        memory = paper_model.mdn_rnn.advance(memory.latent, waves, actions, memory)
        table = torch.from_numpy(noise.table)
        returns, latent = draw_bar(paper_model, memory, table[1], table[3:].T, temperature)
        log_return = engine.step(state, targets, noise, temperature)
        np.testing.assert_allclose(state.z, latent.numpy(), atol=2e-5)
        np.testing.assert_allclose(state.h, memory.hidden.numpy(), atol=2e-5)
        np.testing.assert_allclose(state.c, memory.cell.numpy(), atol=2e-5)
        np.testing.assert_allclose(log_return, returns.numpy(), atol=1e-6)


LANES = 70


@pytest.mark.parametrize("temperature", [1.0, 0.0, 1.7])
def test_a_lane_has_the_same_bits_alone_and_at_any_place_among_others(
    tiny_model: WorldModel, temperature: float
) -> None:
    """Lanes shuffled, the first of them, and single ones, each with its share of the noise."""
    engine, rng = open_engine(tiny_model), np.random.default_rng(3)
    segments, shuffled = rng.integers(engine.num_segments, size=LANES), rng.permutation(LANES)
    choices = [shuffled, *(np.arange(n) for n in (2, 4, 5, 6, 7, 15, 16, 17, 69))]
    choices += [np.array([lane]) for lane in (0, 5, 63, 69)]
    together = engine.start(segments)
    others = [engine.start(segments[lanes]) for lanes in choices]
    for _ in range(15):
        noise, targets = engine.draw_noise(rng, LANES), rng.uniform(-1.0, 1.0, LANES)
        returns = engine.step(together, targets, noise, temperature)
        for lanes, state in zip(choices, others, strict=True):
            own = Noise(noise.table[:, lanes])
            found = engine.step(state, targets[lanes], own, temperature)
            np.testing.assert_array_equal(found, returns[lanes])
            assert_same_state(state, together, lanes)


@pytest.mark.parametrize("num_lanes", [1, 5, 40])
def test_where_its_arrays_lie_changes_nothing(paper_model: PaperWorldModel, num_lanes: int) -> None:
    engines = [PaperEngine(paper_model), pickle.loads(pickle.dumps(PaperEngine(paper_model)))]
    rng, segments = np.random.default_rng(6), np.arange(num_lanes) % engines[0].num_segments
    plain, elsewhere = (engine.start(segments) for engine in engines)
    for number, name in enumerate(("z", "h", "c"), start=1):
        values = getattr(elsewhere, name)
        memory = np.empty(values.size + number, dtype=np.float32)
        memory[number:] = values.ravel()
        setattr(elsewhere, name, memory[number:].reshape(values.shape))
    for _ in range(10):
        noise, targets = engines[0].draw_noise(rng, num_lanes), rng.uniform(-1, 1, num_lanes)
        copied = Noise(noise.table.copy())
        np.testing.assert_array_equal(
            engines[0].step(plain, targets, noise), engines[1].step(elsewhere, targets, copied)
        )
        assert_same_state(elsewhere, plain, slice(None))


def test_being_forced_along_a_record_is_what_a_warm_up_hears(paper_model: PaperWorldModel) -> None:
    """M's memory steps by one arithmetic, in the engine and in a warm-up."""
    engine, bank = PaperEngine(paper_model), paper_model.bank
    latents, times = np.ascontiguousarray(bank.z[:7]), bank.open_time_ms[:7]
    step, width = engine.interval_ms, latents.shape[1]
    state = engine.warm_up(np.ascontiguousarray(latents[:, :5]), times - (width - 5) * step)
    silence = engine.draw_noise(np.random.default_rng(0), 7)
    for bar in range(5, width):
        engine.step(state, np.zeros(7), silence, forced=(latents[:, bar], np.zeros(7)))
    assert_same_state(state, engine.warm_up(latents, times), slice(None))


def assert_same_state(one: Any, two: Any, lanes: Any) -> None:
    """The first is the second's lanes, to the last bit."""
    for name in ("z", "h", "c", "open_time_ms"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name)[lanes], err_msg=name)


def test_hidden_states_and_latents_stay_in_their_bounds(tiny_model: WorldModel) -> None:
    engine, rng = open_engine(tiny_model), np.random.default_rng(4)
    state = engine.start(rng.integers(engine.num_segments, size=64))
    for _ in range(50):
        engine.step(state, np.ones(64), engine.draw_noise(rng, 64), 25.0)
        assert np.abs(state.h).max() <= 1.0
        assert np.abs(state.z).max() <= 10.0


@pytest.mark.parametrize("num_lanes", [1, 7, 64])
def test_noise_ahead_is_the_noise_of_each_step(tiny_model: WorldModel, num_lanes: int) -> None:
    engine = open_engine(tiny_model)
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    for noise in engine.draw_steps(one, num_lanes, 6):
        for ahead, alone in zip(noise, engine.draw_noise(two, num_lanes), strict=True):
            np.testing.assert_array_equal(ahead, alone)
    assert one.random() == two.random()


def test_tiled_lanes_repeat_the_rows() -> None:
    rows, out = np.arange(6, dtype=np.float32).reshape(2, 3), np.empty((2, 12), dtype=np.float32)
    kernels.tile_lanes(rows, out)
    np.testing.assert_array_equal(out, np.tile(rows, 4))
