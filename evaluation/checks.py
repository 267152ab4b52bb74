"""Checks of what is given to be measured; each names what it got."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..market.arrays import FloatArray
from ..market.errors import ConfigError


def finite_series(values: ArrayLike, name: str) -> FloatArray:
    """One number a bar [T], all of them finite."""
    try:
        series = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} is no series of numbers; expected one a bar [T]") from None
    if series.ndim != 1:
        raise ConfigError(f"{name} has shape {series.shape}; expected one number a bar [T]")
    check_finite(series, name)
    return series


def check_finite(values: FloatArray, name: str) -> None:
    """Raise `ConfigError`, naming the first place, unless every value is finite."""
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        where = tuple(map(int, wrong[0]))
        more = f" (and {len(wrong) - 1} more such)" if len(wrong) > 1 else ""
        raise ConfigError(
            f"{name}{list(where)} is {values[where]}{more}; expected finite numbers: leave out the "
            "bars that have none"
        )


def check_number(name: str, value: float, above: float = -math.inf) -> None:
    """Raise `ConfigError` unless the value is a finite number above a bound."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ConfigError(f"{name} is {value!r}; expected a number")
    if not (math.isfinite(value) and value > above):
        bound = "" if above == -math.inf else f" above {above:g}"
        raise ConfigError(f"{name} is {value}; expected a finite number{bound}")


def check_whole(name: str, value: int, least: int) -> None:
    """Raise `ConfigError` unless the value is a whole number, at least so large."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ConfigError(f"{name} is {value!r}; expected a whole number, at least {least}")
