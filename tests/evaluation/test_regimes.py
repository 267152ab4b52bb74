"""What regimes tell of the next day, and what happened in each."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.regimes.controls import (
    RANDOM_ENCODER,
    RAW_FEATURES,
    believed_by,
    terciles,
)
from worldmodel_trading.evaluation.regimes.outcomes import daily_rows, explained, next_day
from worldmodel_trading.evaluation.regimes.periods import labels_at, measure_periods
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles
from worldmodel_trading.models.bar_world_model import BarWorldModel

YEAR = 8_760


def test_the_next_day_by_hand() -> None:
    candles = synthetic_candles(seed=1, bars=60)
    found = next_day(candles)
    returns = np.diff(np.log(candles.close))
    assert found.volatility[3] == pytest.approx(np.log(np.sqrt((returns[3:27] ** 2).mean()) + 1e-4))
    path = np.log(candles.close[3:28])
    deepest = max(path[:j].max() - path[j] for j in range(1, 25))
    assert found.drawdown[3] == pytest.approx(np.log(max(deepest, 0.0) + 1e-4))
    assert np.isnan(found.volatility[36:]).all()
    assert not np.isnan(found.volatility[35])


def test_one_row_a_day_at_its_close() -> None:
    rows = daily_rows(synthetic_candles(seed=1, bars=100))
    np.testing.assert_array_equal(rows, [23, 47, 71, 95])


def test_what_is_known_explains_and_noise_does_not() -> None:
    """The true regimes explain the next day's volatility; regimes drawn by lot do not."""
    candles, truth = SyntheticMarket().sample(12_000, seed=2)
    half, last = int(candles.open_time_ms[6_000]), int(candles.open_time_ms[-1])
    ranges = ((0, half), (half, last))
    told = explained(np.eye(4)[truth], candles, *ranges)
    blind = explained(np.eye(4)[np.random.default_rng(0).permutation(truth)], candles, *ranges)
    assert told.volatility.low > 0.3
    assert told.drawdown.value > 0.1
    assert blind.volatility.high < 0.05
    with pytest.raises(ConfigError, match="days"):
        explained(np.eye(4)[truth], candles, (0, half), (last, last))


def test_terciles_are_cut_on_the_range_given(candles: Candles) -> None:
    end = int(candles.open_time_ms[1_500])
    dummies = terciles(candles, 0, end)
    known = np.isfinite(dummies).all(axis=1)
    assert known.sum() == len(candles) - 24
    np.testing.assert_allclose(dummies[:1_500][known[:1_500]].mean(axis=0), 1 / 3, atol=0.01)


@pytest.mark.parametrize("kind", [RAW_FEATURES, RANDOM_ENCODER])
def test_controls_go_the_same_way(kind: str, market_model: BarWorldModel, candles: Candles) -> None:
    believed = believed_by(kind, market_model, candles, 2, seed=0)
    known = np.isfinite(believed).all(axis=1)
    assert known.sum() == len(candles) - 336
    np.testing.assert_allclose(believed[known].sum(axis=1), 1.0)
    again = believed_by(kind, market_model, candles.rows(0, 2_000), 2, seed=0)
    np.testing.assert_array_equal(again, believed[:2_000])  # nothing later was looked at


def test_periods_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 0, -1, 1])
    growth = np.array([0.1, -0.2, 0.3, 0.1, -0.1, 9.0, np.nan])
    quiet, loud = measure_periods(labels, growth, 2, YEAR)
    assert (quiet.bars, quiet.visits, loud.bars, loud.visits) == (3, 2, 2, 1)
    assert quiet.share == pytest.approx(3 / 5)
    assert quiet.annual_log_return.value == pytest.approx(YEAR * (0.1 - 0.2 - 0.1) / 3)
    assert quiet.max_drawdown == pytest.approx(1 - np.exp(-0.2))  # within one visit
    assert loud.annual_log_return.value == pytest.approx(YEAR * 0.2)
    assert loud.max_drawdown == 0.0
    nothing = measure_periods(labels, growth, 3, YEAR)[2]
    assert (nothing.bars, nothing.sharpe) == (0, 0.0)


def test_labels_are_found_by_their_times() -> None:
    times = np.array([10, 20, 30])
    found = labels_at(np.array([20, 25, 30, 40]), times, np.array([0, 1, 2]))
    np.testing.assert_array_equal(found, [1, -1, 2, -1])
