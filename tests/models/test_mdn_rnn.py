import math

import pytest
import torch
from torch.nn.functional import relu

from worldmodel_trading.models.mdn_rnn import CALENDAR_SIZE, MDNRNN
from worldmodel_trading.models.vae import LATENT_LIMIT

Z, H, K, G = 5, 12, 3, 8
PRESETS = ("market", "paper")


def build(preset: str) -> MDNRNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MDNRNN(preset, Z, H, K, G).requires_grad_(False)


def noise(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(count, 2, generator=generator),
        torch.randn(count, 1 + Z, generator=generator),
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_one_step_at_a_time_is_the_sequence(preset):
    model = build(preset)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(4, 20, Z, generator=generator)
    calendars = torch.randn(4, 20, CALENDAR_SIZE, generator=generator)
    actions = torch.rand(4, 20, 1, generator=generator)
    hidden, last = model(latents, calendars, actions)
    state = model.initial_state(4)
    for t in range(20):
        state = model.advance(latents[:, t], calendars[:, t], actions[:, t], state)
        torch.testing.assert_close(state.hidden, hidden[:, t], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(state.cell, last.cell, rtol=1e-5, atol=1e-6)
    assert torch.equal(state.latent, last.latent)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_sequence_in_two_parts_is_the_whole(preset):
    model = build(preset)
    latents, calendars = torch.randn(2, 10, Z), torch.randn(2, 10, CALENDAR_SIZE)
    whole, _ = model(latents, calendars)
    first, state = model(latents[:, :6], calendars[:, :6])
    second, _ = model(latents[:, 6:], calendars[:, 6:], state=state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_only_paper_hears_the_action():
    latents, calendars = torch.randn(3, 1, Z), torch.randn(3, 1, CALENDAR_SIZE)
    for preset, hears in (("market", False), ("paper", True)):
        model = build(preset)
        long, _ = model(latents, calendars, torch.ones(3, 1, 1))
        short, _ = model(latents, calendars, -torch.ones(3, 1, 1))
        assert torch.equal(long, short) != hears


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_noise_gives_the_same_draw_and_lanes_are_independent(preset):
    model = build(preset)
    state = model.advance(
        torch.randn(6, Z), torch.randn(6, CALENDAR_SIZE), None, model.initial_state(6)
    )
    uniforms, normals = noise(6)
    draw = model.sample_next(state, uniforms, normals)
    assert torch.equal(draw.latent, model.sample_next(state, uniforms, normals).latent)
    one = type(state)(*(part[2:3] for part in state))
    alone = model.sample_next(one, uniforms[2:3], normals[2:3])
    torch.testing.assert_close(alone.latent, draw.latent[2:3])


def test_market_carries_the_drawn_return_in_the_latent():
    model = build("market")
    state = model.initial_state(500)
    draw = model.sample_next(state, *noise(500))
    assert draw.scaled_return is not None
    torch.testing.assert_close(
        torch.sinh(draw.latent[:, 0]), draw.scaled_return, rtol=1e-5, atol=1e-6
    )


def test_market_s_density_is_the_return_s_times_the_latent_s_given_it():
    """Written out again from the weights, one row."""
    model = build("market")
    h, z, z_next = torch.randn(H), torch.randn(Z), torch.randn(Z)
    returns, latents = model.log_prob(h[None], z[None], z_next[None])

    raw = model.return_head(h)
    weights, means, sigmas = raw[:K].softmax(0), raw[K : 2 * K], raw[2 * K :].exp()
    u = torch.sinh(z_next[0])
    density = (weights * torch.exp(-0.5 * ((u - means) / sigmas) ** 2) / sigmas).sum()
    assert returns.item() == pytest.approx(
        math.log(density.item()) - 0.5 * math.log(2 * math.pi), abs=1e-5
    )

    inner = relu(model.latent_hidden(torch.cat([h, z, z_next[:1]])))
    raw = model.latent_head(inner)
    d = Z - 1
    means = raw[K : K + K * d].view(K, d) + model.persistence * z[1:]
    log_sigmas = raw[K + K * d :].view(K, d)
    terms = -0.5 * ((z_next[1:] - means) / log_sigmas.exp()) ** 2 - log_sigmas
    terms = terms.sum(1) - d * 0.5 * math.log(2 * math.pi) + raw[:K].log_softmax(0)
    assert latents.item() == pytest.approx(terms.logsumexp(0).item(), abs=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_temperature_zero_draws_no_noise(preset):
    model = build(preset)
    state = model.advance(
        torch.randn(4, Z), torch.randn(4, CALENDAR_SIZE), None, model.initial_state(4)
    )
    first = model.sample_next(state, *noise(4, 0), temperature=0.0)
    second = model.sample_next(state, *noise(4, 1), temperature=0.0)
    assert torch.equal(first.latent, second.latent)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_hot_dream_stays_bounded(preset):
    model = build(preset)
    state, generator = model.initial_state(16), torch.Generator().manual_seed(0)
    for _ in range(500):
        uniforms = torch.rand(16, 2, generator=generator)
        normals = torch.randn(16, 1 + Z, generator=generator)
        draw = model.sample_next(state, uniforms, normals, temperature=50.0)
        assert draw.latent.abs().max() <= LATENT_LIMIT
        state = model.advance(draw.latent, torch.zeros(16, CALENDAR_SIZE), None, state)
    assert state.hidden.abs().max() <= 1
    assert torch.isfinite(state.cell).all()


def test_market_needs_the_return_before_the_latent():
    with pytest.raises(ValueError, match="carried_next is needed"):
        build("market").latent_mixture(torch.zeros(1, H), torch.zeros(1, Z))
