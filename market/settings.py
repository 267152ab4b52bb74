"""Settings as users give them: numpy's scalars are numbers, and a misspelt name has a nearest."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import ConfigError


def whole_number(value: object) -> int | None:
    """The value as an int, if it is a whole number by type, numpy's included; else None."""
    value = scalar(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    return None


def check_count(name: str, value: object, least: int = 1) -> int:
    """The value as an int, if it is a whole number of at least so many.

    Raises:
        ConfigError: It is not; the message calls it by its name.
    """
    number = whole_number(value)
    if number is None or number < least:
        raise ConfigError(f"{name} is {value!r}; expected a whole number, {least} or more")
    return number


def real_number(value: object) -> float | None:
    """The value as an int or float, if it is a finite number, numpy's included; else None."""
    number = whole_number(value)
    if number is not None:
        return number if abs(number) <= sys.float_info.max else None
    value = scalar(value)
    if isinstance(value, float | np.floating) and math.isfinite(value):
        return float(value)
    return None


def seed_number(seed: object) -> int:
    """A seed, if it is one.

    Raises:
        ConfigError: It is no whole number, or negative.
    """
    return check_count("seed", seed, least=0)


def truth(value: object) -> bool | None:
    """The value as a bool, if it is one, numpy's included; else None."""
    value = scalar(value)
    return bool(value) if isinstance(value, bool | np.bool_) else None


def plain(value: Any) -> Any:
    """A number or truth as Python's own; anything else as it is."""
    for read in (truth, real_number):
        if (found := read(value)) is not None:
            return found
    return value


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one is most like, if it is like any."""
    found = difflib.get_close_matches(str(name), list(known), n=1)
    return found[0] if found else None


def scalar(value: object) -> object:
    """What an array without axes holds; anything else as it is."""
    return value[()] if isinstance(value, np.ndarray) and not value.ndim else value
