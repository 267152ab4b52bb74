"""Is one forecast better than another? Tests of loss differences, and of quantiles that were passed.

Sources: Diebold & Mariano 1995 with the long-run variance of Newey & West 1987; Hansen, Lunde & Nason
2011 (model confidence set, by `arch`); Kupiec 1995 and Christoffersen 1998 (value at risk).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy
from scipy.stats import chi2, norm

from ..market.arrays import BoolArray, FloatArray
from ..market.errors import ConfigError
from .checks import check_finite, check_whole, finite_series

HAC_LAGS = 168
"""Lags of the long-run variance: losses of neighbouring bars share their volatility for a week."""
VAR_LEVELS = (0.01, 0.05)
_LEVEL = 0.95


@dataclass(frozen=True)
class LossDifference:
    """Mean difference of two forecasts' losses, with what autocorrelated losses allow to be said.

    Attributes:
        value: Mean of the first loss minus the second; negative where the first forecast is better.
        low: Lower end of the 95% interval.
        high: Upper end.
        p_value: Of "both are equally good", two-sided, by the normal limit.
    """

    value: float
    low: float
    high: float
    p_value: float

    def to_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


def diebold_mariano(first: ArrayLike, second: ArrayLike, lags: int = HAC_LAGS) -> LossDifference:
    """Compare two series of losses of the same bars.

    The standard error of the mean difference is √(long-run variance/T), with Bartlett weights up
    to ``lags``; at most a tenth of the series.

    Args:
        first: Losses [T] in time order.
        second: Losses [T] of the other forecast.
        lags: Autocovariances that count.

    Raises:
        ConfigError: The series differ in length, hold a loss that is not finite, or nothing.
    """
    one, other = finite_series(first, "first losses"), finite_series(second, "second losses")
    check_whole("lags", lags, 0)
    if one.shape != other.shape or not len(one):
        raise ConfigError(
            f"there are {len(one)} and {len(other)} losses; expected one of each for every bar"
        )
    difference = one - other
    error = float(np.sqrt(long_run_variance(difference, lags) / len(difference)))
    mean = float(difference.mean())
    reach = float(norm.ppf(0.5 + _LEVEL / 2)) * error
    p_value = 1.0 if mean == 0.0 else float(2 * norm.sf(abs(mean) / max(error, 1e-300)))
    return LossDifference(mean, mean - reach, mean + reach, p_value)


def long_run_variance(values: FloatArray, lags: int = HAC_LAGS) -> float:
    """Variance of √T times the mean of values [T] (Newey & West 1987), never negative."""
    lags = min(lags, len(values) // 10)
    centred = values - values.mean()
    total = float(centred @ centred)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag])
    return max(total, 0.0) / len(values)


def model_confidence_set(
    losses: Mapping[str, ArrayLike],
    *,
    seed: int,
    level: float = 0.9,
    block_bars: int = HAC_LAGS,
    replications: int = 1000,
) -> dict[str, float]:
    """The p-value of each forecast in the model confidence set of Hansen, Lunde & Nason.

    With probability ``level`` the best is among the forecasts whose p-value is at least 1 − level.

    Args:
        losses: By forecast, of the same bars in time order [T].
        seed: Of the bootstrap.
        level: Of the set.
        block_bars: Length of the stationary bootstrap's blocks.
        replications: Resamples.

    Raises:
        ConfigError: There are fewer than two forecasts, or their losses differ in length or are
            not finite.
    """
    series = {name: finite_series(values, f"losses of {name}") for name, values in losses.items()}
    lengths = {len(values) for values in series.values()}
    if len(series) < 2 or len(lengths) != 1 or min(lengths) < 2:
        raise ConfigError(
            f"there are {len(series)} forecasts with {sorted(lengths)} losses; expected at least "
            "two, with a loss of every bar"
        )
    if not 0.0 < level < 1.0:
        raise ConfigError(f"level is {level}; expected a number between 0 and 1")
    table = np.stack(list(series.values()), axis=1)
    check_finite(table, "losses")
    from arch.bootstrap import MCS  # slow to import

    blocks = max(1, min(block_bars, len(table) // 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of arch's own use of pandas
        test = MCS(table, 1 - level, reps=replications, block_size=blocks, seed=seed)
        test.compute()
        found = test.pvalues["Pvalue"]
    return {name: float(found.loc[column]) for column, name in enumerate(series)}


@dataclass(frozen=True)
class VaRTest:
    """How often returns fell below a quantile that was forecast.

    Attributes:
        level: Share of bars that should.
        share: Share that did.
        count: Bars.
        kupiec_p: P-value of "the share is right" (likelihood ratio, one degree of freedom).
        christoffersen_p: P-value of "and whether one does says nothing of the next" (two degrees).
    """

    level: float
    share: float
    count: int
    kupiec_p: float
    christoffersen_p: float

    @property
    def refused(self) -> bool:
        """Whether either test refuses the quantile, at 1%."""
        return min(self.kupiec_p, self.christoffersen_p) < 0.01

    def to_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)


def var_test(below: BoolArray, level: float) -> VaRTest:
    """Kupiec's and Christoffersen's tests of a value at risk.

    Args:
        below: Whether each return [T], in time order, was below the forecast quantile.
        level: The quantile's probability.

    Raises:
        ConfigError: There are fewer than two returns, or the level is no probability.
    """
    hits = np.asarray(below, dtype=np.bool_)
    if hits.ndim != 1 or len(hits) < 2 or not 0 < level < 1:
        raise ConfigError(
            f"level is {level}, hits have shape {hits.shape}; expected a number between 0 and 1 "
            "and at least two bars"
        )
    count, total = int(hits.sum()), len(hits)
    unconditional = _log_likelihood(count, total, count / total)
    kupiec = 2 * (unconditional - _log_likelihood(count, total, level))
    independence = 2 * _markov_gain(hits)
    return VaRTest(
        level=level,
        share=count / total,
        count=total,
        kupiec_p=float(chi2.sf(max(kupiec, 0.0), 1)),
        christoffersen_p=float(chi2.sf(max(kupiec + independence, 0.0), 2)),
    )


def _log_likelihood(count: int, total: int, probability: float) -> float:
    return float(xlogy(count, probability) + xlogy(total - count, 1 - probability))


def _markov_gain(hits: BoolArray) -> float:
    """Log-likelihood of a first-order chain over that of independent hits."""
    before, after = hits[:-1], hits[1:]
    gain = -_log_likelihood(int(after.sum()), len(after), float(after.mean()))
    for state in (False, True):
        then = after[before == state]
        if len(then):
            gain += _log_likelihood(int(then.sum()), len(then), float(then.mean()))
    return gain
