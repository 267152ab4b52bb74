"""Stylised facts of return paths: what markets are known for, as numbers with intervals.

Every fact is a function of weights on paths, so that a bootstrap over paths (weights are counts)
and a noise floor (weights are a random half) cost no more than sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from ...market.arrays import FloatArray
from .paths import Dreams

HORIZONS = (1, 4, 24, 168)
"""Bars over which returns are summed for the kurtosis."""
ACF_LAGS = 48
"""Lags of the autocorrelation of absolute returns."""
FAR_LAG = 168
"""And one far beyond them: volatility is remembered for weeks."""
HILL_SHARE = 0.01
"""Share of the largest absolute returns that the Hill index uses."""
_DECILES = 10
_LEVERAGE_LAGS = 24


@dataclass(frozen=True, eq=False)
class StylisedFacts:
    """Facts of one set of paths; a fact that cannot be computed is None.

    Attributes:
        sigma: Standard deviation of a bar's log return.
        excess_kurtosis: By horizon in bars, of sums of returns that do not overlap.
        abs_acf: Autocorrelation of absolute returns at lags 1 … 48 inside a path, mean over
            paths; None for paths shorter than twice as many bars.
        abs_acf_168: The same at lag 168.
        return_acf_1: Autocorrelation of returns at lag 1 inside a path, mean over paths.
        hill_index: Tail index of the largest 1% of absolute returns (Hill 1975).
        leverage: Mean correlation of a return with the absolute returns of the 24 bars after.
        volume_rank: Rank correlation of log volume and absolute return.
        range_by_return: Mean high–low log range in the deciles of the absolute return [10].
    """

    sigma: float
    excess_kurtosis: dict[int, float]
    abs_acf: FloatArray | None
    abs_acf_168: float | None
    return_acf_1: float | None
    hill_index: float
    leverage: float | None
    volume_rank: float | None
    range_by_return: FloatArray | None


class PathFacts:
    """Sums over each path from which the facts follow.

    Args:
        dreams: The paths.
        feature_names: Columns of their features; ``log_volume`` and ``range`` are read.
        decile_edges: Inner edges [9] of absolute-return deciles; None takes the paths' own.
    """

    def __init__(
        self,
        dreams: Dreams,
        feature_names: Sequence[str] = (),
        decile_edges: FloatArray | None = None,
    ) -> None:
        returns = dreams.log_return
        self.num_paths, self.bars = returns.shape
        self._powers = {
            horizon: _power_sums(returns, horizon) for horizon in HORIZONS if self.bars >= horizon
        }
        long_enough = self.bars >= 2 * ACF_LAGS
        self._abs_acf = autocorrelation(np.abs(returns), ACF_LAGS) if long_enough else None
        far = self.bars >= 2 * FAR_LAG
        self._far_acf = autocorrelation(np.abs(returns), FAR_LAG)[:, -1] if far else None
        self._acf = autocorrelation(returns, 1) if self.bars > 2 else None
        self._leverage = leverage_effect(returns) if long_enough else None
        magnitude = np.abs(returns)
        self._order = np.argsort(-magnitude, axis=None)
        self._sorted = magnitude.ravel()[self._order]
        self.decile_edges = (
            np.quantile(magnitude, np.arange(1, _DECILES) / _DECILES)
            if decile_edges is None
            else decile_edges
        )
        self._rank_sums: FloatArray | None = None
        self._range_sums: tuple[FloatArray, FloatArray] | None = None
        if dreams.features is not None and "log_volume" in feature_names:
            volume = dreams.features[..., list(feature_names).index("log_volume")]
            self._rank_sums = _rank_sums(magnitude, volume)
        if dreams.features is not None and "range" in feature_names:
            ranges = dreams.features[..., list(feature_names).index("range")]
            self._range_sums = _decile_sums(magnitude, ranges, self.decile_edges)

    def facts(self, weights: FloatArray | None = None) -> StylisedFacts:
        """The facts with these weights on the paths [N]; all equal by default."""
        w = np.ones(self.num_paths) if weights is None else np.asarray(weights, dtype=np.float64)
        return StylisedFacts(
            sigma=_sigma(self._powers[1], w),
            excess_kurtosis={h: _kurtosis(sums, w) for h, sums in self._powers.items()},
            abs_acf=None if self._abs_acf is None else w @ self._abs_acf / w.sum(),
            abs_acf_168=None if self._far_acf is None else float(w @ self._far_acf / w.sum()),
            return_acf_1=None if self._acf is None else float(w @ self._acf[:, 0] / w.sum()),
            hill_index=self._hill(w),
            leverage=None if self._leverage is None else float(w @ self._leverage / w.sum()),
            volume_rank=None if self._rank_sums is None else _correlation(w @ self._rank_sums),
            range_by_return=self._range_means(w),
        )

    def _hill(self, weights: FloatArray) -> float:
        """Hill's index of the weighted sample: 1 ÷ mean log excess over the 1% quantile."""
        counts = np.cumsum(weights[self._order // self.bars])
        top = int(np.searchsorted(counts, HILL_SHARE * counts[-1]))
        if top < 2 or self._sorted[top] <= 0:
            return 0.0
        share = weights[self._order[:top] // self.bars]
        if not share.any():  # a resample of few dreams may hold none of the largest
            return 0.0
        excess = float(share @ np.log(self._sorted[:top] / self._sorted[top]) / share.sum())
        return 1.0 / excess if excess > 0 else 0.0

    def _range_means(self, weights: FloatArray) -> FloatArray | None:
        if self._range_sums is None:
            return None
        totals, counts = (weights @ sums for sums in self._range_sums)
        means: FloatArray = totals / np.maximum(counts, 1e-12)
        return means


def hill_index(values: FloatArray, share: float = HILL_SHARE) -> float:
    """Hill's tail index of the largest ``share`` of absolute values [n]; 0 if there are too few."""
    magnitude = np.sort(np.abs(values).ravel())[::-1]
    top = int(share * len(magnitude))
    if top < 2 or magnitude[top] <= 0:
        return 0.0
    return float(1.0 / np.log(magnitude[:top] / magnitude[top]).mean())


def autocorrelation(values: FloatArray, lags: int) -> FloatArray:
    """Autocorrelation of each path [N, lags] at lags 1 … ``lags``; 0 where a path is constant."""
    centred = values - values.mean(axis=1, keepdims=True)
    variance = (centred**2).sum(axis=1)
    safe = np.where(variance > 1e-30, variance, 1.0)
    columns = [(centred[:, k:] * centred[:, :-k]).sum(axis=1) / safe for k in range(1, lags + 1)]
    return np.where(variance[:, None] > 1e-30, np.stack(columns, axis=1), 0.0)


def leverage_effect(returns: FloatArray, lags: int = _LEVERAGE_LAGS) -> FloatArray:
    """Mean correlation [N] of r_t with |r_{t+k}|, k = 1 … ``lags``; falls that excite are < 0."""
    magnitude = np.abs(returns)
    first = returns - returns.mean(axis=1, keepdims=True)
    second = magnitude - magnitude.mean(axis=1, keepdims=True)
    scale = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    total = sum((first[:, :-k] * second[:, k:]).sum(axis=1) for k in range(1, lags + 1))
    return np.where(scale > 1e-30, total / lags / np.where(scale > 1e-30, scale, 1.0), 0.0)


def volatility_cone(
    returns: FloatArray, horizons: Sequence[int], levels: Sequence[float] = (0.05, 0.5, 0.95)
) -> FloatArray:
    """Quantiles [horizons, levels] of the volatility per bar realised over windows of each length."""
    rows = []
    for horizon in horizons:
        whole = returns.shape[1] // horizon * horizon
        windows = returns[:, :whole].reshape(-1, horizon)
        realised = np.sqrt((windows**2).mean(axis=1))
        rows.append(
            np.quantile(realised, levels) if len(realised) else np.full(len(levels), np.nan)
        )
    return np.array(rows)


def _power_sums(returns: FloatArray, horizon: int) -> FloatArray:
    """Count and sums of the first four powers [N, 5] of returns over ``horizon`` bars."""
    whole = returns.shape[1] // horizon * horizon
    sums = returns[:, :whole].reshape(len(returns), -1, horizon).sum(axis=2)
    return np.stack([(sums**p).sum(axis=1) for p in range(5)], axis=1)


def _central_moments(power_sums: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Second and fourth central moments."""
    count, *sums = weights @ power_sums
    m1, m2, m3, m4 = (total / count for total in sums)
    return m2 - m1**2, m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4


def _sigma(power_sums: FloatArray, weights: FloatArray) -> float:
    return float(np.sqrt(max(_central_moments(power_sums, weights)[0], 0.0)))


def _kurtosis(power_sums: FloatArray, weights: FloatArray) -> float:
    second, fourth = _central_moments(power_sums, weights)
    return float(fourth / second**2 - 3.0) if second > 1e-30 else 0.0


def _rank_sums(first: FloatArray, second: FloatArray) -> FloatArray:
    """Sums over each path [N, 6] of 1, a, b, a², b², ab, where a and b are pooled ranks in (0, 1)."""
    a, b = (
        rankdata(values, axis=None).reshape(values.shape) / values.size
        for values in (first, second)
    )
    ones = np.ones_like(a)
    return np.stack([p.sum(axis=1) for p in (ones, a, b, a * a, b * b, a * b)], axis=1)


def _correlation(sums: FloatArray) -> float:
    count, a, b, aa, bb, ab = sums
    variance = (aa / count - (a / count) ** 2) * (bb / count - (b / count) ** 2)
    return float((ab / count - a * b / count**2) / np.sqrt(variance)) if variance > 1e-30 else 0.0


def _decile_sums(
    magnitude: FloatArray, values: FloatArray, edges: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Sums of values and counts in each decile of each path, [N, 10] both."""
    decile = np.searchsorted(edges, magnitude)
    inside = [decile == k for k in range(_DECILES)]
    totals = np.stack([np.where(there, values, 0.0).sum(axis=1) for there in inside], axis=1)
    counts = np.stack([there.sum(axis=1) for there in inside], axis=1).astype(np.float64)
    return totals, counts
