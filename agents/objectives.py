"""What a search maximises: one number of what a candidate earned in many dreams.

A mean over dreams says nothing of the dreams that went badly. These objectives do, each in its way;
the rival of them all is to hold less of the same. ``benchmarks/objectives.py`` compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..envs.population.scoring import Scores
from ..evaluation.performance import annual_ratio, calmar_ratio
from ..market.arrays import FloatArray
from ..market.records import Bounds, Record

Objective = Literal["log_return", "sharpe", "sortino", "calmar", "cvar", "mean_deviation"]
"""See `Merit`."""
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
_OVER_DREAMS = ("cvar", "mean_deviation")


@dataclass(frozen=True)
class Merit(Record):
    """What a candidate is worth: higher is better, and one that does nothing is worth 0.

    With R the log return of a dream, and r the simple return of a bar, all bars of all dreams pooled
    up to where an account ended:

    | objective | formula | unit |
    |---|---|---|
    | ``log_return`` | mean R | log return of a dream |
    | ``sharpe`` | √Y · mean r ÷ √(mean r² − (mean r)²), Y bars a year | a year |
    | ``sortino`` | √Y · mean r ÷ √mean(min(r, 0)²) | a year |
    | ``calmar`` | (exp(Y · ΣR ÷ Σbars) − 1) ÷ mean over dreams of the maximum drawdown | a year |
    | ``cvar`` | mean of the worst ``tail`` of all R (Rockafellar & Uryasev 2000) | log return of a dream |
    | ``mean_deviation`` | mean R − ``aversion`` · standard deviation of R | log return of a dream |

    A ratio without a denominator is 0. Where the worst ``tail`` is no whole number of dreams, the
    last of them counts in part; where it is less than one dream, the worst counts alone.

    Attributes:
        objective: Its name.
        tail: Share of the dreams that ``cvar`` looks at, the worst.
        aversion: λ of ``mean_deviation``.
    """

    objective: Objective = "log_return"
    tail: float = 0.1
    aversion: float = 1.0

    _bounds = {"tail": Bounds(0, 1, above=True), "aversion": (0.0, 1e6)}  # noqa: RUF012
    _choices = {"objective": OBJECTIVES}  # noqa: RUF012

    @property
    def is_over_dreams(self) -> bool:
        """Whether it compares dreams with each other, and one path alone has none."""
        return self.objective in _OVER_DREAMS

    def of(self, scores: Scores, bars_per_year: float) -> FloatArray:
        """The merit of each candidate [P]; NaN where one of its scores is not finite.

        Args:
            scores: Of P candidates on N paths.
            bars_per_year: 8,760 for hourly bars.
        """
        finite = np.all([np.isfinite(values).all(axis=1) for values in scores], axis=0)
        merit = np.full(len(finite), np.nan)
        known = Scores(*(values[finite] for values in scores))
        merit[finite] = _FORMULAS[self.objective](self, known, bars_per_year)
        return merit


def _log_return(_: Merit, scores: Scores, __: float) -> FloatArray:
    return np.asarray(scores.log_return.mean(axis=1))


def _sharpe(_: Merit, scores: Scores, bars_per_year: float) -> FloatArray:
    mean = _pooled(scores, scores.return_sum)
    variance = _pooled(scores, scores.square_sum) - mean**2
    return annual_ratio(mean, np.sqrt(np.maximum(variance, 0.0)), bars_per_year)


def _sortino(_: Merit, scores: Scores, bars_per_year: float) -> FloatArray:
    downside = np.sqrt(_pooled(scores, scores.loss_square_sum))
    return annual_ratio(_pooled(scores, scores.return_sum), downside, bars_per_year)


def _calmar(_: Merit, scores: Scores, bars_per_year: float) -> FloatArray:
    annual = _pooled(scores, scores.log_return) * bars_per_year
    return calmar_ratio(annual, scores.max_drawdown.mean(axis=1))


def _cvar(merit: Merit, scores: Scores, _: float) -> FloatArray:
    ordered = np.sort(scores.log_return, axis=1)
    places = np.arange(ordered.shape[1])
    share = np.clip(max(merit.tail * len(places), 1.0) - places, 0.0, 1.0)  # of each dream, 0 to 1
    return np.asarray((ordered * share).sum(axis=1) / share.sum())


def _mean_deviation(merit: Merit, scores: Scores, _: float) -> FloatArray:
    log_return = scores.log_return
    return np.asarray(log_return.mean(axis=1) - merit.aversion * log_return.std(axis=1))


def _pooled(scores: Scores, sums: FloatArray) -> FloatArray:
    """Sums over bars [P, N] as means over all bars of all paths [P]."""
    return np.asarray(sums.sum(axis=1) / scores.steps.sum(axis=1))


_FORMULAS: dict[Objective, Callable[[Merit, Scores, float], FloatArray]] = {
    "log_return": _log_return,
    "sharpe": _sharpe,
    "sortino": _sortino,
    "calmar": _calmar,
    "cvar": _cvar,
    "mean_deviation": _mean_deviation,
}
