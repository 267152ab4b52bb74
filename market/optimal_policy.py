"""The best that can be earned in the synthetic market: Kelly weights, and trading with costs.

Both know the regimes only through the exact filter, as any trader would at best.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .arrays import FloatArray, IntArray
from .candles import Candles
from .errors import CandleError
from .synthetic import MixtureDensity, SyntheticMarket

_LATTICE = 10  # belief coordinates are multiples of 1/10: 286 beliefs for four regimes
_WEIGHTS = np.linspace(-1.0, 1.0, 21)
_LEARNING_BARS = 100_000  # of simulated filtering, for how beliefs follow each other
_LEARNING_SEED = 20_200_101
_SWEEPS = 5_000
_TOLERANCE = 1e-10  # log growth per bar
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
_NODE_WEIGHTS = _NODE_WEIGHTS / np.sqrt(2 * np.pi)


def kelly_weights(density: MixtureDensity) -> FloatArray:
    """Weights [T] in [-1, 1] that maximise E[log(1 + wR)] for each bar's density, without costs.

    Newton's method on the derivative E[R/(1 + wR)], which falls with w; expectations by
    Gauss–Hermite quadrature within each component.
    """
    returns, chances = _simple_returns(density)
    weight: FloatArray = np.zeros(len(returns))
    for _ in range(6):
        ratio = returns / (1.0 + weight[:, None] * returns)
        slope = (chances * ratio).sum(axis=1)
        curvature = (chances * ratio**2).sum(axis=1)
        weight = np.clip(weight + slope / curvature, -1.0, 1.0)
    return weight


class OptimalPolicy:
    """Nearly the best target weights for log growth under proportional trading costs.

    With no cost the Kelly weight is exact. With costs, dynamic programming for the average log
    growth over (belief, weight): beliefs rounded to a lattice of multiples of 1/10, their
    transitions counted on a long simulated path, weights in steps of 0.1. Left out: the hour's
    effect on the growth of a weight, and the weight's drift inside the value function.

    Args:
        market: The market, whose truth is used.
        cost: Fee plus slippage, fraction of the traded notional.
    """

    def __init__(self, market: SyntheticMarket, cost: float = 0.00075) -> None:
        if not 0.0 <= cost < 1.0:
            raise CandleError(f"cost is {cost}; expected a fraction of notional in [0, 1)")
        self.market = market
        self.cost = float(cost)
        self._beliefs = _lattice(len(market.stationary), _LATTICE)
        self._code = (_LATTICE + 1) ** np.arange(len(market.stationary))
        self._cell_of = np.zeros((_LATTICE + 1) ** len(market.stationary), dtype=np.int64)
        self._cell_of[_counts(self._beliefs) @ self._code] = np.arange(len(self._beliefs))
        self._value = self._solve() if cost > 0.0 else np.empty((0, 0))

    def targets(self, candles: Candles) -> FloatArray:
        """Target weights [T], in [-1, 1]: row t is decided at the close of bar t, from flat.

        Between decisions the weight drifts with the price.
        """
        filtered = self.market.filter(candles)
        if self.cost == 0.0:
            return kelly_weights(self.market.density_given(filtered, candles.open_time_ms))
        cells = self._cells(filtered)
        simple = np.expm1(np.diff(np.log(candles.close), append=np.log(candles.close[-1])))
        targets = np.empty(len(candles))
        weight = 0.0
        for t, (cell, move) in enumerate(zip(cells, simple, strict=True)):
            targets[t] = target = self._choose(int(cell), weight)
            weight = target * (1.0 + move) / (1.0 + target * move)
        return targets

    def _choose(self, cell: int, weight: float) -> float:
        value = self._value[cell]
        worth = value - self.cost * np.abs(_WEIGHTS - weight)
        best = int(np.argmax(worth))
        held = min(max(weight, -1.0), 1.0)  # a short that loses drifts beyond −1
        stay = float(np.interp(held, _WEIGHTS, value)) - self.cost * abs(weight - held)
        return float(_WEIGHTS[best]) if worth[best] > stay + 1e-12 else held

    def _cells(self, filtered: FloatArray) -> IntArray:
        return np.asarray(self._cell_of[_counts(filtered) @ self._code])

    def _solve(self) -> FloatArray:
        """Value [cells, weights] of holding a weight through the next bar, then acting well."""
        candles, _ = self.market.sample(_LEARNING_BARS, _LEARNING_SEED)
        cells = self._cells(self.market.filter(candles))
        follow = self._follow(cells)
        growth = self._growth()
        value = growth
        for _ in range(_SWEEPS):
            renewed = growth + follow @ _after_trading(value, self.cost)
            renewed -= renewed[0, len(_WEIGHTS) // 2]
            change = np.abs(renewed - value).max()
            value = renewed
            if change < _TOLERANCE:
                break
        return value

    def _follow(self, cells: IntArray) -> FloatArray:
        """Probabilities [cells, cells] of the next belief, counted; unseen ones go to the nearest."""
        count = len(self._beliefs)
        moves = np.zeros((count, count))
        np.add.at(moves, (cells[:-1], cells[1:]), 1.0)
        seen = moves.sum(axis=1) > 0
        expected = self._beliefs @ self.market.transition
        for cell in np.flatnonzero(~seen):
            moves[cell, self._cells(expected[cell : cell + 1])[0]] = 1.0
        return np.asarray(moves / moves.sum(axis=1, keepdims=True))

    def _growth(self) -> FloatArray:
        """Expected log growth [cells, weights] over the next bar, at the day's mean volatility."""
        density = self.market.density_given(self._beliefs, None)
        returns, chances = _simple_returns(density)
        growth = [(chances * np.log1p(weight * returns)).sum(axis=1) for weight in _WEIGHTS]
        return np.stack(growth, axis=1)


def _after_trading(value: FloatArray, cost: float) -> FloatArray:
    """Value [cells, weights] of a weight before trading: the best of value(to) − cost·|to − from|."""
    best = value.copy()
    toll = cost * np.diff(_WEIGHTS)
    for j in range(1, len(_WEIGHTS)):
        np.maximum(best[:, j], best[:, j - 1] - toll[j - 1], out=best[:, j])
    for j in range(len(_WEIGHTS) - 2, -1, -1):
        np.maximum(best[:, j], best[:, j + 1] - toll[j], out=best[:, j])
    return best


def _simple_returns(density: MixtureDensity) -> tuple[FloatArray, FloatArray]:
    """Quadrature points [T, K·nodes] of the simple return, and their probabilities."""
    logs = density.means[..., None] + density.sigmas[..., None] * _NODES  # percent
    chances = density.weights[..., None] * _NODE_WEIGHTS
    rows = len(logs)
    return np.expm1(logs.reshape(rows, -1) / 100.0), chances.reshape(rows, -1)


def _lattice(dimensions: int, steps: int) -> FloatArray:
    """Every probability vector whose entries are multiples of 1/steps [cells, dimensions]."""
    bars = combinations(range(steps + dimensions - 1), dimensions - 1)
    edges = np.array([(-1, *bar, steps + dimensions - 1) for bar in bars])
    return np.asarray((np.diff(edges, axis=1) - 1) / steps)


def _counts(beliefs: FloatArray) -> IntArray:
    """Nearest lattice vectors [N, R] as whole steps, by largest remainder."""
    scaled = beliefs * _LATTICE
    whole = np.floor(scaled + 1e-9).astype(np.int64)
    missing = _LATTICE - whole.sum(axis=1)
    rank = np.argsort(np.argsort(whole - scaled, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(whole + (rank < missing[:, None]))
