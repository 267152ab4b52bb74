"""How much of a field of policies is luck: every measure that asks, over one recorded range.

A field is judged together: the more policies were tried on the same bars, the better the best of
them looks. `measure_luck` measures all, `Luck.verdict` calls one good or not, and `hold_together`
asks whether it holds in every seed and window.

Means are tested on sums of days, whose dependence is short, with blocks of Politis & White's length;
Sharpe ratios are those of bars. Sources: White 2000 ("A reality check for data snooping"), Hansen
2005 ("A test for superior predictive ability"), Romano & Wolf 2005 ("Stepwise multiple testing as
formalized data snooping"), all by `arch.bootstrap`, and those of `evaluation.significance`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from ...market.arrays import BoolArray, FloatArray
from ...market.errors import ConfigError
from ..checks import check_number, check_whole, finite_series
from ..performance import RUIN_EQUITY, annual_ratio, sharpe_ratio
from ..significance import (
    Interval,
    deflated_sharpe_ratio,
    optimal_block_length,
    percentile_interval,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
    stationary_bootstrap_sums,
)

REPLICATIONS: Final = 1_000
CONFIDENCE: Final = 0.95
"""What a deflated Sharpe ratio must reach, and one minus the size of the step-down test."""
_DAYS_PER_YEAR: Final = 365.0
_ROWS: Final = 100  # days are summed up as long as so many rows are left
_FEWEST_ROWS: Final = 16  # fewer say nothing about dependence
_OVERFITTING_BLOCKS: Final = 10
_TINY: Final = 1e-13
_NEVER: Final = 1e9  # deviations by which the policy loses that no test may find superior


@dataclass(frozen=True)
class PolicyLuck:
    """How far one policy's result is from luck.

    Attributes:
        annual_log_return: After costs.
        sharpe: Annual Sharpe ratio, with its 95% interval by stationary bootstrap.
        standard_error: Of that ratio, by the same resamples.
        probabilistic_sharpe: `probabilistic_sharpe_ratio` against 0.
        deflated_sharpe: `deflated_sharpe_ratio` against the best of all trials on the range.
        over_holding: Annual mean simple return less that of holding, with its interval.
        superior: Whether it is in Romano & Wolf's set of policies that beat the benchmark.
    """

    annual_log_return: float
    sharpe: Interval
    standard_error: float
    probabilistic_sharpe: float
    deflated_sharpe: float
    over_holding: Interval
    superior: bool


@dataclass(frozen=True)
class Snooping:
    """P-values of "no policy of the field beats the benchmark in the mean".

    Attributes:
        reality_check: White's: of the largest mean as it is.
        lower: Hansen's liberal bound, of means in their standard errors, as the next two are.
        consistent: Hansen's own: policies that are clearly worse do not count.
        upper: His conservative bound.
    """

    reality_check: float = 1.0
    lower: float = 1.0
    consistent: float = 1.0
    upper: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """Why a policy is called good on a range, or not.

    Attributes:
        earns: Its log return after costs is positive.
        deflated: Its deflated Sharpe ratio reaches 0.95, by all trials on the range.
        superior: It is in the step-down test's set against the better of nothing and holding.
        holds: It earned in every seed and window that was asked about.
    """

    earns: bool
    deflated: bool
    superior: bool
    holds: bool

    @property
    def good(self) -> bool:
        """Whether all four are true."""
        return self.earns and self.deflated and self.superior and self.holds

    def to_dict(self) -> dict[str, bool]:
        """The four, and what they come to."""
        return {**asdict(self), "good": self.good}


@dataclass(frozen=True)
class Luck:
    """A field of policies on one recorded range of T bars.

    Attributes:
        policies: By name.
        benchmark: What had to be beaten: the better of ``"nothing"`` and ``"holding"`` on the range.
        trials: All candidates that were ever scored on the range.
        overfitting: `probability_of_backtest_overfitting` of choosing the best Sharpe ratio of the
            field; None for fewer than two policies or 20 rows.
        snooping: P-values of the field.
        bars: T.
        block_length: Mean block of the resamples, in bars.
    """

    policies: Mapping[str, PolicyLuck]
    benchmark: Literal["nothing", "holding"]
    trials: int
    overfitting: float | None
    snooping: Snooping
    bars: int
    block_length: float

    def verdict(self, name: str, by_seed: ArrayLike | None = None) -> Verdict:
        """Whether a policy is called good on the range.

        It is, where all of this is so, each of which luck alone passes more often than all together:
        it earns after costs; its deflated Sharpe ratio is at least 0.95, counting all trials; the
        step-down test finds its mean above the better of doing nothing and holding, at a 5% chance of
        any false finding in the whole field; and no seed or window of it lost.

        Args:
            name: Of the policy.
            by_seed: Its annual net log returns [S] by seed, or [S, W] by seed and window; None where
                there is but the one that was measured.

        Raises:
            ConfigError: There is no such policy, or a return by seed is not finite.
        """
        if name not in self.policies:
            raise ConfigError(f"no policy {name!r} was measured; got {', '.join(self.policies)}")
        found = self.policies[name]
        return Verdict(
            earns=found.annual_log_return > 0.0,
            deflated=found.deflated_sharpe >= CONFIDENCE,
            superior=found.superior,
            holds=True if by_seed is None else hold_together(by_seed).every,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry."""
        return asdict(self)


@dataclass(frozen=True)
class Held:
    """In how many seeds and windows something held.

    Attributes:
        share: Of all seeds and windows.
        every: Whether in all of them.
        pass_k: ``pass_k[k − 1]`` is the chance that k seeds drawn without replacement all hold in a
            window, the mean over windows: C(held, k) ÷ C(seeds, k) (Yao et al. 2024, "τ-bench").
    """

    share: float
    every: bool
    pass_k: tuple[float, ...]


def hold_together(values: ArrayLike, level: float = 0.0) -> Held:
    """Whether values [S] by seed, or [S, W] by seed and window, are above a level everywhere.

    Args:
        values: Annual net log returns, or returns over holding.
        level: That each has to exceed.

    Returns:
        What held; nothing does where there is no seed or no window.

    Raises:
        ConfigError: The shape is another, or a number is not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    check_number("level", level)
    if table.ndim not in (1, 2) or not np.isfinite(table).all():
        raise ConfigError(
            f"values have shape {table.shape}; expected finite numbers by seed [S] or by seed and "
            "window [S, W]"
        )
    if not table.size:
        return Held(0.0, False, ())
    above = (table > level).reshape(len(table), -1)
    seeds, held = len(above), above.sum(axis=0).tolist()
    chances = [
        sum(math.comb(count, k) for count in held) / (len(held) * math.comb(seeds, k))
        for k in range(1, seeds + 1)
    ]
    return Held(float(above.mean()), bool(above.all()), tuple(chances))


def measure_luck(
    returns: Mapping[str, ArrayLike],
    holding: ArrayLike,
    *,
    bars_per_year: float,
    trials: Mapping[str, int] | None = None,
    trial_sharpe_std: float | None = None,
    seed: int = 0,
    replications: int = REPLICATIONS,
) -> Luck:
    """Measure a field of policies on one recorded range.

    Args:
        returns: Simple returns per bar after costs [T] by name; where a policy has several seeds,
            those of its median seed.
        holding: Simple returns per bar of holding [T].
        bars_per_year: 8,760 for hourly bars.
        trials: How many candidates were scored on the range, by name of whatever they came from, of
            the field or beyond it; a policy of the field that is not named counts as one. The best
            of all of them is what a deflated Sharpe ratio is asked to exceed.
        trial_sharpe_std: Deviation of the trials' annual Sharpe ratios; None takes what worthless
            policies have over these bars.
        seed: Seeds the resamples.
        replications: How many.

    Returns:
        Finite numbers, whatever the returns: on fewer than two or constant ones there is no
        evidence, p-values are 1 and nothing is superior.

    Raises:
        ConfigError: There is no policy, lengths differ, a return is not finite or below −1, or a
            number is impossible.
    """
    field, held = _checked(returns, holding)
    check_number("bars_per_year", bars_per_year, above=0.0)
    check_whole("seed", seed, 0)
    check_whole("replications", replications, 20)
    count = _count_trials(returns, trials or {})
    if trial_sharpe_std is not None:
        check_number("trial_sharpe_std", trial_sharpe_std)
        trial_sharpe_std /= math.sqrt(bars_per_year)
    per_row = bars_per_row(len(held), bars_per_year)
    rows = row_sums(field, per_row)  # [D, P]
    block = _block_length(rows)
    resampled = _Resampled.of(field, held, block * per_row, bars_per_year, replications, seed)
    to_beat = held.mean() > 0.0 if len(held) else False
    over = rows - row_sums(held[:, None], per_row) if to_beat else rows
    snooping, superior = _beaten(over, block, replications, seed)
    policies = {
        name: PolicyLuck(
            _annual_log_return(series, bars_per_year),
            resampled.sharpe[i],
            resampled.standard_error[i],
            probabilistic_sharpe_ratio(series),
            deflated_sharpe_ratio(series, count, trial_sharpe_std),
            resampled.over_holding[i],
            bool(superior[i]),
        )
        for i, (name, series) in enumerate(zip(returns, field.T, strict=True))
    }
    return Luck(
        policies,
        "holding" if to_beat else "nothing",
        count,
        _overfitting(rows),
        snooping,
        len(held),
        block * per_row,
    )


@dataclass(frozen=True)
class _Resampled:
    """What the resamples say of each policy."""

    sharpe: list[Interval]
    standard_error: list[float]
    over_holding: list[Interval]

    @classmethod
    def of(
        cls,
        field: FloatArray,
        held: FloatArray,
        block_length: float,
        bars_per_year: float,
        replications: int,
        seed: int,
    ) -> _Resampled:
        """Resample returns [T, P], their squares and what they are over holding together."""
        bars, count = field.shape
        if bars < 2:
            nothing = [Interval(0.0, 0.0, 0.0)] * count
            return cls(nothing, [0.0] * count, nothing)
        over = field - held[:, None]
        level, level_over = field.mean(axis=0), over.mean(axis=0)
        around = field - level  # of centred returns the squares lose no digits
        columns = np.hstack([around, around**2, over - level_over])
        rng = np.random.default_rng(seed)
        drawn = stationary_bootstrap_sums(columns, block_length, replications, rng) / bars
        shift, square, shift_over = np.split(drawn, 3, axis=1)
        spread = np.sqrt(np.maximum(square - shift**2, 0.0) * bars / (bars - 1))
        ratios = annual_ratio(level + shift, spread, bars_per_year)
        values = sharpe_ratio(field.T, bars_per_year)
        more = bars_per_year * (level_over + shift_over)
        return cls(
            [_interval(value, draws) for value, draws in zip(values, ratios.T, strict=True)],
            ratios.std(axis=0, ddof=1).tolist(),
            [
                _interval(value, draws)
                for value, draws in zip(bars_per_year * level_over, more.T, strict=True)
            ],
        )


def _interval(value: float, draws: FloatArray) -> Interval:
    return percentile_interval(float(value), draws.tolist())


def _beaten(
    over: FloatArray, block_length: float, replications: int, seed: int
) -> tuple[Snooping, BoolArray]:
    """Whether any policy, and which, beats the benchmark, by what it is over it [D, P]."""
    superior = np.zeros(over.shape[1], dtype=np.bool_)
    varies = over.std(axis=0) > _TINY if len(over) else superior
    if len(over) < _FEWEST_ROWS or not varies.any():
        return Snooping(), superior
    from arch.bootstrap import SPA, StepM  # arch is slow to import

    some = over[:, varies]
    spread = _standard_errors(some, block_length, replications, seed) * math.sqrt(len(over))
    # arch compares means as they are, whatever its ``studentize``: so they come in their deviations.
    # It minimises losses, hence the minus.
    losses, nothing = -some / spread, np.zeros(len(over))
    settings: Any = {"block_size": block_length, "reps": replications, "seed": seed}
    tests = [SPA(nothing, each, **settings) for each in (-some, losses)]
    for test in tests:
        test.compute()
    white, hansen = (test.pvalues for test in tests)
    # arch's step-down fails once all are superior, so one that never is goes with them.
    steps = StepM(
        nothing, np.column_stack([losses, nothing + _NEVER]), size=1.0 - CONFIDENCE, **settings
    )
    steps.compute()
    superior[np.flatnonzero(varies)[np.array(steps.superior_models, dtype=np.int64)]] = True
    values = (float(hansen[name]) for name in ("lower", "consistent", "upper"))
    return Snooping(float(white["upper"]), *values), superior


def _standard_errors(
    rows: FloatArray, block_length: float, replications: int, seed: int
) -> FloatArray:
    """Of the means of rows [D, P], by stationary bootstrap [P]."""
    rng = np.random.default_rng(seed)
    sums = stationary_bootstrap_sums(rows, block_length, replications, rng)
    errors: FloatArray = np.maximum(sums.std(axis=0) / len(rows), _TINY)
    return errors


def _overfitting(rows: FloatArray) -> float | None:
    if rows.shape[1] < 2 or len(rows) < 2 * _OVERFITTING_BLOCKS:
        return None
    return probability_of_backtest_overfitting(rows, _OVERFITTING_BLOCKS)


def bars_per_row(bars: int, bars_per_year: float) -> int:
    """How many bars [T] are summed up before means are resampled: a day's, or fewer of a short range."""
    return max(1, min(round(bars_per_year / _DAYS_PER_YEAR), bars // _ROWS))


def row_sums(values: FloatArray, per_row: int) -> FloatArray:
    """Sums [D, P] of so many rows of values [T, P] each; the last of what is left."""
    if not len(values):
        return values
    sums: FloatArray = np.add.reduceat(values, np.arange(0, len(values), per_row), axis=0)
    return sums


def _block_length(rows: FloatArray) -> float:
    """The median of the policies' optimal mean block lengths, in rows."""
    return float(np.median([optimal_block_length(column) for column in rows.T]))


def _annual_log_return(returns: FloatArray, bars_per_year: float) -> float:
    if not len(returns):
        return 0.0
    total = float(np.log1p(np.maximum(returns, RUIN_EQUITY - 1.0)).sum())
    return max(total, math.log(RUIN_EQUITY)) * bars_per_year / len(returns)


def _count_trials(names: Mapping[str, Any], trials: Mapping[str, int]) -> int:
    for name, count in trials.items():
        check_whole(f"trials[{name!r}]", count, 0)
    return sum({**dict.fromkeys(names, 1), **trials}.values()) or 1


def _checked(returns: Mapping[str, ArrayLike], holding: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Returns [T, P] and those of holding [T]."""
    if not returns:
        raise ConfigError("returns name no policy; expected simple returns per bar by name")
    held = finite_series(holding, "holding")
    columns = [finite_series(series, f"returns[{name!r}]") for name, series in returns.items()]
    for name, column in [*zip(returns, columns, strict=True), ("holding", held)]:
        if len(column) != len(held):
            raise ConfigError(
                f"returns[{name!r}] has {len(column)} bars, holding {len(held)}; expected one range"
            )
        if len(column) and column.min() < -1.0:
            raise ConfigError(
                f"the returns of {name!r} fall to {column.min():g}; expected simple returns, −1 "
                "where all is lost"
            )
    return np.column_stack(columns), held
