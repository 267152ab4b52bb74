"""Is a Sharpe ratio more than luck? Probabilistic and deflated ratios, overfitting, intervals.

Ratios here are per bar unless a name says annual. A probabilistic ratio is a test, not a probability
of the ratio: one minus the p-value of "the true ratio is at most the benchmark". Sources: Bailey & López de Prado 2012 ("The
Sharpe ratio efficient frontier") and 2014 ("The deflated Sharpe ratio"); Bailey, Borwein, López de
Prado & Zhu 2015 ("The probability of backtest overfitting"); Politis & Romano 1994 (stationary
bootstrap).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, kurtosis, norm, skew

from ..market.arrays import FloatArray, IntArray
from ..market.errors import ConfigError
from .checks import check_finite, check_number, check_whole, finite_series
from .performance import sharpe_ratio, simple_returns

_TINY = 1e-13
_MAX_BLOCKS = 20  # 184,756 halves; 30 blocks would have 155 million


@dataclass(frozen=True)
class Interval:
    """An estimate and its bootstrap interval.

    Attributes:
        value: The estimate on the data itself.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """The three numbers by name."""
        return {"value": self.value, "low": self.low, "high": self.high}


def percentile_interval(value: float, draws: Sequence[float]) -> Interval:
    """An estimate with the central 95% of its resamples."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def share_interval(share: float, count: int) -> Interval:
    """A share of independent trials with its 95% interval (Wilson 1927)."""
    span = binomtest(round(share * count), count).proportion_ci(method="wilson")
    return Interval(share, float(span.low), float(span.high))


@dataclass(frozen=True)
class SharpeEvidence:
    """How far one Sharpe ratio in replay is from luck.

    Attributes:
        standard_error: Of the annual ratio.
        trials: How many candidates were compared on the range.
        probabilistic_sharpe: `probabilistic_sharpe_ratio` against 0.
        deflated_sharpe: `deflated_sharpe_ratio` against the best of so many worthless trials.
    """

    standard_error: float
    trials: int
    probabilistic_sharpe: float
    deflated_sharpe: float


def sharpe_standard_error(returns: ArrayLike, bars_per_year: float = 1.0) -> float:
    """Standard error of the Sharpe ratio of simple returns per bar [T], annual by ``bars_per_year``.

    √((1 − γ₃·SR + (γ₄ − 1)/4·SR²)/(T − 1))·√bars_per_year with SR per bar (Bailey & López de Prado
    2012, eq. 8); about 1/√years whatever the bar. 0 on fewer than two or constant returns.

    Raises:
        ConfigError: A return is not finite, or a year has no bars.
    """
    values = finite_series(returns, "returns")
    check_number("bars_per_year", bars_per_year, above=0.0)
    if len(values) < 2 or values.std() <= _TINY:
        return 0.0
    variance = _sharpe_variance_factor(values) / (len(values) - 1)
    return float(np.sqrt(variance * bars_per_year))


def probabilistic_sharpe_ratio(returns: ArrayLike, benchmark: float = 0.0) -> float:
    """One minus the p-value of "the true Sharpe ratio is at most the benchmark".

    PSR = Φ((SR − SR*)·√(T − 1)/√(1 − γ₃·SR + (γ₄ − 1)/4·SR²)). Where the true ratio is the
    benchmark, one sample in twenty shows more than 0.95. That is all it says: how likely the true
    ratio is to lie above the benchmark cannot be known without saying how likely that was before.

    Args:
        returns: Simple returns per bar [T].
        benchmark: SR*, per bar.

    Returns:
        A number in [0, 1]. On fewer than two or constant returns there is no evidence: 0.5 against
        a benchmark of 0 or less, 0 against a higher one.

    Raises:
        ConfigError: A return or the benchmark is not finite.
    """
    values = finite_series(returns, "returns")
    check_number("benchmark", benchmark)
    error = sharpe_standard_error(values)
    if error == 0.0:
        return 0.5 if benchmark <= 0 else 0.0
    return float(norm.cdf((float(sharpe_ratio(values, 1.0)) - benchmark) / error))


def expected_max_sharpe(trials: int, trial_sharpe_std: float) -> float:
    """Sharpe ratio to expect of the best of ``trials`` worthless strategies.

    SR* = σ_SR·[(1 − γ)·Φ⁻¹(1 − 1/N) + γ·Φ⁻¹(1 − 1/(N·e))], γ the Euler–Mascheroni constant; 0 for
    one trial.

    Args:
        trials: How many independent strategies were tried.
        trial_sharpe_std: Standard deviation of their Sharpe ratios, in the unit wanted back.

    Raises:
        ConfigError: ``trials`` is no whole number ≥ 1, or the deviation no number ≥ 0.
    """
    check_whole("trials", trials, 1)
    check_number("trial_sharpe_std", trial_sharpe_std)
    if trial_sharpe_std < 0:
        raise ConfigError(
            f"trial_sharpe_std is {trial_sharpe_std}; expected a deviation, 0 or more"
        )
    if trials == 1:
        return 0.0
    # Φ⁻¹(1 − p) = −Φ⁻¹(p), which keeps its digits where p is tiny.
    first, second = -norm.ppf(1 / trials), -norm.ppf(1 / (trials * np.e))
    return float(trial_sharpe_std * ((1 - np.euler_gamma) * first + np.euler_gamma * second))


def deflated_sharpe_ratio(
    returns: ArrayLike, trials: int, trial_sharpe_std: float | None = None
) -> float:
    """`probabilistic_sharpe_ratio` against the best of ``trials`` worthless strategies.

    One minus the p-value of "the true ratio is at most what the best of them would show".

    Args:
        returns: Simple returns per bar [T] of the strategy that was chosen.
        trials: How many strategies were tried before it was.
        trial_sharpe_std: Standard deviation of their Sharpe ratios per bar; None takes the
            standard error 1/√(T − 1) that worthless strategies have over these bars.

    Raises:
        ConfigError: As `probabilistic_sharpe_ratio` and `expected_max_sharpe`.
    """
    values = finite_series(returns, "returns")
    if trial_sharpe_std is None:
        trial_sharpe_std = 1 / math.sqrt(len(values) - 1) if len(values) > 1 else 0.0
    return probabilistic_sharpe_ratio(values, expected_max_sharpe(trials, trial_sharpe_std))


def sharpe_evidence(
    equity: Mapping[str, ArrayLike],
    bars_per_year: float,
    trials: Mapping[str, int] | None = None,
) -> dict[str, SharpeEvidence]:
    """How far a policy's Sharpe ratios in replay are from luck.

    Args:
        equity: By range [T + 1]; several dreams [N, T + 1] are passed over.
        bars_per_year: 8,760 for hourly bars.
        trials: How many candidates were compared on a range; 1 by default.

    Raises:
        ConfigError: An equity, a number of trials or ``bars_per_year`` is impossible.
    """
    evidence: dict[str, SharpeEvidence] = {}
    for label, path in equity.items():
        if np.ndim(path) == 1:
            returns = simple_returns(finite_series(path, f"equity on {label}"))
            count = (trials or {}).get(label, 1)
            evidence[label] = SharpeEvidence(
                standard_error=sharpe_standard_error(returns, bars_per_year),
                trials=count,
                probabilistic_sharpe=probabilistic_sharpe_ratio(returns),
                deflated_sharpe=deflated_sharpe_ratio(returns, count),
            )
    return evidence


def probability_of_backtest_overfitting(returns: ArrayLike, blocks: int = 10) -> float:
    """How often the best strategy of one half of the bars is below the median of the other half.

    Combinatorially symmetric cross-validation: the bars are cut into ``blocks`` consecutive
    blocks; for every choice of half of them the strategy with the best Sharpe ratio there is
    ranked on the rest. 0.5 is what luck alone gives.

    Args:
        returns: Simple returns per bar [T, N] of N ≥ 2 strategies.
        blocks: Even, 2 to 20; bars beyond a multiple of it are left out.

    Raises:
        ConfigError: The shape or ``blocks`` is impossible, or a return is not finite.
    """
    table = np.asarray(returns, dtype=np.float64)
    check_whole("blocks", blocks, 2)
    if blocks % 2 or blocks > _MAX_BLOCKS:
        raise ConfigError(f"blocks is {blocks}; expected an even number, 2 to {_MAX_BLOCKS}")
    if table.ndim != 2 or table.shape[1] < 2 or len(table) < 2 * blocks:
        raise ConfigError(
            f"returns have shape {table.shape}; expected [T ≥ {2 * blocks}, N ≥ 2 strategies]"
        )
    check_finite(table, "returns")
    parts = np.array_split(table[: len(table) // blocks * blocks], blocks)
    below = [
        _relative_rank_out_of_sample(parts, chosen) <= 0.5
        for chosen in combinations(range(blocks), blocks // 2)
    ]
    return float(np.mean(below))


def stationary_bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[FloatArray], float] = np.mean,
    *,
    seed: int | np.random.Generator,
    block_length: float | None = None,
    replications: int = 500,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic under the stationary block bootstrap.

    Args:
        values: Observations [T] or rows [T, …]; rows stay together.
        statistic: Function of such an array.
        seed: Seeds the draws.
        block_length: Mean block length in bars; None takes Politis & White's optimum of the
            first column.
        replications: How many resamples.
        level: Coverage, between 0 and 1.

    Raises:
        ConfigError: A value is not finite, the statistic is not on some resample, or an argument
            is impossible.
    """
    data = np.asarray(values, dtype=np.float64)
    if not data.ndim:
        raise ConfigError(f"values is {values!r}; expected observations [T] or rows [T, …]")
    check_finite(data, "values")
    check_whole("replications", replications, 1)
    if not 0.0 < level < 1.0:
        raise ConfigError(f"level is {level}; expected a coverage between 0 and 1")
    if len(data) < 2:
        only = float(statistic(data)) if len(data) else 0.0
        return Interval(only, only, only)
    if block_length is None:
        block_length = optimal_block_length(data.reshape(len(data), -1)[:, 0])
    rng = np.random.default_rng(seed)
    draws = [
        float(statistic(data[stationary_bootstrap_rows(len(data), block_length, rng)]))
        for _ in range(replications)
    ]
    check_finite(np.array(draws), "the statistic of the resamples")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(data)), float(low), float(high))


def stationary_bootstrap_rows(
    length: int, block_length: float, rng: np.random.Generator, size: int | None = None
) -> IntArray:
    """Row numbers of one resample [size]: blocks of geometric length, wrapping at the end.

    Args:
        length: How many rows there are.
        block_length: Mean block length, ≥ 1.
        rng: Draws the blocks.
        size: How many rows to draw; as many as there are by default.

    Raises:
        ConfigError: There are no rows, or the block length is no number ≥ 1.
    """
    size = length if size is None else size
    check_whole("size", size, 0)
    _check_blocks(length, block_length)
    origins, lengths = _drawn_blocks(length, block_length, rng, size)
    first = np.cumsum(lengths) - lengths
    offset = np.arange(size) - np.repeat(first, lengths)
    rows: IntArray = (np.repeat(origins, lengths) + offset) % length
    return rows


def stationary_bootstrap_sums(
    values: FloatArray, block_length: float, replications: int, rng: np.random.Generator
) -> FloatArray:
    """Sums [B, C] over the rows of B resamples of values [T, C], as `stationary_bootstrap_rows` has.

    A block's sum is the difference of two running sums, so a resample takes T ÷ block_length steps.

    Raises:
        ConfigError: There are no rows, or the block length is no number ≥ 1.
    """
    length = len(values)
    _check_blocks(length, block_length)
    running = np.zeros((2 * length + 1, values.shape[1]))  # twice: a block may wrap at the end
    np.cumsum(np.concatenate([values, values]), axis=0, out=running[1:])
    sums = np.empty((replications, values.shape[1]))
    for draw in sums:
        origins, lengths = _drawn_blocks(length, block_length, rng, length)
        draw[:] = (running[origins + lengths] - running[origins]).sum(axis=0)
    return sums


def _check_blocks(length: int, block_length: float) -> None:
    check_whole("length", length, 1)
    check_number("block_length", block_length)
    if block_length < 1:
        raise ConfigError(f"block_length is {block_length}; expected a mean of 1 bar or more")


def _drawn_blocks(
    length: int, block_length: float, rng: np.random.Generator, size: int
) -> tuple[IntArray, IntArray]:
    """First rows and lengths of the blocks of one resample of ``size`` rows."""
    starts = rng.random(size) < 1 / block_length
    starts[:1] = True
    first = np.flatnonzero(starts)
    return rng.integers(length, size=len(first)), np.diff(np.append(first, size))


def optimal_block_length(values: FloatArray) -> float:
    """Politis & White's mean block length [bars] for the stationary bootstrap of values [T], 1 to T/4.

    Raises:
        ConfigError: A value is not finite.
    """
    values = finite_series(values, "values")
    from arch.bootstrap import optimal_block_length as politis_white  # arch is slow to import

    if len(values) < 16 or values.std() <= _TINY:
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arch warns about its own pandas use
        length = float(politis_white(values)["stationary"].iloc[0])
    return float(np.clip(length, 1.0, len(values) / 4))


def _sharpe_variance_factor(values: FloatArray) -> float:
    ratio = float(sharpe_ratio(values, 1.0))
    factor = 1 - skew(values) * ratio + (kurtosis(values, fisher=False) - 1) / 4 * ratio**2
    return float(max(factor, 0.0))


def _relative_rank_out_of_sample(parts: list[FloatArray], chosen: tuple[int, ...]) -> float:
    """Rank in (0, 1) on the other blocks of the strategy that is best on the chosen ones."""
    inside = np.concatenate([parts[i] for i in chosen])
    outside = np.concatenate([parts[i] for i in range(len(parts)) if i not in chosen])
    best = int(np.argmax(sharpe_ratio(inside.T, 1.0)))
    scores = sharpe_ratio(outside.T, 1.0)
    below = (scores < scores[best]).sum() + 0.5 * ((scores == scores[best]).sum() - 1)
    return float((below + 1) / (len(scores) + 1))
