"""Arrays that compiled code is handed once: at a call each costs as much as a small function does.

Python makes a table of where they lie; compiled code reads an array from its row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import carray  # type: ignore[attr-defined, unused-ignore]
from numba.core import types
from numba.extending import intrinsic

from ..arrays import IntArray
from .compiled import compiled

_carray: Any = carray  # numba's is not typed


class Handed:
    """Arrays, and where they lie. A copy, or what is unpickled, has copies of them, and says where.

    Args:
        arrays: Contiguous, of one or two dimensions; kept as long as this is.

    Raises:
        ValueError: One is not contiguous.

    Attributes:
        places: Address, rows (1 of one dimension) and columns of each [N, 3].
    """

    def __init__(self, *arrays: Any) -> None:
        if not all(array.flags.c_contiguous for array in arrays):
            raise ValueError("an array is not contiguous: it cannot be handed over by its place")
        self._arrays = arrays
        places = [(array.ctypes.data, *(1, *array.shape)[-2:]) for array in arrays]
        self.places: IntArray = np.array(places, dtype=np.int64).reshape(-1, 3)

    def __reduce__(self) -> tuple[type[Handed], tuple[Any, ...]]:
        return Handed, self._arrays


def _to_pointer(_: Any, address: Any) -> Any:
    """In compiled code: an address as a pointer."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(address), code


_pointer: Any = intrinsic(_to_pointer)


@compiled
def row_at(places: IntArray, index: int, kind: Any) -> Any:
    """In compiled code: the array of one dimension and that type which lies at a place."""
    return _carray(_pointer(places[index, 0]), (places[index, 2],), kind)


@compiled
def rows_at(places: IntArray, index: int, kind: Any) -> Any:
    """Likewise of two dimensions."""
    return _carray(_pointer(places[index, 0]), (places[index, 1], places[index, 2]), kind)
