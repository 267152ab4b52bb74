"""A network without memory, on data whose density is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from worldmodel_trading.evaluation.baselines import memoryless
from worldmodel_trading.evaluation.baselines.memoryless import (
    Memoryless,
    MemorylessConfig,
    MemorylessNetwork,
    _Network,
    of_each_bar,
)
from worldmodel_trading.evaluation.baselines.student_t import mean_nll
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.clock import calendar_cells
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.config import PaperConfig
from worldmodel_trading.models.forecast import ReturnForecast

QUICK = MemorylessConfig(epochs=15, hidden=32, dropout=0.1, weight_decay=0.01)


def known_rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, cells, normal returns and heights; the scale is known from both inputs."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, 3))
    cells = np.stack([rng.integers(2, size=count), np.full(count, 48)], axis=1)
    scale = np.exp(0.5 * features[:, 0] + cells[:, 0])
    returns = scale * rng.standard_normal(count)
    return features, cells, returns, scale / 100


def test_it_learns_a_density_that_its_inputs_tell() -> None:
    network = MemorylessNetwork.fit(*known_rows(8_000, 0), QUICK)
    features, cells, returns, heights = known_rows(4_000, 1)
    forecast = ReturnForecast(*network.mixture(features, cells), np.zeros(4_000, dtype=np.int64))
    truth = -scipy.stats.norm(0, 100 * heights).logpdf(returns).mean()
    blind = -scipy.stats.norm(0, returns.std()).logpdf(returns).mean()
    assert mean_nll(forecast, returns) < truth + 0.03
    assert blind > truth + 0.2


def test_it_repeats_and_leaves_the_global_draws_alone() -> None:
    rows = known_rows(400, 2)
    first = MemorylessNetwork.fit(*rows, MemorylessConfig(epochs=2)).mixture(*rows[:2])
    again = MemorylessNetwork.fit(*rows, MemorylessConfig(epochs=2)).mixture(*rows[:2])
    other = MemorylessNetwork.fit(*rows, MemorylessConfig(epochs=2, seed=1)).mixture(*rows[:2])
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)


def test_it_sees_what_a_world_model_of_bars_sees(
    candles: Candles, market_model: BarWorldModel
) -> None:
    model = Memoryless.fit(candles, (0, 600), MemorylessConfig(epochs=1))
    found = model.networks[0].mixtures(candles)
    after = candles.open_time_ms + candles.interval_ms
    cells = calendar_cells(after, candles.interval)
    expected = model.networks[0].mixture(market_model.features(candles), cells)
    for part, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, other)


def test_it_is_as_wide_as_the_path_of_its_return(market_model: BarWorldModel) -> None:
    # Every parameter between the features and the return's mixture, but those that hear the memory.
    config = MemorylessConfig.beside(market_model.config)
    network = _Network(len(market_model.config.features.names), config)
    own = sum(p.numel() for name, p in network.named_parameters() if "head" not in name)
    v, m = market_model.vae, market_model.mdn_rnn
    parts = [v.forecast_hidden, v.forecast_out, m.now]
    theirs = sum(p.numel() for part in parts for p in part.parameters()) + m.calendar.numel()
    assert own == theirs
    assert network.head.out_features == m.return_head.out_features + 2


def test_it_is_wide_by_default_beside_another_kind() -> None:
    assert MemorylessConfig.beside(PaperConfig(), seed=3) == MemorylessConfig(seed=3)


def test_row_t_forecasts_bar_t(candles: Candles) -> None:
    model = Memoryless.fit(candles, (0, 2_000), MemorylessConfig(epochs=1))
    forecast = model.forecast(candles)
    assert not forecast.valid[:337].any()
    assert forecast.valid[337:].all()
    weights = model.networks[0].mixtures(candles)[0]
    np.testing.assert_array_equal(forecast.weights[400], weights[399])
    assert forecast.open_time_ms[400] == candles.open_time_ms[399]


def test_members_are_pooled(candles: Candles) -> None:
    returns = 100 * candles.log_returns()
    densities = []
    for settings in ({"members": 2}, {}, {"seed": 1}):
        model = Memoryless.fit(candles, (0, 1_000), MemorylessConfig(epochs=1, **settings))
        forecast = model.forecast(candles).rows(1_000, 1_100)
        densities.append(np.exp(forecast.log_prob(returns[1_000:1_100])))
    pooled, first, second = densities
    np.testing.assert_allclose(pooled, 0.5 * (first + second), rtol=1e-6)
    assert not np.allclose(first, second)


def test_moving_a_forecast_by_a_bar() -> None:
    numbers = np.arange(3.0)[:, None]
    moved = of_each_bar(ReturnForecast(numbers + 1, numbers, numbers + 1, np.arange(3)))
    assert moved.means[1:, 0].tolist() == [0.0, 1.0]
    assert moved.valid.tolist() == [False, True, True]


def test_too_few_rows_are_named(candles: Candles) -> None:
    with pytest.raises(ConfigError, match="163 bars with complete inputs; a network needs 200"):
        Memoryless.fit(candles, (0, 500))


def test_an_epoch_has_no_more_rows_than_it_may() -> None:
    rows, settings = known_rows(900, 3), {"epochs": 2, "batch_size": 100}
    short = MemorylessNetwork.fit(*rows, MemorylessConfig(epoch_bars=300, **settings))
    whole = MemorylessNetwork.fit(*rows, MemorylessConfig(epoch_bars=900, **settings))
    more = MemorylessNetwork.fit(*rows, MemorylessConfig(**settings))
    for one, two, three in zip(*(n.mixture(*rows[:2]) for n in (whole, more, short)), strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)


def test_of_a_long_range_it_learns_rows_spread_over_it(monkeypatch, candles: Candles) -> None:
    config = MemorylessConfig(epochs=1)
    whole = Memoryless.fit(candles, (0, 1_500), config).forecast(candles)
    monkeypatch.setattr(memoryless, "_MOST_ROWS", 1_000)
    thin = Memoryless.fit(candles, (0, 1_500), config).forecast(candles)
    assert not np.array_equal(thin.weights[400], whole.weights[400])
    np.testing.assert_array_equal(thin.valid, whole.valid)
