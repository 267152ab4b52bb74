import numpy as np
import pytest

from worldmodel_trading.market.errors import TrainingError
from worldmodel_trading.market.features import compute_features
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.quality import mdn_rnn_quality, vae_quality


def test_v_s_report_is_what_its_words_say(world_model, candles):
    quality = vae_quality(world_model, candles, int(candles.open_time_ms[1_200]))
    features = compute_features(candles, world_model.config.features)[1_200:]
    decoded = world_model.decode(world_model.encode(features))
    error, total = ((features - decoded) ** 2).mean(0), features.var(0)
    assert tuple(quality.r2) == world_model.config.features.names
    varies = total > 1e-20
    expected = np.where(varies, 1 - error / np.where(varies, total, 1.0), 1.0)
    np.testing.assert_allclose(list(quality.r2.values()), expected, atol=1e-3)
    assert len(quality.kl) == world_model.config.latent_size
    assert min(quality.kl) >= 0
    if isinstance(world_model, BarWorldModel):
        assert not any(quality.kl[: world_model.config.forecast_size])  # known exactly
    varied = world_model.encode(features).var(0, ddof=1) > 0.01
    assert quality.active_units == varied.sum()


def test_m_s_report_is_the_forecast_s_likelihood(world_model, candles):
    start, stop = 1_200, 1_500
    times = candles.open_time_ms
    quality = mdn_rnn_quality(world_model, candles, int(times[start]), int(times[stop]))
    forecast = world_model.return_forecast(candles).rows(start - 1, stop - 1)
    returns = 100 * candles.log_returns()[start:stop]
    assert quality.bars == stop - start
    assert quality.return_nll == pytest.approx(-forecast.log_prob(returns).mean(), abs=1e-6)
    assert np.isfinite(quality.nll)


def test_a_range_without_a_forecast_is_refused(world_model, candles):
    with pytest.raises(TrainingError, match="no bar in the range has enough bars before it"):
        mdn_rnn_quality(world_model, candles.rows(0, 150))


def test_the_reports_know_world_models_of_bars(market_model, candles):
    start, stop = 1_900, 2_600
    quality = vae_quality(market_model, candles, int(candles.open_time_ms[start]))
    features = compute_features(candles, market_model.config.features)[start:]
    decoded = market_model.decode(market_model.encode(features))
    for column, (name, r2) in enumerate(quality.r2.items()):
        error, total = ((features - decoded) ** 2).mean(0)[column], features[:, column].var()
        expected = 1.0 if name.startswith("flat") else 1 - error / total  # no close repeats here
        assert r2 == pytest.approx(expected, abs=0.02)  # streams begin 8 weeks before
    assert len(quality.kl) == market_model.config.latent_size
    memory = mdn_rnn_quality(market_model, candles, int(candles.open_time_ms[start]))
    assert memory.bars == stop - start
    density = market_model.bar_log_prob(candles)[start - 1 : stop - 1]
    assert memory.nll == pytest.approx(-density.mean(), abs=1e-6)
