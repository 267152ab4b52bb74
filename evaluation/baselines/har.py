"""HAR-t: tomorrow's volatility from the ranges of the last bar, day and week, and from the clock.

The logarithm of a Student-t density's scale is linear in the logs of Parkinson's volatility (1980)
averaged over several spans (Corsi 2009) and in hour × weekend and weekday: 61 numbers on hourly
bars, by maximum likelihood. Paths are simulated by drawing recorded bars ÷ their scale (filtered
historical simulation, Barone-Adesi, Giannopoulos & Vosper 1999), so that ranges follow as well.
Left alone such paths explode, since the slopes sum to about 1: in simulations they are shrunk until they
sum to 0.98, about training's mean, averages are kept inside the range that training saw, and one shift
of the log scale, found by simulating the training range, keeps the mean absolute return of a simulated
week at the recorded one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, digamma

from ...market.arrays import BoolArray, FloatArray, IntArray, spread, thinned
from ...market.candles import Candles
from ...market.intervals import INTERVALS_MS
from ...market.numerics.compiled import compiled
from ..likelihood import MIN_GARCH_DEGREES, fit_student, tick_scale
from .bars import Bars
from .clock import clock_indicators, clock_sum
from .garch import percent_returns, training_returns
from .student_t import MOST_BARS, Rows, StudentTForecast, as_slice

_RIDGE = 1e-4
_ROUNDS = 500
_PERSISTENCE = 0.98  # of simulated volatility: the most that the slopes sum to
_CALIBRATION_PATHS, _CALIBRATION_BARS = 1024, 168
_CALIBRATION_ROUNDS, _CALIBRATION_GAIN = 8, 0.15  # a shift of 0.01 moves a week by about 0.05
_PARKINSON = 1 / (4 * np.log(2))
_SPANS_MS = tuple(INTERVALS_MS[code] for code in ("15", "60", "360", "D", "W"))
_LONG_SPANS_MS = (4 * INTERVALS_MS["W"], 13 * INTERVALS_MS["W"])


@dataclass(frozen=True)
class HAR:
    """The fitted model.

    Attributes:
        spans: Bars over which ranges are averaged, increasing.
        constant: Of the log scale in percent.
        slopes: On the logs of the averages [S].
        clock: Of hour × weekend and weekday [55].
        mean: Mean return in scales.
        degrees: ν.
        least_scale: Scale that no density is narrower than, percent.
        shapes: Training bars ÷ their scale [n, 3]: return, upper and lower wick.
        limits: Least and greatest log average in training [2, S]; simulated ones are kept inside.
        middle: Mean log averages in training [S].
        shift: Of the log scale, in simulations alone.
        note: What there is to say about the fit; empty where it converged.
    """

    spans: tuple[int, ...]
    constant: float
    slopes: FloatArray
    clock: FloatArray
    mean: float
    degrees: float
    least_scale: float
    shapes: FloatArray
    limits: FloatArray
    middle: FloatArray
    shift: float = 0.0
    note: str = ""

    @classmethod
    def fit(cls, candles: Candles, train_rows: Rows) -> Self:
        """Fit on the training rows; of more than `MOST_BARS` on as many, evenly spread.

        Raises:
            ConfigError: There are fewer than 100 returns, or they are all the same.
        """
        rows = as_slice(train_rows)
        returns = percent_returns(candles)
        training = training_returns(returns, rows)
        spans, least = spans_of(candles.interval_ms), tick_scale(training)
        averages = _log_averages(candles, spans, least)
        known = np.zeros(len(candles), dtype=np.bool_)
        known[rows] = np.isfinite(returns[rows]) & np.isfinite(averages[rows]).all(axis=1)
        known = thinned(known, MOST_BARS)
        clock = clock_indicators(candles.open_time_ms[known], candles.interval)
        design = _Design(averages[known], clock)
        fitted = _fitted(design, returns[known], training)
        limits = np.stack([averages[known].min(axis=0), averages[known].max(axis=0)])
        middle = averages[known].mean(axis=0)
        model = cls(spans, *fitted[:-1], least, np.zeros((0, 3)), limits, middle, note=fitted[-1])
        model = replace(model, shapes=model._shapes(candles, known))
        return replace(model, shift=model._calibrated(candles, known))

    def forecast(self, candles: Candles) -> StudentTForecast:
        """Densities of every bar's return, each from the bars before; NaN in the first week."""
        averages = _log_averages(candles, self.spans, self.least_scale)
        clock = clock_sum(self.clock, candles.open_time_ms, candles.interval)
        scale = self._scale(averages @ self.slopes + clock)
        return StudentTForecast(self.degrees, self.mean * scale, scale, self.note)

    def simulate(
        self, candles: Candles, rows: IntArray, paths: int, bars: int, rng: np.random.Generator
    ) -> FloatArray:
        """Log returns [N, paths, bars] in percent that may follow each of N rows."""
        return self._draw(candles, rows, paths, bars, rng)[..., 0]

    def bars(self, candles: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
        """A path of whole bars [N, bars] after each of N rows."""
        drawn = self._draw(candles, rows, 1, bars, rng)[:, 0] / 100
        times = candles.open_time_ms[rows, None] + candles.interval_ms * np.arange(1, bars + 1)
        returns, upper, lower = np.moveaxis(drawn, -1, 0)
        return Bars(times, returns, upper, lower, note=self.note)

    def _draw(
        self, candles: Candles, rows: IntArray, paths: int, bars: int, rng: np.random.Generator
    ) -> FloatArray:
        """Return and wicks [N, paths, bars, 3] in percent.

        Raises:
            IndexError: A row has less history than the longest span.
        """
        longest = self.spans[-1]
        history = _variances(candles)[rows[:, None] + np.arange(1 - longest, 1)]
        after = candles.open_time_ms[rows, None] + candles.interval_ms * np.arange(1, bars + 1)
        clock = clock_sum(self.clock, after, candles.interval)
        drawn = rng.integers(len(self.shapes), size=(len(rows), paths, bars))
        slopes = self.slopes * min(1.0, _PERSISTENCE / max(float(self.slopes.sum()), 1e-9))
        level = self.constant + self.shift + float((self.slopes - slopes) @ self.middle)
        out = np.empty((len(rows), paths, bars, 3))
        _simulate(
            history,
            clock + level,
            np.array(self.spans),
            slopes,
            self.least_scale,
            self.limits,
            self.shapes,
            drawn,
            out,
        )
        return out

    def _scale(self, log_scale: FloatArray) -> FloatArray:
        return np.maximum(np.exp(self.constant + log_scale), self.least_scale)

    def _shapes(self, candles: Candles, known: BoolArray) -> FloatArray:
        """Return and wicks of the known bars ÷ their scale [n, 3]."""
        scale = self.forecast(candles).scale
        record = Bars.of(candles)
        assert record.upper is not None
        assert record.lower is not None
        columns = np.concatenate([record.log_return, record.upper, record.lower])
        rows = np.flatnonzero(known)
        return np.ascontiguousarray((100 * columns[:, rows - 1] / scale[rows]).T)

    def _calibrated(self, candles: Candles, known: BoolArray) -> float:
        """The shift with which simulated weeks of the training range move as the recorded ones."""
        starts = np.flatnonzero(known)
        starts = starts[starts >= self.spans[-1]]
        if not len(starts):
            return 0.0
        starts = starts[spread(_CALIBRATION_PATHS, len(starts))]
        target = float(np.abs(percent_returns(candles)[known]).mean())
        shift = 0.0
        for _ in range(_CALIBRATION_ROUNDS):
            tried = replace(self, shift=shift)
            rng = np.random.default_rng(0)
            moved = tried.simulate(candles, starts, 1, _CALIBRATION_BARS, rng)
            shift -= _CALIBRATION_GAIN * float(np.log(np.abs(moved).mean() / target))
        return shift


def spans_of(interval_ms: int) -> tuple[int, ...]:
    """Spans in bars: one bar, quarter of an hour, hour, six hours, day, week, as far as longer.

    Bars of a day and more have a month and a quarter as well.
    """
    longer = _LONG_SPANS_MS if interval_ms >= INTERVALS_MS["D"] else ()
    bars = {round(span / interval_ms) for span in (*_SPANS_MS, *longer)}
    return tuple(sorted({1} | {count for count in bars if count > 1}))


def _variances(candles: Candles) -> FloatArray:
    """Parkinson's variance of each bar [T], percent²."""
    heights: FloatArray = 100 * np.log(candles.high / candles.low)
    variances: FloatArray = _PARKINSON * heights**2
    return variances


def _log_averages(candles: Candles, spans: tuple[int, ...], least: float) -> FloatArray:
    """Logs of Parkinson volatility over spans that end with the bar before [T, S], percent.

    NaN where a span reaches before the first bar, or across a gap.
    """
    variances = _variances(candles)
    columns = np.full((len(variances), len(spans)), np.nan)
    for start, stop in candles.segments():
        sums = np.append(0.0, np.cumsum(variances[start:stop]))
        for column, span in enumerate(spans):
            means = np.maximum(sums[span:-1] - sums[: -span - 1], 0.0) / span
            if len(means) and stop - start > span:
                columns[start + span : stop, column] = 0.5 * np.log(means + least**2)
    return columns


@compiled
def _simulate(
    history: FloatArray,
    level: FloatArray,
    spans: IntArray,
    slopes: FloatArray,
    least: float,
    limits: FloatArray,
    shapes: FloatArray,
    drawn: IntArray,
    out: FloatArray,
) -> None:
    """Draw paths bar by bar; the variances of all bars of a path lie in one row, oldest first."""
    longest = history.shape[1]
    paths, bars = drawn.shape[1], drawn.shape[2]
    variances = np.empty(longest + bars)
    sums = np.empty(len(spans))
    for origin in range(len(history)):
        for path in range(paths):
            variances[:longest] = history[origin]
            for k in range(len(spans)):
                sums[k] = variances[longest - spans[k] : longest].sum()
            for t in range(bars):
                log_scale = level[origin, t]
                for k in range(len(spans)):
                    mean = max(sums[k], 0.0) / spans[k]
                    average = 0.5 * np.log(mean + least * least)
                    log_scale += slopes[k] * min(max(average, limits[0, k]), limits[1, k])
                scale = max(np.exp(log_scale), least)
                height = 0.0
                for part in range(3):
                    value = scale * shapes[drawn[origin, path, t], part]
                    out[origin, path, t, part] = value
                    height += abs(value)
                variances[longest + t] = height * height / (4.0 * np.log(2.0))
                for k in range(len(spans)):
                    sums[k] += variances[longest + t] - variances[longest + t - spans[k]]


class _Design:
    """Regressors of the rows to fit on: standardised averages, and the clock.

    Args:
        averages: Logs of averages [n, S].
        clock: Indicators [n, C].
    """

    def __init__(self, averages: FloatArray, clock: FloatArray) -> None:
        self._centre = averages.mean(axis=0)
        self._width = np.maximum(averages.std(axis=0), 1e-9)
        scaled = (averages - self._centre) / self._width
        self.matrix = np.concatenate([np.ones((len(scaled), 1)), scaled, clock], axis=1)

    def raw(self, coefficients: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Constant, slopes [S] and clock [C] of regressors that are not standardised."""
        count = len(self._centre)
        slopes = coefficients[1 : 1 + count] / self._width
        constant = float(coefficients[0] - slopes @ self._centre)
        return constant, slopes, coefficients[1 + count :]


def _fitted(
    design: _Design, returns: FloatArray, training: FloatArray
) -> tuple[float, FloatArray, FloatArray, float, float, str]:
    """Constant, slopes, clock, mean, degrees and a word; a constant scale where nothing converges."""
    density = fit_student(training, MIN_GARCH_DEGREES)
    width = design.matrix.shape[1]
    start = np.zeros(width + 2)
    start[0], start[-1] = np.log(density.scale), np.log(density.degrees - 2)
    if len(returns) > width:
        bounds = [(None, None)] * (width + 1) + [(-3.0, 5.3)]
        found = minimize(
            _loss,
            start,
            (design.matrix, returns),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _ROUNDS},
        )
        if np.isfinite(found.x).all() and found.fun <= _loss(start, design.matrix, returns)[0]:
            return (
                *design.raw(found.x[:-2]),
                float(found.x[-2]),
                2 + float(np.exp(found.x[-1])),
                "",
            )
    constant, slopes, clock = design.raw(start[:-2])
    word = f"{len(returns)} bars with a week before them are too few; its scale is held constant"
    return constant, slopes, clock, 0.0, density.degrees, word


def _loss(
    parameters: FloatArray, design: FloatArray, returns: FloatArray
) -> tuple[float, FloatArray]:
    """Mean negative log-likelihood and a ridge, with the gradient.

    Parameters are the coefficients of the log scale, the mean in scales and log(ν − 2).
    """
    coefficients, mean, excess = parameters[:-2], parameters[-2], np.exp(parameters[-1])
    nu, log_scale = 2 + excess, design @ coefficients
    in_scales = returns * np.exp(-log_scale)
    z = in_scales - mean
    grown = np.log1p(z**2 / nu)
    pull = (nu + 1) * z / (nu + z**2)  # −∂ log density ÷ ∂z
    density = -0.5 * np.log(nu) - betaln(0.5, nu / 2) - 0.5 * (nu + 1) * grown - log_scale
    shrunk = np.append(0.0, coefficients[1:])
    by_nu = 0.5 * (digamma(0.5 * (nu + 1)) - digamma(0.5 * nu) - 1 / nu - grown + pull * z / nu)
    gradient = np.concatenate(
        [
            -design.T @ (pull * in_scales - 1) / len(returns) + 2 * _RIDGE * shrunk,
            [-pull.mean(), -by_nu.mean() * excess],
        ]
    )
    return float(-density.mean() + _RIDGE * shrunk @ shrunk), gradient
