"""Features: what an agent may know at the close of a bar, computed from bars up to it alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

import numpy as np

from .arrays import BoolArray, Float32Array, FloatArray, IntArray, chunks
from .candles import Candles
from .errors import CandleError, FeatureError
from .intervals import INTERVALS_MS
from .series import FUNDING_COLUMNS, FUNDING_RATE, with_funding
from .settings import truth, whole_number
from .sources import open_candles, open_funding, source_name
from .streamed_bars import FeatureStream, bar_numbers, stream_chunks, stream_features
from .streams import StreamSpec
from .times import format_time

if TYPE_CHECKING:
    from .sources import CandleSource, FundingSource

_COLUMNS = ("open", "high", "low", "close", "volume")
_BASE_NAMES = ("log_return", "range", "log_volume", "body")
_VOLATILITY_FLOOR = 1e-5  # log return per bar; keeps the logarithm finite on constant prices
_HORIZONS: dict[str, tuple[int, ...]] = {
    **{code: (n, 6 * n, 24 * n) for code, n in (("1", 60), ("3", 20), ("5", 12))},
    **{code: (n, 6 * n, 24 * n) for code, n in (("15", 4), ("30", 2))},
    **dict.fromkeys(("120", "240", "360", "720"), (6, 24, 84)),
    "D": (5, 20, 60),
    "W": (4, 13, 26),
}
CALENDAR_NAMES = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")


@dataclass(frozen=True)
class FeatureSpec:
    """Which features are computed.

    Attributes:
        horizons: Look-back lengths of volatility and momentum, in bars.
        detrend_volume: Measure ``log_volume`` against its mean over the longest horizon. Its
            level drifts over the years and so means something else in each of them.
    """

    horizons: tuple[int, ...] = (6, 24, 168)
    detrend_volume: bool = True

    def __post_init__(self) -> None:
        given = tuple(self.horizons) if isinstance(self.horizons, Iterable) else ()
        horizons = tuple(n for n in map(whole_number, given) if n is not None and 2 <= n < 10**6)
        if not horizons or len(horizons) != len(given):
            raise FeatureError(
                f"horizons are {self.horizons!r}; expected at least one, each ≥ 2 bars and below "
                "1,000,000"
            )
        detrend_volume = truth(self.detrend_volume)
        if detrend_volume is None:
            raise FeatureError(f"detrend_volume is {self.detrend_volume!r}; expected true or false")
        object.__setattr__(self, "horizons", horizons)
        object.__setattr__(self, "detrend_volume", detrend_volume)

    @classmethod
    def for_interval(cls, interval: str) -> Self:
        """The default look-backs of bars of an interval.

        6, 24 and 168 hours: a quarter of a day, a day and a week. Shorter bars have an hour, a
        quarter of a day and a day. Records of longer bars have fewer: at most 84 bars up to half a
        day, 60 days, 26 weeks.
        """
        return cls(_HORIZONS.get(interval, cls.horizons))

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order: the four of one bar, then volatility, then momentum."""
        return (
            *_BASE_NAMES,
            *(f"volatility_{h}" for h in self.horizons),
            *(f"momentum_{h}" for h in self.horizons),
        )

    @property
    def warmup(self) -> int:
        """Bars before a row whose features are complete."""
        return max(self.horizons)

    @property
    def settled(self) -> int:
        """Bars before a row after which older ones no longer matter."""
        return self.warmup

    @property
    def may_rest(self) -> tuple[str, ...]:
        """Columns that never change in some markets: none."""
        return ()

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that candles must have beside prices and volume: none."""
        return ()


Features = FeatureSpec | StreamSpec
"""Either kind: over windows of bars, or streamed."""

_COMPUTED: WeakKeyDictionary[Candles, dict[Features, FloatArray]] = WeakKeyDictionary()
"""Features of candles that are in use: both are frozen, so nothing here goes stale."""


def compute_features(candles: CandleSource, spec: Features | None = None) -> FloatArray:
    """Features of every bar [T, F], float64; row t uses bars up to and including t.

    With r_t the close-to-close log return, the columns are: ``log_return`` r_t; ``range``
    log(high/low); ``log_volume`` log(1 + volume) less its mean over the last
    bars of the longest horizon (`FeatureSpec.detrend_volume`); ``body`` log(close/open); ``volatility_h`` the logarithm of √(Σ r²/h) over the last h bars; ``momentum_h`` the sum of r over the last
    h bars ÷ √h.

    Those of a `StreamSpec` are told in `market.streams`.

    Rows whose window reaches before the first bar, or across a gap, are NaN. The array is read-only:
    it is computed once, and kept as long as the candles are.

    Args:
        candles: Anything `open_candles` opens.
        spec: Which features; None are the default ones for the candles' interval.
    """
    candles = open_candles(candles)
    spec = spec or FeatureSpec.for_interval(candles.interval)
    known = _COMPUTED.setdefault(candles, {})
    if spec not in known:
        known[spec] = _features(candles, spec)
        known[spec].setflags(write=False)
    return known[spec]


def candles_for(
    spec: Features | None,
    source: CandleSource = None,
    funding: FundingSource = None,
    **rest: Any,
) -> Candles:
    """Candles with the columns that features need: of a file, and of funding from recorded rates.

    Args:
        spec: Which features.
        source: Anything `open_candles` opens.
        funding: Anything `open_funding` opens: where the columns of ``funding`` are from, unless the
            candles have them already.
        rest: Of `open_candles`.

    Raises:
        CandleError: A column is missing.
        FeatureError: Funding is needed, and there are no recorded rates.
    """
    from .funding import FundingRates

    needs = () if spec is None else spec.needs
    if FUNDING_RATE not in needs:
        return open_candles(source, columns=needs, **rest)
    rates = open_funding(funding)
    given = isinstance(source, Candles) and FUNDING_RATE in source.columns
    if given or not isinstance(rates, FundingRates):
        try:
            return open_candles(source, columns=needs, **rest)
        except CandleError as error:
            raise FeatureError(
                f"{error}; funding among the features comes of recorded rates: name their file, or "
                "'bybit:SYMBOL', as funding, or attach them to the candles with with_funding"
            ) from None
    own = [name for name in needs if name not in FUNDING_COLUMNS]
    name = funding if isinstance(funding, str) else "recorded funding"
    return with_funding(open_candles(source, columns=own, **rest), rates, source_name(name))


def feature_chunks(
    candles: CandleSource, spec: Features | None = None
) -> Iterator[tuple[int, FloatArray]]:
    """`compute_features` by chunks: the first row of each, and its features [n, F].

    However long the record, no more than `market.arrays.CHUNK_BARS` rows are in memory.
    """
    candles = open_candles(candles)
    spec = spec or FeatureSpec.for_interval(candles.interval)
    if isinstance(spec, StreamSpec):
        yield from stream_chunks(candles, spec)
        return
    for start, stop in candles.segments():
        for rows in chunks(start, stop):
            features = np.full((rows.stop - rows.start, len(spec.names)), np.nan)
            complete = max(rows.start, start + spec.warmup)
            if complete < rows.stop:
                columns = _columns(candles, complete - spec.warmup, rows.stop)
                features[complete - rows.start :] = _segment_features(columns, spec)
            yield rows.start, features


def _features(candles: Candles, spec: Features) -> FloatArray:
    if isinstance(spec, StreamSpec):
        return stream_features(candles, spec)
    features = np.empty((len(candles), len(spec.names)))
    for first, rows in feature_chunks(candles, spec):
        features[first : first + len(rows)] = rows
    return features


def recorded_bars(candles: Candles, spec: StreamSpec) -> FloatArray:
    """What a dream is forced along [T, 4 + D]: `bar_numbers`, then the candles' columns as features."""
    first = len(spec.names) - len(spec.columns)
    columns = [rows[:, first:] for _, rows in feature_chunks(candles, spec)] if spec.columns else []
    return np.concatenate(
        [bar_numbers(candles), *([np.concatenate(columns)] if columns else [])], axis=1
    )


def valid_rows(features: FloatArray) -> BoolArray:
    """Which rows [T] are complete."""
    return np.asarray(~np.isnan(features).any(axis=1))


def complete_bars(candles: Candles, spec: Features) -> BoolArray:
    """Which bars [T] have complete features."""
    return np.concatenate([valid_rows(rows) for _, rows in feature_chunks(candles, spec)])


def features_of(candles: Candles, spec: Features, rows: IntArray) -> FloatArray:
    """Features of some bars alone [N, F]; rows in any order."""
    chosen = np.empty((len(rows), len(spec.names)))
    for first, features in feature_chunks(candles, spec):
        here = (rows >= first) & (rows < first + len(features))
        chosen[here] = features[rows[here] - first]
    return chosen


def volume_level(candles: Candles, spec: FeatureSpec, rows: IntArray) -> FloatArray:
    """What the volume of those rows [N] is measured against: 1 + volume is this · e^log_volume.

    Args:
        candles: T bars.
        spec: Says whether ``log_volume`` is detrended; if not, the level is 1.
        rows: Rows with complete features.
    """
    if not spec.detrend_volume:
        return np.ones(len(rows))
    log_volume = compute_features(candles, spec)[rows, spec.names.index("log_volume")]
    return np.asarray((1.0 + candles.volume[rows]) / np.exp(log_volume))


def calendar(open_time_ms: IntArray) -> Float32Array:
    """Hour of day and day of week of bars that open then, as sines and cosines [..., 4].

    It is known in advance, also in a dream.
    """
    times = np.asarray(open_time_ms, dtype=np.int64)
    day = 2 * np.pi * (times % INTERVALS_MS["D"]) / INTERVALS_MS["D"]
    week = 2 * np.pi * (times % INTERVALS_MS["W"]) / INTERVALS_MS["W"]
    waves = (np.sin(day), np.cos(day), np.sin(week), np.cos(week))
    return np.stack(waves, axis=-1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Scaler:
    """Standardises features with the training range's mean and deviation.

    Attributes:
        mean: Means [F], float64.
        scale: Standard deviations [F], float64, positive.
    """

    mean: FloatArray
    scale: FloatArray

    @classmethod
    def fit(
        cls,
        features: FloatArray,
        names: tuple[str, ...] | None = None,
        may_rest: Collection[str] = (),
    ) -> Scaler:
        """Fit on features [T, F], complete rows only.

        Args:
            features: Of the training range.
            names: Their columns.
            may_rest: Columns that never change in some markets; their scale is 1 there.

        Raises:
            FeatureError: No row is complete, or another column never changes.
        """
        return cls._fit(lambda: [features], names, may_rest)

    @classmethod
    def of(cls, candles: Candles, spec: Features) -> Scaler:
        """`fit` on the features of candles, which are not in memory all at once."""
        chunks = partial(feature_chunks, candles, spec)
        return cls._fit(lambda: (rows for _, rows in chunks()), spec.names, spec.may_rest)

    @classmethod
    def _fit(
        cls,
        chunks: Callable[[], Iterable[FloatArray]],
        names: tuple[str, ...] | None,
        may_rest: Collection[str],
    ) -> Scaler:
        """`fit`, from as many passes over chunks of rows as it takes.

        Rows are added one after the other, as numpy adds them: the bits of any chunks are the same.
        """
        count = sum(int(valid_rows(rows).sum()) for rows in chunks())
        if count < 2:
            raise FeatureError(
                "there are no complete feature rows to fit the scaler on; give a longer range"
            )
        mean = _column_sums(chunks(), np.positive) / count
        scale = np.sqrt(_column_sums(chunks(), lambda rows: (rows - mean) ** 2) / count)
        constant = np.flatnonzero(scale < 1e-12)
        resting = [i for i in constant if names and names[i] in may_rest]
        scale[resting] = 1.0
        constant = np.setdiff1d(constant, resting)
        if len(constant):
            which = [names[i] if names else f"column {i}" for i in constant]
            raise FeatureError(
                f"{', '.join(which)} never changes on the training range: "
                "the candles look constant (prices or volume that stand still)"
            )
        return cls(mean, scale)

    def without(self, columns: Sequence[int]) -> Scaler:
        """The same, to whom whatever stands in some columns is their mean, exactly."""
        scale = self.scale.copy()
        scale[list(columns)] = np.finfo(np.float64).max  # finite, so that it can be stored
        return Scaler(self.mean, scale)

    def transform(self, features: FloatArray) -> Float32Array:
        """Standardised features, float32, same shape."""
        return ((features - self.mean) / self.scale).astype(np.float32)

    def inverse(self, scaled: Float32Array) -> FloatArray:
        """Features in their own units, float64, same shape."""
        return np.asarray(scaled, dtype=np.float64) * self.scale + self.mean


def _column_sums(
    chunks: Iterable[FloatArray], change: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Sums [F] of the complete rows of chunks, changed first."""
    total: FloatArray = np.zeros(1)
    for rows in chunks:
        changed = change(rows[valid_rows(rows)])
        if len(changed):
            before = np.broadcast_to(total, changed[:1].shape)
            total = np.add.reduce(np.concatenate([before, changed]))
    return total


class StreamingFeatures:
    """Features bar by bar, the same numbers as the batch to the last bit.

    It keeps the bars of one window and computes the newest row with the batch's own arithmetic; those
    of a `StreamSpec` keep their memory instead, and begin as the batch does: from the first bar that
    they are given.

    Args:
        spec: Which features; None are the default ones for the interval of the first bars.
    """

    def __init__(self, spec: Features | None = None) -> None:
        self._spec = spec
        self._stream: FeatureStream | None = None
        self._newest: tuple[str, str, int] | None = None  # symbol, interval, open time [ms]
        self._window = np.empty((len(_COLUMNS), 0))  # newest bars without a gap between them

    def update(self, bar: Candles) -> FloatArray | None:
        """Append closed bars: usually one, at first the history.

        Args:
            bar: Candles of the same symbol and interval, later than the last ones.

        Returns:
            The newest row's features [F], or None while the window is short or holds a gap.

        Raises:
            FeatureError: The bars are of another market, or do not follow the last ones.
        """
        adjacent = self._follows(bar)
        self._spec = spec = self._spec or FeatureSpec.for_interval(bar.interval)
        if isinstance(spec, StreamSpec):
            return self._streamed(bar, spec, adjacent)
        start = 0
        if len(bar) > 1:
            *_, (start, _) = bar.segments()
        columns = _columns(bar, start, len(bar))
        if adjacent and start == 0:
            columns = np.concatenate([self._window, columns], axis=1)
        self._window = columns[:, -(spec.warmup + 1) :]
        self._newest = (bar.symbol, bar.interval, int(bar.open_time_ms[-1]))
        if self._window.shape[1] <= spec.warmup:
            return None
        row: FloatArray = _segment_features(self._window, spec)[0]
        return row

    def _streamed(self, bar: Candles, spec: StreamSpec, adjacent: bool) -> FloatArray | None:
        """The newest row of streamed features."""
        *_, (start, _) = bar.segments()
        if self._stream is None or start or not adjacent:
            self._stream = FeatureStream(spec)
        self._newest = (bar.symbol, bar.interval, int(bar.open_time_ms[-1]))
        return self._stream.update(bar.rows(start, len(bar)))

    def _follows(self, bar: Candles) -> bool:
        """Whether the bars come right after the last ones, without a gap."""
        if self._newest is None:
            return False
        symbol, interval, newest_ms = self._newest
        first_ms = int(bar.open_time_ms[0])
        if (bar.symbol, bar.interval) != (symbol, interval):
            raise FeatureError(
                f"bars of {bar.symbol} {bar.interval} cannot follow {symbol} {interval}"
            )
        if first_ms <= newest_ms:
            raise FeatureError(
                f"the bar of {format_time(first_ms)} cannot follow that of {format_time(newest_ms)}"
            )
        return first_ms == newest_ms + bar.interval_ms


def _columns(candles: Candles, start: int, stop: int) -> FloatArray:
    """The columns that features are made of [5, stop - start]."""
    return np.stack([getattr(candles, name)[start:stop] for name in _COLUMNS])


def _segment_features(columns: FloatArray, spec: FeatureSpec) -> FloatArray:
    """Complete feature rows of bars without a gap: columns [5, T] in, [T - warmup, F] out."""
    opening, high, low, close, volume = columns
    log_close = np.log(close)
    returns = np.diff(log_close)
    squares = returns * returns
    rows = slice(spec.warmup, None)
    features = [
        returns[spec.warmup - 1 :],
        np.log(high[rows] / low[rows]),
        _log_volume(volume, spec),
        np.log(close[rows] / opening[rows]),
    ]
    for horizon in spec.horizons:
        mean_square = _trailing_sum(squares[spec.warmup - horizon :], horizon) / horizon
        features.append(0.5 * np.log(mean_square + _VOLATILITY_FLOOR**2))
    features.extend(
        (log_close[spec.warmup :] - log_close[spec.warmup - h : len(log_close) - h]) / np.sqrt(h)
        for h in spec.horizons
    )
    return np.stack(features, axis=1)


def _log_volume(volume: FloatArray, spec: FeatureSpec) -> FloatArray:
    """Log volume, less its trailing mean [T - warmup]."""
    level = np.log1p(volume)
    if not spec.detrend_volume:
        return level[spec.warmup :]
    mean = _trailing_sum(level[1:], spec.warmup) / spec.warmup
    return level[spec.warmup :] - mean


def _trailing_sum(values: FloatArray, window: int) -> FloatArray:
    """Sums over ``window`` successive values [T - window + 1], each added oldest first.

    Adding in one fixed order makes a sum independent of how much history surrounds it, which a
    running sum is not, and numpy's pairwise sum neither; the streaming features rely on that.
    """
    count = len(values) - window + 1
    if count == 1:  # a live bar: the same additions without a call for each
        last: FloatArray = np.add.accumulate(values)[-1:]
        return last
    total = np.zeros(count)
    for lag in range(window):
        total += values[lag : lag + count]
    return total
