"""GJR-GARCH(1,1) with Student-t innovations, and with the season of the clock taken out first.

Fitted by maximum likelihood on the training range (`evaluation.likelihood`), parameters then fixed,
and filtered one step ahead over every bar. Returns are log returns in percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ...market.arrays import FloatArray, IntArray
from ...market.candles import Candles
from ...market.clock import PLACES
from ...market.errors import ConfigError
from ..likelihood import GarchParameters, fit_garch_process
from .bars import Bars
from .clock import places, season_of
from .student_t import MOST_BARS, Rows, StudentTForecast, as_slice

_MIN_TRAINING_RETURNS = 100


@dataclass(frozen=True)
class GarchModel:
    """GJR-GARCH-t of returns ÷ their season.

    Attributes:
        parameters: Of the returns without their season.
        season: Factor of each hour × weekend [48]; ones leave the clock out.
    """

    parameters: GarchParameters
    season: FloatArray

    @classmethod
    def fit(cls, candles: Candles, train_rows: Rows, *, clock: bool = True) -> Self:
        """Fit on the training rows: the season first, if any, then the process on the last `MOST_BARS`.

        Raises:
            ConfigError: There are fewer than 100 returns, or they are all the same.
        """
        returns = percent_returns(candles)
        rows = as_slice(train_rows)
        training_returns(returns, rows)
        season = np.ones(PLACES)
        if clock:
            season = season_of(returns[rows], candles.open_time_ms[rows], candles.interval)
        factors = season[places(candles.open_time_ms, candles.interval)]
        start, stop, _ = rows.indices(len(returns))
        last = max(start, stop - MOST_BARS), stop
        return cls(fit_garch(returns / factors, last, leverage=True), season)

    def forecast(self, candles: Candles) -> StudentTForecast:
        """Densities of every bar's return, each from the bars before."""
        factors = self.season[places(candles.open_time_ms, candles.interval)]
        level = filter_garch(percent_returns(candles) / factors, self.parameters)
        return StudentTForecast(
            level.degrees, factors * level.loc, factors * level.scale, level.note
        )

    def simulate(
        self, candles: Candles, rows: IntArray, paths: int, bars: int, rng: np.random.Generator
    ) -> FloatArray:
        """Log returns [N, paths, bars] in percent that may follow each of N rows."""
        return self._draw(candles, rows, paths, bars, rng)[0]

    def _draw(
        self,
        candles: Candles,
        rows: IntArray,
        paths: int,
        bars: int,
        rng: np.random.Generator,
        shocks: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Those, and the variance that each was drawn with, percent² [N, paths, bars].

        ``shocks`` are standardised residuals [R] to draw from; None draws Student's.
        """
        p = self.parameters
        factors = self.season[places(candles.open_time_ms, candles.interval)]
        returns = np.append(percent_returns(candles) / factors, np.nan)
        variance = np.repeat(garch_variance(returns, p)[rows + 1, None], paths, axis=1)
        after = candles.open_time_ms[rows, None] + candles.interval_ms * np.arange(1, bars + 1)
        seasons = self.season[places(after, candles.interval)]
        spread = np.sqrt((p.degrees - 2) / p.degrees)
        drawn, spreads = np.empty((2, len(rows), paths, bars))
        for t in range(bars):
            noise = (
                spread * rng.standard_t(p.degrees, variance.shape)
                if shocks is None
                else rng.choice(shocks, variance.shape)
            )
            shock = np.sqrt(variance) * noise
            spreads[..., t] = seasons[:, None, t] ** 2 * variance
            variance = p.omega + (p.alpha + p.gamma * (shock < 0)) * shock**2 + p.beta * variance
            drawn[..., t] = seasons[:, None, t] * (p.mean + shock)
        return drawn, spreads

    def bars(self, candles: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
        """A path of returns [N, bars] after each of N rows; wicks and volumes nobody draws."""
        drawn, variance = (part[:, 0] for part in self._draw(candles, rows, 1, bars, rng))
        times = candles.open_time_ms[rows, None] + candles.interval_ms * np.arange(1, bars + 1)
        mean = self.parameters.mean * self.season[places(times, candles.interval)] / 100
        expected = mean + 0.5 * (mean**2 + variance / 100**2)
        return Bars(times, drawn / 100, expected=expected, note=self.parameters.note)


@dataclass(frozen=True, eq=False)
class FilteredHistory:
    """Filtered historical simulation: GARCH's variances, and the shocks that the record had.

    Barone-Adesi, Giannopoulos & Vosper 1999, "VaR without correlations for portfolios of derivative
    securities".

    Attributes:
        model: Of the variances.
        shocks: Residuals of the training range ÷ their deviation [R], drawn with replacement.
    """

    model: GarchModel
    shocks: FloatArray

    @classmethod
    def fit(cls, candles: Candles, train_rows: Rows, *, clock: bool = True) -> Self:
        """Fit the model on the training rows, and filter their shocks out.

        Raises:
            ConfigError: As `GarchModel.fit`.
        """
        model = GarchModel.fit(candles, train_rows, clock=clock)
        factors = model.season[places(candles.open_time_ms, candles.interval)]
        returns = percent_returns(candles) / factors
        deviation = np.sqrt(garch_variance(returns, model.parameters))
        shocks = ((returns - model.parameters.mean) / deviation)[as_slice(train_rows)]
        shocks = shocks[np.isfinite(shocks)]
        return cls(model, (shocks - shocks.mean()) / shocks.std())

    def simulate(
        self, candles: Candles, rows: IntArray, paths: int, bars: int, rng: np.random.Generator
    ) -> FloatArray:
        """Log returns [N, paths, bars] in percent that may follow each of N rows."""
        return self.model._draw(candles, rows, paths, bars, rng, self.shocks)[0]


def fit_garch(
    returns_percent: ArrayLike, train_rows: Rows, *, leverage: bool = False
) -> GarchParameters:
    """Fit GARCH(1,1)-t, or GJR-GARCH(1,1)-t with ``leverage``, on the training rows.

    Where no start converges the variance is constant, and the parameters' ``note`` says so.
    """
    training = training_returns(returns_percent, train_rows)
    return fit_garch_process(training, leverage=leverage)


def filter_garch(returns_percent: ArrayLike, parameters: GarchParameters) -> StudentTForecast:
    """One-step-ahead densities of every bar with fixed parameters.

    The density of row t uses returns before t. A missing return (NaN: the first bar, a gap) moves
    the variance to its expectation.
    """
    returns = checked_returns(returns_percent)
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


def percent_returns(candles: Candles) -> FloatArray:
    """Log returns [T] in percent; NaN in the first bar."""
    return 100 * candles.log_returns()


def checked_returns(returns_percent: ArrayLike) -> FloatArray:
    """The returns as an array [T].

    Raises:
        ConfigError: They have another shape, or one is infinite.
    """
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
    training = checked_returns(returns_percent)[as_slice(train_rows)]
    training = training[np.isfinite(training)]
    same = len(training) > 0 and bool((training == training[0]).all())
    if len(training) < _MIN_TRAINING_RETURNS or same:
        raise ConfigError(
            f"there are {len(training)} training returns"
            + (f", all of them {training[0]:g}%" if same else "")
            + f"; a baseline needs at least {_MIN_TRAINING_RETURNS} that vary"
        )
    return training
