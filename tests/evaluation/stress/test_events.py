"""What a record says of a condition, where that is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from worldmodel_trading.evaluation.stress.conditions import Condition
from worldmodel_trading.evaluation.stress.events import (
    EVENTS,
    Frequency,
    Scale,
    Windows,
    remembered,
    worst,
)
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.streams import StreamSpec
from worldmodel_trading.market.synthetic import synthetic_candles

BARS = 6


def fallen() -> Candles:
    """A market that falls by a fifth in bars 500 and 900, and is otherwise calm."""
    calm = synthetic_candles(bars=1_200, seed=5, start="2021-05-01")
    factor = np.ones(1_200)
    factor[500:] *= 0.8
    factor[900:] *= 0.8
    parts = {
        name: getattr(calm, name) * factor for name in ("open", "high", "low", "close", "turnover")
    }
    parts["open"][[500, 900]] /= 0.8
    parts["high"][[500, 900]] = parts["open"][[500, 900]] * 1.001
    return replace(calm, **parts, symbol="FELL", instrument=None)


@pytest.fixture(scope="module")
def windows() -> Windows:
    candles = fallen()
    return Windows.of(candles, StreamSpec("60"), np.arange(len(candles)) >= 400, BARS)


def test_the_share_of_windows_and_the_episodes_are_counted(windows: Windows) -> None:
    assert windows.rows.tolist() == list(range(400, 1_200 - BARS))
    found = Frequency.of(windows, Condition("return", True, -0.15, BARS), seed=0)
    assert found is not None
    # windows that begin after bars 494 … 499, and 894 … 899, hold the fall
    assert found.share.value == pytest.approx(12 / len(windows.rows))
    assert found.episodes == 2
    assert found.share.low < found.share.value < found.share.high


def test_what_was_never_met_has_an_upper_end(windows: Windows) -> None:
    found = Frequency.of(windows, Condition("return", True, -0.6, BARS), seed=0)
    assert found is not None
    assert (found.share.value, found.episodes) == (0.0, 0)
    assert 0.0 < found.share.high < 0.1


def test_there_is_no_frequency_of_a_stretch_without_windows(windows: Windows) -> None:
    condition = Condition("return", True, -0.1, BARS)
    assert Frequency.of(windows.between(0, 1), condition, seed=0) is None


def test_the_worst_windows_do_not_overlap(windows: Windows) -> None:
    first, second = (one.row for one in worst(windows, Condition("return", True, -0.15, BARS)))
    assert {500, 900} == {
        next(k for k in (500, 900) if 0 < k - row <= BARS) for row in (first, second)
    }


def test_days_that_are_remembered_are_found_where_they_are_recorded(windows: Windows) -> None:
    found = remembered(windows)
    assert [one.title for one in found] == ["19 May 2021"]
    step = windows.candles.interval_ms
    assert windows.candles.open_time_ms[found[0].row] + step == 1_621_296_000_000  # 2021-05-18 UTC
    made = replace(windows, candles=replace(windows.candles, symbol="SYNTH", instrument=None))
    assert remembered(made) == []


def test_events_are_told_in_the_training_range_s_deviations() -> None:
    scale = Scale(deviation=0.05, log_volume=-0.1, volume_spread=0.4, bars=24)
    assert str(EVENTS["crash"](scale)) == f"return < {math.expm1(-0.2):g} within 24"
    assert str(EVENTS["squeeze"](scale)) == f"return > {math.expm1(0.2):g} within 24"
    assert str(EVENTS["vol-spike"](scale)) == "volatility > 0.15 within 24"
    assert str(EVENTS["drought"](scale)) == f"volume < {math.exp(-1.1):g} within 24"


def test_the_scale_of_windows(windows: Windows) -> None:
    scale = windows.scale()
    squares = windows.candles.log_returns()[windows.rows + 1] ** 2
    assert scale.deviation == pytest.approx(math.sqrt(BARS * squares.mean()))
    assert -1.0 < scale.log_volume < 0.5
    assert 0.05 < scale.volume_spread < 1.5


def test_a_record_without_a_window_is_refused() -> None:
    candles = fallen()
    with pytest.raises(ConfigError, match="no window of 6 bars"):
        Windows.of(candles, StreamSpec("60"), np.zeros(len(candles), dtype=bool), BARS)
