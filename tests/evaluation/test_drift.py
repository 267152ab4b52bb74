"""What holding paid, and how it is said."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.drift import DriftOutcome, RecordedDrift
from worldmodel_trading.evaluation.report.sentences import drift_sentence
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import synthetic_candles

HOUR = 3_600_000


def hourly(returns: np.ndarray) -> Candles:
    """Candles with those simple returns, after a first bar."""
    close = 100.0 * np.cumprod(np.concatenate([[1.0], 1.0 + returns]))
    times = 438_000 * HOUR + HOUR * np.arange(len(close))
    traded = np.ones(len(close))
    bars = [times, close, close, close, close, traded, close]
    return Candles(*bars, symbol="A", interval="60")


def test_a_steady_rise_is_its_mean() -> None:
    found = RecordedDrift.of(hourly(np.full(50, 0.001)))
    assert found.value == pytest.approx(0.001 * 8_760)
    assert found.standard_error == pytest.approx(0.0, abs=1e-9)


def test_the_error_of_independent_returns_is_theirs() -> None:
    returns = 0.01 * np.random.default_rng(0).standard_normal(20_000)
    found = RecordedDrift.of(hourly(returns))
    assert found.value == pytest.approx(returns.mean() * 8_760)
    assert found.standard_error == pytest.approx(0.01 / np.sqrt(20_000) * 8_760, rel=0.2)


def test_returns_that_come_in_runs_leave_more_open() -> None:
    runs = np.repeat(0.01 * np.random.default_rng(0).standard_normal(1_000), 20)
    apart = np.random.default_rng(1).permutation(runs)
    together, alone = (RecordedDrift.of(hourly(r)).standard_error for r in (runs, apart))
    assert together > 3 * alone


def test_one_bar_tells_no_drift() -> None:
    with pytest.raises(ConfigError, match="a drift needs two"):
        RecordedDrift.of(synthetic_candles(seed=0, bars=2))


def test_it_is_told_with_its_error() -> None:
    train, recent = RecordedDrift(0.714, 0.374), RecordedDrift(-0.1, 0.607)
    said = drift_sentence(DriftOutcome("zero", 0.001, train, recent, 0.25))
    assert "inherits (--drift zero). A held position earns +0.1% a year there." in said
    assert "paid +71.4% ± 37.4%, its last 25% -10.0% ± 60.7% (simple" in said
    whole = drift_sentence(DriftOutcome("recorded", 0.7, train, train, 1.0))
    assert (
        "A held position earns +70.0% a year there. The training range paid +71.4% ± 37.4% (simple"
        in whole
    )
