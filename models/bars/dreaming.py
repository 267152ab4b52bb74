"""One step of a dream of bars, compiled: draw a bar, and let it be seen.

A lane's numbers have the same bits alone, at any place among others, and in whatever company: every
layer adds in one order (`market.numerics.panels`), and the rest runs lane by lane. Lanes are stepped
some at a time, so that what lies between the layers stays in the processor's nearest caches.
"""

from __future__ import annotations

import math

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.clock import CALENDAR_CELLS, calendar_cell
from ...market.intervals import INTERVALS_MS
from ...market.numerics.compiled import compiled, compiled_fused
from ...market.numerics.float32 import fast_asinh, fast_exp, fast_log
from ...market.numerics.float32_tanh import tanh_parts
from ...market.numerics.panels import add_layer, padded
from ...market.numerics.products import CACHE_LINE
from ...market.streams import (
    AVERAGE_VOLUME,
    FEATURES,
    OTHER_RATES,
    OWN_MEMORY,
    SPACE,
    advance,
    advance_more,
    volume_of,
)
from ..forward import lstm_cell
from ..vae import LATENT_LIMIT
from .grid import settle_closes, settle_wicks
from .mixtures import (
    ROWS,
    SCALE,
    SHIFT,
    UNITS,
    draw_changes,
    draw_returns,
    draw_volumes,
    draw_wicks,
    lay_out_returns,
    measure_returns,
    turn,
)
from .networks import FEATURE_LIMIT, LOWER_PARTS, RETURN_PARTS, SIZE_FLOOR, WICK_FLOOR
from .packed import (
    BARS,
    CALENDAR,
    CLOCK,
    COLUMNS,
    DREAMED,
    ENCODER,
    ENCODER_OUT,
    GATES,
    GATES_BIAS,
    KNOWN,
    LOWER,
    LOWER_OUT,
    RETURN,
    SCALES,
    TRUNK,
    UPPER,
    UPPER_OUT,
    VOLUME,
    VOLUME_OUT,
    C,
    F,
    G,
    H,
    K,
    T,
    V,
    Z,
)

_ONE = np.float32(1.0)
_FLOOR, _SIZE_FLOOR = np.float32(WICK_FLOOR), np.float32(SIZE_FLOOR)
_LIMIT = np.float32(LATENT_LIMIT)
_CLIP = FEATURE_LIMIT
_VOLUME_LIMIT = np.float32(6.0)  # of the relative log volume
_LEVEL_COLUMN = [feature.name for feature in FEATURES].index("level")
_LANES_AT_ONCE = 48
_TICK = SCALES - 1
_STREAMED = len(FEATURES)
_HOUR_MS = float(INTERVALS_MS["60"])
_SOON = 1e-6  # hours: what is due by then is due


@compiled_fused
def workspace(numbers: int) -> Float32Array:
    """Memory for so many numbers, from a cache line on."""
    free = np.empty(numbers + CACHE_LINE, np.float32)
    first = -(free.ctypes.data // free.itemsize) % CACHE_LINE
    return free[first : first + numbers]


@compiled_fused
def carved(free: Float32Array, count: int, width: int) -> tuple[Float32Array, Float32Array]:
    """Rows [count, width] at the beginning of free memory, and what is left of it."""
    size = count * width
    return free[:size].reshape((count, width)), free[padded(size) :]


@compiled
def seen_width(sizes: IntArray) -> int:
    """Numbers of a lane's row that the heads see parts of.

    The trunk, then what was drawn of the bar, then the features and the calendar; and where the candles
    have columns, the volume that was drawn, and what was drawn of them.
    """
    more = 1 + sizes[COLUMNS] if sizes[COLUMNS] else 0
    return padded(sizes[T] + LOWER_PARTS + sizes[F] + sizes[C] + more)


@compiled_fused
def tell(
    calendar: Float32Array,
    bar_ms: int,
    last_open_time_ms: IntArray,
    z: Float32Array,
    h: Float32Array,
    known: int,
    out: Float32Array,
) -> None:
    """Write what M hears of lanes [N, H + Z' + C]: h, the first of z, the coming bar's calendar."""
    hidden = h.shape[1]
    first = max(hidden + known, 0)  # never negative: says so to the compiler
    for n in range(h.shape[0]):
        for j in range(hidden):
            out[n, j] = h[n, j]
        for j in range(known):
            out[n, hidden + j] = z[n, j]
        one, two = calendar_cell(last_open_time_ms[n] + bar_ms, bar_ms)
        for j in range(calendar.shape[1]):
            out[n, first + j] = calendar[one, j] + calendar[two, j]


@compiled_fused
def activate(values: Float32Array, units: int) -> None:
    """X · sigmoid(X) of x = X/2, the first of each row [N, …], in place: see `models.forward.silu`."""
    for n in range(values.shape[0]):
        for j in range(units):
            x = values[n, j]
            t_n, t_d = tanh_parts(x)
            values[n, j] = x * (t_d + t_n) / t_d


@compiled_fused
def standardise(raw: FloatArray, moments: FloatArray, out: Float32Array) -> None:
    """Raw features [F], float64, as V sees them [F], float32."""
    for f in range(out.shape[0]):
        value = (raw[f] - moments[0, f]) * moments[1, f]
        value = -_CLIP if value < -_CLIP else value
        out[f] = _CLIP if value > _CLIP else value


@compiled_fused
def encode_rows(
    parameters: Float32Array,
    sizes: IntArray,
    features: Float32Array,
    free: Float32Array,
    z: Float32Array,
) -> None:
    """V's means [N, Z] of standardised features [N, F]; ``free`` is overwritten."""
    count = z.shape[0]
    hidden, free = carved(free, count, padded(sizes[V]))
    latent, _ = carved(free, count, padded(sizes[Z]))
    add_layer(features, parameters, sizes[ENCODER], hidden)
    activate(hidden, hidden.shape[1])
    add_layer(hidden[:, : sizes[V]], parameters, sizes[ENCODER_OUT], latent)
    for n in range(count):
        for d in range(z.shape[1]):
            value = latent[n, d]
            value = -_LIMIT if value < -_LIMIT else value
            z[n, d] = _LIMIT if value > _LIMIT else value


@compiled_fused
def encode_record(
    parameters: Float32Array, sizes: IntArray, features: Float32Array, z: Float32Array
) -> None:
    """`encode_rows` of a whole record, some rows at a time."""
    count, width = features.shape[0], padded(sizes[V]) + padded(sizes[Z])
    free = workspace(_LANES_AT_ONCE * width)
    for start in range(0, count, _LANES_AT_ONCE):
        some = slice(start, min(count, start + _LANES_AT_ONCE))
        encode_rows(parameters, sizes, features[some], free, z[some])


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
    lanes = min(count, _LANES_AT_ONCE)
    # each of a step's few layers may be filled up to a whole line
    whole, free = carved(
        workspace(lanes * (width + max(heads, others)) + 8 * CACHE_LINE), lanes, width
    )
    space, arguments = np.empty(SPACE), np.empty(features.shape[1], np.float32)
    for first in range(0, count, _LANES_AT_ONCE):
        some = slice(first, min(count, first + _LANES_AT_ONCE))
        number = min(count - first, _LANES_AT_ONCE)
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
def draw_next(
    parameters: Float32Array,
    sizes: IntArray,
    scale: FloatArray,
    inputs: Float32Array,
    features: Float32Array,
    memory: FloatArray,
    drawn: FloatArray,
    close: FloatArray,
    noise: Float32Array,
    first_noise: int,
    temperature: np.float32,
    free: Float32Array,
) -> None:
    """Draw the next bar of some lanes into ``drawn``: see `dream_bars`.

    Args:
        parameters: See there.
        sizes: See there.
        scale: See there.
        inputs: What M hears [N, H + Z' + C].
        features: Of the bar before [N, F].
        memory: [N, S].
        drawn: [N, 4 + D], written.
        close: Of the bars before [N]; of these, where the tick is known.
        noise: [8 + …, M].
        first_noise: The column of the first lane.
        temperature: τ.
        free: Workspace.
    """
    count, k, trunk, told = drawn.shape[0], sizes[K], sizes[T], sizes[C]
    seen, free = carved(free, count, seen_width(sizes))
    inner, free = carved(free, count, padded(sizes[G]))
    raw, free = carved(free, count, padded(1 + 3 * k))
    columns, free = carved(free, 1 + 3 * k, count)
    work, _ = carved(free, ROWS + k, count)
    unit, tick = scale[0], scale[_TICK]
    before, heights = np.empty(count), np.empty(count, np.float32)
    foresee(parameters, sizes, scale, inputs, features, seen, raw, columns, work)
    draw_returns(
        columns[: 3 * k],
        k,
        _lanes_of(noise, 0, first_noise, count),
        _lanes_of(noise, 4, first_noise, count),
        temperature,
        work,
    )
    for n in range(count):
        drawn[n, 0] = work[UNITS, n] * unit
    if tick > 0.0:
        settle_closes(tick, unit, work[UNITS], drawn, close, before)
    for n in range(count):
        units = work[UNITS, n] * fast_exp(-work[SCALE, n])
        size = abs(units)
        seen[n, trunk] = fast_asinh(units)
        seen[n, trunk + 1] = work[SCALE, n]
        seen[n, trunk + 2] = fast_log(size + _SIZE_FLOOR)
        heights[n] = size

    for side in range(2):
        told_wick = trunk + RETURN_PARTS + 2 * side
        entering = seen[:, :told_wick]
        add_layer(entering, parameters, sizes[LOWER if side else UPPER], inner)
        activate(inner, inner.shape[1])
        at = sizes[LOWER_OUT if side else UPPER_OUT]
        add_layer(inner[:, : sizes[G]], parameters, at, raw)
        turn(raw, columns)
        draw_wicks(
            columns,
            k,
            _lanes_of(noise, 1 + side, first_noise, count),
            _lanes_of(noise, 5 + side, first_noise, count),
            temperature,
            work,
        )
        for n in range(count):
            drawn[n, 1 + side] = work[UNITS, n] * unit
        if tick > 0.0:
            settle_wicks(side, tick, unit, work[UNITS], drawn, close, before)
        for n in range(count):
            units = work[UNITS, n] * fast_exp(-work[SCALE, n])
            heights[n] += units
            seen[n, told_wick] = fast_log(units + _FLOOR)
            seen[n, told_wick + 1] = fast_log(heights[n] + _SIZE_FLOOR)

    entering = seen[:, : trunk + LOWER_PARTS + told + sizes[F]]
    add_layer(entering, parameters, sizes[VOLUME], inner)
    activate(inner, inner.shape[1])
    add_layer(inner[:, : sizes[G]], parameters, sizes[VOLUME_OUT], raw[:, : padded(3 * k)])
    turn(raw, columns[: 3 * k])
    draw_volumes(
        columns,
        k,
        _lanes_of(noise, 3, first_noise, count),
        _lanes_of(noise, 7, first_noise, count),
        temperature,
        work,
    )
    for n in range(count):
        relative = work[UNITS, n] + np.float32(scale[2])
        relative = min(max(relative, -_VOLUME_LIMIT), _VOLUME_LIMIT)
        drawn[n, 3] = volume_of(float(relative), memory[n, AVERAGE_VOLUME])
    if sizes[COLUMNS]:
        draw_columns(
            parameters,
            sizes,
            scale,
            seen,
            inner,
            raw,
            columns,
            work,
            drawn,
            noise,
            first_noise,
            temperature,
        )


@compiled_fused
def draw_columns(
    parameters: Float32Array,
    sizes: IntArray,
    numbers: FloatArray,
    seen: Float32Array,
    inner: Float32Array,
    raw: Float32Array,
    columns: Float32Array,
    work: Float32Array,
    drawn: FloatArray,
    noise: Float32Array,
    first_noise: int,
    temperature: np.float32,
) -> None:
    """Let the candles' columns of some lanes go on, each as it is declared.

    A dreamed one stays as it is by its own chance, else changes by what a mixture says, and keeps to
    what V can see. A clock counts down in hours, and begins anew at the column before it.

    Args:
        parameters: Of a `BarNetwork`, like the two that follow.
        sizes: [27 + 3 D].
        numbers: See there.
        seen: What the heads see [N, `seen_width`]; the volume and the changes are written behind it.
        inner: Workspace [N, …].
        raw: Workspace [N, …].
        columns: Workspace [1 + 3 K, N].
        work: Workspace [`ROWS` + K, N], the volumes drawn last in its row ``UNITS``.
        drawn: The bars and columns before [N, 4 + D]; the columns are moved.
        noise: See `dream_bars`.
        first_noise: Likewise.
        temperature: τ.
    """
    count, k, more, size = drawn.shape[0], sizes[K], sizes[COLUMNS], sizes[F]
    told, pairs = sizes[T] + LOWER_PARTS + size + sizes[C] + 1, (noise.shape[0] - 8) // 2
    places, number = COLUMNS + 1 + more, 0
    for n in range(count):
        relative = work[UNITS, n] + np.float32(numbers[2])  # the volume's, as it was drawn
        seen[n, told - 1] = min(max(relative, -_VOLUME_LIMIT), _VOLUME_LIMIT)
    scales = SCALES + 2 * size + 3 * _STREAMED + OTHER_RATES
    for i in range(more):
        how = sizes[COLUMNS + 1 + i]
        if how == CLOCK:
            for n in range(count):
                due = drawn[n, 4 + i] - sizes[BARS + 3] / _HOUR_MS
                drawn[n, 4 + i] = due if due > _SOON else due + max(drawn[n, 3 + i], 0.0)
        if how == DREAMED:
            entering = seen[:, : told + number]
            add_layer(entering, parameters, sizes[places + 2 * i], inner)
            activate(inner, inner.shape[1])
            add_layer(inner[:, : sizes[G]], parameters, sizes[places + 2 * i + 1], raw)
            turn(raw, columns)
            draw_changes(
                columns,
                k,
                _lanes_of(noise, 8 + number, first_noise, count),
                _lanes_of(noise, 8 + pairs + number, first_noise, count),
                temperature,
                work,
            )
            at = size - more + i
            middle, deviation = numbers[SCALES + at], 1.0 / numbers[SCALES + size + at]
            unit = numbers[scales + number] * deviation
            lowest, highest = middle - _CLIP * deviation, middle + _CLIP * deviation
            for n in range(count):
                before = drawn[n, 4 + i]
                then = min(max(before + work[UNITS, n] * unit, lowest), highest)
                drawn[n, 4 + i] = before if work[UNITS, n] == 0.0 else then
                seen[n, told + number] = work[UNITS, n]
            number += 1


@compiled_fused
def foresee(
    parameters: Float32Array,
    sizes: IntArray,
    scale: FloatArray,
    inputs: Float32Array,
    features: Float32Array,
    seen: Float32Array,
    raw: Float32Array,
    columns: Float32Array,
    work: Float32Array,
) -> None:
    """Lay out the mixture of the next bar's return of some lanes: see `lay_out_returns`.

    Args:
        parameters: Of a `BarNetwork`, like the two that follow.
        sizes: [27 + 3 D].
        scale: [9 + …].
        inputs: What M hears [N, H + Z' + C].
        features: Of the bar before [N, F].
        seen: What the heads see, written but for what is drawn [N, `seen_width`].
        raw: Workspace [N, …].
        columns: The mixture [1 + 3 K, N], written; its last row is not used.
        work: Workspace [`ROWS` + K, N].
    """
    k, trunk, told = sizes[K], sizes[T], sizes[C]
    calendar = sizes[H] + sizes[KNOWN]
    add_layer(inputs[:, : calendar + told], parameters, sizes[TRUNK], seen[:, : padded(trunk)])
    activate(seen, padded(trunk))
    _tell_heads(inputs, calendar, features, seen, trunk + LOWER_PARTS, told)
    add_layer(seen[:, :trunk], parameters, sizes[RETURN], raw[:, : padded(3 * k)])
    turn(raw, columns[: 3 * k])
    for n in range(inputs.shape[0]):
        # a slow pull: the further the market's level is from its middle, the more it is drawn back
        pull = np.float32(scale[3]) * (np.float32(scale[4]) - features[n, _LEVEL_COLUMN])
        work[SHIFT, n] = np.float32(scale[1]) + pull
    share, level, drift = np.float32(scale[5]), np.float32(scale[6]), np.float32(scale[7])
    lay_out_returns(columns[: 3 * k], k, share, level, drift, work)


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
    memory = workspace(min(count, _LANES_AT_ONCE) * width + 8 * CACHE_LINE)
    for first in range(0, count, _LANES_AT_ONCE):
        some = slice(first, min(count, first + _LANES_AT_ONCE))
        number = min(count - first, _LANES_AT_ONCE)
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


@compiled_fused
def _lanes_of(noise: Float32Array, row: int, first: int, count: int) -> Float32Array:
    """The random numbers [N] of some lanes."""
    return noise[row, first : first + count]


@compiled_fused
def _tell_heads(
    inputs: Float32Array,
    calendar: int,
    features: Float32Array,
    seen: Float32Array,
    first: int,
    told: int,
) -> None:
    """Write the features and the calendar behind what is drawn: see `seen_width`."""
    last = max(first + features.shape[1], 0)  # never negative: says so to the compiler
    for n in range(seen.shape[0]):
        for f in range(features.shape[1]):
            seen[n, first + f] = features[n, f]
        for j in range(told):
            seen[n, last + j] = inputs[n, calendar + j]
