"""Forecasts of many bars at once, against simulators whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import scoringrules

from worldmodel_trading.evaluation.horizons import (
    compare_horizons,
    ensemble_crps,
    forecast_origins,
    horizon_losses,
    qlike,
)
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError

HOUR_MS = 3_600_000
BARS = 24 * 400


def walk(bars: int = BARS, sigma: float = 0.01, gap_after: int | None = None) -> Candles:
    close = 100 * np.exp(np.cumsum(sigma * np.random.default_rng(0).standard_normal(bars)))
    opening = np.append(100.0, close[:-1])
    times = 1_600_002_000_000 // HOUR_MS * HOUR_MS + HOUR_MS * np.arange(bars)
    if gap_after is not None:
        times[gap_after:] += 5 * HOUR_MS
    ends = np.stack([opening, close])
    ones = np.ones(bars)
    return Candles(times, opening, ends.max(0), ends.min(0), close, ones, ones)


@dataclass(frozen=True)
class Normal:
    sigma: float  # percent
    shift: float = 0.0

    def simulate(self, candles, rows, paths, bars, rng):
        return self.shift + self.sigma * rng.standard_normal((len(rows), paths, bars))


def test_ensemble_crps_against_scoringrules() -> None:
    rng = np.random.default_rng(0)
    members, outcomes = rng.standard_normal((30, 12)), rng.standard_normal(30)
    expected = scoringrules.crps_ensemble(outcomes, members, estimator="fair")
    assert ensemble_crps(members, outcomes) == pytest.approx(expected)


def test_three_members_by_hand() -> None:
    # |x − y| of 0, 1, 3 and 2: (2 + 1 + 1)/3; pairs differ by 1, 2, 3: mean 2, half of it 1.
    assert ensemble_crps(np.array([[3.0, 0.0, 1.0]]), np.array([2.0])) == pytest.approx(4 / 3 - 1)


def test_qlike_by_hand_and_where_it_is_least() -> None:
    assert qlike(np.array([2.0]), np.array([4.0])) == pytest.approx(2 - np.log(2) - 1)
    assert qlike(np.array([3.0]), np.array([3.0])) == pytest.approx(0.0)
    still = qlike(np.ones(2), np.array([0.0, 2.0]))  # a thousandth of the mean, 1
    assert still[0] == pytest.approx(0.001 - np.log(0.001) - 1)


@pytest.mark.parametrize("horizon", [1, 24])
def test_the_truth_scores_best_covers_and_passes(horizon: int) -> None:
    candles = walk()
    rows = (1, BARS)
    truth, wide, shifted = (
        horizon_losses(each, candles, rows, horizon, seed=0, paths=200)
        for each in (Normal(1.0), Normal(2.0), Normal(1.0, -1.0))
    )
    for name, losses in truth.losses().items():
        assert losses.mean() < wide.losses()[name].mean(), name
    assert truth.crps_return.mean() < shifted.crps_return.mean()
    # √h·σ/√π for a normal that is its own truth, over 384 origins
    expected = np.sqrt(horizon) / np.sqrt(np.pi)
    assert truth.crps_return.mean() == pytest.approx(expected, rel=0.1)
    assert truth.covered == pytest.approx(0.9, abs=0.05)
    assert min(test.kupiec_p for test in truth.var) > 0.01
    assert wide.var[1].kupiec_p < 1e-3


def test_origins_leave_out_gaps_and_overlaps() -> None:
    candles = walk(1_000, gap_after=500)
    origins = forecast_origins(candles, (100, 1_000), 48)
    assert np.diff(origins).min() >= 48
    assert not ((origins < 500) & (origins + 48 >= 500)).any()
    assert origins[0] == 99
    assert origins[-1] + 48 < 1_000


def test_a_week_of_bars_has_no_two_weeks_to_forecast() -> None:
    with pytest.raises(ConfigError, match="forecasts of 168 bars"):
        forecast_origins(walk(300), (100, 300), 168)


def test_differences_are_against_the_one_that_is_named() -> None:
    table = compare_horizons(
        {"truth": Normal(1.0), "wide": Normal(2.0)},
        walk(24 * 40),
        (1, 24 * 40),
        seed=0,
        paths=50,
        against="wide",
    )
    assert list(table) == [1, 24, 168]
    for rows in table.values():
        gap = rows["truth"].minus["qlike"]
        assert gap.value == pytest.approx(rows["truth"].qlike - rows["wide"].qlike)
        assert rows["wide"].minus["qlike"].value == 0.0
    assert table[24]["truth"].minus["qlike"].high < 0.0


def test_a_wrong_shape_is_named() -> None:
    class Short:
        def simulate(self, candles, rows, paths, bars, rng):
            return np.zeros((len(rows), paths, bars - 1))

    with pytest.raises(ConfigError, match="the simulator drew"):
        horizon_losses(Short(), walk(300), (1, 300), 24, seed=0)
