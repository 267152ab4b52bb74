"""Streamed features: one code for record, stream and dream, and what each of them is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from worldmodel_trading.market import arrays
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError
from worldmodel_trading.market.features import (
    Scaler,
    StreamingFeatures,
    compute_features,
    feature_chunks,
    features_of,
)
from worldmodel_trading.market.intervals import INTERVALS_MS
from worldmodel_trading.market.streamed_bars import (
    FeatureStream,
    bar_numbers,
    stream_features,
    stream_memories,
)
from worldmodel_trading.market.streams import (
    AVERAGE_VOLUME,
    FEATURES,
    SCALE_FLOOR,
    StreamSpec,
    relative_volume,
    relative_volume_slope,
    volume_of,
)

START = 1_704_067_200_000  # 2024-01-01 00:00 UTC, a Monday
HOURLY = StreamSpec()
NAMES = HOURLY.names
BARS = 800


def column(name: str) -> int:
    return NAMES.index(name)


def made(bars: int = BARS, seed: int = 0, interval: str = "60", missing: tuple = ()) -> Candles:
    """Bars whose volatility, wicks and volume vary; some have no upper wick, some stand still."""
    rng = np.random.default_rng(seed)
    change = rng.standard_t(4, bars) * 0.004 * np.exp(np.sin(np.arange(bars) / 50))
    change[rng.random(bars) < 0.03] = 0.0
    close = 30_000 * np.exp(np.cumsum(change))
    opening = np.concatenate([[30_000.0], close[:-1]])
    wicks = rng.exponential(0.002, (2, bars)) * (rng.random((2, bars)) > 0.1)
    high = np.maximum(opening, close) * (1 + wicks[0])
    low = np.minimum(opening, close) * (1 - wicks[1])
    volume = rng.lognormal(5, 1, bars)
    kept = np.setdiff1d(np.arange(bars), missing)
    columns = [c[kept] for c in (opening, high, low, close, volume, volume * close)]
    return Candles(START + kept * INTERVALS_MS[interval], *columns, "MADE", interval)


def streamed(candles: Candles, spec: StreamSpec, chunks: list[int]) -> np.ndarray:
    """The newest row after each chunk of bars; NaN where there is none."""
    stream, rows, done = StreamingFeatures(spec), [], 0
    for size in chunks:
        row = stream.update(candles.rows(done, done + size))
        rows.append(np.full(len(FEATURES), np.nan) if row is None else row)
        done += size
    return np.array(rows)


@pytest.mark.parametrize("interval", ["5", "60", "240", "D", "W"])
def test_a_stream_has_the_bits_of_the_batch(interval: str) -> None:
    spec = StreamSpec.for_interval(interval)
    candles = made(spec.warmup + 364, interval=interval)
    batch = stream_features(candles, spec)
    np.testing.assert_array_equal(streamed(candles, spec, [1] * len(candles)), batch)
    chunks = [spec.warmup + 4, 1, 59, 100, 200]
    np.testing.assert_array_equal(
        streamed(candles, spec, chunks), batch[np.cumsum(chunks) - 1], strict=True
    )
    assert np.isfinite(batch[spec.warmup :]).all()
    assert np.isnan(batch[: spec.warmup]).all()


def test_spans_follow_the_length_of_the_bars() -> None:
    warmups = {i: StreamSpec(i).warmup for i in ("5", "60", "240", "D", "W")}
    assert warmups == {"5": 2_016, "60": 336, "240": 168, "D": 60, "W": 27}
    settled = {i: StreamSpec(i).settled for i in ("1", "30", "60", "D")}
    assert settled == {"1": 60 * 1_344, "30": 2 * 1_344, "60": 1_344, "D": 240}
    with pytest.raises(CandleError, match="7"):
        StreamSpec("7")


@pytest.mark.parametrize("interval", ["1", "5", "30", "60"])
def test_spans_reach_from_two_bars_to_two_weeks(interval: str) -> None:
    """Evenly on a logarithmic scale; of hours they are what they are called."""
    spec, hourly = StreamSpec(interval), np.array([2.0, 6.0, 24.0, 168.0, 336.0])
    spans = np.array([spec.span(n) for n in hourly])
    weeks = spans[-1] * INTERVALS_MS[interval] / INTERVALS_MS["W"]
    assert (spans[0], weeks) == (2.0, pytest.approx(2.0))
    np.testing.assert_allclose(
        np.log(spans / 2) / np.log(spans[-1] / 2), np.log(hourly / 2) / np.log(168)
    )
    rates = spec.table.rates[[column("volatility_24"), column("garman_klass_336")]]
    np.testing.assert_allclose(rates, 2 / (1 + spans[[2, 4]]))
    if interval == "60":
        np.testing.assert_array_equal(spans, hourly)


def test_computed_features_are_the_streamed_ones() -> None:
    candles = made()
    np.testing.assert_array_equal(
        compute_features(candles, HOURLY), stream_features(candles, HOURLY)
    )


def test_no_two_features_have_a_name() -> None:
    assert len(set(NAMES)) == len(FEATURES) == len(NAMES)


@pytest.mark.parametrize("row", [336, 500, 798])
def test_the_future_changes_nothing(row: int) -> None:
    candles = made()
    columns = {}
    for name in ("open", "high", "low", "close", "volume", "turnover"):
        columns[name] = getattr(candles, name).copy()
        columns[name][row + 1 :] *= 1.7
    before, after = (stream_features(c, HOURLY) for c in (candles, replace(candles, **columns)))
    np.testing.assert_array_equal(before[: row + 1], after[: row + 1])
    assert (before[row + 1 :] != after[row + 1 :]).any(axis=1).all()


def test_every_stretch_begins_from_nothing() -> None:
    holed = made(missing=(390,))
    features = stream_features(holed, HOURLY)
    np.testing.assert_array_equal(features[390:], stream_features(holed.rows(390, 799), HOURLY))
    assert np.isnan(features[390 : 390 + HOURLY.warmup]).all()
    np.testing.assert_array_equal(streamed(holed, HOURLY, [1] * 799), features)
    np.testing.assert_array_equal(streamed(holed, HOURLY, [300, 499])[1], features[-1])


def test_a_stretch_too_short_to_warm_up_has_no_features() -> None:
    assert np.isnan(stream_features(made(336), HOURLY)).all()
    assert np.isfinite(stream_features(made(337), HOURLY)[-1]).all()


def test_nothing_depends_on_the_level_of_price_or_volume() -> None:
    candles = made()
    other = replace(
        candles,
        **{name: getattr(candles, name) * 7.3 for name in ("open", "high", "low", "close")},
        volume=candles.volume * 4.0,
    )
    mine, theirs = (stream_features(c, HOURLY)[HOURLY.warmup :] for c in (candles, other))
    np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_returns_of_another_size_move_the_level_alone() -> None:
    """A market twice as wild looks the same, but for its level."""
    candles = made()
    twice = replace(
        candles,
        **{name: getattr(candles, name) ** 2 for name in ("open", "high", "low", "close")},
    )
    mine, theirs = (stream_features(c, HOURLY)[HOURLY.warmup :] for c in (candles, twice))
    level = column("level")
    np.testing.assert_allclose(theirs[:, level] - mine[:, level], np.log(2.0), atol=1e-3)
    rest = np.delete(np.arange(len(NAMES)), level)
    calm = np.abs(theirs - mine)[:, rest]  # the floor of scales shows where a bar stands still
    assert np.quantile(calm, 0.99) < 0.01


@pytest.mark.parametrize(
    "still", [{"volume": 0.0}, {"open": 5.0, "high": 5.0, "low": 5.0, "close": 5.0}]
)
@pytest.mark.parametrize("first", [0, 400], ids=["always", "from a bar on"])
def test_markets_that_stand_still_have_finite_features(still: dict[str, float], first: int) -> None:
    candles = made()
    columns = {}
    for name, value in still.items():
        columns[name] = getattr(candles, name).copy()
        columns[name][first:] = value if name == "volume" else candles.close[first]
    features = stream_features(replace(candles, **columns), HOURLY)[HOURLY.warmup :]
    assert np.isfinite(features).all()
    if "volume" in still and first == 0:
        assert (features[:, column("volume")] == 0.0).all()


def test_the_numbers_of_bars_by_hand() -> None:
    """Closes 100, 110, 99; the second bar opens below, the third above what came before."""
    candles = Candles(
        START + INTERVALS_MS["60"] * np.arange(3),
        np.array([100.0, 98.0, 112.0]),
        np.array([101.0, 115.5, 112.0]),
        np.array([99.0, 95.0, 99.0]),
        np.array([100.0, 110.0, 99.0]),
        np.array([1.0, 2.0, 3.0]),
        np.ones(3),
        "HAND",
        "60",
    )
    numbers = bar_numbers(candles)
    assert np.isnan(numbers[0]).all()
    expected = [
        [np.log(1.1), np.log(115.5 / 110), np.log(100 / 95), 2.0],  # body from 100 to 110
        [np.log(0.9), np.log(112 / 110), 0.0, 3.0],  # body from 110 to 99
    ]
    np.testing.assert_allclose(numbers[1:], expected, atol=1e-15)


def averaged(values: np.ndarray, span: float) -> np.ndarray:
    """A plain mean while that weighs the newest more, then an exponential average."""
    rate = 2.0 / (1.0 + span)
    first = math.floor(1.0 / rate)
    start = pd.Series(values[:first]).expanding().mean().to_numpy()
    rest = pd.Series(np.append(start[-1], values[first:])).ewm(alpha=rate, adjust=False).mean()
    return np.append(start[:-1], rest.to_numpy())


@pytest.fixture(scope="module")
def parts() -> dict[str, np.ndarray]:
    """Of bars 1, 2, …: returns, high ÷ low, slow scale and level, features, all by themselves."""
    candles = made()
    log_return, upper, lower, volume = bar_numbers(candles)[1:].T
    whole = np.abs(log_return) + upper + lower
    variance = 0.5 * whole**2 - (2 * np.log(2) - 1) * log_return**2
    level = 0.5 * np.log(averaged(variance, 162.0) + SCALE_FLOOR**2)
    return {
        "log_return": log_return,
        "whole": whole,
        "upper": upper,
        "volume": volume,
        "variance": variance,
        "level": level,
        "features": stream_features(candles, HOURLY)[1:],
        "hour": candles.open_time_ms[1:] // INTERVALS_MS["60"] % 24,
    }


def assert_told(parts: dict[str, np.ndarray], name: str, expected: np.ndarray) -> None:
    rows = slice(HOURLY.warmup - 1, None)
    np.testing.assert_allclose(parts["features"][rows, column(name)], expected[rows], atol=1e-6)


def log_scale(mean: np.ndarray) -> np.ndarray:
    return 0.5 * np.log(mean + SCALE_FLOOR**2)


def test_scales_are_logs_of_averages_against_the_slow_level(parts: dict[str, np.ndarray]) -> None:
    level, squares = parts["level"], parts["log_return"] ** 2
    assert_told(parts, "level", level)
    for span in (3, 24, 168):
        assert_told(parts, f"volatility_{span}", log_scale(averaged(squares, span)) - level)
    assert_told(parts, "garman_klass_16", log_scale(averaged(parts["variance"], 16)) - level)
    parkinson = parts["whole"] ** 2 / (4 * np.log(2))
    assert_told(parts, "parkinson_12", log_scale(averaged(parkinson, 12)) - level)
    down = np.where(parts["log_return"] < 0, squares, 0.0)
    assert_told(parts, "downside_24", log_scale(averaged(down, 24)) - level)


def test_returns_are_told_in_units_of_the_slow_scale(parts: dict[str, np.ndarray]) -> None:
    scale, log_return = np.exp(parts["level"]), parts["log_return"]
    assert_told(parts, "return", np.arcsinh(log_return / scale))
    for span in (6, 168):
        drift = averaged(log_return, span) * np.sqrt(span)
        assert_told(parts, f"momentum_{span}", np.arcsinh(drift / scale))
    signed = averaged(log_return * np.abs(log_return), 24)
    assert_told(parts, "skew_24", np.arcsinh(signed / scale**2))


def test_volume_is_told_against_its_average_before(parts: dict[str, np.ndarray]) -> None:
    volume = parts["volume"]
    before = np.append(np.nan, averaged(volume, 168.0)[:-1])
    relative = np.log((volume + 1e-3 * before) / (1.001 * before))
    relative[0] = 0.0
    assert_told(parts, "volume", relative)
    assert_told(parts, "volume_12", averaged(relative, 12))


def test_wicks_lags_and_flat_bars(parts: dict[str, np.ndarray]) -> None:
    share = parts["upper"] / (parts["whole"] + SCALE_FLOOR)
    assert_told(parts, "upper_wick", share)
    assert_told(parts, "upper_wick_6", averaged(share, 6))
    assert_told(parts, "flat_24", averaged((parts["log_return"] == 0.0).astype(float), 24))
    log_range = log_scale(parts["whole"] ** 2)
    assert_told(parts, "range", log_range - parts["level"])
    for lag in (1, 22, 23):
        earlier = np.append(np.full(lag, np.nan), log_range[:-lag])
        assert_told(parts, f"range_lag_{lag}", earlier - parts["level"])


def test_extremes_are_remembered_and_fade(parts: dict[str, np.ndarray]) -> None:
    keep, scale = 1.0 - 2.0 / 25.0, np.exp(parts["level"])
    peak, below = 0.0, 0.0
    peaks, distances = [], []
    for value in parts["log_return"]:
        peak = max(abs(value), keep * peak)
        below = max(0.0, (below - value) * keep)
        peaks.append(peak)
        distances.append(below)
    assert_told(parts, "peak_24", np.log(np.array(peaks) + SCALE_FLOOR) - parts["level"])
    assert_told(parts, "drawdown_24", np.arcsinh(np.array(distances) / (scale * np.sqrt(24))))


def test_hours_of_the_day_have_averages_of_their_own(parts: dict[str, np.ndarray]) -> None:
    """Those of the coming hour, and how far this bar is from its hour's, before it entered."""
    value = log_scale(parts["whole"] ** 2) - parts["level"]
    known = np.zeros(24)
    coming, surprise = [], []
    for n, (hour, now) in enumerate(zip(parts["hour"], value, strict=True)):
        surprise.append(now - known[hour])
        known[hour] += max(2.0 / 21.0, 1.0 / (n // 24 + 1)) * (now - known[hour])
        coming.append(known[(hour + 1) % 24])
    assert_told(parts, "next_hour_range", np.array(coming))
    assert_told(parts, "range_for_hour", np.array(surprise))


def test_memories_of_a_record_are_those_of_a_stream() -> None:
    holed = made(missing=(390,))
    rows = np.array([798, 0, 389, 400, 390, 400, 17])
    memories = stream_memories(holed, HOURLY, rows)
    for row, memory in zip(rows.tolist(), memories, strict=True):
        first = 0 if row < 390 else 390
        stream = FeatureStream(HOURLY)
        stream.update(holed.rows(first, row + 1))
        np.testing.assert_array_equal(memory, stream.memory)


def test_the_newest_average_volume_is_remembered(parts: dict[str, np.ndarray]) -> None:
    memory = stream_memories(made(), HOURLY, np.array([BARS - 1]))[0]
    assert memory[AVERAGE_VOLUME] == pytest.approx(averaged(parts["volume"], 168.0)[-1], rel=1e-12)


@pytest.mark.parametrize("volume", [0.0, 1e-6, 1.0, 40.0, 1e6])
def test_a_relative_volume_tells_the_volume(volume: float) -> None:
    assert volume_of(relative_volume(volume, 40.0), 40.0) == pytest.approx(
        volume, abs=1e-12, rel=1e-12
    )
    assert relative_volume(40.0, 40.0) == 0.0
    assert relative_volume(volume, 0.0) == 0.0
    assert volume_of(-1e3, 40.0) == 0.0


@pytest.mark.parametrize("volume", [0.02, 3.0, 900.0])
def test_a_relative_volume_s_slope_is_its_derivative_by_log_volume(volume: float) -> None:
    step = 1e-5
    up, down = (relative_volume(volume * np.exp(move), 40.0) for move in (step, -step))
    slope = relative_volume_slope(np.array([relative_volume(volume, 40.0)]))
    assert slope[0] == pytest.approx((up - down) / (2 * step), rel=1e-7)


@pytest.mark.parametrize("size", [1, 97, 600])
def test_features_in_chunks_are_those_of_the_whole_record(monkeypatch, size):
    holed = made(900, missing=(400,))
    whole, rows = compute_features(holed, HOURLY), np.array([700, 3, 898, 348])
    memories, scaler = stream_memories(holed, HOURLY, rows), Scaler.fit(whole)
    monkeypatch.setattr(arrays, "CHUNK_BARS", size)
    pieces = list(feature_chunks(holed, HOURLY))
    assert max(len(features) for _, features in pieces) == min(size, 499)
    np.testing.assert_array_equal(np.concatenate([f for _, f in pieces]), whole)
    assert [first for first, _ in pieces] == [0, *np.cumsum([len(f) for _, f in pieces])][:-1]
    np.testing.assert_array_equal(stream_memories(holed, HOURLY, rows), memories)
    np.testing.assert_array_equal(features_of(holed, HOURLY, rows), whole[rows])
    again = Scaler.of(holed, HOURLY)
    np.testing.assert_array_equal(again.mean, scaler.mean)
    np.testing.assert_array_equal(again.scale, scaler.scale)
