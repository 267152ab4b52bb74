"""How functions are compiled here: numba, cached on disk, the same bits every time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple

try:
    from .vector_width import WideCompiler
except (ImportError, AttributeError):  # another numba keeps its passes elsewhere
    WideCompiler = None  # type: ignore[assignment, misc, unused-ignore]

Function = TypeVar("Function", bound=Callable[..., object])

first_numbers: Any = to_fixed_tuple
"""In compiled code: ``first_numbers(array, n)`` are the first n numbers as a tuple, n constant."""

_sources: dict[Callable[..., object], frozenset[str]] = {}
"""Files of each compiled function: its own, and those of all that it calls."""


def compiled(function: Function) -> Function:
    """Compile on first call, and keep the machine code beside the source or in the user's cache.

    Never ``fastmath``: the same inputs must give the same bits in every caller. Division by zero
    gives infinity, as in numpy. The type is that of the function as written. A change in the file
    of any compiled function that it calls compiles it anew.
    """
    # said, not left out: else what a fused function compiles on its way would be fused as well
    return _compile(function, error_model="numpy", fastmath=False)


def compiled_fused(function: Function) -> Function:
    """As `compiled`, with products and sums fused into one rounding where the processor can.

    Still the same bits from the same inputs on one machine. For the networks' arithmetic, where
    another machine's last bit differs anyway; never for the account's.
    """
    return _compile(function, error_model="numpy", fastmath={"contract"})


def compiled_sums(function: Function) -> Function:
    """As `compiled_fused`, with sums taken in the order that suits vector instructions.

    The order is fixed when the function is compiled: still the same bits from the same inputs.
    """
    return _compile(function, error_model="numpy", fastmath={"contract", "reassoc"})


def interpreted(function: Function) -> Function:
    """The plain function under a compiled one: arithmetic that tensors understand, too."""
    return cast(Function, cast(Any, function).py_func)


def _compile(function: Function, **options: Any) -> Function:
    if WideCompiler is not None:
        options["pipeline_class"] = WideCompiler
    try:
        result = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder is writable: compile in every process instead
        result = njit(**options)(function)
    _sources[function] = _files_of(function)
    _watch(result, _sources[function])
    return cast(Function, result)


def _files_of(function: Callable[..., object]) -> frozenset[str]:
    code = function.__code__
    named: list[Any] = [function.__globals__.get(name) for name in code.co_names]
    called = [value.py_func for value in named if hasattr(value, "py_func")]
    return frozenset({code.co_filename, __file__}).union(*(_sources.get(f, ()) for f in called))


def _watch(dispatcher: Any, files: frozenset[str]) -> None:
    """Have numba's cache compare all these files; by itself it looks at the function's own only.

    The stamp is private to numba. Where it is not found, the cache is as numba made it.
    """
    cache_file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = tuple(
            (name, os.stat(name).st_mtime_ns, os.stat(name).st_size) for name in sorted(files)
        )
