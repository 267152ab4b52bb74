"""A network without memory, on data whose density is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from worldmodel_trading.evaluation.baselines.context import bar_context, calendar_of
from worldmodel_trading.evaluation.baselines.memoryless import (
    Memoryless,
    MemorylessConfig,
    MemorylessNetwork,
    of_each_bar,
)
from worldmodel_trading.evaluation.baselines.student_t import mean_nll
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import synthetic_candles
from worldmodel_trading.models.forecast import ReturnForecast

QUICK = MemorylessConfig(epochs=15, hidden=32, dropout=0.1)


def known_rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Context, calendar, normal returns and heights; the scale is known from both inputs."""
    rng = np.random.default_rng(seed)
    context = rng.standard_normal((count, 3)).astype(np.float32)
    calendar = np.eye(2, dtype=np.float32)[rng.integers(2, size=count)]
    scale = np.exp(0.5 * context[:, 0] + calendar[:, 1])
    returns = scale * rng.standard_normal(count)
    return context, calendar, returns, scale / 100


def test_it_learns_a_density_that_its_inputs_tell() -> None:
    network = MemorylessNetwork.fit(*known_rows(8_000, 0), QUICK)
    context, calendar, returns, heights = known_rows(4_000, 1)
    forecast = ReturnForecast(*network.mixture(context, calendar), np.zeros(4_000, dtype=np.int64))
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


@pytest.fixture(scope="module")
def candles() -> Candles:
    return synthetic_candles(seed=1, bars=2_500)


def test_what_is_known_at_a_bar_depends_on_no_later_bar(candles: Candles) -> None:
    whole, early = bar_context(candles)[0], bar_context(candles.rows(0, 1_500))[0]
    np.testing.assert_array_equal(whole[:1_500], early)
    assert np.isnan(whole[:336]).all()
    assert np.isfinite(whole[336:]).all()


def test_the_average_by_hour_is_that_of_the_next_bar(candles: Candles) -> None:
    # Ranges of one hour of the day are tripled: the column that looks at the next bar's hour is
    # high just before it.
    lively = candles.open_time_ms // 3_600_000 % 24 == 9
    spread = 0.001 * np.where(lively, 3.0, 1.0)
    flat = np.full(len(candles), 100.0)
    ones = np.ones(len(candles))
    shaped = Candles(candles.open_time_ms, flat, flat * np.exp(spread), flat, flat, ones, ones)
    column = bar_context(shaped)[0][336:, 27]
    before = np.roll(lively, -1)[336:]
    assert column[before].min() > column[~before].max()


def test_the_calendar_knows_when_new_york_changes_its_clocks() -> None:
    winter, summer = (
        int(np.datetime64(day, "ms").astype(np.int64)) for day in ("2024-01-10T12", "2024-07-10T12")
    )
    hours = calendar_of(np.array([winter, summer]))[:, 55:].argmax(axis=1)
    assert hours.tolist() == [7, 8]
    assert calendar_of(np.array([winter])).sum() == 3.0  # one hour, one weekday, one New York hour


def test_row_t_forecasts_bar_t(candles: Candles) -> None:
    model = Memoryless.fit(candles, (0, 2_000), MemorylessConfig(epochs=1))
    forecast = model.forecast(candles)
    assert not forecast.valid[:337].any()
    assert forecast.valid[337:].all()
    weights = model.network.mixture(*model.context(candles))[0]
    np.testing.assert_array_equal(forecast.weights[400], weights[399])
    assert forecast.open_time_ms[400] == candles.open_time_ms[399]


def test_moving_a_forecast_by_a_bar() -> None:
    numbers = np.arange(3.0)[:, None]
    moved = of_each_bar(ReturnForecast(numbers + 1, numbers, numbers + 1, np.arange(3)))
    assert moved.means[1:, 0].tolist() == [0.0, 1.0]
    assert moved.valid.tolist() == [False, True, True]


def test_too_few_rows_are_named(candles: Candles) -> None:
    with pytest.raises(ConfigError, match="163 bars with complete inputs; a network needs 200"):
        Memoryless.fit(candles, (0, 500))
