import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch.distributions import Categorical, MixtureSameFamily, Normal

from worldmodel_trading.models.forecast import ReturnForecast


def random_forecast(rows: int = 20, k: int = 5) -> ReturnForecast:
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(k), rows)
    means, sigmas = rng.normal(0, 0.5, (rows, k)), np.exp(rng.normal(-0.5, 0.7, (rows, k)))
    return ReturnForecast(weights, means, sigmas, np.arange(rows))


RETURNS = np.random.default_rng(1).normal(0, 1, 20)


def one(weights, means, sigmas) -> ReturnForecast:
    return ReturnForecast(
        *(np.array([v], dtype=float) for v in (weights, means, sigmas)), np.zeros(1, dtype=np.int64)
    )


def test_log_prob_and_cdf_are_those_of_torch_distributions():
    forecast = random_forecast()
    weights, means, sigmas = map(torch.tensor, (forecast.weights, forecast.means, forecast.sigmas))
    reference = MixtureSameFamily(Categorical(weights), Normal(means, sigmas))
    returns = torch.tensor(RETURNS)
    np.testing.assert_allclose(forecast.log_prob(RETURNS), reference.log_prob(returns), rtol=1e-10)
    np.testing.assert_allclose(forecast.cdf(RETURNS), reference.cdf(returns), rtol=1e-10)


def test_the_density_integrates_to_one():
    forecast = one([0.3, 0.7], [-0.2, 0.4], [0.05, 2.0])
    total = quad(lambda y: np.exp(forecast.log_prob([y])[0]), -30, 30, points=[-0.2], limit=200)[0]
    assert total == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("probability", [1e-4, 0.05, 0.5, 0.95, 0.9999])
def test_quantile_inverts_cdf(probability):
    forecast = random_forecast()
    np.testing.assert_allclose(forecast.cdf(forecast.quantile(probability)), probability, rtol=1e-9)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, np.nan])
def test_impossible_probabilities_are_refused(probability):
    with pytest.raises(ValueError, match="between 0 and 1"):
        random_forecast().quantile(probability)


def test_crps_of_a_gaussian_is_gneiting_s():
    # Gneiting et al. 2005: σ [z (2Φ(z) - 1) + 2 φ(z) - 1/√π]
    z = (0.7 - 0.1) / 0.5
    expected = 0.5 * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert one([1.0], [0.1], [0.5]).crps([0.7])[0] == pytest.approx(expected, abs=1e-12)
    split = one([0.4, 0.6], [0.1, 0.1], [0.5, 0.5])
    assert split.crps([0.7])[0] == pytest.approx(expected, abs=1e-12)


def test_crps_is_the_integral_of_its_definition():
    forecast = one([0.3, 0.7], [-0.2, 0.4], [0.3, 1.0])
    below = quad(lambda y: forecast.cdf([y])[0] ** 2, -12, 0.5)[0]
    above = quad(lambda y: (1 - forecast.cdf([y])[0]) ** 2, 0.5, 12)[0]
    assert forecast.crps([0.5])[0] == pytest.approx(below + above, abs=1e-7)


def test_mean_and_volatility_by_hand():
    forecast = one([0.25, 0.75], [2.0, -2.0], [1.0, 3.0])
    # mean 0.5 - 1.5 = -1; E[x²] = 0.25·5 + 0.75·13 = 11
    assert forecast.mean[0] == pytest.approx(-1.0)
    assert forecast.volatility[0] == pytest.approx(np.sqrt(10.0))


def test_rows_without_a_forecast_stay_without():
    forecast = random_forecast(3)
    forecast.weights[1] = forecast.means[1] = forecast.sigmas[1] = np.nan
    assert forecast.valid.tolist() == [True, False, True]
    for values in (
        forecast.log_prob(RETURNS[:3]),
        forecast.quantile(0.5),
        forecast.crps(RETURNS[:3]),
    ):
        assert np.isnan(values).tolist() == [False, True, False]


def test_a_component_without_weight_counts_for_nothing():
    np.testing.assert_allclose(
        one([1.0, 0.0], [0.0, 5.0], [1.0, 1.0]).log_prob([0.3]), norm.logpdf(0.3)
    )


def test_returns_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(20,\)"):
        random_forecast().log_prob(np.zeros(3))
