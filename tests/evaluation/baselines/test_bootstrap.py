"""Whole bars drawn in blocks: recorded ones, in recorded order, at their place in the week."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.baselines.bars import Bars
from worldmodel_trading.evaluation.baselines.bootstrap import BarBootstrap
from worldmodel_trading.evaluation.baselines.clock import week_slots
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.synthetic import synthetic_candles

HOUR_MS = 3_600_000
BARS = 3_000


@pytest.fixture(scope="module")
def record() -> Candles:
    return synthetic_candles(seed=3, bars=BARS)


def test_a_record_taken_apart_and_put_together_is_the_record(record: Candles) -> None:
    again = Bars.of(record).candles(0, record.close[0], record)
    rest = record.rows(1, BARS)
    np.testing.assert_array_equal(again.open_time_ms, rest.open_time_ms)
    for name in ("close", "high", "low", "volume"):
        assert getattr(again, name) == pytest.approx(getattr(rest, name), rel=1e-9), name
    assert again.open[1:] == pytest.approx(record.close[1:-1], rel=1e-9)


def test_every_bar_is_a_recorded_one_of_its_place_in_the_week(record: Candles) -> None:
    starts = record.open_time_ms[-1] + HOUR_MS * np.array([1, 6, 100])
    drawn = BarBootstrap.fit(record, 12).bars(starts, 2_000, np.random.default_rng(0))
    source = Bars.of(record)
    order = np.argsort(source.log_return[0])
    place = np.searchsorted(source.log_return[0][order], drawn.log_return)
    rows = order[place]
    np.testing.assert_array_equal(source.log_return[0][rows], drawn.log_return)
    np.testing.assert_array_equal(source.upper[0][rows], drawn.upper)
    np.testing.assert_array_equal(source.lower[0][rows], drawn.lower)
    np.testing.assert_array_equal(source.volume[0][rows], drawn.volume)
    np.testing.assert_array_equal(
        week_slots(drawn.open_time_ms, HOUR_MS), week_slots(source.open_time_ms[0][rows], HOUR_MS)
    )
    # Blocks of 12 bars on average: all but a twelfth of the bars follow their predecessor, and a
    # new block begins elsewhere but by chance.
    assert (np.diff(rows, axis=1) == 1).mean() == pytest.approx(11 / 12, abs=0.02)


def test_no_block_runs_over_a_gap() -> None:
    record = synthetic_candles(seed=3, bars=400)
    kept = np.delete(np.arange(400), np.arange(200, 200 + 30))
    columns = {
        name: getattr(record, name)[kept]
        for name in ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    }
    gappy = Candles(**columns)
    drawn = BarBootstrap.fit(gappy, 50).bars(gappy.open_time_ms[:20], 500, np.random.default_rng(1))
    across = gappy.log_returns()[200]
    assert not np.isin(drawn.log_return, across).any()
    assert np.isin(drawn.log_return, np.delete(gappy.log_returns(), 200)).all()


def test_it_repeats_and_simulates_from_rows(record: Candles) -> None:
    model = BarBootstrap.fit(record)
    first, again = (
        model.simulate(record, np.array([500, 900]), 7, 24, np.random.default_rng(5))
        for _ in range(2)
    )
    assert first.shape == (2, 7, 24)
    np.testing.assert_array_equal(first, again)
    assert np.isin(first, 100 * record.log_returns()).all()


def test_too_little_is_named(record: Candles) -> None:
    with pytest.raises(ConfigError, match="50 candles; a bootstrap needs more than 100"):
        BarBootstrap.fit(record.rows(0, 50))
    with pytest.raises(ConfigError, match=r"block_bars is 0\.5"):
        BarBootstrap.fit(record, 0.5)
