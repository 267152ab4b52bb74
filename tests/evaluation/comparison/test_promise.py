"""Promise and pay: the gap in its standard errors, and when there is an alarm."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.comparison.promise import (
    annual_error,
    annual_interval,
    dream_error,
    promises,
)
from worldmodel_trading.evaluation.comparison.results import Figure, Row, summarise_rows

YEAR = 8_760


def row(venue: str, temperature: float | None, value: float, seed: int = 0) -> Row:
    measures = {"annual_log_return": value}
    return Row("ppo", venue, temperature, seed, "model", "", measures)


def test_the_error_of_independent_bars_is_that_of_their_mean() -> None:
    returns = np.random.default_rng(0).normal(1e-4, 0.01, size=4 * YEAR)
    # A sum of T independent bars has √T times their deviation; a year's share of it is that ÷ 4.
    wanted = 0.01 * np.sqrt(4 * YEAR) / 4
    assert annual_error(returns, YEAR) == pytest.approx(wanted, rel=0.15)
    span = annual_interval(returns, YEAR)
    assert span.value == pytest.approx(returns.sum() / 4)
    assert span.low < span.value < span.high


def test_bars_that_move_together_have_a_larger_error() -> None:
    days = np.random.default_rng(0).normal(0.0, 0.05, size=4 * 365)
    weekly = np.repeat(days[: 4 * 52], 168)  # the same move for a week
    alone = np.random.default_rng(1).permutation(weekly)
    assert annual_error(weekly, YEAR) > 3 * annual_error(alone, YEAR)


@pytest.mark.parametrize("count", [0, 1])
def test_what_is_too_short_has_no_error(count: int) -> None:
    assert annual_error(np.full(count, 0.01), YEAR) == 0.0
    assert dream_error(np.full(count, 0.01), 24, YEAR) == 0.0


def test_dreams_err_as_their_mean_does() -> None:
    returns = np.array([0.0, 0.1, 0.2, 0.3])
    by_hand = returns.std(ddof=1) / 2 * YEAR / 730  # √4 dreams of a twelfth of a year each
    assert dream_error(returns, 730, YEAR) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("promised", "paid", "alarm"),
    [
        (1.0, 0.9, ""),  # one standard error
        (1.0, 0.5, "more than the market paid"),  # five
        (1.0, -0.5, "the market took a loss"),
        (-0.5, 1.0, ""),  # it may pay more than was promised
    ],
)
def test_an_alarm_is_more_than_chance(promised: float, paid: float, alarm: str) -> None:
    rows = [row("dream", 1.0, promised), row("test", None, paid)]
    errors = {("ppo", "dream at 1"): 0.06, ("ppo", "test"): 0.08}  # together 0.1
    (found,) = promises(rows, "test", errors)
    assert found.gap == pytest.approx(promised - paid)
    assert found.errors == pytest.approx((promised - paid) / 0.1)
    assert alarm in found.alarm
    assert bool(found.alarm) == bool(alarm)


def test_medians_and_ranges_are_over_seeds() -> None:
    rows = [row("dream", 0.5, value, seed) for seed, value in enumerate([3.0, 1.0, 2.0])]
    rows += [row("dream", 1.0, 9.0), row("test", None, 4.0)]
    errors = {("ppo", "dream at 0.5"): 0.1, ("ppo", "dream at 1"): 0.1, ("ppo", "test"): 0.0}
    cold, warm = promises(rows, "test", errors)
    assert (cold.temperature, warm.temperature) == (0.5, 1.0)
    assert cold.promised == Figure(2.0, 1.0, 3.0, 2.0, 3)
    assert warm.paid == Figure(4.0, 4.0, 4.0, 4.0, 1)
    assert promises(rows[:-1], "test", errors) == ()  # nobody was paid
    assert summarise_rows(rows)["ppo"]["test"]["annual_log_return"] == warm.paid


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert Figure.of([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -100.0]).middle == pytest.approx(3.5)
