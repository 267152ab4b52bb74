"""Candles of drawn bars, and the numbers that they were drawn as."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.drawn import drawn_candles
from worldmodel_trading.market.errors import CandleError
from worldmodel_trading.market.streamed_bars import bar_numbers
from worldmodel_trading.market.ticks import on_grid, tick_of

HOUR = 3_600_000
BARS = np.array([[0.01, 0.002, 0.0, 5.0], [-0.02, 0.0, 0.003, 0.0]])
TIMES = np.array([450_000 * HOUR, 450_001 * HOUR])


def drawn(bars: np.ndarray = BARS, price: float = 100.0, tick: float = 0.0) -> Candles:
    return drawn_candles(TIMES, bars, price, symbol="BTCUSDT", interval="60", tick=tick)


def test_prices_follow_from_the_numbers() -> None:
    made = drawn()
    close = 100.0 * np.exp([0.01, -0.01])
    np.testing.assert_allclose(made.close, close, rtol=1e-14)
    assert made.open.tolist() == [pytest.approx(100.0, rel=1e-15), made.close[0]]
    np.testing.assert_allclose(made.high, [close[0] * np.exp(0.002), close[0]], rtol=1e-14)
    np.testing.assert_allclose(made.low, [100.0, close[1] * np.exp(-0.003)], rtol=1e-14)
    assert made.turnover[0] == pytest.approx(
        5.0 * (made.open[0] + made.high[0] + made.low[0] + made.close[0]) / 4
    )
    assert made.turnover[1] == 0.0
    np.testing.assert_allclose(bar_numbers(made)[1], BARS[1], atol=1e-14)


def test_on_a_grid_they_are_decimal_fractions() -> None:
    made = drawn(tick=0.1)
    assert made.close.tolist() == [101.0, 99.0]  # 101.005, 99.005
    assert made.high.tolist() == [101.2, 101.0]  # 101.207
    assert made.low.tolist() == [100.0, 98.7]  # 98.708
    many = on_grid(np.random.default_rng(0).uniform(1, 9, 2_000), 0.05)
    assert tick_of(many) == 0.05
    assert on_grid(np.array([0.001, 0.26]), 0.25).tolist() == [0.25, 0.25]


def test_a_price_that_leaves_all_bounds_stays_a_number() -> None:
    wild = np.array([[900.0, 0.0, 0.0, 1e9], [-2_000.0, 0.0, 0.0, 1e9]])
    assert np.isfinite(drawn(wild).turnover).all()


def test_a_negative_wick_is_refused() -> None:
    with pytest.raises(CandleError, match="high"):
        drawn(np.array([[0.01, -0.02, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]))
