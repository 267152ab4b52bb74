import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.encoded import Encoded, encode_range, scaled_tensor, scored_runs
from worldmodel_trading.models.feature_range import feature_range
from worldmodel_trading.models.training.mean_tempering import (
    Slope,
    mean_slope,
    return_moments,
    scale_mean,
)
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.vae import Posterior


@pytest.fixture(scope="module")
def encoded(market_model, split):
    """The training range as M sees it."""
    source = feature_range(split[0], market_model.config.features)
    scaled = scaled_tensor(market_model.scaler.transform(source.features))
    return encode_range(market_model.vae, scaled, source)


def hidden_states(mdn_rnn, encoded):
    return torch.cat([hidden for hidden, _ in scored_runs(mdn_rnn, encoded)])


def means(mdn_rnn, encoded):
    return return_moments(mdn_rnn, hidden_states(mdn_rnn, encoded))[0]


def with_returns(encoded, returns):
    """The same range, but for the returns after each of its scored bars."""
    latents = encoded.posterior.mean.clone()
    (start, stop), *rest = encoded.source.runs
    assert not rest
    latents[start + 1 : stop, 0] = torch.asinh(returns).float()
    return Encoded(
        Posterior(latents, encoded.posterior.log_variance), encoded.calendar_next, encoded.source
    )


def test_the_slope_of_returns_that_follow_a_share_of_the_forecast(market_model, encoded):
    # One pass: changed returns change h, so forecasts of the original latents are what is followed.
    mdn_rnn = _deaf_to_returns(market_model.mdn_rnn)
    expected, variance = return_moments(mdn_rnn, hidden_states(mdn_rnn, encoded))
    noise = torch.randn(len(expected), generator=torch.Generator().manual_seed(1)).double()
    for share in (0.0, 0.4, 1.0):
        followed = share * expected + 0.02 * variance.sqrt() * noise
        slope = mean_slope(mdn_rnn, with_returns(encoded, followed))
        assert slope.value == pytest.approx(share, abs=4 * slope.standard_error)
        assert 0.0 < slope.standard_error < 0.2


def _deaf_to_returns(mdn_rnn):
    deaf = copy.deepcopy(mdn_rnn)
    with torch.no_grad():
        deaf.lstm.weight_ih_l0[:, 0] = 0.0
    return deaf


def test_a_forecast_that_never_moves_has_no_slope(market_model, encoded):
    still = copy.deepcopy(market_model.mdn_rnn)
    with torch.no_grad():
        still.return_head.weight.zero_()
    assert mean_slope(still, encoded) == Slope(0.0, 0.0)


@pytest.mark.parametrize(
    ("value", "error", "trusted"),
    [(0.5, 0.2, 0.3), (0.1, 0.4, 0.0), (-1.0, 0.1, 0.0), (1.8, 0.4, 1.0)],
)
def test_one_standard_error_below_the_slope_is_trusted(value, error, trusted):
    assert Slope(value, error).trusted == pytest.approx(trusted)


def test_it_says_what_is_trusted():
    assert str(Slope(0.46, 0.22)).endswith("slope 0.46 ± 0.22: 24% of it is trusted")


def test_training_notes_it(split, tiny_config):
    config = replace(tiny_config, temper_mean=True, vae_epochs=1, mdn_rnn_epochs=1)
    _, history = train_world_model(*split, config, seed=5)
    assert len(history.notes) == 1
    assert history.notes[0].startswith("returns of the validation range follow")


def test_scaling_takes_the_linear_part_of_the_mean_alone(market_model, encoded):
    scaled = copy.deepcopy(market_model.mdn_rnn)
    hidden = hidden_states(scaled, encoded).double()
    before, variance = return_moments(scaled, hidden)
    scale_mean(scaled, encoded, 0.25)
    after, variance_after = return_moments(scaled, hidden)
    # what is left of a regression on h is a quarter; what is not linear in h stays
    x = torch.cat([hidden, torch.ones(len(hidden), 1, dtype=torch.float64)], dim=1)
    lines = torch.linalg.lstsq(x, torch.stack([before, after], dim=1)).solution
    fitted = x @ lines
    torch.testing.assert_close(
        fitted[:, 1] - fitted[:, 1].mean(),
        0.25 * (fitted[:, 0] - fitted[:, 0].mean()),
        atol=0.05 * float(fitted[:, 0].std()),
        rtol=0.0,
    )
    assert float(after.mean()) == pytest.approx(float(before.mean()), abs=1e-6)
    torch.testing.assert_close(variance_after, variance)  # the shape is what it was


def test_a_share_of_one_changes_nothing(market_model, encoded):
    same = copy.deepcopy(market_model.mdn_rnn)
    scale_mean(same, encoded, 1.0)
    for name, value in market_model.mdn_rnn.state_dict().items():
        assert torch.equal(same.state_dict()[name], value)


def test_a_trained_edge_is_trusted_and_noise_is_not(default_model):
    """The embedded market has an edge: its shipped model's forecasts still move with it."""
    market = synthetic_candles(seed=77, bars=3_000)
    forecast = default_model.return_forecast(market)
    mean = (forecast.weights * forecast.means).sum(axis=1)[forecast.valid]
    assert np.std(mean / forecast.volatility[forecast.valid]) > 0.03
