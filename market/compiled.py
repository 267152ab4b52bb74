"""The one way in which functions are compiled here: numba, cached on disk, exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile on first call, and keep the machine code beside the source or in the user's cache.

    Never ``fastmath``: the same inputs must give the same bits in every caller. Division by zero
    gives infinity, as in numpy. The type is that of the function as written.
    """
    try:
        result = njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # no folder is writable: compile in every process instead
        result = njit(error_model="numpy")(function)
    return cast(Function, result)
