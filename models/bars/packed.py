"""V and M of bars as compiled code, and one step of a dream: draw a bar, and let it be seen.

A lane's numbers have the same bits alone, at any place among others, and in whatever company: every
product adds in one order (`market.numerics.products`), and the rest runs lane by lane.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self, cast

import numpy as np
from torch import nn

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.clock import SUMMER_TIME, calendar_cell
from ...market.features import Scaler
from ...market.numerics.compiled import compiled, compiled_fused
from ...market.numerics.float32 import fast_asinh, fast_exp, fast_log
from ...market.numerics.products import CACHE_LINE, aligned, product
from ...market.streams import AVERAGE_VOLUME, FEATURES, advance, volume_of
from ..forward import CompiledLSTM, array, lstm_cell, silu
from ..mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from ..vae import LATENT_LIMIT
from .config import MarketConfig
from .networks import (
    _GAIN,
    _MEAN_STEP,
    FEATURE_LIMIT,
    LOWER_PARTS,
    RETURN_PARTS,
    UPPER_PARTS,
    WICK_FLOOR,
    BarRNN,
    BarVAE,
)

UNIFORMS, NORMALS = 4, 4
"""Random numbers of a bar: which component, and where in it, of return, upper, lower and volume."""

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_LOW, _HIGH = np.float32(LOG_SIGMA_MIN), np.float32(LOG_SIGMA_MAX)
_MEAN = np.float32(_MEAN_STEP)
_FLOOR = np.float32(WICK_FLOOR)
_LIMIT = np.float32(LATENT_LIMIT)
_CLIP = FEATURE_LIMIT
_VOLUME_LIMIT = np.float32(6.0)  # of the relative log volume
_LEVEL_COLUMN = [feature.name for feature in FEATURES].index("level")
_FARTHEST = np.float32(100.0)  # of a return or wick, in deviations of the training range
_ROWS_AT_ONCE = 256

# Sizes, in the order in which a network keeps them.
_F, _Z, _KNOWN, _C, _H, _T, _K, _G, _V = range(9)


class BarNetwork(NamedTuple):
    """V and M as compiled code reads them: few arrays, since each handed over takes time.

    Attributes:
        parameters: All layers, each a kernel [inputs, outputs] and a bias [outputs], one after the
            other: now-and-before, gates, return, upper ×2, lower ×2, volume ×2, V's encoder ×2.
        sizes: F, Z, Z', C, H, T, K, G and V's hidden units [9].
        calendar: What M is told of each cell [72, C].
        moments: Mean and reciprocal deviation of the features [2, F].
        scale: Deviation of returns, and the shifts that calibration found: of log σ, of relative
            volume; the pull of volatility and where to; the share of the mean that is kept, and what
            it varies around; what is added to it [8].
        summer_time: See `market.clock`.
        form: And the four that follow: the features' table.
        quantity: [F].
        span: [F].
        rates: [F + 6].
        bars: [4].
    """

    parameters: Float32Array
    sizes: IntArray
    calendar: Float32Array
    moments: FloatArray
    scale: FloatArray
    summer_time: IntArray
    form: IntArray
    quantity: IntArray
    span: FloatArray
    rates: FloatArray
    bars: IntArray

    @classmethod
    def of(cls, vae: BarVAE, rnn: BarRNN, scaler: Scaler, config: MarketConfig) -> Self:
        """Lay out the modules, as they are now."""
        sizes = [
            len(config.features.names),
            config.latent_size,
            config.forecast_size,
            config.calendar_size,
            config.hidden_size,
            config.trunk_size,
            config.num_components,
            config.head_size,
            config.vae_hidden_size + config.vae_hidden_size // 2,
        ]
        layers = [part for layer in _layers(vae, rnn) for part in layer]
        parameters = aligned(sum(part.size for part in layers))
        np.concatenate([part.ravel() for part in layers], out=parameters)
        calibration = array(rnn.calibration).astype(np.float64)
        return cls(
            parameters,
            np.array(sizes, dtype=np.int64),
            np.ascontiguousarray(array(rnn.calendar)),
            np.stack([scaler.mean, 1.0 / scaler.scale]),
            np.array([float(rnn.return_scale), *calibration, *array(rnn.mean_trust), rnn.drift]),
            SUMMER_TIME,
            *config.features.table,
        )


def _layers(vae: BarVAE, rnn: BarRNN) -> list[tuple[Float32Array, Float32Array]]:
    """Kernels [inputs, outputs] and biases; what enters a SiLU is halved, the heads' gain put in."""
    now, before = array(rnn.now.weight), array(rnn.before.weight)
    half = np.float32(0.5)
    trunk = (half * np.concatenate([before, now], axis=1).T, half * array(rnn.now.bias))
    memory = CompiledLSTM.of(cast(Any, rnn))
    halved = [_layer(part, 0.5) for part in (rnn.upper_hidden, rnn.lower_hidden, rnn.volume_hidden)]
    heads = [_padded(part) for part in (rnn.upper_head, rnn.lower_head, rnn.volume_head)]
    pairs = [part for pair in zip(halved, heads, strict=True) for part in pair]
    return [
        trunk,
        (memory.gates, memory.bias),
        _padded(rnn.return_head),
        *pairs,
        *_encoder(vae),
    ]


def _layer(linear: nn.Linear, factor: float) -> tuple[Float32Array, Float32Array]:
    return np.float32(factor) * array(linear.weight).T, np.float32(factor) * array(linear.bias)


def _padded(head: nn.Linear) -> tuple[Float32Array, Float32Array]:
    """A head with its gain, and columns of zeros up to a whole vector."""
    kernel, bias = _layer(head, _GAIN)
    more = padded(len(bias)) - len(bias)
    return np.pad(kernel, ((0, 0), (0, more))), np.pad(bias, (0, more))


def _encoder(vae: BarVAE) -> list[tuple[Float32Array, Float32Array]]:
    """Both of V's encoders as one: hidden units side by side, means alone."""
    known, hidden = _layer(vae.forecast_hidden, 0.5), _layer(vae.encoder_hidden, 0.5)
    first = [np.concatenate(pair, axis=-1) for pair in zip(known, hidden, strict=True)]
    out, learned = _layer(vae.forecast_out, 1.0), _layer(vae.encoder_out, 1.0)
    rest = vae.latent_size - vae.forecast_size
    kernel = np.zeros((len(out[0]) + len(learned[0]), vae.latent_size), dtype=np.float32)
    kernel[: len(out[0]), : vae.forecast_size] = out[0]
    kernel[len(out[0]) :, vae.forecast_size :] = learned[0][:, :rest]
    return [(first[0], first[1]), (kernel, np.concatenate([out[1], learned[1][:rest]]))]


class BarLanes(NamedTuple):
    """Where N lanes are, and the workspace of a step; all moved in place.

    Attributes:
        z: Latents [N, Z].
        h: M's hidden state [N, H], after z entered.
        c: Its cell [N, H].
        features: Of the newest bar, standardised and clipped [N, F], float32.
        raw: The same in their own units [N, F], float64.
        memory: What the features remember [N, S], float64.
        open_time_ms: Of the bars that just closed [N].
        drawn: The newest bars, columns `BAR_NUMBERS` [N, 4], float64.
        space: Numbers for a step's layers [N, W].
    """

    z: Float32Array
    h: Float32Array
    c: Float32Array
    features: Float32Array
    raw: FloatArray
    memory: FloatArray
    open_time_ms: IntArray
    drawn: FloatArray
    space: Float32Array

    @classmethod
    def empty(cls, count: int, config: MarketConfig) -> Self:
        """N lanes of zeros."""
        size, hidden = len(config.features.names), config.hidden_size
        return cls(
            aligned(count, config.latent_size),
            aligned(count, hidden),
            aligned(count, hidden),
            aligned(count, size),
            np.zeros((count, size)),
            np.zeros((count, config.features.memory_size)),
            np.zeros(count, dtype=np.int64),
            np.zeros((count, 4)),
            aligned(count, _space(config)),
        )


def _space(config: MarketConfig) -> int:
    """Numbers of a lane's layers, one after the other."""
    inputs = config.hidden_size + config.forecast_size + config.calendar_size
    seen = len(config.features.names) + config.calendar_size + config.trunk_size + LOWER_PARTS
    mixtures = padded(3 * config.num_components) + padded(1 + 3 * config.num_components)
    drawing = config.trunk_size + mixtures + config.head_size + seen
    encoder = config.vae_hidden_size + config.vae_hidden_size // 2
    return inputs + max(drawing, encoder, 4 * config.hidden_size)


@compiled_fused
def draw_mixture(
    raw: Float32Array,
    first: int,
    components: int,
    relative: bool,
    uniform: np.float32,
    normal: np.float32,
    temperature: np.float32,
    shift: np.float32,
    share: np.float32,
    level: np.float32,
) -> tuple[np.float32, np.float32]:
    """A draw from a mixture of one dimension, and its mean log σ.

    Args:
        raw: K logits, K means, K log σ, from number ``first`` on.
        first: See raw.
        components: K.
        relative: Whether means are told in a tenth of their component's σ.
        uniform: In [0, 1).
        normal: ε.
        temperature: τ: logits ÷ τ, noise × √τ; 0 takes the likeliest component's mean.
        shift: Added to log σ.
        share: Of what the mean of the whole mixture strays from a level, where means are relative,
            this much is kept: all means move together.
        level: That level.
    """
    best = 0
    for k in range(1, components):
        best = k if raw[first + k] > raw[first + best] else best
    top = raw[first + best]
    total, plain, scale, whole = _ZERO, _ZERO, _ZERO, _ZERO
    sharpness = _ONE / temperature if temperature > _ZERO else _ONE
    for k in range(components):
        s = min(max(raw[first + 2 * components + k] + shift, _LOW), _HIGH)
        raw[first + 2 * components + k] = s
        weight = fast_exp(raw[first + k] - top)
        plain += weight
        scale += weight * s
        if relative:
            whole += weight * _MEAN * raw[first + components + k] * fast_exp(s)
        total += fast_exp((raw[first + k] - top) * sharpness)
        raw[first + k] -= top
    chosen, part = 0, _ZERO
    for k in range(components - 1):
        part += fast_exp(raw[first + k] * sharpness)
        chosen += 1 if uniform * total >= part else 0
    chosen = best if temperature == _ZERO else chosen
    sigma = fast_exp(raw[first + 2 * components + chosen])
    mean = raw[first + components + chosen]
    if relative:
        mean = _MEAN * mean * sigma - (_ONE - share) * (whole / plain - level)
    return mean + np.sqrt(temperature) * sigma * normal, scale / plain


@compiled_fused
def draw_wick(
    raw: Float32Array,
    components: int,
    uniform: np.float32,
    normal: np.float32,
    temperature: np.float32,
    log_scale: np.float32,
) -> np.float32:
    """A wick in deviations of the training range: exactly 0 by its own chance, else log-mixed."""
    if temperature > _ZERO:
        none = _ONE / (_ONE + fast_exp(-raw[0] / temperature))
    else:
        none = _ONE if raw[0] > _ZERO else _ZERO
    if uniform < none:
        return _ZERO
    rest = (uniform - none) / (_ONE - none) if none < _ONE else _ZERO
    units, _ = draw_mixture(
        raw, 1, components, False, rest, normal, temperature, _ZERO, _ONE, _ZERO
    )
    return min(fast_exp(units + log_scale), _FARTHEST)


@compiled_fused
def told(
    network_calendar: Float32Array,
    summer_time: IntArray,
    bar_ms: int,
    open_time_ms: int,
    out: Float32Array,
) -> None:
    """Write what M is told of the calendar of a bar that opens then [C]."""
    one, two = calendar_cell(open_time_ms, bar_ms, summer_time)
    for j in range(out.shape[0]):
        out[j] = network_calendar[one, j] + network_calendar[two, j]


@compiled_fused
def layer(parameters: Float32Array, at: int, inputs: int, outputs: int) -> Float32Array:
    """The kernel [inputs, outputs] that begins there; its bias follows."""
    return parameters[at : at + inputs * outputs].reshape((inputs, outputs))


@compiled
def padded(outputs: int) -> int:
    """Outputs of a small layer, filled up to whole vectors: fewer would be multiplied one by one."""
    return max(outputs, CACHE_LINE)


@compiled_fused
def carved(free: Float32Array, count: int, width: int) -> tuple[Float32Array, Float32Array]:
    """A layer [count, width] at the beginning of free memory, and what is left of it."""
    size = count * width
    return free[:size].reshape((count, width)), free[size:]


@compiled_fused
def add_bias(values: Float32Array, bias: Float32Array) -> None:
    """Add a bias [J] to rows [N, J]."""
    for n in range(values.shape[0]):
        for j in range(values.shape[1]):
            values[n, j] += bias[j]


@compiled_fused
def standardise(raw: FloatArray, moments: FloatArray, out: Float32Array) -> None:
    """Raw features [F], float64, as V sees them [F], float32."""
    for f in range(out.shape[0]):
        value = (raw[f] - moments[0, f]) * moments[1, f]
        out[f] = min(max(value, -_CLIP), _CLIP)


@compiled_fused
def encode_rows(
    parameters: Float32Array,
    at: int,
    features: Float32Array,
    hidden: Float32Array,
    z: Float32Array,
) -> None:
    """V's means [N, Z] of standardised features [N, F]; ``hidden`` [N, V] is overwritten."""
    size, units, latents = features.shape[1], hidden.shape[1], z.shape[1]
    product(features, layer(parameters, at, size, units), hidden)
    at += size * units
    silu(hidden, parameters[at : at + units])
    at += units
    product(hidden, layer(parameters, at, units, latents), z)
    add_bias(z, parameters[at + units * latents :][:latents])
    for n in range(z.shape[0]):
        for d in range(latents):
            z[n, d] = min(max(z[n, d], -_LIMIT), _LIMIT)


@compiled_fused
def encoder_at(sizes: IntArray) -> int:
    """Where V's encoder begins among the parameters."""
    f, c, h, t, k, g = sizes[_F], sizes[_C], sizes[_H], sizes[_T], sizes[_K], sizes[_G]
    inputs, mixed, wick = h + sizes[_KNOWN] + c, padded(3 * k), padded(1 + 3 * k)
    at = (inputs + 1) * t + (inputs + 1) * 4 * h + (t + 1) * mixed
    at += (t + RETURN_PARTS + 1) * g + (g + 1) * wick
    at += (t + UPPER_PARTS + 1) * g + (g + 1) * wick
    at += (t + f + c + LOWER_PARTS + 1) * g + (g + 1) * mixed
    start: int = at
    return start


@compiled_fused
def encode_record(
    parameters: Float32Array, sizes: IntArray, features: Float32Array, z: Float32Array
) -> None:
    """`encode_rows` of a whole record, a few hundred rows at a time."""
    at, count = encoder_at(sizes), features.shape[0]
    hidden = np.empty((min(count, _ROWS_AT_ONCE), sizes[_V]), np.float32)
    for start in range(0, count, _ROWS_AT_ONCE):
        rows = min(count - start, _ROWS_AT_ONCE)
        some = slice(start, start + rows)
        encode_rows(parameters, at, features[some], hidden[:rows], z[some])


@compiled_fused
def dream_bars(
    parameters: Float32Array,
    sizes: IntArray,
    calendar: Float32Array,
    moments: FloatArray,
    scale: FloatArray,
    summer_time: IntArray,
    form: IntArray,
    quantity: IntArray,
    span: FloatArray,
    rates: FloatArray,
    bars: IntArray,
    z: Float32Array,
    h: Float32Array,
    c: Float32Array,
    features: Float32Array,
    raw_features: FloatArray,
    memory: FloatArray,
    open_time_ms: IntArray,
    drawn: FloatArray,
    space: Float32Array,
    noise: Float32Array,
    first_noise: int,
    temperature: np.float32,
    forced: bool,
) -> None:
    """Dream one bar of every lane, or live one that happened.

    Args:
        parameters: And the ten that follow: a `BarNetwork`.
        sizes: [9].
        calendar: [72, C].
        moments: [2, F].
        scale: [8].
        summer_time: Instants.
        form: The features' table.
        quantity: [F].
        span: [F].
        rates: [F + 6].
        bars: [4].
        z: And the eight that follow: `BarLanes`, moved.
        h: [N, H].
        c: [N, H].
        features: [N, F].
        raw_features: [N, F].
        memory: [N, S].
        open_time_ms: [N].
        drawn: [N, 4]; read where ``forced``.
        space: [N, W].
        noise: Four uniforms and four normals of many lanes or steps [8, M].
        first_noise: The column of the first lane.
        temperature: τ.
        forced: Do not draw; ``drawn`` holds the bars that happened.
    """
    count, trunk_size, hidden = z.shape[0], sizes[_T], sizes[_H]
    known, told_size = sizes[_KNOWN], sizes[_C]
    width = hidden + known + told_size
    free = space.reshape(space.size)  # layers lie one after the other, each without gaps
    inputs, free = carved(free, count, width)
    gates, _ = carved(free, count, 4 * hidden)
    encoding, _ = carved(free, count, sizes[_V])
    of_gates = (width + 1) * trunk_size
    if not forced:
        draw_next(
            parameters,
            sizes,
            calendar,
            scale,
            summer_time,
            bars,
            z,
            h,
            features,
            memory,
            open_time_ms,
            drawn,
            noise,
            first_noise,
            temperature,
            inputs,
            free,
        )
    for n in range(count):
        open_time_ms[n] += bars[3]
        advance(
            form,
            quantity,
            span,
            rates,
            bars,
            drawn[n, 0],
            drawn[n, 1],
            drawn[n, 2],
            drawn[n, 3],
            open_time_ms[n],
            memory[n],
            raw_features[n],
        )
        standardise(raw_features[n], moments, features[n])
    encode_rows(parameters, encoder_at(sizes), features, encoding, z)
    for n in range(count):
        for j in range(hidden):
            inputs[n, j] = h[n, j]
        for j in range(known):
            inputs[n, hidden + j] = z[n, j]
        coming = open_time_ms[n] + bars[3]
        told(calendar, summer_time, bars[3], coming, inputs[n, hidden + known :])
    product(inputs, layer(parameters, of_gates, width, 4 * hidden), gates)
    lstm_cell(gates, parameters[of_gates + width * 4 * hidden :][: 4 * hidden], c, h)


@compiled_fused
def draw_next(  # noqa: C901 - one part of the bar after the other
    parameters: Float32Array,
    sizes: IntArray,
    calendar: Float32Array,
    scale: FloatArray,
    summer_time: IntArray,
    bars: IntArray,
    z: Float32Array,
    h: Float32Array,
    features: Float32Array,
    memory: FloatArray,
    open_time_ms: IntArray,
    drawn: FloatArray,
    noise: Float32Array,
    first_noise: int,
    temperature: np.float32,
    inputs: Float32Array,
    free: Float32Array,
) -> None:
    """Draw the next bar of every lane into ``drawn``: see `dream_bars` for the arguments.

    Args:
        parameters: See there.
        sizes: See there.
        calendar: See there.
        scale: See there.
        summer_time: See there.
        bars: See there.
        z: See there.
        h: See there.
        features: See there.
        memory: See there.
        open_time_ms: See there.
        drawn: Written.
        noise: See there.
        first_noise: See there.
        temperature: See there.
        inputs: Workspace [N, H + Z' + C].
        free: Workspace for the other layers.
    """
    count, trunk_size, k, g = z.shape[0], sizes[_T], sizes[_K], sizes[_G]
    size, hidden, known, told_size = sizes[_F], sizes[_H], sizes[_KNOWN], sizes[_C]
    width, mixed = hidden + known + told_size, padded(3 * k)
    for n in range(count):
        for j in range(hidden):
            inputs[n, j] = h[n, j]
        for j in range(known):
            inputs[n, hidden + j] = z[n, j]
        told(calendar, summer_time, bars[3], open_time_ms[n] + bars[3], inputs[n, hidden + known :])
    trunk, free = carved(free, count, trunk_size)
    mixture, free = carved(free, count, mixed)
    raw, free = carved(free, count, padded(1 + 3 * k))
    inner, free = carved(free, count, g)
    # In a lane's row: what the volume's head sees besides, then the trunk, then what was drawn.
    seen, _ = carved(free, count, size + told_size + trunk_size + LOWER_PARTS)
    product(inputs, layer(parameters, 0, width, trunk_size), trunk)
    at = width * trunk_size
    silu(trunk, parameters[at : at + trunk_size])
    at += trunk_size + (width + 1) * 4 * hidden
    product(trunk, layer(parameters, at, trunk_size, mixed), mixture)
    at += trunk_size * mixed
    add_bias(mixture, parameters[at : at + mixed])
    at += mixed
    first = size + told_size
    parts = first + trunk_size
    shift = np.float32(scale[1])
    for n in range(count):
        for f in range(size):
            seen[n, f] = features[n, f]
        for j in range(told_size):
            seen[n, size + j] = inputs[n, hidden + known + j]
        for j in range(trunk_size):
            seen[n, first + j] = trunk[n, j]
        # a slow pull: the further the market's level is from its middle, the more it is drawn back
        pull = np.float32(scale[3]) * (np.float32(scale[4]) - features[n, _LEVEL_COLUMN])
        u, s = draw_mixture(
            mixture[n], 0, k, True, noise[0, first_noise + n], noise[4, first_noise + n], temperature,
            shift + pull, np.float32(scale[5]), np.float32(scale[6]),
        )  # fmt: skip
        u = min(max(u + np.float32(scale[7]), -_FARTHEST), _FARTHEST)
        drawn[n, 0] = u * scale[0]
        units = fast_asinh(u * fast_exp(-s))
        seen[n, parts] = units
        seen[n, parts + 1] = abs(units)
        seen[n, parts + 2] = s
    for side in range(2):
        entering = trunk_size + RETURN_PARTS + side
        product(seen[:, first : first + entering], layer(parameters, at, entering, g), inner)
        at += entering * g
        silu(inner, parameters[at : at + g])
        at += g
        outputs = raw.shape[1]
        product(inner, layer(parameters, at, g, outputs), raw)
        at += g * outputs
        add_bias(raw, parameters[at : at + outputs])
        at += outputs
        for n in range(count):
            s = seen[n, parts + 2]
            wick = draw_wick(
                raw[n], k, noise[1 + side, first_noise + n], noise[5 + side, first_noise + n],
                temperature, s,
            )  # fmt: skip
            drawn[n, 1 + side] = wick * scale[0]
            seen[n, parts + RETURN_PARTS + side] = fast_log(wick * fast_exp(-s) + _FLOOR)
    entering = first + trunk_size + LOWER_PARTS
    product(seen[:, :entering], layer(parameters, at, entering, g), inner)
    at += entering * g
    silu(inner, parameters[at : at + g])
    at += g
    product(inner, layer(parameters, at, g, mixed), mixture)
    at += g * mixed
    add_bias(mixture, parameters[at : at + mixed])
    for n in range(count):
        relative, _ = draw_mixture(
            mixture[n], 0, k, False, noise[3, first_noise + n], noise[7, first_noise + n], temperature,
            _ZERO, _ONE, _ZERO,
        )  # fmt: skip
        relative = min(max(relative + np.float32(scale[2]), -_VOLUME_LIMIT), _VOLUME_LIMIT)
        drawn[n, 3] = volume_of(float(relative), memory[n, AVERAGE_VOLUME])
