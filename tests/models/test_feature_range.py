import numpy as np
import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import TrainingError
from worldmodel_trading.market.features import (
    FeatureSpec,
    calendar,
    complete_bars,
    compute_features,
)
from worldmodel_trading.models.feature_range import complete_runs, feature_range

SPEC = FeatureSpec((3, 10))


def without(candles: Candles, start: int, stop: int) -> Candles:
    rows = np.r_[0:start, stop : len(candles)]
    names = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    return Candles(*(getattr(candles, n)[rows] for n in names), symbol=candles.symbol)


def test_runs_stop_at_gaps_and_start_after_the_look_back(candles):
    gapped = without(candles.rows(0, 200), 80, 85)
    runs = complete_runs(complete_bars(gapped, SPEC), gapped)
    assert runs == ((10, 80), (90, 195))


def test_a_stretch_shorter_than_the_look_back_is_no_run(candles):
    gapped = without(without(candles.rows(0, 100), 50, 55), 58, 60)
    runs = complete_runs(complete_bars(gapped, SPEC), gapped)
    assert runs == ((10, 50), (68, 93))


def test_context_gives_the_first_bar_its_look_back(candles):
    train, later = candles.rows(0, 500), candles.rows(500, 700)
    alone = feature_range(later, SPEC)
    assert alone.complete.complete_rows[0] == 10
    joined = feature_range(later, SPEC, train, context_bars=25)
    assert joined.complete.scored_from == 35
    assert joined.complete.complete_rows[0] == 35
    assert len(joined.complete.complete_rows) == 200
    expected = compute_features(candles, SPEC)[500:700]
    np.testing.assert_array_equal(joined.features[35:], expected)


def test_context_that_does_not_come_before_is_left_out(candles):
    later = candles.rows(500, 700)
    assert feature_range(later, SPEC, candles.rows(0, 600), 25).complete.scored_from == 0


def test_context_of_another_market_is_refused(candles):
    other = Candles(
        *(getattr(candles, n)[:50] for n in ("open_time_ms", "open", "high", "low", "close")),
        candles.volume[:50],
        candles.turnover[:50],
        symbol="OTHER",
    )
    with pytest.raises(TrainingError, match="context is OTHER 60"):
        feature_range(candles.rows(50, 200), SPEC, other, 5)


def test_the_calendar_is_the_next_bar_s(candles):
    source = feature_range(candles, SPEC)
    np.testing.assert_array_equal(source.calendar_next[:-1], calendar(candles.open_time_ms[1:]))
