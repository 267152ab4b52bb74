"""Maximum likelihood on returns that tick: fits that are checked, tried again, and say so.

Two things go wrong where a market is thin. Closes that stand still make the likelihood of a density
unbounded: it shrinks onto the one value that recurs, as far as the optimiser follows. And an
optimiser that stops early leaves parameters that look like any others. Hence a scale is never finer
than the prices' tick, and a fit counts only if its optimiser converged and it beats what it contains.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln

from ..market.arrays import FloatArray

MIN_DEGREES = 1.05  # below, the mean and with it the CRPS do not exist
MIN_GARCH_DEGREES = 2.05  # GARCH's variance is a parameter, so it must exist
MAX_DEGREES = 200.0  # beyond, a normal for all purposes

_PEAK = 0.4  # the standard Student-t's density at its mode: 0.32 for ν = 1, 0.40 for a normal
_SMALL_MOVES = 0.01  # the share of moves that count as the smallest there are
_WORSE = 1e-3  # nats a bar: further below what it contains, a fit has not found its maximum
_DEGREES_TO_TRY = (1.5, 3.0, 8.0)
_GARCH_STARTS = ((0.05, 0.90), (0.10, 0.85), (0.02, 0.97), (0.20, 0.60))  # α and β


@dataclass(frozen=True)
class StudentT:
    """A Student-t density of one return.

    Attributes:
        degrees: ν.
        loc: Mean, in the returns' unit.
        scale: Standard deviation · √((ν − 2)/ν) where it exists.
    """

    degrees: float
    loc: float
    scale: float


@dataclass(frozen=True)
class GarchParameters:
    """σ²_t = ω + (α + γ·1[ε<0])·ε²_{t−1} + β·σ²_{t−1}, r_t = μ + σ_t·standardised t(ν).

    Attributes:
        mean: μ, percent.
        omega: ω, percent².
        alpha: α.
        gamma: γ, the answer to falls beyond that to rises; 0 in plain GARCH.
        beta: β.
        degrees: ν, > 2.
        least_scale: Scale that no density is narrower than, percent; see `tick_scale`.
        note: What there is to say about the fit; empty where it converged.
    """

    mean: float
    omega: float
    alpha: float
    gamma: float
    beta: float
    degrees: float
    least_scale: float = 0.0
    note: str = ""


def tick_scale(returns: FloatArray) -> float:
    """The least scale that a density of these returns may have, in their unit.

    Prices move by ticks, so a return is known to a tick and a density above 1/tick at its mode would
    promise more than certainty of one tick. The tick is read from the returns as the smallest
    hundredth of the moves there are; where prices move freely, that is far below any scale.
    """
    moves = np.abs(returns[returns != 0.0])
    return _PEAK * float(np.quantile(moves, _SMALL_MOVES)) if len(moves) else 0.0


def fit_student(returns: FloatArray, least_degrees: float = MIN_DEGREES) -> StudentT:
    """The Student-t density under which returns [T] are likeliest.

    The degrees are kept between ``least_degrees`` and 200 and the scale above `tick_scale` while
    searching, not afterwards: a scale found with other degrees is the best of another density.
    """
    unit = float(np.abs(returns).mean())
    values = returns / unit
    centre = float(np.median(values))
    spread = max(float(np.quantile(np.abs(values - centre), 0.75)), 1e-3)
    least = max(tick_scale(values), 1e-9)
    bounds = [
        (math.log(least_degrees), math.log(MAX_DEGREES)),
        (float(values.min()), float(values.max())),
        (math.log(least), math.log(max(10.0 * float(values.std()), 2.0 * least))),
    ]

    def loss(parameters: FloatArray) -> float:
        return -_student_log_likelihood(values, _student(parameters))

    fits = [
        minimize(loss, [math.log(nu), centre, math.log(spread)], method="L-BFGS-B", bounds=bounds)
        for nu in _DEGREES_TO_TRY
        if nu > least_degrees
    ]
    best = _student(min(fits, key=lambda fit: float(fit.fun)).x)
    return StudentT(best.degrees, best.loc * unit, best.scale * unit)


def fit_garch_process(returns_percent: FloatArray, *, leverage: bool = False) -> GarchParameters:
    """Fit GARCH(1,1) to returns [T] in percent, by `arch`.

    A fit counts if the optimiser converged and the returns are at least as likely as under the
    constant variance that every GARCH contains. One that does not is tried again from other
    starts; where none counts, the variance is that constant, and the parameters' note says so.

    Args:
        returns_percent: Training returns [T], finite.
        leverage: Falls may move the variance more than rises (GJR-GARCH).
    """
    from arch import arch_model  # slow to import

    unit = float(returns_percent.std())
    values = returns_percent / unit  # arch's optimiser needs returns of about 1
    model = arch_model(
        values,
        mean="Constant",
        vol="GARCH",
        p=1,
        o=int(leverage),
        q=1,
        dist="t",
        rescale=False,
    )
    constant = fit_student(values, MIN_GARCH_DEGREES)
    needed = len(values) * (_student_log_likelihood(values, constant) - _WORSE)
    starts = [None, *(_garch_start(*pair, leverage) for pair in _GARCH_STARTS)]
    attempts = (_converged(model, start, needed) for start in starts)
    found = next((values for values in attempts if values is not None), None)
    parameters = (
        _constant_variance(constant, unit, f"did not converge from {len(starts)} starts")
        if found is None
        else _garch_parameters(found, unit)
    )
    return replace(parameters, least_scale=tick_scale(returns_percent))


def _garch_start(alpha: float, beta: float, leverage: bool) -> FloatArray:
    """[μ, ω, α, (γ,) β, ν] of returns with variance 1, in `arch`'s order."""
    arms = [0.5 * alpha, alpha] if leverage else [alpha]  # half of all bars fall
    return np.array([0.0, 1.0 - alpha - beta, *arms, beta, 5.0])


def _converged(model: Any, start: FloatArray | None, needed: float) -> dict[str, float] | None:
    """The parameters by name, if the fit counts."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # arch reports convergence as warnings; it is checked here
        fitted = model.fit(disp="off", show_warning=False, starting_values=start)
    values = {str(name): float(value) for name, value in fitted.params.items()}
    counts = fitted.convergence_flag == 0 and float(fitted.loglikelihood) >= needed
    return values if counts and np.isfinite(list(values.values())).all() else None


def _garch_parameters(values: dict[str, float], unit: float) -> GarchParameters:
    return GarchParameters(
        mean=values["mu"] * unit,
        omega=values["omega"] * unit**2,
        alpha=values["alpha[1]"],
        gamma=values.get("gamma[1]", 0.0),
        beta=values["beta[1]"],
        degrees=float(np.clip(values["nu"], MIN_GARCH_DEGREES, MAX_DEGREES)),
    )


def _constant_variance(density: StudentT, unit: float, reason: str) -> GarchParameters:
    nu = density.degrees
    variance = (density.scale * unit) ** 2 * nu / (nu - 2)
    note = f"{reason}; its variance is held constant"
    return GarchParameters(density.loc * unit, variance, 0.0, 0.0, 0.0, nu, note=note)


def _student(parameters: FloatArray) -> StudentT:
    log_degrees, loc, log_scale = map(float, parameters)
    return StudentT(math.exp(log_degrees), loc, math.exp(log_scale))


def _student_log_likelihood(values: FloatArray, density: StudentT) -> float:
    """Mean log density of values [T]."""
    nu = density.degrees
    z = (values - density.loc) / density.scale
    norm = -0.5 * math.log(nu) - float(betaln(0.5, nu / 2)) - math.log(density.scale)
    return norm - 0.5 * (nu + 1) * float(np.log1p(z**2 / nu).mean())
