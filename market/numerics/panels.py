"""Layers of small networks: products with weights that lie as compiled code reads them.

As in `products`, each number is its products added in order, first to last, from its bias on: the
same bits for a row alone and at any place among others. The weights of 16 outputs lie together, bias
first, then input by input: a *panel*, which is read from its beginning to its end. Many rows take a
panel together; one row takes several panels at once, since a sum has to wait for the one before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

from ..arrays import Float32Array
from .compiled import compiled, compiled_fused
from .products import CACHE_LINE, ROWS, repeated

_tools: Any = cgutils  # numba's are not typed
_arrays: Any = arrayobj
_ABREAST = 4  # panels of one row: as many sums as hide the time that one takes


@compiled
def padded(outputs: int) -> int:
    """Outputs of a layer, filled up to whole panels."""
    return (outputs + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


def panels(kernel: Float32Array, bias: Float32Array) -> Float32Array:
    """The weights of a layer [P · (1 + I) · 16] from its kernel [I, J] and bias [J]."""
    more = padded(kernel.shape[1]) - kernel.shape[1]
    rows = np.pad(np.concatenate([bias[np.newaxis], kernel]), ((0, 0), (0, more)))
    by_panel = rows.reshape(len(rows), -1, CACHE_LINE).swapaxes(0, 1)
    laid: Float32Array = np.ascontiguousarray(by_panel, dtype=np.float32).ravel()
    return laid


def _tile_of(rows: int, count: int) -> Any:
    """A function of compiled code: some rows of some neighbouring panels, in registers."""

    def kind(_: Any, left: Any, row: Any, weights: Any, at: Any, out: Any, to: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _write_tile(context, builder, signature, arguments, rows, count)
            return context.get_dummy_value()

        return types.void(left, row, weights, at, out, to), code

    return intrinsic(kind)


def _write_tile(
    context: Any, builder: Any, signature: Any, arguments: Any, rows: int, count: int
) -> None:
    left, weights, out = (
        _arrays.make_array(kind)(context, builder, value)
        for kind, value in zip(signature.args[::2], arguments[::2], strict=True)
    )
    left_kind, weights_kind, out_kind = signature.args[::2]
    row, at, to = arguments[1::2]
    line = ir.VectorType(ir.FloatType(), CACHE_LINE)
    inner = _tools.unpack_tuple(builder, left.shape)[1]
    places = [builder.add(row, row.type(i)) for i in range(rows)]
    # where each panel begins: at its line of biases, with a line for each input after it
    size = builder.mul(builder.add(inner, inner.type(1)), inner.type(CACHE_LINE))
    starts = [builder.add(at, builder.mul(size, size.type(p))) for p in range(count)]

    def line_at(kind: Any, array: Any, indices: tuple[Any, ...]) -> Any:
        address = _tools.get_item_pointer(context, builder, kind, array, indices)
        return builder.bitcast(address, line.as_pointer())

    biases = [builder.load(line_at(weights_kind, weights, (p,)), align=4) for p in starts]
    sums = [[_tools.alloca_once_value(builder, bias) for bias in biases] for _ in places]
    with _tools.for_range(builder, inner) as loop:
        step = builder.mul(builder.add(loop.index, inner.type(1)), inner.type(CACHE_LINE))
        lines = [
            builder.load(line_at(weights_kind, weights, (builder.add(p, step),)), align=4)
            for p in starts
        ]
        for i, totals in zip(places, sums, strict=True):
            at_input = _tools.get_item_pointer(context, builder, left_kind, left, (i, loop.index))
            factor = repeated(builder, builder.load(at_input), line)
            for added, total in zip(lines, totals, strict=True):
                product = builder.fmul(factor, added, flags=["contract"])
                builder.store(builder.fadd(builder.load(total), product, flags=["contract"]), total)
    for i, totals in zip(places, sums, strict=True):
        for p, total in enumerate(totals):
            column = builder.add(to, to.type(CACHE_LINE * p))
            builder.store(builder.load(total), line_at(out_kind, out, (i, column)), align=4)


_tile, _row, _pair, _abreast = (
    _tile_of(rows, count) for rows, count in ((ROWS, 1), (1, 1), (1, 2), (1, _ABREAST))
)


@compiled_fused
def add_layer(inputs: Float32Array, weights: Float32Array, at: int, out: Float32Array) -> None:
    """A linear layer of rows.

    Args:
        inputs: [N, I]; the rows may lie apart.
        weights: `panels` of one layer or several.
        at: Where the layer's begin.
        out: [N, 16 P], written; likewise, and no part of the inputs.
    """
    count, size = inputs.shape[0], (inputs.shape[1] + 1) * CACHE_LINE
    number = out.shape[1] // CACHE_LINE
    if count >= ROWS:
        for p in range(number):
            for first in range(0, count, ROWS):
                # the last tile computes some rows a second time where it would not be whole
                row = min(first, count - ROWS)
                _tile(inputs, row, weights, at + p * size, out, p * CACHE_LINE)
        return
    for n in range(count):
        p = 0
        while p + _ABREAST <= number:
            _abreast(inputs, n, weights, at + p * size, out, p * CACHE_LINE)
            p += _ABREAST
        if p + 2 <= number:
            _pair(inputs, n, weights, at + p * size, out, p * CACHE_LINE)
            p += 2
        if p < number:
            _row(inputs, n, weights, at + p * size, out, p * CACHE_LINE)
