from __future__ import annotations

import itertools

import numpy as np
import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import FeatureError
from worldmodel_trading.market.features import (
    CALENDAR_NAMES,
    FeatureSpec,
    Scaler,
    StreamingFeatures,
    calendar,
    compute_features,
    valid_rows,
)

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01 00:00 UTC, a Monday
SMALL = FeatureSpec(horizons=(2, 3))


def random_candles(bars: int, seed: int = 0, missing: tuple[int, ...] = ()) -> Candles:
    rng = np.random.default_rng(seed)
    close = 30_000 * np.exp(np.cumsum(rng.standard_t(4, bars) * 0.005))
    opening = np.concatenate([[30_000.0], close[:-1]])
    high = np.maximum(opening, close) * (1 + rng.exponential(0.002, bars))
    low = np.minimum(opening, close) * (1 - rng.exponential(0.002, bars))
    volume = rng.lognormal(5, 1, bars)
    kept = np.setdiff1d(np.arange(bars), missing)
    columns = (opening, high, low, close, volume, volume * close)
    return Candles(START + kept * HOUR, *(c[kept] for c in columns), symbol="BTCUSDT")


def changed_after(candles: Candles, row: int) -> Candles:
    """Every number after the row is another one."""
    columns = {}
    for name in ("open", "high", "low", "close", "volume", "turnover"):
        column = getattr(candles, name).copy()
        column[row + 1 :] *= 1.7
        columns[name] = column
    return Candles(candles.open_time_ms, **columns, symbol=candles.symbol)


def test_names_and_warm_up() -> None:
    assert FeatureSpec().names == (
        "log_return",
        "range",
        "log_volume",
        "body",
        "volatility_6",
        "volatility_24",
        "volatility_168",
        "momentum_6",
        "momentum_24",
        "momentum_168",
    )
    assert FeatureSpec().warmup == 168
    for horizons in ((), (1, 5), (0,)):
        with pytest.raises(FeatureError, match="each ≥ 2 bars"):
            FeatureSpec(horizons)


def test_features_worked_out_by_hand() -> None:
    """Closes 100, 110, 99, 99: log returns log 1.1, log 0.9, 0."""
    close = np.array([100.0, 110.0, 99.0, 99.0])
    opening = np.array([100.0, 100.0, 110.0, 98.0])
    candles = Candles(
        START + HOUR * np.arange(4),
        opening,
        np.array([101.0, 112.0, 110.0, 100.0]),
        np.array([99.0, 98.0, 98.0, 96.0]),
        close,
        np.array([0.0, 1.0, 2.0, 3.0]),
        np.ones(4),
    )
    features = compute_features(candles, SMALL)
    assert np.isnan(features[:3]).all()
    up, down = np.log(1.1), np.log(0.9)
    floor = 1e-5**2
    np.testing.assert_allclose(
        features[3],
        [
            0.0,
            np.log(100 / 96),
            np.log(4.0) - np.log(2.0 * 3.0 * 4.0) / 3,
            np.log(99 / 98),
            np.log(np.sqrt(down**2 / 2 + floor)),
            np.log(np.sqrt((up**2 + down**2) / 3 + floor)),
            down / np.sqrt(2),
            (up + down) / np.sqrt(3),
        ],
        rtol=1e-12,
        atol=1e-15,
    )


@pytest.mark.parametrize("row", [168, 169, 250, 398])
def test_the_future_changes_nothing(row: int) -> None:
    candles = random_candles(400)
    other = changed_after(candles, row)
    before, after = compute_features(candles), compute_features(other)
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert (before[row + 1 :] != after[row + 1 :]).any(axis=1).all()


def test_the_scaler_of_the_training_range_does_not_see_the_future() -> None:
    candles = random_candles(600)
    other = changed_after(candles, 399)
    scalers = [Scaler.fit(compute_features(c)[:400]) for c in (candles, other)]
    np.testing.assert_array_equal(scalers[0].mean, scalers[1].mean)
    np.testing.assert_array_equal(scalers[0].scale, scalers[1].scale)


def test_scaling_there_and_back() -> None:
    features = compute_features(random_candles(2_000))
    scaler = Scaler.fit(features, FeatureSpec().names)
    rows = features[valid_rows(features)]
    scaled = scaler.transform(rows)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=0, dtype=np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0, dtype=np.float64), 1, atol=1e-5)
    np.testing.assert_allclose(scaler.inverse(scaled), rows, rtol=1e-5, atol=1e-5)


def test_candles_that_stand_still_are_refused() -> None:
    ones = np.ones(300)
    still = Candles(START + HOUR * np.arange(300), ones, ones, ones, ones, ones, ones)
    features = compute_features(still)
    assert np.isfinite(features[168:]).all()
    with pytest.raises(FeatureError, match=r"log_return, range, .* never changes"):
        Scaler.fit(features, FeatureSpec().names)
    with pytest.raises(FeatureError, match="column 0"):
        Scaler.fit(features)


def test_a_range_that_is_too_short_to_scale() -> None:
    with pytest.raises(FeatureError, match="no complete feature rows"):
        Scaler.fit(compute_features(random_candles(168)))


def test_no_window_crosses_a_gap() -> None:
    candles = random_candles(1_000, missing=(300, 301, 700))
    features = compute_features(candles)
    expected = np.zeros(len(candles), dtype=bool)
    for start, stop in candles.segments():
        expected[start + 168 : stop] = True
        alone = compute_features(candles.rows(start, stop))
        np.testing.assert_array_equal(features[start:stop], alone)
    np.testing.assert_array_equal(valid_rows(features), expected)
    assert list(candles.segments()) == [(0, 300), (300, 698), (698, 997)]


@pytest.mark.parametrize("spec", [FeatureSpec(), SMALL, FeatureSpec((50, 7, 200))])
@pytest.mark.parametrize("history", [1, 40, 169, 500])
def test_the_stream_equals_the_batch_bit_for_bit(spec: FeatureSpec, history: int) -> None:
    candles = random_candles(1_200, seed=history, missing=(350, 351, 352, 640))
    batch = compute_features(candles, spec)
    stream = StreamingFeatures(spec)
    rows = [(history - 1, stream.update(candles.rows(0, history)))]
    rows += [(t, stream.update(candles.rows(t, t + 1))) for t in range(history, len(candles))]
    for t, row in rows:
        if np.isnan(batch[t]).any():
            assert row is None
        else:
            np.testing.assert_array_equal(row, batch[t])
    assert sum(row is not None for _, row in rows) >= 350


def test_the_stream_takes_bars_in_pieces_of_any_length() -> None:
    candles = random_candles(900, missing=(500,))
    batch = compute_features(candles)
    rng = np.random.default_rng(1)
    edges = [0, *sorted(rng.choice(np.arange(1, 899), 40, replace=False).tolist()), 899]
    stream = StreamingFeatures()
    for start, stop in itertools.pairwise(edges):
        row = stream.update(candles.rows(start, stop))
        if row is None:
            assert np.isnan(batch[stop - 1]).all()
        else:
            np.testing.assert_array_equal(row, batch[stop - 1])


def test_the_stream_refuses_bars_that_do_not_follow() -> None:
    candles = random_candles(10)
    stream = StreamingFeatures()
    stream.update(candles.rows(0, 5))
    with pytest.raises(FeatureError, match="2024-01-01 04:00 UTC cannot follow"):
        stream.update(candles.rows(4, 5))
    with pytest.raises(FeatureError, match="cannot follow BTCUSDT 60"):
        stream.update(Candles(*(np.array([x]) for x in (START + 9 * HOUR, 1, 1, 1, 1, 1, 1))))


def test_features_are_computed_once_for_a_record_and_cannot_be_altered() -> None:
    candles = random_candles(40)
    once, wider = compute_features(candles, SMALL), compute_features(candles, FeatureSpec((2, 5)))
    assert compute_features(candles, FeatureSpec(horizons=(2, 3))) is once
    assert wider is not once
    assert compute_features(candles.rows(0, 40), SMALL) is not once
    with pytest.raises(ValueError, match="read-only"):
        once[0] = 0.0


def test_calendar() -> None:
    assert CALENDAR_NAMES == ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")
    waves = calendar(START + HOUR * np.array([0, 6, 12, 24 * 7]))
    assert waves.dtype == np.float32
    day_6h = 2 * np.pi * 6 / 24
    np.testing.assert_allclose(waves[1, :2], [np.sin(day_6h), np.cos(day_6h)], atol=1e-6)
    np.testing.assert_allclose(waves[2, :2], [0, -1], atol=1e-6)
    np.testing.assert_array_equal(waves[3], waves[0])
    # 1970 began on a Thursday: Monday is day 4 of that week.
    monday = 2 * np.pi * 4 / 7
    np.testing.assert_allclose(waves[0, 2:], [np.sin(monday), np.cos(monday)], atol=1e-6)
    assert calendar(np.array(START)).shape == (4,)
