"""Forecasts of many bars at once, by simulated paths: of summed returns and realised volatility.

At horizons of several bars a forecast is an ensemble of paths. Its CRPS is estimated from sorted
members (Zamo & Naveau 2018), its forecast of the variance is scored by QLIKE (Patton 2011).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from ..market.arrays import FloatArray, IntArray
from ..market.candles import Candles
from ..market.errors import ConfigError
from .loss_tests import VAR_LEVELS, LossDifference, VaRTest, diebold_mariano, var_test

HORIZONS = (1, 24, 168)
"""Bars ahead."""
_COVERAGE = (0.05, 0.95)
_QUANTILE: Final = (
    "weibull"  # of few members, too: one more draw falls below it as often as it says
)
_SHARED_ORIGINS = 7  # outcomes do not overlap; those of a week share their volatility
_ORIGIN_STEP = 24  # bars between forecasts of up to a day, and one more: hours take turns


class Simulator(Protocol):
    """Whatever draws paths that follow a recorded bar."""

    def simulate(
        self, candles: Candles, rows: IntArray, paths: int, bars: int, rng: np.random.Generator
    ) -> FloatArray:
        """Log returns [N, paths, bars] in percent after each of N rows, from bars up to them."""


@dataclass(frozen=True, eq=False)
class HorizonLosses:
    """One simulator's losses at one horizon, an origin each, in time order.

    Attributes:
        crps_return: CRPS of the summed return [N], percent.
        crps_volatility: CRPS of √Σ r² [N], percent.
        qlike: RV/F − log(RV/F) − 1 [N] of Σ r² and its mean over paths.
        covered: Share of summed returns inside the central 90% of the paths.
        var: Tests of the 1% and 5% quantiles.
    """

    crps_return: FloatArray
    crps_volatility: FloatArray
    qlike: FloatArray
    covered: float
    var: tuple[VaRTest, ...]

    def losses(self) -> dict[str, FloatArray]:
        """The losses [N] by name."""
        return {
            "crps_return": self.crps_return,
            "crps_volatility": self.crps_volatility,
            "qlike": self.qlike,
        }


def horizon_losses(
    simulator: Simulator,
    candles: Candles,
    rows: tuple[int, int],
    horizon: int,
    *,
    seed: int,
    paths: int = 256,
) -> HorizonLosses:
    """Simulate from origins spread over the rows and score what followed.

    Origins are 25 bars apart, or the horizon and one where it is longer: outcomes do not overlap,
    and the hours of the day take turns.

    Args:
        simulator: What draws paths.
        candles: All bars.
        rows: First and last row (exclusive) of the bars that are forecast.
        horizon: Bars ahead.
        seed: Of the paths.
        paths: Members of each ensemble.

    Raises:
        ConfigError: Not one horizon without a gap fits into the rows.
    """
    origins = forecast_origins(candles, rows, horizon)
    rng = np.random.default_rng(seed)
    returns = 100 * candles.log_returns()
    outcomes = returns[origins[:, None] + np.arange(1, horizon + 1)]
    drawn = simulator.simulate(candles, origins, paths, horizon, rng)
    if drawn.shape != (len(origins), paths, horizon):
        raise ConfigError(
            f"the simulator drew {drawn.shape}; expected {(len(origins), paths, horizon)}"
        )
    total, ensemble = outcomes.sum(axis=1), drawn.sum(axis=2)
    realised, variances = (outcomes**2).sum(axis=1), (drawn**2).sum(axis=2)
    low, high = np.quantile(ensemble, _COVERAGE, axis=1, method=_QUANTILE)
    return HorizonLosses(
        crps_return=ensemble_crps(ensemble, total),
        crps_volatility=ensemble_crps(np.sqrt(variances), np.sqrt(realised)),
        qlike=qlike(variances.mean(axis=1), realised),
        covered=float(((total >= low) & (total <= high)).mean()),
        var=tuple(
            var_test(total < np.quantile(ensemble, level, axis=1, method=_QUANTILE), level)
            for level in VAR_LEVELS
        ),
    )


def forecast_origins(candles: Candles, rows: tuple[int, int], horizon: int) -> IntArray:
    """Rows after which ``horizon`` bars of the range follow without a gap.

    Raises:
        ConfigError: There are fewer than two.
    """
    step = max(_ORIGIN_STEP, horizon) + 1
    every = np.arange(max(rows[0] - 1, 0), rows[1] - horizon, step)
    span = candles.open_time_ms[every + horizon] - candles.open_time_ms[every]
    origins: IntArray = every[span == horizon * candles.interval_ms]
    if len(origins) < 2:
        raise ConfigError(
            f"the range has {rows[1] - rows[0]} bars; forecasts of {horizon} bars need two "
            "stretches of that length without a gap"
        )
    return origins


def ensemble_crps(members: FloatArray, outcomes: FloatArray) -> FloatArray:
    """CRPS [N] of ensembles [N, M]: E|X − y| − E|X − X'|/2, fair to few members.

    With x sorted, E|X − X'| = 2/(M(M − 1)) · Σ_i (2i − M + 1)·x_i, i from 0.

    Args:
        members: [N, M ≥ 2].
        outcomes: [N].
    """
    count = members.shape[1]
    if count < 2 or members.shape[0] != len(outcomes):
        raise ConfigError(
            f"members have shape {members.shape} for {len(outcomes)} outcomes; expected "
            f"({len(outcomes)}, 2 or more)"
        )
    ordered = np.sort(members, axis=1)
    weights = (2 * np.arange(count) - count + 1) / (count * (count - 1))
    distance = np.abs(members - outcomes[:, None]).mean(axis=1)
    crps: FloatArray = distance - ordered @ weights
    return crps


def qlike(forecast: FloatArray, realised: FloatArray) -> FloatArray:
    """RV/F − log(RV/F) − 1 [N], 0 where the forecast variance F is what was realised.

    A realised variance of 0, of closes that stood still, counts as a thousandth of the mean one.
    """
    least = 1e-3 * float(realised.mean())
    ratio = np.maximum(realised, max(least, 1e-30)) / np.maximum(forecast, 1e-30)
    loss: FloatArray = ratio - np.log(ratio) - 1
    return loss


@dataclass(frozen=True)
class HorizonScores:
    """One simulator at one horizon.

    Attributes:
        origins: Forecasts that were made.
        crps_return: Mean CRPS of the summed return, percent.
        crps_volatility: Mean CRPS of the realised volatility, percent.
        qlike: Mean QLIKE of the realised variance.
        covered: Share of summed returns inside the central 90% of the paths.
        var: Tests of the 1% and 5% quantiles.
        minus: Differences of its losses from those of the simulator that all are held against.
    """

    origins: int
    crps_return: float
    crps_volatility: float
    qlike: float
    covered: float
    var: tuple[VaRTest, ...]
    minus: dict[str, LossDifference]


def compare_horizons(
    simulators: Mapping[str, Simulator],
    candles: Candles,
    rows: tuple[int, int],
    *,
    seed: int,
    paths: int = 256,
    against: str,
) -> dict[int, dict[str, HorizonScores]]:
    """Scores of every simulator at every horizon that the rows hold at least twice, by horizon.

    Args:
        simulators: By name.
        candles: All bars.
        rows: The bars that are forecast.
        seed: Of the paths.
        paths: Members of each ensemble.
        against: Whose losses are subtracted.
    """
    table = {}
    for horizon in HORIZONS:
        if rows[1] - rows[0] > 2 * max(horizon, _ORIGIN_STEP) + 2:
            found = {
                name: horizon_losses(each, candles, rows, horizon, seed=seed, paths=paths)
                for name, each in simulators.items()
            }
            table[horizon] = {
                name: _scores(losses, found[against]) for name, losses in found.items()
            }
    return table


def _scores(losses: HorizonLosses, rival: HorizonLosses) -> HorizonScores:
    own, others = losses.losses(), rival.losses()
    return HorizonScores(
        origins=len(losses.qlike),
        covered=losses.covered,
        var=losses.var,
        minus={name: diebold_mariano(own[name], others[name], _SHARED_ORIGINS) for name in own},
        **{name: float(values.mean()) for name, values in own.items()},
    )
