"""Paths with clustered volatility, fat tails, ranges and volumes, to measure facts on."""

import numpy as np

from worldmodel_trading.evaluation.fidelity.paths import Dreams

NAMES = ("log_return", "range", "log_volume")
"""Columns of their features."""


def some_paths(num: int = 40, bars: int = 720, seed: int = 0, degrees: float = 5.0) -> Dreams:
    """Paths [num, bars] whose returns are Student-t of so many degrees."""
    rng = np.random.default_rng(seed)
    volatility = np.exp(0.5 * np.cumsum(0.1 * rng.standard_normal((num, bars)), axis=1))
    returns = 0.01 * np.clip(volatility, 0.3, 3) * rng.standard_t(degrees, (num, bars))
    volume = np.log(np.abs(returns) + 0.001) + rng.standard_normal((num, bars))
    ranges = np.abs(returns) + 0.005 * rng.random((num, bars))
    return Dreams(returns, np.stack([returns, ranges, volume], axis=-1))
