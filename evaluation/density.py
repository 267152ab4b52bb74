"""How good a density forecast of the next return is on bars that the model never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..market.arrays import FloatArray, IntArray
from ..market.errors import ConfigError
from ..market.features import candles_for
from ..models.forecast import ReturnForecast
from ..models.world_model import WorldModel
from .baselines.memoryless import of_each_bar
from .baselines.scores import HAR_T, Baselines
from .baselines.student_t import Forecast, finite_scores, scored_rows
from .loss_tests import (
    VAR_LEVELS,
    LossDifference,
    VaRTest,
    diebold_mariano,
    model_confidence_set,
    var_test,
)
from .significance import Interval, percentile_interval, stationary_bootstrap_rows

if TYPE_CHECKING:
    from ..market.sources import CandleSource

_BLOCK_BARS = 168.0  # a week: scores of neighbouring bars share their volatility
_REPLICATIONS = 500
PIT_BINS = 20
WORLD_MODEL = "world_model"
"""Its name among forecasters and generators."""


@dataclass(frozen=True)
class Calibration:
    """Whether outcomes fall where a forecast says they do.

    Attributes:
        pit_ks: Kolmogorov–Smirnov distance of the probability integral transforms from uniform.
        pit_ks_floor: The distance that a perfect forecast stays under 95 times in 100, 1.358/√T
            (Kolmogorov's limit; independent bars).
        coverage_90: Share of outcomes inside the central 90% interval.
        pit_histogram: Share of transforms in 20 equal bins, times 20 (1 is uniform).
    """

    pit_ks: float
    pit_ks_floor: float
    coverage_90: float
    pit_histogram: tuple[float, ...]


@dataclass(frozen=True)
class DensityScores:
    """How the world model and its rivals forecast the returns of one range.

    Attributes:
        bars: Bars that all of them forecast.
        nll: Mean negative log-likelihood by forecaster, nats.
        crps: Mean continuous ranked probability score by forecaster, percent.
        nll_minus: The world model's likelihood loss minus each rival's, nats, with an interval that
            allows for losses which cluster; below 0 is better.
        confidence_set: P-value of each forecaster in the model confidence set of likelihoods; the
            best is among those above 0.1, 9 times in 10.
        crps_skill_to_har_t: 1 − CRPS ÷ HAR-t's CRPS; above 0 is better.
        calibration: Of the world model.
        var: Tests of its 1% and 5% quantiles.
        mean_slope: Of returns on its mean forecasts, see `mean_slope`.
        notes: What there is to say about the rivals' fits, by name.
    """

    bars: int
    nll: dict[str, float]
    crps: dict[str, float]
    nll_minus: dict[str, LossDifference]
    confidence_set: dict[str, float]
    crps_skill_to_har_t: Interval
    calibration: Calibration
    var: tuple[VaRTest, ...]
    mean_slope: Interval
    notes: dict[str, str]


def calibration(forecast: Forecast, returns: FloatArray) -> Calibration:
    """Calibration of a forecast on outcomes [T], percent.

    Rows without a forecast or an outcome do not count.

    Raises:
        ConfigError: There is no other row, or the forecast fails on one.
    """
    known = scored_rows([forecast], returns)
    return pit_calibration(finite_scores(forecast.cdf(returns)[known], "probability"))


def pit_calibration(transforms: FloatArray) -> Calibration:
    """Calibration from probability integral transforms [T]."""
    count = len(transforms)
    if not count:
        raise ConfigError("there is no forecast bar to calibrate on")
    ordered = np.sort(np.clip(transforms, 0.0, 1.0))
    steps = np.arange(count + 1) / count
    distance = max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1]))
    histogram = np.histogram(ordered, bins=PIT_BINS, range=(0.0, 1.0))[0] / count * PIT_BINS
    inside = np.mean((ordered >= 0.05) & (ordered <= 0.95))
    return Calibration(
        float(distance), float(1.358 / np.sqrt(count)), float(inside), tuple(map(float, histogram))
    )


def density_scores(
    world_model: WorldModel,
    candles: CandleSource,
    rivals: Baselines,
    ranges: Mapping[str, tuple[int, int]],
    *,
    seed: int,
) -> dict[str, DensityScores]:
    """Likelihood, CRPS and calibration of the world model beside the baselines, by range.

    Args:
        world_model: Forecasts one step ahead from bars up to the one before.
        candles: All bars, those before the ranges included: anything `open_candles` opens.
        rivals: Fitted on its training range, see `fit_baselines`.
        ranges: Rows to score, by name.
        seed: Of the bootstrap of blocks, which gives the intervals.
    """
    candles = candles_for(world_model.config.features, candles)
    returns = 100 * candles.log_returns()
    ours = of_each_bar(world_model.return_forecast(candles))
    scores = {}
    for name, (start, stop) in ranges.items():
        rows = (max(start, 1), stop)
        others = {rival: theirs.rows(*rows) for rival, theirs in rivals.forecasts.items()}
        outcomes = returns[slice(*rows)]
        scores[name] = _range_scores(ours.rows(*rows), others, outcomes, seed, dict(rivals.notes))
    return scores


def _range_scores(
    ours: ReturnForecast,
    rivals: Mapping[str, Forecast],
    outcomes: FloatArray,
    seed: int,
    notes: dict[str, str],
) -> DensityScores:
    table: dict[str, Forecast] = {WORLD_MODEL: ours, **rivals}
    known = scored_rows(list(table.values()), outcomes)
    if not known.any():
        raise ConfigError("no bar in the range has enough bars before it to be forecast")
    nll = {
        name: -finite_scores(forecast.log_prob(outcomes)[known], f"{name}'s log density")
        for name, forecast in table.items()
    }
    crps = {
        name: finite_scores(forecast.crps(outcomes)[known], f"{name}'s CRPS")
        for name, forecast in table.items()
    }
    return DensityScores(
        bars=int(known.sum()),
        nll={name: float(values.mean()) for name, values in nll.items()},
        crps={name: float(values.mean()) for name, values in crps.items()},
        nll_minus={name: diebold_mariano(nll[WORLD_MODEL], nll[name]) for name in rivals},
        confidence_set=model_confidence_set(nll, seed=seed),
        crps_skill_to_har_t=_skill(crps, np.random.default_rng(seed)),
        calibration=calibration(ours, outcomes),
        var=tuple(
            var_test(outcomes[known] < ours.quantile(level)[known], level) for level in VAR_LEVELS
        ),
        mean_slope=mean_slope(ours, outcomes, np.random.default_rng(seed)),
        notes=notes,
    )


def _skill(crps: Mapping[str, FloatArray], rng: np.random.Generator) -> Interval:
    """1 − CRPS ÷ HAR-t's, resampled in blocks."""
    pair = np.stack([crps[WORLD_MODEL], crps[HAR_T]])

    def skill(rows: IntArray | slice) -> float:
        ours, theirs = pair[:, rows].sum(axis=1)
        return float(1 - ours / theirs)

    rows = [
        stationary_bootstrap_rows(pair.shape[1], _BLOCK_BARS, rng) for _ in range(_REPLICATIONS)
    ]
    return percentile_interval(skill(slice(None)), [skill(each) for each in rows])


def mean_slope(forecast: ReturnForecast, returns: FloatArray, rng: np.random.Generator) -> Interval:
    """Slope of returns [T], percent, on their mean forecasts, weighted by 1/σ², with its interval.

    1 where the market pays what the forecasts promise, 0 where it ignores them (Mincer & Zarnowitz
    1969), and 0 for a mean that never moves.
    """
    known = forecast.valid & np.isfinite(returns)
    x, y, weight = forecast.mean[known], returns[known], forecast.volatility[known] ** -2.0

    def slope(rows: IntArray | slice) -> float:
        a, b, w = x[rows], y[rows], weight[rows]
        centred = a - np.average(a, weights=w)
        spread = float(w @ centred**2)
        return float((w * centred) @ b) / spread if spread > 1e-12 else 0.0

    draws = [
        slope(stationary_bootstrap_rows(len(x), _BLOCK_BARS, rng)) for _ in range(_REPLICATIONS)
    ]
    return percentile_interval(slope(slice(None)), draws)
