"""A Student-t density for every bar's return, and how densities are scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, stdtr, stdtrit

from ...market.arrays import BoolArray, FloatArray
from ...market.errors import ConfigError

Rows = slice | tuple[int, int]
MOST_BARS = 200_000
"""Training bars that a model of a few dozen numbers is fitted on, at most."""


class Forecast(Protocol):
    """A density for each bar's log return in percent."""

    @property
    def valid(self) -> BoolArray:
        """Rows [T] that hold a forecast."""

    def log_prob(self, returns: ArrayLike) -> FloatArray:
        """Log densities [T]."""

    def cdf(self, returns: ArrayLike) -> FloatArray:
        """Probabilities [T] of no more than these."""

    def quantile(self, probability: float) -> FloatArray:
        """Returns [T] in percent that are not exceeded with this probability."""

    def crps(self, returns: ArrayLike) -> FloatArray:
        """Continuous ranked probability scores [T], percent."""

    def rows(self, start: int, stop: int) -> Forecast:
        """Forecasts of rows ``start`` up to, not including, ``stop``."""


@dataclass(frozen=True)
class StudentTForecast:
    """A Student-t density for the return of each bar, made at the close of the bar before.

    Attributes:
        degrees: Degrees of freedom ν, > 1.
        loc: Means [T], percent; NaN, like the scale, where there is no forecast.
        scale: Scales [T], percent: standard deviation · √((ν − 2)/ν) where it exists.
        note: What there is to say about the fit behind it; empty where it converged.
    """

    degrees: float
    loc: FloatArray
    scale: FloatArray
    note: str = ""

    def __getitem__(self, rows: Rows) -> StudentTForecast:
        chosen = as_slice(rows)
        return replace(self, loc=self.loc[chosen], scale=self.scale[chosen])

    def __len__(self) -> int:
        return len(self.loc)

    def rows(self, start: int, stop: int) -> StudentTForecast:
        """Forecasts of rows ``start`` up to, not including, ``stop``."""
        return self[(start, stop)]

    @property
    def valid(self) -> BoolArray:
        """Rows [T] that hold a forecast."""
        return np.asarray(~np.isnan(self.loc))

    @property
    def sigma(self) -> FloatArray:
        """Standard deviations [T], percent; infinite with ν ≤ 2."""
        if self.degrees <= 2:
            return np.full(len(self.scale), np.inf)
        sigma: FloatArray = self.scale * np.sqrt(self.degrees / (self.degrees - 2))
        return sigma

    def log_prob(self, returns: ArrayLike) -> FloatArray:
        """Log density [T] of returns [T] in percent."""
        z = self._standardised(returns)
        nu = self.degrees
        norm = -0.5 * np.log(nu) - betaln(0.5, nu / 2)
        density: FloatArray = norm - 0.5 * (nu + 1) * np.log1p(z**2 / nu) - np.log(self.scale)
        return density

    def cdf(self, returns: ArrayLike) -> FloatArray:
        """Probability [T] of a return no greater than these."""
        probability: FloatArray = stdtr(self.degrees, self._standardised(returns))
        return probability

    def quantile(self, probability: float) -> FloatArray:
        """Returns [T] in percent that are not exceeded with this probability."""
        if not 0 < probability < 1:
            raise ConfigError(f"probability is {probability}; expected a number between 0 and 1")
        return self.loc + self.scale * float(stdtrit(self.degrees, probability))

    def crps(self, returns: ArrayLike) -> FloatArray:
        """Continuous ranked probability score [T], percent; smaller is better.

        Closed form of Jordan, Krüger & Lerch 2019, appendix A.
        """
        z, nu = self._standardised(returns), self.degrees
        density = np.exp(
            -0.5 * np.log(nu) - betaln(0.5, nu / 2) - (nu + 1) / 2 * np.log1p(z**2 / nu)
        )
        spread = (
            2 * np.sqrt(nu) / (nu - 1) * np.exp(betaln(0.5, nu - 0.5) - 2 * betaln(0.5, nu / 2))
        )
        score: FloatArray = self.scale * (
            z * (2 * stdtr(nu, z) - 1) + 2 * density * (nu + z**2) / (nu - 1) - spread
        )
        return score

    def _standardised(self, returns: ArrayLike) -> FloatArray:
        values = np.asarray(returns, dtype=np.float64)
        if values.shape != self.loc.shape:
            raise ConfigError(
                f"returns have shape {values.shape}; the forecast has {self.loc.shape}"
            )
        return (values - self.loc) / self.scale


def mean_nll(forecast: Forecast, returns: FloatArray) -> float:
    """Mean negative log-likelihood over the rows whose return is known and forecast, nats.

    Raises:
        ConfigError: There is no such row, or one that has no finite score.
    """
    known = scored_rows([forecast], returns)
    if not known.any():
        raise ConfigError("the range has no known return to score; give a longer one")
    return float(-finite_scores(forecast.log_prob(returns)[known], "log density").mean())


def scored_rows(forecasts: list[Forecast], returns: FloatArray) -> BoolArray:
    """Rows [T] whose return is known and forecast by all."""
    valid = np.stack([forecast.valid for forecast in forecasts]).all(axis=0)
    return np.asarray(valid & np.isfinite(returns))


def finite_scores(scores: FloatArray, name: str) -> FloatArray:
    """The scores [T] of known returns as they are; a forecast that fails on one is no forecast.

    Raises:
        ConfigError: A score is not finite; left out, it would make the forecast look better.
    """
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        raise ConfigError(
            f"the {name} of {len(wrong)} of {len(scores)} known returns is not finite, of the "
            f"first {scores[wrong[0]]}: the forecast is no density there"
        )
    return scores


def as_slice(rows: Rows) -> slice:
    """The rows as a slice."""
    return rows if isinstance(rows, slice) else slice(*rows)
