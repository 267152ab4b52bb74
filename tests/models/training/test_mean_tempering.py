"""How much of a mean forecast is trusted."""

import numpy as np
import pytest
import torch

from worldmodel_trading.models.training.mean_tempering import Slope, slope_of


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_slope_of_returns_that_follow_a_share_of_the_forecast(share):
    generator = torch.Generator().manual_seed(1)
    mean, noise = torch.randn(2, 4_000, generator=generator).double()
    variance = torch.rand(4_000, generator=generator).double() + 0.2
    slope = slope_of(share * mean + 0.5 * variance.sqrt() * noise, mean, variance)
    assert slope.value == pytest.approx(share, abs=4 * slope.standard_error)
    assert 0.0 < slope.standard_error < 0.05


def test_its_error_is_white_s():
    """By hand: a regression through weighted means, with errors squared bar by bar."""
    rng = np.random.default_rng(0)
    x, y, v = rng.normal(size=50), rng.normal(size=50), rng.uniform(0.5, 2.0, 50)
    w = 1 / v
    xc, yc = x - (w * x).sum() / w.sum(), y - (w * y).sum() / w.sum()
    value = (w * xc * yc).sum() / (w * xc * xc).sum()
    error = np.sqrt((((w * xc) * (yc - value * xc)) ** 2).sum()) / (w * xc * xc).sum()
    slope = slope_of(*(torch.from_numpy(part) for part in (y, x, v)))
    assert slope == pytest.approx((value, error))


def test_a_forecast_that_never_moves_has_no_slope():
    ones = torch.ones(9, dtype=torch.float64)
    assert slope_of(torch.arange(9.0).double(), 0.3 * ones, ones) == Slope(0.0, 0.0)


@pytest.mark.parametrize(
    ("value", "error", "trusted"),
    [(0.5, 0.2, 0.3), (0.1, 0.4, 0.0), (-1.0, 0.1, 0.0), (1.8, 0.4, 1.0)],
)
def test_one_standard_error_below_the_slope_is_trusted(value, error, trusted):
    assert Slope(value, error).trusted == pytest.approx(trusted)


def test_it_says_what_is_trusted():
    assert str(Slope(0.46, 0.22)).endswith("slope 0.46 ± 0.22: 24% of it is trusted")
