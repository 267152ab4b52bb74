"""What M draws, compiled: the next bar of lanes, and the columns of their candles."""

from __future__ import annotations

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.intervals import INTERVALS_MS
from ...market.numerics.compiled import compiled_fused
from ...market.numerics.float32 import fast_asinh, fast_exp, fast_log
from ...market.numerics.panels import add_layer, padded
from ...market.streams import AVERAGE_VOLUME, FEATURES, OTHER_RATES, volume_of
from .grid import settle_closes, settle_wicks
from .layers import activate, carved, seen_width
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
    turn,
)
from .networks import FEATURE_LIMIT, LOWER_PARTS, RETURN_PARTS, SIZE_FLOOR, WICK_FLOOR
from .packed import (
    BARS,
    CLOCK,
    COLUMNS,
    DREAMED,
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
)

_FLOOR, _SIZE_FLOOR = np.float32(WICK_FLOOR), np.float32(SIZE_FLOOR)
_CLIP = FEATURE_LIMIT
_VOLUME_LIMIT = np.float32(6.0)  # of the relative log volume
_LEVEL_COLUMN = [feature.name for feature in FEATURES].index("level")
_TICK = SCALES - 1
_STREAMED = len(FEATURES)
_HOUR_MS = float(INTERVALS_MS["60"])
_SOON = 1e-6  # hours: what is due by then is due


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
    share, level, drift = np.float32(scale[8]), np.float32(scale[9]), np.float32(scale[10])
    lay_out_returns(columns[: 3 * k], k, share, level, drift, work)


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
            np.float32(scale[5 + side]),
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
        np.float32(scale[7]),
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
