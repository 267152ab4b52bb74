"""The grid of prices: found in a record, and what lies on it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldmodel_trading.market.ticks import (
    close_on_grid,
    high_on_grid,
    log_ratio,
    low_on_grid,
    moved,
    tick_of,
)


@pytest.mark.parametrize("tick", [0.5, 0.1, 0.01, 0.05, 1.0, 25.0, 1e-5, 1e-8])
def test_the_step_of_a_record_is_found(tick: float) -> None:
    steps = np.random.default_rng(0).integers(3_000, 90_000, 200)
    assert tick_of(steps * tick) == pytest.approx(tick, rel=1e-12)


def test_a_step_that_became_finer_is_the_finer_one() -> None:
    rng = np.random.default_rng(0)
    early, late = rng.integers(10_000, 20_000, (2, 100)) * np.array([[0.5], [0.1]])
    assert tick_of(np.concatenate([early, late])) == pytest.approx(0.1, rel=1e-12)


def test_prices_without_a_grid_and_too_few_of_them_have_no_step() -> None:
    rng = np.random.default_rng(0)
    assert tick_of(np.exp(rng.normal(9.0, 1.0, 200))) == 0.0
    assert tick_of(np.repeat([100.0, 101.0, 103.0], 10)) == 0.0


@pytest.mark.parametrize("change", [0.0, 1e-9, -3e-4, 0.049, -0.2, 1.5])
def test_a_price_and_its_log_return_belong_together(change: float) -> None:
    price = moved(123.4, change)
    assert price == pytest.approx(123.4 * math.exp(change), rel=1e-12)
    assert log_ratio(price, 123.4) == pytest.approx(change, rel=1e-9, abs=1e-15)


def test_prices_of_the_grid_by_hand() -> None:
    assert close_on_grid(100.34, 0.25) == 100.25
    assert close_on_grid(0.01, 0.25) == 0.25  # nothing is free
    assert high_on_grid(100.3, 100.25, 0.25) == 100.5  # a wick that was drawn is at least a tick
    assert high_on_grid(101.1, 100.3, 0.25) == 101.0
    assert low_on_grid(100.2, 100.25, 0.25) == 100.0
    assert low_on_grid(98.9, 100.25, 0.25) == 99.0
    assert low_on_grid(0.2, 0.25, 0.25) == 0.25  # there is no price below
