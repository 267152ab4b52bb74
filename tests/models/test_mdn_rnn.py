import math

import pytest
import torch

from worldmodel_trading.models.mdn_rnn import CALENDAR_SIZE, MDNRNN
from worldmodel_trading.models.vae import LATENT_LIMIT

Z, H, K = 5, 12, 3


@pytest.fixture
def model() -> MDNRNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MDNRNN(Z, H, K).requires_grad_(False)


def noise(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator), torch.randn(count, Z, generator=generator)


def some_state(model, count: int):
    return model.advance(
        torch.randn(count, Z), torch.randn(count, CALENDAR_SIZE), None, model.initial_state(count)
    )


def test_one_step_at_a_time_is_the_sequence(model):
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


def test_a_sequence_in_two_parts_is_the_whole(model):
    latents, calendars = torch.randn(2, 10, Z), torch.randn(2, 10, CALENDAR_SIZE)
    whole, _ = model(latents, calendars)
    first, state = model(latents[:, :6], calendars[:, :6])
    second, _ = model(latents[:, 6:], calendars[:, 6:], state=state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_it_hears_the_action(model):
    latents, calendars = torch.randn(3, 1, Z), torch.randn(3, 1, CALENDAR_SIZE)
    long, _ = model(latents, calendars, torch.ones(3, 1, 1))
    short, _ = model(latents, calendars, -torch.ones(3, 1, 1))
    flat, _ = model(latents, calendars)
    assert not torch.equal(long, short)
    assert torch.equal(flat, model(latents, calendars, torch.zeros(3, 1, 1))[0])


def test_the_same_noise_gives_the_same_draw_and_lanes_are_independent(model):
    state = some_state(model, 6)
    uniforms, normals = noise(6)
    drawn = model.sample_next(state, uniforms, normals)
    assert torch.equal(drawn, model.sample_next(state, uniforms, normals))
    one = type(state)(*(part[2:3] for part in state))
    torch.testing.assert_close(model.sample_next(one, uniforms[2:3], normals[2:3]), drawn[2:3])


def test_its_density_is_that_of_a_mixture_of_diagonal_gaussians(model):
    """Written out again from the weights, one row."""
    h, z_next = torch.randn(H), torch.randn(Z)
    raw = model.latent_head(h)
    means, log_sigmas = raw[K : K + K * Z].view(K, Z), raw[K + K * Z :].view(K, Z)
    terms = -0.5 * ((z_next - means) / log_sigmas.exp()) ** 2 - log_sigmas
    terms = terms.sum(1) - Z * 0.5 * math.log(2 * math.pi) + raw[:K].log_softmax(0)
    found = model.log_prob(h[None], z_next[None])
    assert found.item() == pytest.approx(terms.logsumexp(0).item(), abs=1e-4)


def test_a_held_dimension_is_zero_and_counts_in_no_density(model):
    state, z_next = some_state(model, 4), torch.randn(4, Z)
    before = model.log_prob(state.hidden, z_next)
    model.hold((1,))
    assert (model.sample_next(state, *noise(4))[:, 1] == 0.0).all()
    other = z_next.clone()
    other[:, 1] = 9.0
    assert torch.equal(model.log_prob(state.hidden, z_next), model.log_prob(state.hidden, other))
    assert not torch.equal(model.log_prob(state.hidden, z_next), before)


def test_temperature_zero_draws_no_noise(model):
    state = some_state(model, 4)
    first = model.sample_next(state, *noise(4, 0), temperature=0.0)
    assert torch.equal(first, model.sample_next(state, *noise(4, 1), temperature=0.0))


def test_a_hot_dream_stays_bounded(model):
    state, generator = model.initial_state(16), torch.Generator().manual_seed(0)
    for _ in range(500):
        uniforms = torch.rand(16, generator=generator)
        normals = torch.randn(16, Z, generator=generator)
        drawn = model.sample_next(state, uniforms, normals, temperature=50.0)
        assert drawn.abs().max() <= LATENT_LIMIT
        state = model.advance(drawn, torch.zeros(16, CALENDAR_SIZE), None, state)
    assert state.hidden.abs().max() <= 1
    assert torch.isfinite(state.cell).all()
