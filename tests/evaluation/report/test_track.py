"""What an equity curve shows: days, months, falls; the figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.report.curves import fan, read_curves, write_curves
from worldmodel_trading.evaluation.report.track import (
    DAY_MS,
    against,
    daily_returns,
    drawdowns,
    falls,
    rolling_sharpe,
    same_as,
)
from worldmodel_trading.evaluation.rollout import Curve
from worldmodel_trading.market.errors import ConfigError

HOUR_MS = 3_600_000
START = 1_704_067_200_000  # 2024-01-01


def curve(equity: list[float] | np.ndarray, step_ms: int = DAY_MS) -> Curve:
    made = np.asarray(equity, dtype=np.float64)
    return Curve(made, time_ms=START + step_ms * np.arange(len(made)))


def test_days_end_at_midnight() -> None:
    equity = np.ones(49)
    equity[24:] = 1.1  # the bar that ends at midnight is the old day's
    equity[25:] = 1.21
    assert daily_returns(curve(equity, HOUR_MS)) == pytest.approx([0.1, 0.1])


def test_falls_are_told_with_their_peaks_and_ends() -> None:
    made = curve([1.0, 2.0, 1.0, 1.5, 2.0, 1.8, 2.5, 2.0])
    deepest, last, small = falls(made)
    assert deepest == (START + DAY_MS, START + 2 * DAY_MS, START + 4 * DAY_MS, 0.5)
    assert last.back_ms is None
    assert last.depth == pytest.approx(0.2)
    assert small.depth == pytest.approx(0.1)
    assert drawdowns(made.equity).max() == 0.5
    assert falls(curve([1.0, 1.1, 1.2])) == []


def test_ruin_has_a_fall() -> None:
    assert falls(curve([1.0, 0.0, 0.0]))[0].depth == 1.0


def test_the_rolling_window_is_a_quarter_of_a_short_range() -> None:
    rng = np.random.default_rng(0)
    times, ratios, window = rolling_sharpe(curve(np.exp(np.cumsum(0.01 * rng.normal(size=101)))))
    assert window == 25
    assert len(times) == len(ratios) == 76
    times, ratios, _ = rolling_sharpe(curve([1.0, 1.1, 1.2]))
    assert len(times) == len(ratios) == 0


def test_wealth_against_another_is_a_ratio_with_an_interval() -> None:
    rng = np.random.default_rng(0)
    other = np.exp(np.cumsum(0.01 * rng.normal(size=200)))
    other[0] = 1.0
    span = against(curve(other * np.linspace(1.0, 1.5, 200)), curve(other))
    assert span is not None
    assert span.value == pytest.approx(0.5)
    assert 0.2 < span.low <= span.value <= span.high < 0.8


def test_an_account_that_ended_early_holds_what_was_left() -> None:
    longer, shorter = curve(np.linspace(1.0, 2.0, 50)), curve(np.full(20, 1.0))
    span = against(shorter, longer)
    assert span is not None
    assert span.value == pytest.approx(-0.5)


def test_what_cannot_be_laid_beside_each_other_has_no_interval() -> None:
    assert against(Curve(np.ones(50)), curve(np.ones(50))) is None
    assert against(curve(np.ones(5)), curve(np.ones(5))) is None


def test_same_is_a_hundredth_all_along() -> None:
    one = np.linspace(1.0, 2.0, 50)
    assert same_as(curve(one), curve(1.005 * one))
    other = one.copy()
    other[20] *= 1.02
    assert not same_as(curve(other), curve(one))
    assert not same_as(curve(one[:30]), curve(one))


def test_curves_are_read_as_they_were_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    dreams = Curve(np.exp(np.cumsum(0.01 * rng.normal(size=(16, 30)), axis=1)))
    equity = np.linspace(1.0, 1.2, 40)
    times = START + DAY_MS * np.arange(40)
    whole = Curve(equity, equity - 1, times, 0.9 * equity, 1.1 * equity, 100 * equity)
    kept = {"controller": {"dream": dreams, "test": whole}, "flat": {"test": Curve(equity)}}
    path = write_curves(tmp_path / "curves.parquet", kept)
    found = read_curves(path)
    assert list(found) == ["controller", "flat"]
    assert (fan(found["controller"]["dream"]) == fan(dreams)).all()
    for name in ("equity", "weight", "time_ms", "lowest", "highest", "price"):
        assert (getattr(found["controller"]["test"], name) == getattr(whole, name)).all()
    assert found["flat"]["test"].time_ms is None
    assert found["flat"]["test"].weight is None
    assert read_curves(write_curves(tmp_path / "none.parquet", {})) == {}


def test_a_file_that_is_no_table_of_curves_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "curves.parquet").write_text("no")
    with pytest.raises(ConfigError, match="no table of curves"):
        read_curves(tmp_path / "curves.parquet")
