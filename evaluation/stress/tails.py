"""Value at risk and expected shortfall that ensembles forecast, held against what came.

Kupiec 1995 and Christoffersen 1998 test the quantile (`evaluation.loss_tests`); Acerbi & Székely 2014
("Back-testing expected shortfall"), test 2, quantile and shortfall together; Patton, Ziegel & Chen 2019 ("Dynamic
semiparametric models for expected shortfall") score both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from ...market.arrays import FloatArray, IntArray
from ...market.candles import Candles
from ...market.errors import ConfigError
from ..horizons import Simulator, forecast_origins
from ..loss_tests import VAR_LEVELS, VaRTest, var_test

DAY = 24
_AT_ONCE = 24_000  # lanes; what each remembers takes kilobytes
_DRAWS, _DRAWN_AT_ONCE = 2_000, 100
_REFUSED = 0.01


@dataclass(frozen=True)
class TailTest:
    """One simulator's value at risk and expected shortfall at one level.

    Attributes:
        quantile: Kupiec's and Christoffersen's tests.
        statistic: Acerbi & Székely's Z₂, 0 in the mean where both are right, −1 where twice as much is lost
            in the tail as was forecast.
        shortfall_p: P-value of "no more is lost", by outcomes drawn from the forecasts themselves.
        value_at_risk: Mean forecast, percent.
        shortfall: Mean forecast, percent.
        loss: Mean of Patton, Ziegel & Chen's loss of both; less is better.
    """

    quantile: VaRTest
    statistic: float
    shortfall_p: float
    value_at_risk: float
    shortfall: float
    loss: float

    @property
    def refused(self) -> bool:
        """Whether one of the three tests refuses, at 1%."""
        return self.quantile.refused or self.shortfall_p < _REFUSED

    def to_dict(self) -> dict[str, object]:
        """Plain values that JSON can carry."""
        return {**asdict(self), "quantile": self.quantile.to_dict(), "refused": self.refused}


def tail_test(members: FloatArray, outcomes: FloatArray, level: float, seed: int) -> TailTest:
    """Test the lower tail of ensembles.

    Args:
        members: Forecast returns [N, M], percent, in time order.
        outcomes: What came [N].
        level: Probability of the tail.
        seed: Of the draws from the forecasts.

    Raises:
        ConfigError: The tail of an ensemble has no member, or shapes differ.
    """
    count, size = members.shape
    worst = round(level * size)
    if worst < 1 or outcomes.shape != (count,):
        raise ConfigError(
            f"there are {size} members for the tail of {level:g} and {outcomes.shape} outcomes of {count} "
            f"forecasts; expected {int(np.ceil(1 / level))} members or more, and an outcome each"
        )
    lowest = np.sort(np.partition(members, worst, axis=1)[:, : worst + 1], axis=1)
    at_risk, shortfall = -lowest[:, worst - 1], -lowest[:, :worst].mean(axis=1)
    shortfall = np.maximum(shortfall, 1e-9)
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(_DRAWS // _DRAWN_AT_ONCE):
        which = rng.integers(size, size=(_DRAWN_AT_ONCE, count))
        some = members[np.arange(count), which]
        drawn.append(_second_statistic(some, at_risk, shortfall, level))
    statistic = float(_second_statistic(outcomes, at_risk, shortfall, level))
    below = int((np.concatenate(drawn) <= statistic).sum())
    return TailTest(
        quantile=var_test(outcomes < -at_risk, level),
        statistic=statistic,
        shortfall_p=(1 + below) / (1 + _DRAWS),
        value_at_risk=float(at_risk.mean()),
        shortfall=float(shortfall.mean()),
        loss=float(_joint_loss(outcomes, at_risk, shortfall, level).mean()),
    )


def _second_statistic(
    outcomes: FloatArray, at_risk: FloatArray, shortfall: FloatArray, level: float
) -> FloatArray:
    """Z₂ [...] of outcomes [..., N]: the mean of X·1{X < −VaR} ÷ (α ES), plus 1."""
    beyond = np.where(outcomes < -at_risk, outcomes, 0.0)
    return np.asarray((beyond / (level * shortfall)).mean(axis=-1) + 1.0)


def _joint_loss(
    outcomes: FloatArray, at_risk: FloatArray, shortfall: FloatArray, level: float
) -> FloatArray:
    """1{X ≤ −VaR} (−VaR − X) ÷ (α ES) + VaR ÷ ES + log ES − 1 [N], of homogeneous degree 0."""
    beyond = np.where(outcomes <= -at_risk, -at_risk - outcomes, 0.0)
    loss: FloatArray = beyond / (level * shortfall) + at_risk / shortfall + np.log(shortfall) - 1.0
    return loss


def day_tails(
    simulators: Mapping[str, Simulator],
    candles: Candles,
    rows: tuple[int, int],
    *,
    seed: int,
    paths: int,
    bars: int = DAY,
) -> dict[str, tuple[TailTest, ...]]:
    """Test the tails of the next day's return by each simulator, on windows that do not overlap.

    Args:
        simulators: By name.
        candles: All bars.
        rows: The bars that are forecast.
        seed: Of the paths.
        paths: Members of each ensemble.
        bars: Of a window.

    Returns:
        By simulator, a test for each of `VAR_LEVELS`.
    """
    origins = forecast_origins(candles, rows, bars)
    returns = 100.0 * candles.log_returns()
    outcomes = returns[origins[:, None] + np.arange(1, bars + 1)].sum(axis=1)
    found = {}
    for name, simulator in simulators.items():
        members = _ensembles(simulator, candles, origins, paths, bars, np.random.default_rng(seed))
        found[name] = tuple(tail_test(members, outcomes, level, seed) for level in VAR_LEVELS)
    return found


def _ensembles(
    simulator: Simulator,
    candles: Candles,
    origins: IntArray,
    paths: int,
    bars: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Summed returns [N, paths], some origins at a time."""
    parts = np.array_split(origins, max(1, len(origins) * paths // _AT_ONCE))
    drawn = [simulator.simulate(candles, part, paths, bars, rng).sum(axis=2) for part in parts]
    return np.concatenate(drawn)
