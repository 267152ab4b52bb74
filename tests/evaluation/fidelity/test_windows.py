"""Windows in step with the clock."""

from __future__ import annotations

import numpy as np
import pytest

from worldmodel_trading.evaluation.baselines.bars import Bars
from worldmodel_trading.evaluation.baselines.clock import week_slots
from worldmodel_trading.evaluation.fidelity.windows import Windows, aligned_starts
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.intervals import INTERVALS_MS
from worldmodel_trading.market.synthetic import synthetic_candles

HOUR_MS = INTERVALS_MS["60"]
MONDAY_MS = 1_578_268_800_000  # 2020-01-06 00:00


def test_hourly_windows_begin_on_mondays_wednesdays_and_fridays() -> None:
    starts_ms = MONDAY_MS + HOUR_MS * np.array([[5], [170]])
    times = starts_ms + HOUR_MS * np.arange(336)
    path, start = aligned_starts(times, HOUR_MS, 48)
    begun = times[path, start]
    assert set(week_slots(begun, HOUR_MS)) == {0, 48, 96}
    # From Monday 05:00: Wednesday, Friday, then the next week's three, and Monday's at 331 is too
    # late. From the next Monday 02:00 the same, seven days on.
    assert start[path == 0].tolist() == [43, 91, 163, 211, 259]
    assert start[path == 1].tolist() == [46, 94, 166, 214, 262]


@pytest.mark.parametrize("interval", ["15", "240", "D", "W"])
def test_windows_never_overlap_and_always_begin_at_the_same_places(interval: str) -> None:
    length = INTERVALS_MS[interval]
    rng = np.random.default_rng(0)
    begin = MONDAY_MS // length * length + (MONDAY_MS % length)
    times = begin + length * (rng.integers(2_000, size=(6, 1)) + np.arange(2_100))
    path, start = aligned_starts(times, length, 48)
    assert len(path) > 10
    for one in range(6):
        assert np.diff(start[path == one]).min() >= 48
    again = aligned_starts(times + INTERVALS_MS["W"] * 336, length, 48)  # 336 = 7 · 48
    np.testing.assert_array_equal(start, again[1])


def test_a_record_s_windows_are_its_bars() -> None:
    record = synthetic_candles(seed=1, bars=1_000)
    windows = Windows.recorded(record)
    returns = record.log_returns()
    for row in (0, len(windows) - 1):
        start = windows.start[row]
        np.testing.assert_allclose(windows.log_return[row], returns[start : start + 48])
        assert windows.open_time_ms[row] == record.open_time_ms[start]
    assert windows.whole
    assert not windows.returns_alone().whole


def test_no_window_runs_over_a_gap() -> None:
    record = synthetic_candles(seed=1, bars=1_000)
    kept = np.delete(np.arange(1_000), 500)
    columns = {
        name: getattr(record, name)[kept]
        for name in ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    }
    windows = Windows.recorded(Candles(**columns))
    assert len(windows) in (len(Windows.recorded(record)) - 1, len(Windows.recorded(record)))
    assert not ((windows.start < 500) & (windows.start + 48 > 500)).any()


def test_volume_counts_against_its_own_window() -> None:
    times = MONDAY_MS + HOUR_MS * np.arange(48)[None]
    volume = np.tile([1.0, 3.0], 24)[None]
    zero = np.zeros((1, 48))
    small, large = (
        Windows.of(Bars(times, zero, zero, zero, scale * volume), HOUR_MS) for scale in (1.0, 1e6)
    )
    assert small.log_volume is not None
    assert large.log_volume is not None
    np.testing.assert_allclose(small.log_volume, large.log_volume)
    assert small.log_volume[0, :2] == pytest.approx(np.log([0.501, 1.501]))


def test_paths_that_are_too_short_are_named() -> None:
    times = MONDAY_MS + HOUR_MS * np.arange(1, 60)[None]
    with pytest.raises(ConfigError, match="paths of 59 bars hold no window of 48 bars"):
        Windows.of(Bars(times, np.zeros((1, 59))), HOUR_MS)
