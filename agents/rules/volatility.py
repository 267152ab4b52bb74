"""Less of the market when it moves more: a position of constant volatility (Moreira & Muir 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from ...market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.features import Features, FeatureSpec, compute_features, valid_rows
from ...market.records import POSITIVE, Record
from ...market.streams import SCALE_FLOOR, StreamSpec
from .columns import column_of, horizons

_PARKINSON = 0.5 / np.sqrt(np.log(2))  # a bar's range in deviations (Parkinson 1980)
_FEWEST_BARS = 100
_COMING_HOUR = "next_hour_range"  # of streamed features: the usual range of the bar to come


@dataclass(frozen=True)
class Sizing(Record):
    """How much is held of a market that moves so much.

    Attributes:
        target: Annual volatility that the account is to have, as a fraction.
        bars_per_year: 8,760 for hourly bars.
        leverage: Of the account: the action 1 is so many times the equity, and no more is held.
    """

    target: float = 0.3
    bars_per_year: float = 8_760.0
    leverage: float = 1.0

    _bounds = {"target": POSITIVE, "bars_per_year": POSITIVE, "leverage": POSITIVE}  # noqa: RUF012

    def actions(self, log_volatility: FloatArray) -> Float32Array:
        """Long actions of that volatility, from the logarithm of a bar's deviation."""
        annual = np.exp(log_volatility) * np.sqrt(self.bars_per_year)
        wanted: Float32Array = (self.target / annual / self.leverage).astype(np.float32)
        return np.minimum(wanted, np.float32(1.0))


class VolatilityTarget:
    """Long, so much that the account has a target volatility, by what the last bars moved.

    It reads the feature observation, as `Momentum` does.

    Args:
        target: Annual volatility that the account is to have, as a fraction.
        horizon: Bars of the realised volatility; one of the feature specification's, None the
            longest, which is slow and trades little.
        features: The specification the observation was made with.
        bars_per_year: 8,760 for hourly bars.
        leverage: Of the account; the weight is at most this.

    Attributes:
        reads: Features of the observation that it can read (`check_policy`).

    Raises:
        ConfigError: The features have no volatility over so many bars, or a number is not positive.
    """

    market_alone: ClassVar[bool] = True  # so that `score_policies` asks once for all bars

    def __init__(
        self,
        target: float = 0.3,
        horizon: int | None = None,
        features: Features | None = None,
        bars_per_year: float = 8_760.0,
        leverage: float = 1.0,
    ) -> None:
        features = features or FeatureSpec()
        self.reads = len(features.names)
        self.sizing = Sizing(target, bars_per_year, leverage)
        self.horizon = max(horizons(features, "volatility")) if horizon is None else horizon
        # streamed features tell a volatility by how far it is from the market's slow scale
        self._columns = [*_level(features), column_of(features, "volatility", self.horizon)]

    def predict(
        self,
        observation: Float32Array,
        state: Any = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[Float32Array, None]:
        """Answer the weight for every observation [.., D]: actions [.., 1], from 0 to 1."""
        read = np.asarray(observation)[..., self._columns].astype(np.float64)
        return self.sizing.actions(read.sum(axis=-1, keepdims=True)), None


class HARVolatilityTarget:
    """Long, so much that the account has a target volatility, by a forecast of the coming bar's.

    The forecast is a heterogeneous autoregression (Corsi 2009) in logarithms: linear in the
    volatilities that the feature observation shows over several horizons and, where the features
    tell it, in the range that is usual in the coming hour of the day. `fit` finds it.

    Args:
        constant: Of the log deviation of the coming bar's log return.
        slopes: On the columns [C].
        columns: What it reads of the observation [C].
        sizing: How much is held at which volatility.
        reads: Features of the observation that it can read (`check_policy`).
    """

    market_alone: ClassVar[bool] = True  # so that `score_policies` asks once for all bars

    def __init__(
        self,
        constant: float,
        slopes: FloatArray,
        columns: list[int],
        sizing: Sizing,
        reads: int,
    ) -> None:
        self.constant = constant
        self.slopes = slopes
        self.columns = columns
        self.sizing = sizing
        self.reads = reads

    @classmethod
    def fit(
        cls,
        training: Candles,
        target: float = 0.3,
        features: Features | None = None,
        bars_per_year: float | None = None,
        leverage: float = 1.0,
    ) -> Self:
        """Fit the forecast on recorded bars: least squares of the log range of the bar after.

        Its level is then such that the squares of the returns ÷ their forecasts average 1.

        Args:
            training: The bars, those of the training range alone.
            target: As `VolatilityTarget`'s, like the rest.
            features: The specification of the observations it will see.
            bars_per_year: None takes the candles'.
            leverage: Of the account.

        Raises:
            ConfigError: Fewer than 100 bars have complete features and a bar after them.
        """
        features = features or FeatureSpec.for_interval(training.interval)
        sizing = Sizing(target, bars_per_year or training.bars_per_year, leverage)
        columns = [*_level(features), *horizons(features, "volatility").values()]
        if _COMING_HOUR in features.names:
            columns.append(features.names.index(_COMING_HOUR))
        read, after = _pairs(training, compute_features(training, features)[:, columns])
        regressors = np.column_stack([np.ones(len(read)), read])
        came = _log_deviation(training, after)
        found = np.asarray(np.linalg.lstsq(regressors, came, rcond=None)[0], dtype=np.float64)
        returns = np.log(training.close[after] / training.close[after - 1])
        in_scales = returns / np.exp(regressors @ found)
        constant = float(found[0] + 0.5 * np.log(np.mean(in_scales**2)))
        return cls(constant, found[1:], columns, sizing, len(features.names))

    def predict(
        self,
        observation: Float32Array,
        state: Any = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[Float32Array, None]:
        """Answer the weight for every observation [.., D]: actions [.., 1], from 0 to 1."""
        read = np.asarray(observation)[..., self.columns].astype(np.float64)
        forecast = self.constant + (read * self.slopes).sum(axis=-1, keepdims=True)
        return self.sizing.actions(forecast), None


def _level(features: Features) -> list[int]:
    """The column of the market's slow scale, where volatilities are told by their distance to it."""
    return [features.names.index("level")] if isinstance(features, StreamSpec) else []


def _pairs(candles: Candles, read: FloatArray) -> tuple[FloatArray, IntArray]:
    """What was read [n, C] before bars, and the rows of those bars [n]."""
    follows = np.diff(candles.open_time_ms) == candles.interval_ms
    known = np.flatnonzero(valid_rows(read)[:-1] & follows)
    if len(known) < _FEWEST_BARS:
        raise ConfigError(
            f"{len(known)} bars have complete features and a bar after them; expected at least "
            f"{_FEWEST_BARS}: give a longer training range"
        )
    return read[known], known + 1


def _log_deviation(candles: Candles, rows: IntArray) -> FloatArray:
    """Logs of Parkinson's deviation of bars [n], log return per bar."""
    heights = _PARKINSON * np.log(candles.high[rows] / candles.low[rows])
    return np.asarray(np.log(np.hypot(heights, SCALE_FLOOR)))
