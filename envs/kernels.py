"""The dream's arithmetic between matrix products, compiled: gates, mixtures, sampling.

All of it is float32, and every lane's numbers depend on that lane alone. tanh and exp are the polynomials below, because their loops become vector instructions
where calls into the C library do not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..market.candles import FloatArray, IntArray
from ..market.compiled import compiled_fused

Float32Array = NDArray[np.float32]

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_LOG_SIGMA_MIN, _LOG_SIGMA_MAX = np.float32(-6.0), np.float32(3.0)
_LATENT_LIMIT = np.float32(10.0)

_TANH_EDGE = np.float32(9.1)  # float32's tanh is 1 from here on
_A0, _A1, _A2 = np.float32(135135.0), np.float32(17325.0), np.float32(378.0)
_B1, _B2, _B3 = np.float32(62370.0), np.float32(3150.0), np.float32(28.0)


@compiled_fused
def fast_tanh(x: np.float32) -> np.float32:
    """The hyperbolic tangent of a float32, within 2e-7; see `market.tanh` for the float64 one.

    The seventh convergent n/d of Lambert's continued fraction at x/2, then one doubling:
    tanh 2a = 2nd / (n² + d²). Conditions rather than min and max, which stop the compiler's
    vectorising.
    """
    x = _TANH_EDGE if x > _TANH_EDGE else x
    x = -_TANH_EDGE if x < -_TANH_EDGE else x
    z = _HALF * x
    y = z * z
    n = z * (_A0 + y * (_A1 + y * (_A2 + y)))
    d = _A0 + y * (_B1 + y * (_B2 + y * _B3))
    result = (n + n) * d / (n * n + d * d)
    result = _ONE if result > _ONE else result
    return -_ONE if result < -_ONE else result


@compiled_fused
def fast_sigmoid(x: np.float32) -> np.float32:
    """The logistic function 1 / (1 + e⁻ˣ) = ½ + ½ tanh(x/2)."""
    return _HALF + _HALF * fast_tanh(_HALF * x)


@compiled_fused
def lstm_cell(
    gates: Float32Array,
    bias: Float32Array,
    cell: Float32Array,
    hidden: Float32Array,
    inputs: Float32Array,
) -> None:
    """The LSTM's update (Hochreiter & Schmidhuber 1997; gate order i, f, g, o as in PyTorch).

    Args:
        gates: Matrix products of the inputs [N, 4 H].
        bias: [4 H].
        cell: c [N, H], updated.
        hidden: h [N, H], written.
        inputs: The next step's [N, I + H], whose last H columns receive h as well.
    """
    count, size = cell.shape
    first = inputs.shape[1] - size
    for n in range(count):
        for j in range(size):
            i = fast_sigmoid(gates[n, j] + bias[j])
            f = fast_sigmoid(gates[n, size + j] + bias[size + j])
            g = fast_tanh(gates[n, 2 * size + j] + bias[2 * size + j])
            o = fast_sigmoid(gates[n, 3 * size + j] + bias[3 * size + j])
            c = f * cell[n, j] + i * g
            cell[n, j] = c
            hidden[n, j] = o * fast_tanh(c)
        for j in range(size):
            inputs[n, first + j] = hidden[n, j]


@compiled_fused
def choose(logits: Float32Array, uniform: np.float32, temperature: np.float32) -> int:
    """The component that a uniform draws by the inverse distribution; the likeliest at τ = 0."""
    count: int = logits.shape[0]
    best = 0
    for k in range(1, count):
        if logits[k] > logits[best]:
            best = k
    if temperature == _ZERO:
        return best
    highest = logits[best]
    total = _ZERO
    for k in range(count):
        total += math.exp((logits[k] - highest) / temperature)
    wanted = uniform * total
    passed = _ZERO
    for k in range(count - 1):
        passed += math.exp((logits[k] - highest) / temperature)
        if wanted < passed:
            return k
    return count - 1


@compiled_fused
def sigma_of(log_sigma: np.float32) -> np.float32:
    """The component's deviation, with log σ clamped as in training."""
    return np.float32(math.exp(min(_LOG_SIGMA_MAX, max(_LOG_SIGMA_MIN, log_sigma))))


@compiled_fused
def draw_returns(
    head: Float32Array,
    bias: Float32Array,
    carried_weight: Float32Array,
    components: int,
    uniforms: Float32Array,
    normals: Float32Array,
    temperature: np.float32,
    scaled: Float32Array,
    inner: Float32Array,
) -> None:
    """Draw the standardised return, then the hidden layer of the head that draws z given it.

    Args:
        head: Products [N, 3 K + G] of [z, calendar, h]: the return's mixture, then the layer.
        bias: Of both [3 K + G].
        carried_weight: What asinh of the drawn return adds to the layer [G].
        components: K.
        uniforms: [N, 2]; column 0.
        normals: [N, 1 + Z]; column 0.
        temperature: τ.
        scaled: The drawn returns [N], written.
        inner: The layer's output [N, G], written.
    """
    noise = math.sqrt(temperature)
    size = inner.shape[1]
    for n in range(head.shape[0]):
        row = head[n]
        for j in range(3 * components):
            row[j] += bias[j]
        k = choose(row[:components], uniforms[n, 0], temperature)
        value = row[components + k]
        if temperature > _ZERO:
            value += sigma_of(row[2 * components + k]) * np.float32(noise) * normals[n, 0]
        scaled[n] = value
        carried = np.float32(math.asinh(value))
        for j in range(size):
            total = row[3 * components + j] + bias[3 * components + j] + carried_weight[j] * carried
            inner[n, j] = max(total, _ZERO)


@compiled_fused
def draw_latents(
    raw: Float32Array,
    bias: Float32Array,
    persistence: Float32Array,
    components: int,
    uniforms: Float32Array,
    normals: Float32Array,
    temperature: np.float32,
    scaled: Float32Array,
    carried: int,
    z: Float32Array,
    inputs: Float32Array,
) -> None:
    """Draw the next latent in place of the last.

    Args:
        raw: Products [N, K (1 + 2 D)]: logits, means, log σ.
        bias: [K (1 + 2 D)].
        persistence: How much of the last latent each drawn dimension keeps [D].
        components: K.
        uniforms: [N, 2]; column 1.
        normals: [N, 1 + Z].
        temperature: τ.
        scaled: Drawn returns [N], whose asinh is the first dimension where one is carried.
        carried: 1 where the first dimension carries the return (``market``), else 0.
        z: [N, Z], updated.
        inputs: The next step's [N, I + H], whose first Z columns receive z as well.
    """
    noise = np.float32(math.sqrt(temperature))
    drawn = z.shape[1] - carried
    for n in range(raw.shape[0]):
        row = raw[n]
        for j in range(row.shape[0]):
            row[j] += bias[j]
        k = choose(row[:components], uniforms[n, 1], temperature)
        means = components + k * drawn
        widths = components + (components + k) * drawn
        for d in range(drawn):
            value = row[means + d] + persistence[d] * z[n, carried + d]
            if temperature > _ZERO:
                value += sigma_of(row[widths + d]) * noise * normals[n, 1 + carried + d]
            z[n, carried + d] = min(_LATENT_LIMIT, max(-_LATENT_LIMIT, value))
        if carried:
            value = np.float32(math.asinh(scaled[n]))
            z[n, 0] = min(_LATENT_LIMIT, max(-_LATENT_LIMIT, value))
        for d in range(z.shape[1]):
            inputs[n, d] = z[n, d]


@compiled_fused
def silu(values: Float32Array, bias: Float32Array) -> None:
    """X · sigmoid(x) of values + bias [N, G], in place."""
    for n in range(values.shape[0]):
        for j in range(values.shape[1]):
            x = values[n, j] + bias[j]
            values[n, j] = x * fast_sigmoid(x)


@compiled_fused
def products(inputs: Float32Array, weights: Float32Array, out: Float32Array) -> None:
    """``inputs [N, I] @ weights [I, J]`` for few lanes, where calling a BLAS costs more."""
    for n in range(inputs.shape[0]):
        row = out[n]
        row[:] = _ZERO
        for i in range(inputs.shape[1]):
            x = inputs[n, i]
            for j in range(row.shape[0]):
                row[j] += x * weights[i, j]


@compiled_fused
def unscale(scaled: Float32Array, scale: float, mean: float, out: FloatArray) -> None:
    """Log returns [N], float64, from standardised ones."""
    for n in range(scaled.shape[0]):
        out[n] = scaled[n] * scale + mean


@compiled_fused
def put_calendar(
    open_time_ms: IntArray, interval_ms: int, table: Float32Array, inputs: Float32Array, first: int
) -> None:
    """Write the next bars' calendar, from a table of one week, into ``inputs`` at a column.

    Args:
        open_time_ms: Of the bars that just closed [N].
        interval_ms: Length of a bar.
        table: The calendar of the bars of a week from 1970-01-01 on [B, 4].
        inputs: [N, I + H].
        first: Column.
    """
    for n in range(open_time_ms.shape[0]):
        bar = (open_time_ms[n] // interval_ms + 1) % table.shape[0]
        for j in range(table.shape[1]):
            inputs[n, first + j] = table[bar, j]
