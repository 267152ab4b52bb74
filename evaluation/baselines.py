"""Density forecasts of the next return that a world model has to beat.

An unconditional Student-t, GARCH(1,1) and GJR-GARCH(1,1) with Student-t innovations: fitted by
maximum likelihood on the training range (`evaluation.likelihood`), parameters then fixed, and
filtered one step ahead over every bar. Returns are log returns in percent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, stdtr, stdtrit

from ..market.arrays import BoolArray, FloatArray
from ..market.errors import ConfigError
from .likelihood import GarchParameters, fit_garch_process, fit_student

Rows = slice | tuple[int, int]

_MIN_TRAINING_RETURNS = 100


@dataclass(frozen=True)
class StudentTForecast:
    """A Student-t density for the return of each bar, made at the close of the bar before.

    Attributes:
        degrees: Degrees of freedom ν, > 1.
        loc: Means [T], percent.
        scale: Scales [T], percent: standard deviation · √((ν − 2)/ν) where it exists.
        note: What there is to say about the fit behind it; empty where it converged.
    """

    degrees: float
    loc: FloatArray
    scale: FloatArray
    note: str = ""

    def __getitem__(self, rows: Rows) -> StudentTForecast:
        chosen = _as_slice(rows)
        return replace(self, loc=self.loc[chosen], scale=self.scale[chosen])

    def __len__(self) -> int:
        return len(self.loc)

    @property
    def valid(self) -> BoolArray:
        """Rows [T] that hold a forecast: all."""
        return np.ones(len(self), dtype=np.bool_)

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


def fit_student_t(returns_percent: ArrayLike, train_rows: Rows) -> StudentTForecast:
    """The same density for every bar, by maximum likelihood on the training rows."""
    returns = _checked(returns_percent)
    density = fit_student(training_returns(returns, train_rows))
    count = len(returns)
    return StudentTForecast(
        density.degrees, np.full(count, density.loc), np.full(count, density.scale)
    )


def fit_garch(
    returns_percent: ArrayLike, train_rows: Rows, *, leverage: bool = False
) -> GarchParameters:
    """Fit GARCH(1,1)-t, or GJR-GARCH(1,1)-t with ``leverage``, on the training rows.

    Where no start converges the variance is constant, and the parameters' ``note`` says so.
    """
    training = training_returns(returns_percent, train_rows)
    return fit_garch_process(training, leverage=leverage).parameters


def filter_garch(returns_percent: ArrayLike, parameters: GarchParameters) -> StudentTForecast:
    """One-step-ahead densities of every bar with fixed parameters.

    The density of row t uses returns before t. A missing return (NaN: the first bar, a gap) moves
    the variance to its expectation.
    """
    returns = _checked(returns_percent)
    variance = garch_variance(returns, parameters)
    nu = parameters.degrees
    scale = np.maximum(np.sqrt(variance * (nu - 2) / nu), parameters.least_scale)
    return StudentTForecast(nu, np.full(len(returns), parameters.mean), scale, parameters.note)


def garch_variance(returns: FloatArray, parameters: GarchParameters) -> FloatArray:
    """Conditional variances [T], percent²; row t from returns before t."""
    p = parameters
    residuals = returns - p.mean
    known = np.isfinite(residuals)
    persistence = p.alpha + 0.5 * p.gamma + p.beta
    sample = float(np.mean(residuals[known] ** 2)) if known.any() else 1.0
    current = p.omega / (1 - persistence) if persistence < 0.999 else sample
    variance = np.empty(len(returns))
    arch_term = (p.alpha + p.gamma * (residuals < 0)) * np.where(known, residuals, 0.0) ** 2
    unknown_weight = np.where(known, p.beta, persistence)
    for row in range(len(returns)):
        variance[row] = current
        current = p.omega + arch_term[row] + unknown_weight[row] * current
    return variance


def baseline_forecasts(returns_percent: ArrayLike, train_rows: Rows) -> dict[str, StudentTForecast]:
    """All three baselines, fitted on the training rows and filtered over every row.

    Args:
        returns_percent: Log returns [T], percent; row t is earned by bar t; NaN where missing.
        train_rows: The rows to fit on.

    Returns:
        ``student_t``, ``garch_t`` and ``gjr_garch_t``, each with T densities.
    """
    returns = _checked(returns_percent)
    filters: dict[str, Callable[[], StudentTForecast]] = {
        "student_t": lambda: fit_student_t(returns, train_rows),
        "garch_t": lambda: filter_garch(returns, fit_garch(returns, train_rows)),
        "gjr_garch_t": lambda: filter_garch(returns, fit_garch(returns, train_rows, leverage=True)),
    }
    return {name: make() for name, make in filters.items()}


@dataclass(frozen=True)
class BaselineScores:
    """How one baseline forecasts the next return.

    Attributes:
        return_nll: Mean negative log-likelihood [nats] by range.
        note: What there is to say about its fit; empty where it converged.
    """

    return_nll: Mapping[str, float]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; the note where there is one."""
        return {"return_nll": dict(self.return_nll)} | ({"note": self.note} if self.note else {})


def baseline_return_nll(
    returns_percent: ArrayLike, train_rows: Rows, ranges: Mapping[str, Rows]
) -> dict[str, BaselineScores]:
    """Mean negative log-likelihood of the next log return in percent.

    Args:
        returns_percent: Log returns [T], percent; NaN where missing (those rows do not count).
        train_rows: The rows to fit on.
        ranges: Rows to score, by name, such as ``validation`` and ``test``.

    Returns:
        Scores by baseline.
    """
    returns = _checked(returns_percent)
    table: dict[str, BaselineScores] = {}
    for name, forecast in baseline_forecasts(returns, train_rows).items():
        scores = {
            label: mean_nll(forecast[rows], returns[_as_slice(rows)])
            for label, rows in ranges.items()
        }
        table[name] = BaselineScores(scores, forecast.note)
    return table


def mean_nll(forecast: StudentTForecast, returns: FloatArray) -> float:
    """Mean negative log-likelihood over the rows whose return is known, nats.

    Raises:
        ConfigError: No return is known, or one that is has no finite score.
    """
    known = np.isfinite(returns)
    if not known.any():
        raise ConfigError("the range has no known return to score; give a longer one")
    return float(-finite_scores(forecast.log_prob(returns)[known], "log density").mean())


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


def _checked(returns_percent: ArrayLike) -> FloatArray:
    returns = np.asarray(returns_percent, dtype=np.float64)
    if returns.ndim != 1 or np.isinf(returns).any():
        raise ConfigError(
            f"returns have shape {returns.shape}; expected finite numbers or NaN, [T]"
        )
    return returns


def training_returns(returns_percent: ArrayLike, train_rows: Rows) -> FloatArray:
    """The known returns of the training rows.

    Raises:
        ConfigError: They are fewer than 100, or all the same: nothing can be fitted to them.
    """
    training = _checked(returns_percent)[_as_slice(train_rows)]
    training = training[np.isfinite(training)]
    same = len(training) > 0 and bool((training == training[0]).all())
    if len(training) < _MIN_TRAINING_RETURNS or same:
        raise ConfigError(
            f"there are {len(training)} training returns"
            + (f", all of them {training[0]:g}%" if same else "")
            + f"; a baseline needs at least {_MIN_TRAINING_RETURNS} that vary"
        )
    return training


def _as_slice(rows: Rows) -> slice:
    return rows if isinstance(rows, slice) else slice(*rows)
