"""Dreams to compare with: what simple generators of returns achieve on every metric.

All are fitted on the training returns alone and draw paths of the same length and number as the
world model's.
"""

from __future__ import annotations

import numpy as np

from ...market.arrays import FloatArray
from ...market.errors import ConfigError
from ..baselines import garch_variance
from ..likelihood import fit_garch_process
from ..significance import stationary_bootstrap_rows
from .paths import Dreams

IID, BLOCKS = "iid_bootstrap", "stationary_bootstrap"
GARCH, GJR_GARCH_SKEW = "garch_t", "gjr_garch_skew_t"
BLOCK_BARS = 168  # of the stationary bootstrap: a week keeps the daily and weekly rhythm


def comparison_dreams(
    train_returns: FloatArray, num_dreams: int, bars: int, *, seed: int
) -> dict[str, Dreams]:
    """Every comparison generator's dreams, by name.

    Args:
        train_returns: Log returns of the training range [T], fractions, NaN where missing.
        num_dreams: N.
        bars: Bars in each.
        seed: Makes them repeat.

    Returns:
        ``iid_bootstrap``, ``stationary_bootstrap``, ``garch_t`` and ``gjr_garch_skew_t``.
    """
    known = np.asarray(train_returns, dtype=np.float64)
    known = known[np.isfinite(known)]
    if len(known) < 1000:
        raise ConfigError(f"{len(known)} training returns; the generators need at least 1000")
    iid, blocks, garch, gjr = (np.random.default_rng([seed, i]) for i in range(4))
    return {
        IID: iid_bootstrap(known, num_dreams, bars, iid),
        BLOCKS: stationary_bootstrap(known, num_dreams, bars, blocks),
        GARCH: garch_dreams(known, num_dreams, bars, garch),
        GJR_GARCH_SKEW: garch_dreams(known, num_dreams, bars, gjr, skewed=True),
    }


def iid_bootstrap(
    returns: FloatArray, num_dreams: int, bars: int, rng: np.random.Generator
) -> Dreams:
    """Returns drawn one by one: the right histogram and no memory."""
    rows = rng.integers(len(returns), size=(num_dreams, bars))
    return Dreams(returns[rows], name="iid bootstrap")


def stationary_bootstrap(
    returns: FloatArray,
    num_dreams: int,
    bars: int,
    rng: np.random.Generator,
    block_bars: float = BLOCK_BARS,
) -> Dreams:
    """Returns drawn in blocks of geometric length: everything is right inside a block."""
    rows = [
        stationary_bootstrap_rows(len(returns), block_bars, rng, bars) for _ in range(num_dreams)
    ]
    return Dreams(returns[np.stack(rows)], name="stationary bootstrap")


def garch_dreams(
    returns: FloatArray,
    num_dreams: int,
    bars: int,
    rng: np.random.Generator,
    skewed: bool = False,
) -> Dreams:
    """Paths of a fitted GARCH process, started from variances filtered on the training range."""
    fitted = fit_garch_process(100 * returns, leverage=skewed, skewed=skewed)
    p = fitted.parameters
    filtered = garch_variance(100 * returns, p)
    variance = filtered[
        np.linspace(len(filtered) // 100, len(filtered) - 1, num_dreams).astype(int)
    ]
    noise = fitted.innovations((num_dreams, bars), rng)
    shocks = np.empty((num_dreams, bars))
    for t in range(bars):
        shocks[:, t] = np.sqrt(variance) * noise[:, t]
        falls = shocks[:, t] < 0
        variance = p.omega + (p.alpha + p.gamma * falls) * shocks[:, t] ** 2 + p.beta * variance
    name = "GJR-GARCH skew-t" if skewed else "GARCH-t"
    return Dreams((p.mean + shocks) / 100, name=name, note=p.note)
