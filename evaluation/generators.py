"""Dreams to compare with: what simple generators of returns achieve on every metric.

All are fitted on the training returns alone and draw paths of the same length and number as the
world model's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..market.candles import FloatArray
from ..market.errors import ConfigError
from .baselines import GarchParameters, garch_variance
from .dreams import Dreams
from .significance import stationary_bootstrap_rows

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
        "iid_bootstrap": iid_bootstrap(known, num_dreams, bars, iid),
        "stationary_bootstrap": stationary_bootstrap(known, num_dreams, bars, blocks),
        "garch_t": garch_dreams(known, num_dreams, bars, garch),
        "gjr_garch_skew_t": garch_dreams(known, num_dreams, bars, gjr, skewed=True),
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


@dataclass(frozen=True)
class FittedGarch:
    """A GARCH process and the draws of its innovations.

    Attributes:
        parameters: Of the variance, percent.
        skewness: Hansen's λ in (−1, 1); 0 for the symmetric Student-t.
        distribution: `arch`'s distribution, which draws standardised innovations.
    """

    parameters: GarchParameters
    skewness: float
    distribution: Any

    def innovations(self, size: tuple[int, int], rng: np.random.Generator) -> FloatArray:
        """Standardised innovations of this size."""
        degrees = self.parameters.degrees
        shape = [degrees] if self.skewness == 0.0 else [degrees, self.skewness]
        uniforms = rng.random(size[0] * size[1])
        drawn = self.distribution.ppf(np.clip(uniforms, 1e-12, 1 - 1e-12), shape)
        return np.asarray(drawn, dtype=np.float64).reshape(size)


def fit_generator(returns: FloatArray, skewed: bool = False) -> FittedGarch:
    """Fit GARCH(1,1)-t, or GJR-GARCH(1,1) with Hansen's skewed t, to returns (fractions)."""
    from arch import arch_model  # slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arch reports scaling and convergence as warnings
        model = arch_model(
            100 * returns,
            mean="Constant",
            vol="GARCH",
            p=1,
            o=int(skewed),
            q=1,
            dist="skewt" if skewed else "t",
            rescale=False,
        )
        values = model.fit(disp="off", show_warning=False).params
    parameters = GarchParameters(
        mean=float(values["mu"]),
        omega=float(values["omega"]),
        alpha=float(values["alpha[1]"]),
        gamma=float(values.get("gamma[1]", 0.0)),
        beta=float(values["beta[1]"]),
        degrees=float(values["eta" if skewed else "nu"]),
    )
    return FittedGarch(parameters, float(values.get("lambda", 0.0)), model.distribution)


def garch_dreams(
    returns: FloatArray,
    num_dreams: int,
    bars: int,
    rng: np.random.Generator,
    skewed: bool = False,
) -> Dreams:
    """Paths of a fitted GARCH process, started from variances filtered on the training range."""
    fitted = fit_generator(returns, skewed)
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
    return Dreams((p.mean + shocks) / 100, name=name)
