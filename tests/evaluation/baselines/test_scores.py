"""All baselines beside a world model's forecast."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.baselines.scores import (
    TITLES,
    Baselines,
    compare_with_baselines,
    fit_baselines,
)
from worldmodel_trading.evaluation.baselines.student_t import StudentTForecast
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles


def normal(scale: float, bars: int) -> StudentTForecast:
    return StudentTForecast(200.0, np.zeros(bars), np.full(bars, scale))


def test_gaps_are_the_world_model_s_loss_minus_the_baseline_s() -> None:
    returns = np.random.default_rng(0).standard_normal(4_000)
    baselines = Baselines({"wide": normal(2.0, 4_000), "right": normal(1.0, 4_000)}, {"wide": "so"})
    scores = compare_with_baselines(
        normal(1.0, 4_000), baselines, returns, {"test": (1_000, 4_000)}
    )
    gap = scores["wide"].gap["test"]
    # ln 2 − ½·(1 − ¼) nats are lost by a normal of twice the scale
    assert gap.value == pytest.approx(-(np.log(2) - 0.375), abs=0.03)
    assert gap.high < 0.0
    assert scores["right"].gap["test"].value == 0.0
    assert scores["wide"].to_dict()["note"] == "so"
    assert "note" not in scores["right"].to_dict()


def test_bars_that_one_cannot_forecast_count_for_none() -> None:
    returns = np.random.default_rng(0).standard_normal(1_000)
    partial = normal(1.0, 1_000)
    partial.loc[:600] = np.nan
    returns[700] = 1e3  # known, and forecast by all
    scores = compare_with_baselines(
        normal(1.0, 1_000), Baselines({"partial": partial}), returns, {"all": (0, 1_000)}
    )
    assert scores["partial"].gap["all"].value == 0.0
    with pytest.raises(ConfigError, match="no bar"):
        compare_with_baselines(
            normal(1.0, 1_000), Baselines({"partial": partial}), returns, {"early": (0, 500)}
        )


def test_all_are_fitted_and_near_the_truth_of_the_embedded_market() -> None:
    candles = synthetic_candles(seed=7, bars=7_000)
    baselines = fit_baselines(candles, (0, 5_000))
    assert list(baselines.forecasts) == list(TITLES)
    assert baselines.notes == {}
    market = SyntheticMarket(1.0, candles.interval, candles.symbol)
    returns = 100 * candles.log_returns()
    truth = market.return_density(candles).log_prob(np.append(returns[1:], 0.0))
    known = -truth[4_999:6_999].mean()  # row t is of the return after it
    scores = compare_with_baselines(
        baselines.forecasts["gjr_garch_t"], baselines, returns, {"test": (5_000, 7_000)}
    )
    for name, score in scores.items():
        assert known - 0.01 < score.return_nll["test"] < known + 0.15, name


def test_a_network_that_cannot_be_fitted_is_left_out_with_a_word() -> None:
    candles = synthetic_candles(seed=7, bars=500)
    baselines = fit_baselines(candles, (0, 400))
    assert "memoryless" not in baselines.forecasts
    assert baselines.notes["memoryless"].startswith("left out: 63 bars with complete inputs")
    scores = compare_with_baselines(
        normal(1.0, 500), baselines, 100 * candles.log_returns(), {"test": (400, 500)}
    )
    assert scores["memoryless"].return_nll == {}
    assert scores["memoryless"].note


def test_forecasts_from_a_row_on_are_the_last_of_all() -> None:
    candles = synthetic_candles(seed=7, bars=900)
    returns = 100 * candles.log_returns()[650:]
    whole, late = (fit_baselines(candles, (0, 600), first=first) for first in (0, 650))
    assert list(late.forecasts) == list(whole.forecasts) == list(TITLES)
    for name, forecast in late.forecasts.items():
        expected = whole.forecasts[name].rows(650, 900).log_prob(returns)
        np.testing.assert_allclose(forecast.log_prob(returns), expected, rtol=1e-6)
