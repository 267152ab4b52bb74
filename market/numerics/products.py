"""Matrix products of float32 that round the same way wherever, and beside whatever, they are made.

A BLAS rounds a number by where its arrays begin in memory, by how many rows are beside it and by
how many threads share them; and a forked child that enters its parent's thread pool waits for ever.
Here each number is its products added in order, first to last, each sum fused into one rounding
where the processor can, and nothing else decides. There are no threads.

It costs nothing: at the sizes of this package's networks it takes as long as a good BLAS.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np import arrayobj

from ..arrays import Float32Array
from .compiled import compiled_fused

_tools: Any = cgutils  # numba's are not typed
_arrays: Any = arrayobj


CACHE_LINE = 16
"""Numbers of float32 in 64 bytes."""

_ZERO = np.float32(0.0)
_PACKED_FROM = 128  # rows: from here on copying columns together costs less than it saves


def aligned(*shape: int) -> Float32Array:
    """Zeros [*shape] that begin at a cache line, where numpy's own arrays need not.

    Where an array begins decides how fast it is read, and nothing else.
    """
    size = int(np.prod(shape))
    memory = np.zeros(size + CACHE_LINE - 1, dtype=np.float32)
    first = -(memory.ctypes.data // memory.itemsize) % CACHE_LINE
    return memory[first : first + size].reshape(shape)


def _rows_at_once() -> int:
    """Rows of a tile: as many sums as the processor's registers hold."""
    features = cpu_target.target_context.codegen().magic_tuple()[-1]
    return 12 if "+avx512f" in features else 6


ROWS = _rows_at_once()


def _tile_type(_: Any, left: Any, row: Any, right: Any, column: Any, out: Any, to: Any) -> Any:
    """Write ``left[row : row + R] @ right[:, column : column + 16]`` to ``out`` from column ``to``.

    Said in LLVM's vectors: the sums have to stay in registers all along the inner dimension, and
    the compiler leaves those of a loop over arrays in memory. A vector is a cache line; a processor
    with shorter registers takes several for it.
    """
    return types.void(left, row, right, column, out, to), _tile_code


_tile: Any = intrinsic(_tile_type)


def _tile_code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    arrays = [
        _arrays.make_array(kind)(context, builder, value)
        for kind, value in zip(signature.args[::2], arguments[::2], strict=True)
    ]
    row, column, to = arguments[1::2]
    line = ir.VectorType(ir.FloatType(), CACHE_LINE)

    def address(number: int, i: Any, j: Any) -> Any:
        kind = signature.args[2 * number]
        return _tools.get_item_pointer(context, builder, kind, arrays[number], (i, j))

    def line_at(number: int, i: Any, j: Any) -> Any:
        return builder.bitcast(address(number, i, j), line.as_pointer())

    # sums[i] is row i of the tile, 16 numbers wide. For each k of the inner dimension a line of
    # ``right`` is read once, and left[i, k] times it is added to every row: R sums and R products
    # for R + 1 loads. The sums' places are never taken by address, so LLVM keeps them in registers.
    rows = [builder.add(row, row.type(i)) for i in range(ROWS)]
    sums = [_tools.alloca_once_value(builder, line(None)) for _ in rows]
    with _tools.for_range(builder, _tools.unpack_tuple(builder, arrays[0].shape)[1]) as loop:
        added = builder.load(line_at(1, loop.index, column), align=4)
        # "contract" lets product and sum become one instruction; k's order is that of the loop
        for i, total in zip(rows, sums, strict=True):
            factor = repeated(builder, builder.load(address(0, i, loop.index)), line)
            product = builder.fmul(factor, added, flags=["contract"])
            builder.store(builder.fadd(builder.load(total), product, flags=["contract"]), total)
    for i, total in zip(rows, sums, strict=True):
        builder.store(builder.load(total), line_at(2, i, to), align=4)
    return context.get_dummy_value()


def repeated(builder: Any, value: Any, line: Any) -> Any:
    """A number in every place of a vector."""
    nothing, nowhere = line(ir.Undefined), ir.VectorType(ir.IntType(32), CACHE_LINE)(None)
    first = builder.insert_element(nothing, value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, nothing, nowhere)


@compiled_fused
def add_product(inputs: Float32Array, weights: Float32Array, out: Float32Array) -> None:
    """Add ``inputs [I] @ weights [I, :J]`` to ``out`` [J], one input after the other.

    Four rows at a time: ``out`` is then read and written a quarter as often.
    """
    size, whole = out.shape[0], inputs.shape[0] // 4 * 4
    for i in range(0, whole, 4):  # the sum goes on from out[j], so its order is that of one by one
        a, b, c, d = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        for j in range(size):
            out[j] = (
                out[j]
                + a * weights[i, j]
                + b * weights[i + 1, j]
                + c * weights[i + 2, j]
                + d * weights[i + 3, j]
            )
    for i in range(whole, inputs.shape[0]):
        for j in range(size):
            out[j] += inputs[i] * weights[i, j]


@compiled_fused
def product(left: Float32Array, right: Float32Array, out: Float32Array) -> None:
    """``left [N, I] @ right [I, J]``, as `add_product` from zero gives it row by row.

    Args:
        left: [N, I].
        right: [I, J]; the numbers of a row lie side by side, the rows may lie apart.
        out: [N, J], written; likewise, and no part of the others.
    """
    count, columns = left.shape[0], right.shape[1]
    if count < ROWS or columns < CACHE_LINE:
        out[:] = _ZERO
        for n in range(count):
            add_product(left[n], right, out[n])
        return
    if right.strides[1] != right.itemsize or out.strides[1] != out.itemsize:
        raise ValueError("the numbers of a row must lie side by side")
    # 16 columns of ``right`` at a time, and under them all rows of ``left``: those columns, copied
    # together, stay in the first-level cache while every tile reads them.
    packs = count >= _PACKED_FROM
    pack = np.empty((right.shape[0], CACHE_LINE), np.float32)
    for edge in range(0, columns, CACHE_LINE):
        # the last tile of a row or column that is not whole computes some numbers a second time
        column = min(edge, columns - CACHE_LINE)
        if packs:
            for i in range(right.shape[0]):
                for j in range(CACHE_LINE):
                    pack[i, j] = right[i, column + j]
        for first in range(0, count, ROWS):
            row = min(first, count - ROWS)
            if packs:
                _tile(left, row, pack, 0, out, column)
            else:
                _tile(left, row, right, column, out, column)
