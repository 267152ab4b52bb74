"""Groups of features: what they are, that nothing later alters them, one code for batch and stream."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import CandleError, ConfigError, FeatureError
from worldmodel_trading.market.features import StreamingFeatures, candles_for, compute_features
from worldmodel_trading.market.funding import FundingRates
from worldmodel_trading.market.groups import Column, columns_of, read_groups
from worldmodel_trading.market.intervals import INTERVALS_MS
from worldmodel_trading.market.series import with_funding
from worldmodel_trading.market.streamed_bars import stream_features, stream_memories
from worldmodel_trading.market.streams import FEATURES, StreamSpec

START = 1_704_067_200_000  # 2024-01-01 00:00 UTC
MORE = (
    "volume_profile",
    "column:depth:lag=0:transform=zscore",
    "column:width:transform=log_change:dream=held",
    "funding",
)


def made(bars: int = 500, seed: int = 0, interval: str = "60") -> Candles:
    """Bars with two columns, one of which begins late, and funding."""
    rng = np.random.default_rng(seed)
    step = INTERVALS_MS[interval]
    close = 30_000 * np.exp(np.cumsum(rng.normal(0, 0.004, bars)))
    opening = np.concatenate([[30_000.0], close[:-1]])
    high, low = np.maximum(opening, close) * 1.001, np.minimum(opening, close) * 0.999
    volume = rng.lognormal(5, 1, bars)
    depth = rng.normal(size=bars)
    depth[:20] = np.nan
    columns = {"depth": depth, "width": rng.lognormal(size=bars)}
    times = START + step * np.arange(bars)
    candles = Candles(
        times, opening, high, low, close, volume, volume, "MADE", interval, columns=columns
    )
    instants = START - 16 * INTERVALS_MS["60"] + 8 * INTERVALS_MS["60"] * np.arange(bars)
    rates = FundingRates(instants, rng.normal(0, 1e-4, bars))
    return with_funding(candles, rates)


def test_groups_and_their_columns() -> None:
    spec = StreamSpec(more=("candles", *MORE))
    assert spec.more == MORE
    assert spec.names[len(FEATURES) :] == (
        *("profile_distance", "profile_above", "column_depth", "column_width"),
        *("column_funding_rate", "column_funding_hours", "column_funding_due"),
    )
    assert spec.columns[:2] == (
        Column("depth", 0, "zscore", "dreamed"),
        Column("width", 1, "log_change", "held"),
    )
    assert [column.dream for column in spec.columns[2:]] == ["dreamed", "held", "clock"]
    assert columns_of(["funding:dream=held"])[0].dream == "held"
    assert read_groups("funding, volume_profile") == ("funding", "volume_profile")
    assert StreamSpec() == StreamSpec(more=())
    assert str(spec.columns[1]) == "width, log_change, 1 bars late: held where a dream begins"


@pytest.mark.parametrize(
    ("group", "what"),
    [
        ("fundin", "did you mean 'funding'"),
        ("column:", "expected candles, volume_profile, funding or column:NAME"),
        ("volume_profile:lag=1", "features name 'volume_profile:lag=1'"),
        ("column:depth:lag=-1", "lag is '-1'"),
        ("column:depth:lag=99999", "expected 0 … 10,000 bars"),
        ("column:depth:transform=sqrt", "transform of depth is 'sqrt'; expected one of none, log"),
        ("column:depth:dream=clock", "expected held or dreamed"),
        ("column:depth:colour=red", "'colour=red' is no setting; expected lag, transform, dream"),
        ("funding:lag=2", "'lag=2' is no setting; expected dream"),
        ("column:depth,column:depth:lag=3", "column_depth twice"),
    ],
)
def test_groups_that_are_none(group: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        StreamSpec(more=group)  # type: ignore[arg-type]


@pytest.mark.parametrize("interval", ["30", "60", "240"])
def test_a_stream_has_the_bits_of_the_batch(interval: str) -> None:
    candles, spec = made(interval=interval), StreamSpec(interval, MORE)
    batch = stream_features(candles, spec)
    stream, rows, done = StreamingFeatures(spec), [], 0
    for size in (1, 3, 170, 200, *[1] * 126):
        row = stream.update(candles.rows(done, done + size))
        rows.append(np.full(len(spec.names), np.nan) if row is None else row)
        done += size
    ends = np.cumsum([1, 3, 170, 200, *[1] * 126]) - 1
    complete = np.isfinite(batch[ends]).all(axis=1)
    np.testing.assert_array_equal(np.isfinite(rows).all(axis=1), complete)
    np.testing.assert_array_equal(np.array(rows)[complete], batch[ends][complete])
    assert complete[-1]


def test_the_features_of_one_bars_numbers_are_what_they_are_without_groups() -> None:
    candles = made()
    plain, more = (stream_features(candles, spec) for spec in (StreamSpec(), StreamSpec(more=MORE)))
    np.testing.assert_array_equal(more[:, : len(FEATURES)], plain)


def test_nothing_later_alters_a_row() -> None:
    candles, spec, row = made(), StreamSpec(more=MORE), 420
    known = compute_features(candles, spec)[: row + 1]
    rng = np.random.default_rng(9)
    columns = {name: values.copy() for name, values in candles.columns.items()}
    for values in columns.values():
        values[row + 1 :] = rng.lognormal(size=len(values) - row - 1)
    parts = {name: getattr(candles, name).copy() for name in ("open", "high", "low", "close")}
    for prices in parts.values():
        prices[row + 1 :] *= 1.5
    volume = candles.volume.copy()
    volume[row + 1 :] *= 7
    other = replace(candles, **parts, volume=volume, columns=columns)
    np.testing.assert_array_equal(compute_features(other, spec)[: row + 1], known)
    assert (
        compute_features(other, spec)[row + 1 :] != compute_features(candles, spec)[row + 1 :]
    ).any()


def test_memories_along_a_record_are_those_of_a_stream() -> None:
    candles, spec = made(), StreamSpec(more=("volume_profile",))
    out = np.empty((499, len(spec.names)))
    memories = stream_memories(candles, spec, np.array([499, 400]))
    assert memories.shape == (2, spec.memory_size)
    from worldmodel_trading.market.streamed_bars import bar_numbers
    from worldmodel_trading.market.streams import advance_along

    memory = np.zeros(spec.memory_size)
    times = candles.open_time_ms[1:]
    advance_along(*spec.table, bar_numbers(candles)[1:], times, memory, out)
    np.testing.assert_array_equal(memories[0], memory)
    np.testing.assert_array_equal(out[-1], stream_features(candles, spec)[-1])


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("none", [1.0, 2.0, 4.0, 8.0]),
        ("log", np.log([1.0, 2.0, 4.0, 8.0])),
        ("change", [np.nan, 1.0, 2.0, 4.0]),
        ("log_change", [np.nan, *[math.log(2.0)] * 3]),
        # means 1, 1.5, 7/3, 15/4; variances as plain ones: 0, 1/4, 14/9, 115/16
        (
            "zscore",
            [0.0, 0.5 / math.sqrt(0.25), (5 / 3) / math.sqrt(14 / 9), 4.25 / math.sqrt(115 / 16)],
        ),
    ],
)
@pytest.mark.parametrize("lag", [0, 2])
def test_transformations_by_hand(transform: str, expected: list[float], lag: int) -> None:
    spec = StreamSpec("W", (f"column:x:lag={lag}:transform={transform}",))
    bars = 40
    values = np.full(bars, 1.0)
    values[-4:] = [1.0, 2.0, 4.0, 8.0]
    values[:-4] = np.nan
    plain = made(bars)
    week = INTERVALS_MS["W"]
    candles = replace(
        plain,
        open_time_ms=START + week * np.arange(bars),
        interval="W",
        columns={"x": values},
        column_sources={},
    )
    column = stream_features(candles, spec)[:, -1]
    np.testing.assert_allclose(column[bars - 4 + lag :], expected[: 4 - lag], rtol=1e-12)


def test_a_profile_by_hand() -> None:
    """All volume at one price far below the close: the point of control is there."""
    bars = 60
    close = np.full(bars, 100.0)
    volume = np.ones(bars)
    volume[50] = 1e6  # within the last 24 bars
    close[51:] = 110.0
    opening = np.concatenate([[100.0], close[:-1]])
    interval = INTERVALS_MS["W"]
    candles = Candles(
        START + interval * np.arange(bars), opening, np.maximum(opening, close) * 1.001,
        np.minimum(opening, close) * 0.999, close, volume, volume, "MADE", "W",
    )  # fmt: skip
    spec = StreamSpec("W", ("volume_profile",))
    names = list(spec.names)
    row = stream_features(candles, spec)[-1]
    scale = math.exp(row[names.index("level")])
    # one bin of 24 between 0.999 · 100 and 1.001 · 110 is 0.4 % high
    distance = math.sinh(row[-2]) * scale * math.sqrt(24)
    assert distance == pytest.approx(math.log(1.1), abs=0.005)
    assert row[-1] == pytest.approx(0.0, abs=1e-4)  # nearly nothing traded above the close
    later = stream_features(
        replace(candles, volume=np.where(np.arange(bars) == 30, 1e9, volume)), spec
    )[-1]
    np.testing.assert_array_equal(later[-2:], row[-2:])  # more than a day ago


def test_a_column_that_is_missing_or_cannot_be_a_logarithm() -> None:
    candles = made()
    spec = StreamSpec(more=("column:spread",))
    with pytest.raises(FeatureError, match=r"need the column spread .*with_series"):
        stream_features(candles, spec)
    with pytest.raises(CandleError, match="no column spread"):
        candles_for(spec, candles)
    with pytest.raises(FeatureError, match=r"log of depth: row \d+ is -.*positive"):
        stream_features(candles, StreamSpec(more=("column:depth:transform=log",)))
    with pytest.raises(FeatureError, match=r"no column funding_rate.*comes of recorded rates"):
        candles_for(StreamSpec(more=("funding",)), replace(candles, columns={}), 1e-4)


def test_funding_comes_from_recorded_rates() -> None:
    candles, spec = made(), StreamSpec(more=("funding",))
    rates = FundingRates(START + 8 * INTERVALS_MS["60"] * np.arange(60), np.full(60, 2e-4))
    plain = replace(candles, columns={})
    opened = candles_for(spec, plain, rates)
    assert opened.column_sources["funding_rate"] == "recorded funding"
    assert stream_features(opened, spec)[-1, -3:-1].tolist() == [2e-4, 8.0]
    assert candles_for(spec, candles, rates) is candles  # it has them already
    assert candles_for(None, plain, rates) is plain
