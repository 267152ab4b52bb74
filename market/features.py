"""Features: what an agent may know at the close of a bar, computed from bars up to it alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .candles import INTERVALS_MS, Candles, FloatArray, IntArray
from .errors import FeatureError

_BASE_NAMES = ("log_return", "range", "log_volume", "body")
_VOLATILITY_FLOOR = 1e-5  # log return per bar; keeps the logarithm finite on constant prices
CALENDAR_NAMES = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")


@dataclass(frozen=True)
class FeatureSpec:
    """Which features are computed.

    Attributes:
        horizons: Look-back lengths of volatility and momentum, in bars.
    """

    horizons: tuple[int, ...] = (6, 24, 168)

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizons", tuple(self.horizons))
        if not self.horizons or min(self.horizons) < 2:
            raise FeatureError(
                f"horizons are {self.horizons}; expected at least one, each ≥ 2 bars"
            )

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


def compute_features(candles: Candles, spec: FeatureSpec | None = None) -> FloatArray:
    """Features of every bar [T, F], float64; row t uses bars up to and including t.

    With r_t the close-to-close log return, the columns are: ``log_return`` r_t; ``range``
    log(high/low); ``log_volume`` log(1 + volume); ``body`` log(close/open); ``volatility_h``
    the logarithm of √(Σ r²/h) over the last h bars; ``momentum_h`` the sum of r over the last
    h bars ÷ √h.

    Rows whose window reaches before the first bar, or across a gap, are NaN.
    """
    spec = spec or FeatureSpec()
    features = np.full((len(candles), len(spec.names)), np.nan)
    for start, stop in candles.segments():
        if stop - start > spec.warmup:
            features[start + spec.warmup : stop] = _segment_features(
                candles.rows(start, stop), spec
            )
    return features


def valid_rows(features: FloatArray) -> NDArray[np.bool_]:
    """Which rows [T] are complete."""
    return np.asarray(~np.isnan(features).any(axis=1))


def calendar(open_time_ms: IntArray) -> NDArray[np.float32]:
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
    def fit(cls, features: FloatArray, names: tuple[str, ...] | None = None) -> Scaler:
        """Fit on features [T, F], complete rows only.

        Raises:
            FeatureError: No row is complete, or a column never changes.
        """
        rows = features[valid_rows(features)]
        if len(rows) < 2:
            raise FeatureError(
                "there are no complete feature rows to fit the scaler on; give a longer range"
            )
        scale = rows.std(axis=0)
        constant = np.flatnonzero(scale < 1e-12)
        if len(constant):
            which = [names[i] if names else f"column {i}" for i in constant]
            raise FeatureError(
                f"{', '.join(which)} never changes on the training range: "
                "the candles look constant (prices or volume that stand still)"
            )
        return cls(rows.mean(axis=0), scale)

    def transform(self, features: FloatArray) -> NDArray[np.float32]:
        """Standardised features, float32, same shape."""
        return ((features - self.mean) / self.scale).astype(np.float32)

    def inverse(self, scaled: NDArray[np.float32]) -> FloatArray:
        """Features in their own units, float64, same shape."""
        return np.asarray(scaled, dtype=np.float64) * self.scale + self.mean


class StreamingFeatures:
    """Features bar by bar, the same numbers as the batch to the last bit.

    It keeps the bars of one window and computes the newest row with the batch's own arithmetic.
    """

    def __init__(self, spec: FeatureSpec | None = None) -> None:
        self.spec = spec or FeatureSpec()
        self._bars: Candles | None = None

    def update(self, bar: Candles) -> FloatArray | None:
        """Append closed bars (usually one).

        Args:
            bar: Candles of the same symbol and interval, following the last ones.

        Returns:
            The newest row's features [F], or None while the window is short or holds a gap.
        """
        self._bars = bar if self._bars is None else _append(self._bars, bar)
        window = self.spec.warmup + 1
        self._bars = self._bars.rows(max(0, len(self._bars) - window), len(self._bars))
        row = compute_features(self._bars, self.spec)[-1]
        return None if np.isnan(row).any() else row


def _append(bars: Candles, more: Candles) -> Candles:
    if (bars.symbol, bars.interval) != (more.symbol, more.interval):
        raise FeatureError(
            f"bars of {more.symbol} {more.interval} cannot follow {bars.symbol} {bars.interval}"
        )
    columns = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    joined: dict[str, Any] = {
        c: np.concatenate([getattr(bars, c), getattr(more, c)]) for c in columns
    }
    return replace(bars, **joined)


def _segment_features(candles: Candles, spec: FeatureSpec) -> FloatArray:
    """Complete feature rows of candles without a gap [T - warmup, F]."""
    log_close = np.log(candles.close)
    returns = np.diff(log_close)
    squares = returns * returns
    rows = slice(spec.warmup, None)
    columns = [
        returns[spec.warmup - 1 :],
        np.log(candles.high / candles.low)[rows],
        np.log1p(candles.volume)[rows],
        np.log(candles.close / candles.open)[rows],
    ]
    for horizon in spec.horizons:
        mean_square = _trailing_sum(squares, horizon)[spec.warmup - horizon :] / horizon
        columns.append(0.5 * np.log(mean_square + _VOLATILITY_FLOOR**2))
    columns.extend(
        (log_close[spec.warmup :] - log_close[spec.warmup - h : len(log_close) - h]) / np.sqrt(h)
        for h in spec.horizons
    )
    return np.stack(columns, axis=1)


def _trailing_sum(values: FloatArray, window: int) -> FloatArray:
    """Sums over ``window`` successive values [T - window + 1], each added oldest first.

    Adding in one fixed order makes a sum independent of how much history surrounds it, which a
    running sum is not; the streaming features rely on that.
    """
    count = len(values) - window + 1
    total = np.zeros(count)
    for lag in range(window):
        total += values[lag : lag + count]
    return total
