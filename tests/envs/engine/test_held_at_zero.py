"""A latent that V holds at 0 is 0, exactly, wherever the market is dreamed, and nothing else moves."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch_dream import draw_bar

from worldmodel_trading.envs.device.paper_dream import PaperDream
from worldmodel_trading.envs.engine.paper_engine import PaperEngine
from worldmodel_trading.envs.population.scoring import dream_paths
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.models.encoded import encode_range, scaled_tensor
from worldmodel_trading.models.feature_range import feature_range
from worldmodel_trading.models.mdn_rnn import State, build_mdn_rnn
from worldmodel_trading.models.paper_world_model import PaperWorldModel
from worldmodel_trading.models.quality import vae_quality
from worldmodel_trading.models.training.callbacks import Callbacks, TrainingHistory
from worldmodel_trading.models.training.loops import Session, train_mdn_rnn
from worldmodel_trading.models.world_model import WorldModel

HELD, OTHERS = 1, [0, 2]
STEPS = 40


@pytest.fixture
def held(paper_model: PaperWorldModel) -> PaperWorldModel:
    """A tiny model whose V says nothing in its second dimension."""
    vae, bank = copy.deepcopy(paper_model.vae), paper_model.bank
    with torch.no_grad():
        for row, bias in ((HELD, 0.0), (vae.latent_size + HELD, -9.0)):
            vae.encoder[-1].weight[row] = 0.0
            vae.encoder[-1].bias[row] = bias
    z = bank.z.copy()
    z[..., HELD] = 0.0
    return PaperWorldModel(
        paper_model.config,
        paper_model.provenance,
        paper_model.scaler,
        vae,
        copy.deepcopy(paper_model.mdn_rnn),
        dataclasses.replace(bank, z=z),
    )


def scalar(model: PaperWorldModel, temperature: float) -> np.ndarray:
    """The plain dream, one compiled call a bar."""
    env = gym.make("WorldModelDream-v0", world_model=model, temperature=temperature, horizon=STEPS)
    env.reset(seed=0)
    return np.stack([env.step(np.ones(1, np.float32))[0] for _ in range(STEPS)])[:, :3]


def lanes(num_envs: int) -> Callable[[PaperWorldModel, float], np.ndarray]:
    """Few lanes, or many."""

    def seen(model: PaperWorldModel, temperature: float) -> np.ndarray:
        envs = gym.make_vec(
            "WorldModelDream-v0",
            num_envs=num_envs,
            vectorization_mode="vector_entry_point",
            world_model=model,
            temperature=temperature,
        )
        envs.reset(seed=0)
        action = np.ones((num_envs, 1), np.float32)
        return np.concatenate([envs.step(action)[0] for _ in range(STEPS)])[:, :3]

    return seen


def paths(model: PaperWorldModel, temperature: float) -> np.ndarray:
    """Paths in which M hears an action of 0."""
    rng = np.random.default_rng(0)
    view = dream_paths(PaperEngine(model), np.arange(9), STEPS, rng, temperature).view
    return view.reshape(-1, view.shape[2])[:, :3]


def on_device(model: PaperWorldModel, temperature: float) -> np.ndarray:
    """The rollout in PyTorch."""
    engine, rules, nothing = PaperEngine(model), BrokerConfig(), torch.zeros(9)
    dream, rng = PaperDream(engine, torch.device("cpu")), np.random.default_rng(0)
    market, seen = dream.start(np.arange(9), rules), []
    for noise in engine.draw_steps(rng, 9, STEPS):
        table = torch.from_numpy(noise.table)
        with torch.no_grad():
            market, _ = dream.live(market, table, torch.ones(9, 1), nothing, temperature, rules)
        seen.append(market.latent.numpy())
    return np.concatenate(seen)


def module(model: PaperWorldModel, temperature: float) -> np.ndarray:
    """M itself."""
    engine, rng = PaperEngine(model), np.random.default_rng(0)
    state = engine.start(np.arange(9))
    memory = State(*(torch.from_numpy(part) for part in (state.h, state.c, state.z)))
    seen = []
    for noise in engine.draw_steps(rng, 9, STEPS):
        with torch.no_grad():
            memory = model.mdn_rnn.advance(memory.latent, torch.zeros(9, 4), None, memory)
        table = torch.from_numpy(noise.table)
        _, latent = draw_bar(model, memory, table[1], table[3:].T, temperature)
        memory = memory._replace(latent=latent)
        seen.append(latent.numpy())
    return np.concatenate(seen)


PATHS = {
    "scalar": scalar,
    "few lanes": lanes(3),
    "many lanes": lanes(9),
    "paths": paths,
    "device": on_device,
    "module": module,
}


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0, 9.0])
@pytest.mark.parametrize("path", list(PATHS))
def test_dreams_hold_it_too(
    held: PaperWorldModel, paper_model: PaperWorldModel, path: str, temperature: float
) -> None:
    seen = PATHS[path](held, temperature)
    assert (seen[:, HELD] == 0.0).all()
    assert (seen[:, OTHERS].std(axis=0) > 0.0).all()
    assert (PATHS[path](paper_model, temperature)[:, HELD] != 0.0).any()


def test_replay_holds_it_and_a_file_remembers(
    held: PaperWorldModel, candles: Candles, tmp_path
) -> None:
    held.save_pretrained(tmp_path)
    for model in (held, WorldModel.from_pretrained(tmp_path)):
        assert isinstance(model, PaperWorldModel)
        assert model.mdn_rnn.held == model.vae.held_dimensions() == (HELD,)
        z = model.latents(candles).z
        assert (z[np.isfinite(z).all(axis=1), HELD] == 0.0).all()


def test_what_is_not_drawn_has_no_density_and_is_decoded_as_zero(
    held: PaperWorldModel, candles: Candles
) -> None:
    """A density, and a forecast, as if the head of z had never had those columns."""
    rnn = held.mdn_rnn
    hidden = torch.zeros(5, rnn.hidden_size)
    following = 0.1 * torch.ones(5, 3)
    following[:, HELD] = 0.0
    before = rnn.log_prob(hidden, following)
    forecast = held.return_forecast(candles)
    k, d = rnn.num_components, rnn.latent_size
    with torch.no_grad():
        for part in range(2):
            rows = k + part * k * d + np.arange(k) * d + HELD
            rnn.latent_head.weight[rows] += 3.0
            rnn.latent_head.bias[rows] += 1.0
    assert torch.isfinite(before).all()
    assert torch.equal(rnn.log_prob(hidden, following), before)
    again = held.return_forecast(candles)
    for name in ("weights", "means", "sigmas"):
        np.testing.assert_array_equal(getattr(again, name), getattr(forecast, name))


def test_m_learns_nothing_of_it(held: PaperWorldModel, candles: Candles) -> None:
    """Draws of q(z|x) hold it at 0, and training moves none of the head that would draw it."""
    source = feature_range(candles.rows(0, 700), held.config.features)
    scaled = scaled_tensor(held.scaler.transform(source.features))
    encoded = encode_range(held.vae, scaled, source)
    generator = torch.Generator().manual_seed(0)
    normals = torch.randn(encoded.posterior.mean.shape, generator=generator)
    drawn = encoded.posterior.sample(normals)
    assert (drawn[:, HELD] == 0.0).all()
    assert (drawn[:, 2] != encoded.posterior.mean[:, 2]).all()
    config = dataclasses.replace(held.config, mdn_rnn_epochs=2, ema_decay=0.0)
    history = TrainingHistory()
    session = Session(config, 0, Callbacks(history, ()), torch.device("cpu"))
    trained = train_mdn_rnn(encoded, encoded, session)
    assert trained.held == (HELD,)
    k, d = trained.num_components, trained.latent_size
    rows = torch.arange(2 * k) * d + k + HELD
    start = build_mdn_rnn(config, session.stage_seed(2))
    assert torch.equal(trained.latent_head.weight[rows], start.latent_head.weight[rows])
    assert not torch.equal(trained.latent_head.weight[rows + 1], start.latent_head.weight[rows + 1])
    assert all(np.isfinite(row["validation_loss"]) for row in history.rows)


def test_it_says_no_nats(held: PaperWorldModel, candles: Candles) -> None:
    kl = vae_quality(held, candles).kl
    assert kl[HELD] == 0.0
    assert kl[2] > 0.0
