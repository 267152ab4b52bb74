from dataclasses import astuple

import numpy as np
import pytest

from worldmodel_trading.evaluation.fidelity.probes import (
    action_sensitivity,
    forecast_from,
    state_after,
    volatility_probes,
    warmup_effects,
)
from worldmodel_trading.evaluation.untrained import with_untrained_memory
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.features import compute_features
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

BARS = 3_000
ROWS = (1_500, BARS)


@pytest.fixture(scope="module")
def candles():
    return synthetic_candles(seed=7, bars=BARS)


@pytest.fixture(scope="module")
def market():
    return WorldModel.from_pretrained("default")


@pytest.fixture(scope="module")
def paper(candles):
    config = PaperConfig(
        vae_epochs=2,
        mdn_rnn_epochs=2,
        chunk_bars=64,
        burn_in_bars=16,
        warmup_bars=24,
        bank_segments=8,
    )
    return train_world_model(candles.rows(0, 1200), candles.rows(1200, 1500), config, seed=0)[0]


@pytest.mark.parametrize("preset", ["market", "paper"])
def test_forecast_from_a_state_is_the_model_s_own(preset, candles, request):
    world_model = request.getfixturevalue(preset)
    expected = world_model.return_forecast(candles)
    z = world_model.encode(compute_features(candles, world_model.config.features))
    ends = np.array([1000, 2000, BARS - 1])
    windows = z[ends[:, None] + np.arange(-500, 1)]
    times = candles.open_time_ms[ends]
    ours = forecast_from(world_model, state_after(world_model, windows, times), times)
    np.testing.assert_allclose(ours.means, expected.means[ends], atol=1e-4)
    np.testing.assert_allclose(ours.sigmas, expected.sigmas[ends], rtol=1e-4)
    np.testing.assert_allclose(ours.weights, expected.weights[ends], atol=1e-4)


def test_state_forgets_how_long_it_was_warmed_up(market, candles):
    effects = warmup_effects(market, candles, ROWS, lengths=(1, 24, 192, 384), samples=64)
    distances = [effect.distance for effect in effects]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.3
    assert distances[-1] < 1e-5
    # validation lets this model's forecast hear its memory little or not at all
    assert effects[0].return_nll == pytest.approx(effects[-1].return_nll, abs=0.01)


def test_a_price_taker_hears_no_action(market, candles):
    assert action_sensitivity(market, candles, ROWS) == 0.0


def test_the_paper_preset_hears_its_action(paper, candles):
    sensitivity = action_sensitivity(paper, candles, ROWS, samples=64)
    assert 0.0 < sensitivity < 1.0


def test_an_untrained_memory_forecasts_worse_and_leaves_the_model_alone(market, candles):
    untrained = with_untrained_memory(market, seed=1)
    trained, naive = (
        warmup_effects(model, candles, ROWS, lengths=(96,), samples=256)[0].return_nll
        for model in (market, untrained)
    )
    assert naive > trained + 0.02
    assert untrained.vae is market.vae
    assert untrained.mdn_rnn is not market.mdn_rnn


def test_probes_read_volatility_from_the_memory(market, candles):
    probes = volatility_probes(market, candles, (0, 1_500), ROWS, seed=0)
    assert probes.h > 0.1
    assert all(value < 1.0 for value in astuple(probes))


def test_short_ranges_are_named(market, candles):
    with pytest.raises(ConfigError, match="384 bars"):
        warmup_effects(market, candles, (0, 300))
    with pytest.raises(ConfigError, match="too few bars"):
        volatility_probes(market, candles, (0, 1_500), (BARS - 3, BARS), seed=0)
