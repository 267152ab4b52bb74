"""One step of a dream of bars, compiled: draw a bar, and let it be seen.

A lane's numbers have the same bits alone, at any place among others, and in whatever company: every
layer adds in one order (`market.numerics.panels`), and the rest runs lane by lane. Lanes are stepped
some at a time, so that what lies between the layers stays in the processor's nearest caches.
"""

from __future__ import annotations

import math

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.clock import CALENDAR_CELLS
from ...market.numerics.compiled import compiled_fused
from ...market.numerics.panels import add_layer, padded
from ...market.numerics.products import CACHE_LINE
from ...market.streams import FEATURES, OTHER_RATES, OWN_MEMORY, SPACE, advance, advance_more
from ..forward import lstm_cell
from .drawing import draw_next, foresee
from .encoding import encode_rows, standardise
from .layers import LANES_AT_ONCE, carved, seen_width, tell, workspace
from .mixtures import ROWS, measure_returns
from .packed import BARS, CALENDAR, COLUMNS, GATES, GATES_BIAS, KNOWN, SCALES, C, F, G, H, K, V, Z

_TICK = SCALES - 1
_STREAMED = len(FEATURES)


@compiled_fused
def dream_bars(
    z: Float32Array,
    h: Float32Array,
    c: Float32Array,
    features: Float32Array,
    raw_features: FloatArray,
    memory: FloatArray,
    open_time_ms: IntArray,
    drawn: FloatArray,
    close: FloatArray,
    parameters: Float32Array,
    sizes: IntArray,
    numbers: FloatArray,
    noise: Float32Array,
    first_noise: int,
    temperature: np.float32,
    forced: bool,
) -> None:
    """Dream one bar of every lane, or live one that happened.

    Args:
        z: And the eight that follow: `BarLanes`, moved.
        h: [N, H].
        c: [N, H].
        features: [N, F].
        raw_features: [N, F].
        memory: [N, S].
        open_time_ms: [N].
        drawn: [N, 4 + D]; read where ``forced``.
        close: [N].
        parameters: And the two that follow: a `BarNetwork`.
        sizes: [27 + 3 D].
        numbers: See there.
        noise: Four uniforms and four normals of many lanes or steps, then those of dreamed columns,
            see `noise_rows` [8 + …, M].
        first_noise: The column of the first lane.
        temperature: τ.
        forced: Do not draw; ``drawn`` holds the bars that happened.
    """
    count, heard = z.shape[0], sizes[H] + sizes[KNOWN] + sizes[C]
    width, size = padded(heard), sizes[F]
    bars, after = sizes[BARS:], SCALES + 2 * size
    calendar = parameters[sizes[CALENDAR] :].reshape((CALENDAR_CELLS, sizes[C]))
    moments = numbers[SCALES:after].reshape((2, size))
    rest = after + _STREAMED + OTHER_RATES
    rates, tick, more = numbers[after:rest], numbers[_TICK], sizes[COLUMNS]
    units = numbers[rest : rest + 2 * _STREAMED].reshape((2, _STREAMED))
    heads = seen_width(sizes) + padded(sizes[G]) + 2 * padded(1 + 3 * sizes[K]) + ROWS + sizes[K]
    others = max(padded(4 * sizes[H]), padded(sizes[V]) + padded(sizes[Z]))
    lanes = min(count, LANES_AT_ONCE)
    # each of a step's few layers may be filled up to a whole line
    whole, free = carved(
        workspace(lanes * (width + max(heads, others)) + 8 * CACHE_LINE), lanes, width
    )
    space, arguments = np.empty(SPACE), np.empty(features.shape[1], np.float32)
    for first in range(0, count, LANES_AT_ONCE):
        some = slice(first, min(count, first + LANES_AT_ONCE))
        number = min(count - first, LANES_AT_ONCE)
        inputs = whole[:number]
        if not forced:
            tell(calendar, bars[3], open_time_ms[some], z[some], h[some], sizes[KNOWN], inputs)
            draw_next(
                parameters,
                sizes,
                numbers,
                inputs,
                features[some],
                memory[some],
                drawn[some],
                close[some],
                noise,
                first_noise + first,
                temperature,
                free,
            )
        elif tick > 0.0:
            for lane in range(first, first + number):
                close[lane] *= math.exp(drawn[lane, 0])
        for n in range(number):
            lane = first + n
            open_time_ms[lane] += bars[3]
            advance(
                rates,
                units,
                bars,
                drawn[lane, 0],
                drawn[lane, 1],
                drawn[lane, 2],
                drawn[lane, 3],
                open_time_ms[lane],
                memory[lane],
                space,
                arguments,
                raw_features[lane],
            )
            if memory.shape[1] > OWN_MEMORY:
                bar, seen = drawn[lane], raw_features[lane]
                advance_more(bars, bar[0], bar[1], bar[2], bar[3], memory[lane], seen)
            for i in range(more):
                raw_features[lane, size - more + i] = drawn[lane, 4 + i]
            standardise(raw_features[lane], moments, features[lane])
        encode_rows(parameters, sizes, features[some], free, z[some])
        tell(calendar, bars[3], open_time_ms[some], z[some], h[some], sizes[KNOWN], inputs)
        gates, _ = carved(free, number, padded(4 * sizes[H]))
        add_layer(inputs[:, :heard], parameters, sizes[GATES], gates)
        lstm_cell(gates, parameters[sizes[GATES_BIAS] :], c[some], h[some])


@compiled_fused
def expect_returns(
    z: Float32Array,
    h: Float32Array,
    features: Float32Array,
    open_time_ms: IntArray,
    parameters: Float32Array,
    sizes: IntArray,
    numbers: FloatArray,
    mean: FloatArray,
    deviation: FloatArray,
) -> None:
    """Mean and deviation of the next bar's log return of every lane, at a temperature of 1.

    Args:
        z: Of `BarLanes`, like the three that follow [N, Z].
        h: [N, H].
        features: [N, F].
        open_time_ms: [N].
        parameters: And the two that follow: a `BarNetwork`.
        sizes: [27 + 3 D].
        numbers: See there.
        mean: [N], written.
        deviation: [N], written.
    """
    count, heard, k = z.shape[0], sizes[H] + sizes[KNOWN] + sizes[C], sizes[K]
    calendar = parameters[sizes[CALENDAR] :].reshape((CALENDAR_CELLS, sizes[C]))
    width = padded(heard) + seen_width(sizes) + 2 * padded(1 + 3 * k) + ROWS + k
    memory = workspace(min(count, LANES_AT_ONCE) * width + 8 * CACHE_LINE)
    for first in range(0, count, LANES_AT_ONCE):
        some = slice(first, min(count, first + LANES_AT_ONCE))
        number = min(count - first, LANES_AT_ONCE)
        inputs, free = carved(memory, number, padded(heard))
        seen, free = carved(free, number, seen_width(sizes))
        raw, free = carved(free, number, padded(1 + 3 * k))
        columns, free = carved(free, 1 + 3 * k, number)
        work, _ = carved(free, ROWS + k, number)
        bar_ms = sizes[BARS + 3]
        tell(calendar, bar_ms, open_time_ms[some], z[some], h[some], sizes[KNOWN], inputs)
        foresee(parameters, sizes, numbers, inputs, features[some], seen, raw, columns, work)
        measure_returns(columns[: 3 * k], k, work, mean[some], deviation[some])
    for n in range(count):
        mean[n] *= numbers[0]
        deviation[n] *= numbers[0]
