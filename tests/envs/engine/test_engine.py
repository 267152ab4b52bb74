"""The engine against M itself: the same state and the same noise into both, the same step out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldmodel_trading.envs.engine import many_lanes as kernels
from worldmodel_trading.envs.engine.engine import DreamEngine, Noise
from worldmodel_trading.market.features import calendar
from worldmodel_trading.models.mdn_rnn import State
from worldmodel_trading.models.world_model import WorldModel


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
@pytest.mark.parametrize("num_lanes", [1, 3, 70])
def test_steps_equal_the_pytorch_module(
    tiny_model: WorldModel, num_lanes: int, temperature: float
) -> None:
    engine, rng = DreamEngine(tiny_model), np.random.default_rng(2)
    state = engine.start(rng.integers(engine.num_segments, size=num_lanes))
    paper = tiny_model.config.preset == "paper"
    for _ in range(20):
        memory = State(*(torch.from_numpy(a.copy()) for a in (state.h, state.c, state.z)))
        waves = torch.from_numpy(calendar(state.open_time_ms + engine.interval_ms))
        later = torch.from_numpy(calendar(state.open_time_ms + 2 * engine.interval_ms))
        noise, targets = engine.draw_noise(rng, num_lanes), rng.uniform(-1, 1, num_lanes)
        if paper:
            actions = torch.from_numpy(targets[:, None].astype(np.float32))
            memory = tiny_model.mdn_rnn.advance(memory.latent, waves, actions, memory)
        uniforms, normals = (torch.from_numpy(np.ascontiguousarray(part)) for part in noise)
        returns, latent = tiny_model.sample_next(memory, uniforms, normals, temperature)
        if not paper:
            memory = tiny_model.mdn_rnn.advance(latent, later, None, memory)
        log_return = engine.step(state, targets, noise, temperature)
        np.testing.assert_allclose(state.z, latent.numpy(), atol=2e-5)
        np.testing.assert_allclose(state.h, memory.hidden.numpy(), atol=2e-5)
        np.testing.assert_allclose(state.c, memory.cell.numpy(), atol=2e-5)
        np.testing.assert_allclose(log_return, returns.numpy(), atol=1e-6)


def test_lanes_do_not_know_each_other(tiny_model: WorldModel) -> None:
    """Lanes one by one, each with its share of the noise, are the lanes together."""
    engine, rng = DreamEngine(tiny_model), np.random.default_rng(3)
    segments = np.array([0, 5, 9, 2, 7, 1])
    together = engine.start(segments)
    alone = [engine.start(segments[i : i + 1]) for i in range(len(segments))]
    for _ in range(15):
        noise = engine.draw_noise(rng, len(segments))
        returns = engine.step(together, np.full(len(segments), 0.3), noise)
        for i, state in enumerate(alone):
            mine = Noise(noise.uniforms[i : i + 1], noise.normals[i : i + 1])
            log_return = engine.step(state, np.full(1, 0.3), mine)
            np.testing.assert_allclose(log_return[0], returns[i], atol=1e-6)
            np.testing.assert_allclose(state.h[0], together.h[i], atol=1e-5)


def test_hidden_states_and_latents_stay_in_their_bounds(tiny_model: WorldModel) -> None:
    engine, rng = DreamEngine(tiny_model), np.random.default_rng(4)
    state = engine.start(rng.integers(engine.num_segments, size=64))
    for _ in range(50):
        engine.step(state, np.ones(64), engine.draw_noise(rng, 64), 25.0)
        assert np.abs(state.h).max() <= 1.0
        assert np.abs(state.z).max() <= 10.0


@pytest.mark.parametrize("num_lanes", [1, 7, 64])
def test_noise_ahead_is_the_noise_of_each_step(tiny_model: WorldModel, num_lanes: int) -> None:
    engine = DreamEngine(tiny_model)
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    for noise in engine.draw_steps(one, num_lanes, 6):
        for ahead, alone in zip(noise, engine.draw_noise(two, num_lanes), strict=True):
            np.testing.assert_array_equal(ahead, alone)
    assert one.random() == two.random()


def test_tiled_lanes_repeat_the_rows() -> None:
    rows, out = np.arange(6, dtype=np.float32).reshape(2, 3), np.empty((2, 12), dtype=np.float32)
    kernels.tile_lanes(rows, out)
    np.testing.assert_array_equal(out, np.tile(rows, 4))
