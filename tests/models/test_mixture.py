import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from worldmodel_trading.models.mixture import (
    LOG_SIGMA_MAX,
    LOG_SIGMA_MIN,
    Mixture,
    mixture_log_prob,
    mixture_size,
    sample_mixture,
    split_mixture,
)


def random_mixture(seed: int = 0, rows: int = 64, k: int = 5, d: int = 7) -> Mixture:
    generator = torch.Generator().manual_seed(seed)
    raw = 2 * torch.randn(rows, mixture_size(k, d), generator=generator)
    return split_mixture(raw, k, d)


def reference(mixture: Mixture) -> MixtureSameFamily:
    components = Independent(Normal(mixture.means, mixture.log_sigmas.exp()), 1)
    return MixtureSameFamily(Categorical(logits=mixture.logits), components)


@pytest.mark.parametrize(("k", "d"), [(1, 1), (5, 1), (5, 8), (3, 2)])
def test_the_likelihood_is_that_of_torch_distributions(k, d):
    mixture = random_mixture(k=k, d=d)
    values = torch.randn(64, d, generator=torch.Generator().manual_seed(1))
    expected = reference(mixture).log_prob(values)
    torch.testing.assert_close(mixture_log_prob(mixture, values), expected, rtol=1e-5, atol=1e-5)


def test_a_mixture_worked_out_by_hand():
    # 0.25 N(0, 1) + 0.75 N(2, 0.5²) at 1: 0.25·0.24197 + 0.75·0.10798 = 0.14148
    mixture = Mixture(
        torch.tensor([math.log(0.25), math.log(0.75)]),
        torch.tensor([[0.0], [2.0]]),
        torch.tensor([[0.0], [math.log(0.5)]]),
    )
    density = mixture_log_prob(mixture, torch.tensor([1.0])).exp()
    assert density.item() == pytest.approx(0.14148, abs=1e-5)


@pytest.mark.parametrize("logits", [[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [-1e4, -1e4]])
@pytest.mark.parametrize("log_sigma", [-1e9, 1e9])
def test_finite_at_the_extremes_with_finite_gradients(logits, log_sigma):
    raw = torch.tensor([*logits, 3.0, -3.0, log_sigma, log_sigma], requires_grad=True)
    mixture = split_mixture(raw, 2, 1)
    floor_or_ceiling = LOG_SIGMA_MIN if log_sigma < 0 else LOG_SIGMA_MAX
    assert (mixture.log_sigmas == floor_or_ceiling).all()
    log_prob = mixture_log_prob(mixture, torch.tensor([50.0]))
    log_prob.backward()
    assert torch.isfinite(log_prob)
    assert torch.isfinite(raw.grad).all()


def test_temperature_zero_is_the_mode():
    mixture = random_mixture(rows=40)
    uniforms, normals = torch.rand(40), torch.randn(40, 7)
    drawn = sample_mixture(mixture, uniforms, normals, temperature=0.0)
    best = mixture.logits.argmax(-1)
    assert torch.equal(drawn, mixture.means[torch.arange(40), best])


def test_draws_have_the_mixture_s_frequencies_and_moments():
    count = 200_000
    mixture = Mixture(
        torch.log(torch.tensor([0.2, 0.5, 0.3])).expand(count, 3),
        torch.tensor([[-4.0], [0.0], [5.0]]).expand(count, 3, 1),
        torch.log(torch.tensor([[0.1], [1.0], [0.5]])).expand(count, 3, 1),
    )
    generator = torch.Generator().manual_seed(2)
    uniforms = torch.rand(count, generator=generator)
    normals = torch.randn(count, 1, generator=generator)
    drawn = sample_mixture(mixture, uniforms, normals)
    # mean 0.2·(-4) + 0.3·5 = 0.7; E[x²] = 0.2·16.01 + 0.5·1 + 0.3·25.25 = 11.277
    assert drawn.mean().item() == pytest.approx(0.7, abs=0.03)
    assert (drawn**2).mean().item() == pytest.approx(11.277, abs=0.1)
    assert (drawn < -3).float().mean().item() == pytest.approx(0.2007, abs=0.004)


def test_temperature_divides_the_logits_and_scales_the_noise():
    logits = torch.log(torch.tensor([[0.8, 0.2]]))
    means, log_sigmas = torch.zeros(1, 2, 1), torch.zeros(1, 2, 1)
    means[0, 1] = 10.0
    mixture = Mixture(logits, means, log_sigmas)
    # τ = 2: weights ∝ √0.8, √0.2 = 2/3, 1/3; noise · √2
    low = sample_mixture(mixture, torch.tensor([0.66]), torch.ones(1, 1), 2.0)
    high = sample_mixture(mixture, torch.tensor([0.67]), torch.ones(1, 1), 2.0)
    assert low.item() == pytest.approx(math.sqrt(2))
    assert high.item() == pytest.approx(10 + math.sqrt(2))


def test_a_uniform_at_its_limits_still_names_a_component():
    mixture = random_mixture(rows=2)
    uniforms = torch.tensor([0.0, 1.0])
    assert torch.isfinite(sample_mixture(mixture, uniforms, torch.zeros(2, 7))).all()


def test_a_negative_temperature_is_refused():
    with pytest.raises(ValueError, match="temperature is -1"):
        sample_mixture(random_mixture(rows=1), torch.zeros(1), torch.zeros(1, 7), -1.0)
