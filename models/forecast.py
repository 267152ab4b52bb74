"""A density forecast of the next return: a one-dimensional Gaussian mixture per bar, in percent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp, ndtr

from ..market.arrays import BoolArray, FloatArray, IntArray

_BISECTIONS = 60  # halves a bracket to below float64's resolution
_TAIL_SIGMAS = 12.0


@dataclass(frozen=True, eq=False)
class ReturnForecast:
    """For every bar t the predictive mixture of the log return from t to t+1, in percent.

    Rows for which there is no forecast (warm-up, gaps) hold NaN, and so do their results.

    Attributes:
        weights: Mixture weights [T, K], each row sums to 1.
        means: Component means [T, K], percent.
        sigmas: Component deviations [T, K], percent, positive.
        open_time_ms: Open time of bar t [T], ms UTC; the forecast is made at that bar's close.
    """

    weights: FloatArray
    means: FloatArray
    sigmas: FloatArray
    open_time_ms: IntArray

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def valid(self) -> BoolArray:
        """Rows [T] that hold a forecast."""
        return np.asarray(~np.isnan(self.weights).any(axis=1))

    @property
    def mean(self) -> FloatArray:
        """Expected log return [T], percent."""
        result: FloatArray = (self.weights * self.means).sum(axis=1)
        return result

    @property
    def volatility(self) -> FloatArray:
        """Standard deviation of the predicted log return [T], percent per bar."""
        second = (self.weights * (self.sigmas**2 + self.means**2)).sum(axis=1)
        result: FloatArray = np.sqrt(np.maximum(second - self.mean**2, 0.0))
        return result

    def rows(self, start: int, stop: int) -> ReturnForecast:
        """Forecasts of bars ``start`` up to, not including, ``stop``."""
        cut = slice(start, stop)
        return ReturnForecast(
            self.weights[cut], self.means[cut], self.sigmas[cut], self.open_time_ms[cut]
        )

    def log_prob(self, returns: ArrayLike) -> FloatArray:
        """Log density at returns [T], percent."""
        scaled = (self._column(returns) - self.means) / self.sigmas
        with np.errstate(divide="ignore"):
            terms = np.log(self.weights) - 0.5 * scaled**2 - np.log(self.sigmas)
        result: FloatArray = logsumexp(terms, axis=1) - 0.5 * np.log(2 * np.pi)
        return result

    def cdf(self, returns: ArrayLike) -> FloatArray:
        """Probability of a return at or below returns [T]: the probability integral transform."""
        scaled = (self._column(returns) - self.means) / self.sigmas
        result: FloatArray = (self.weights * ndtr(scaled)).sum(axis=1)
        return result

    def quantile(self, probability: float) -> FloatArray:
        """Return [T], percent, not exceeded with the given probability in (0, 1)."""
        if not 0 < probability < 1:
            raise ValueError(f"probability is {probability}; expected a number between 0 and 1")
        low = (self.means - _TAIL_SIGMAS * self.sigmas).min(axis=1)
        high = (self.means + _TAIL_SIGMAS * self.sigmas).max(axis=1)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.where(self.valid, 0.5 * (low + high), np.nan)

    def crps(self, returns: ArrayLike) -> FloatArray:
        """Continuous ranked probability score at returns [T], percent.

        Closed form of Grimit et al. (2006), eq. 3.
        """
        result = (
            self.weights * _mean_absolute(self._column(returns) - self.means, self.sigmas)
        ).sum(1)
        for k in range(self.weights.shape[1]):
            spread = np.hypot(self.sigmas, self.sigmas[:, k : k + 1])
            pair = _mean_absolute(self.means - self.means[:, k : k + 1], spread)
            result -= 0.5 * self.weights[:, k] * (self.weights * pair).sum(axis=1)
        return np.asarray(result)

    def _column(self, returns: ArrayLike) -> FloatArray:
        values = np.asarray(returns, dtype=np.float64)
        if values.shape != (len(self),):
            raise ValueError(f"returns have shape {values.shape}; expected ({len(self)},)")
        return values[:, None]


def _mean_absolute(mean: FloatArray, sigma: FloatArray) -> FloatArray:
    """E|X| of X ~ N(mean, sigma²)."""
    scaled = mean / sigma
    density = np.exp(-0.5 * scaled**2) / np.sqrt(2 * np.pi)
    return np.asarray(2 * sigma * density + mean * (2 * ndtr(scaled) - 1))
