"""One lane of M, compiled: the step of the ``market`` preset with no other lanes beside it.

For many lanes everything runs over lanes (`envs.engine.many_lanes`). A lane alone is bound by reading the
weights, 0.1 MB: here each is read once, in whole cache lines (`envs.engine.lane_layout`), and loops run over
units. The formulae are the same, in the same order: the tests hold both ways to the same bits.
"""

from __future__ import annotations

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.numerics.compiled import compiled_fused
from ...market.numerics.float32 import fast_asinh, fast_exp
from ...market.numerics.products import add_product
from ...models.forward import lstm_cell

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_LOG_SIGMA_MIN, _LOG_SIGMA_MAX = np.float32(-6.0), np.float32(3.0)
_LATENT_LIMIT = np.float32(10.0)


@compiled_fused
def choose_one(
    logits: Float32Array,
    bias: Float32Array,
    count: int,
    uniform: np.float32,
    temperature: np.float32,
) -> int:
    """The component that a uniform draws; see `kernels.choose`.

    Args:
        logits: The first K numbers, without bias; overwritten.
        bias: Its first K numbers.
        count: K.
        uniform: In [0, 1).
        temperature: τ.
    """
    chosen = 0
    for k in range(count):
        logits[k] += bias[k]
        chosen = k if logits[k] > logits[chosen] else chosen
    if temperature == _ZERO:
        return chosen
    top, sharpness, total = logits[chosen], _ONE / temperature, _ZERO
    for k in range(count):  # number k becomes the sum of the first k + 1 weights
        total += fast_exp((logits[k] - top) * sharpness)
        logits[k] = total
    chosen = 0
    for k in range(count - 1):
        chosen += 1 if uniform * total >= logits[k] else 0
    return chosen


@compiled_fused
def draw_one(
    mean: np.float32, log_sigma: np.float32, normal: np.float32, noise: np.float32
) -> np.float32:
    """μ + √τ σ ε with log σ in its bounds; see `kernels.draw_component`."""
    s = _LOG_SIGMA_MIN if log_sigma < _LOG_SIGMA_MIN else log_sigma
    s = _LOG_SIGMA_MAX if s > _LOG_SIGMA_MAX else s
    return mean + fast_exp(s) * noise * normal if noise > _ZERO else mean


@compiled_fused
def draw_return(
    head: Float32Array,
    bias: Float32Array,
    carried: Float32Array,
    components: int,
    uniform: np.float32,
    normal: np.float32,
    temperature: np.float32,
    z: Float32Array,
    inner: Float32Array,
) -> np.float32:
    """The standardised return, and the layer of the head that draws z given it.

    Args:
        head: Products [3 K + G, or more].
        bias: Of them.
        carried: What asinh of the return adds to them.
        components: K.
        uniform: In [0, 1).
        normal: ε.
        temperature: τ.
        z: [Z], whose first number becomes asinh of the return.
        inner: The layer's output [G], written.
    """
    k = components + choose_one(head, bias, components, uniform, temperature)
    width = components + k
    scaled = draw_one(head[k] + bias[k], head[width] + bias[width], normal, np.sqrt(temperature))
    entered = fast_asinh(scaled)
    z[0] = min(_LATENT_LIMIT, max(-_LATENT_LIMIT, entered))
    first = 3 * components
    for j in range(inner.shape[0]):
        total = head[first + j] + bias[first + j] + carried[first + j] * entered
        inner[j] = total if total > _ZERO else _ZERO
    return scaled


@compiled_fused
def draw_latent(
    raw: Float32Array,
    bias: Float32Array,
    persistence: Float32Array,
    spread: Float32Array,
    components: int,
    noise: Float32Array,
    lane: int,
    temperature: np.float32,
    z: Float32Array,
) -> None:
    """The latent's other numbers, in place of the last ones.

    Args:
        raw: Products [K (1 + 2 D), or more]: logits, means, log σ.
        bias: Of them.
        persistence: How much of the last latent each number keeps [D, or more].
        spread: What its noise is multiplied by [D, or more].
        components: K.
        noise: [3 + Z, N]; see `step_lane`.
        lane: Which column of it.
        temperature: τ.
        z: [Z], updated but for the first number.
    """
    drawn = z.shape[0] - 1
    chosen = choose_one(raw, bias, components, noise[1, lane], temperature)
    mean, width = components + chosen * drawn, components + (components + chosen) * drawn
    breadth = np.sqrt(temperature)
    for d in range(drawn):
        x = draw_one(
            raw[mean + d] + bias[mean + d],
            raw[width + d] + bias[width + d],
            noise[4 + d, lane],
            breadth * spread[d],
        )
        x += persistence[d] * z[1 + d]
        x = _LATENT_LIMIT if x > _LATENT_LIMIT else x
        z[1 + d] = -_LATENT_LIMIT if x < -_LATENT_LIMIT else x


@compiled_fused
def step_lane(
    wide: Float32Array,
    latent: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    noise: Float32Array,
    lane: int,
    temperature: np.float32,
    open_time_ms: int,
    memory: Float32Array,
) -> float:
    """Dream one bar of one lane.

    Args:
        wide: And the three that follow: a `LaneModel`.
        latent: z's mixture.
        calendar: Of a week's bars [B, 4].
        numbers: Sizes and scales, as `LaneNumbers`.
        noise: Two uniforms and 1 + Z normals of N lanes, or steps [3 + Z, N].
        lane: Which of them.
        temperature: τ.
        open_time_ms: Of the bar that is dreamed.
        memory: See `LaneModel`; updated.

    Returns:
        The log return.
    """
    components, latents, hidden = int(numbers[0]), int(numbers[1]), int(numbers[2])
    bar = (open_time_ms // int(numbers[3]) + 1) % calendar.shape[0]
    seen, size = hidden + latents, hidden + latents + calendar.shape[1]
    units, head = latent.shape[0] - 3, wide.shape[1] - 4 * hidden
    outputs, memory = memory[: wide.shape[1]], memory[wide.shape[1] :]
    raw, memory = memory[: latent.shape[1]], memory[latent.shape[1] :]
    cell, inputs, inner = memory[:hidden], memory[hidden:], memory[hidden + size :][:units]
    h, z = inputs[:hidden], inputs[hidden:seen]
    outputs[:] = _ZERO
    add_product(h, wide[:hidden], outputs)
    add_product(z, wide[hidden:seen], outputs[:head])
    scaled = draw_return(
        outputs,
        wide[size],
        wide[size + 1],
        components,
        noise[0, lane],
        noise[2, lane],
        temperature,
        z,
        inner,
    )
    raw[:] = _ZERO
    add_product(inner, latent[:units], raw)
    bias, persistence, spread = latent[units], latent[units + 1], latent[units + 2]
    draw_latent(raw, bias, persistence, spread, components, noise, lane, temperature, z)
    for j in range(calendar.shape[1]):
        inputs[seen + j] = calendar[bar, j]
    add_product(inputs[hidden:size], wide[hidden:size], outputs)  # the head's are spent by now
    lstm_cell(outputs[np.newaxis, head:], wide[size, head:], cell[np.newaxis, :], h[np.newaxis, :])
    log_return: float = scaled * numbers[4] + numbers[5]
    return log_return


@compiled_fused
def step_lanes(
    wide: Float32Array,
    latent: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    noise: Float32Array,
    temperature: np.float32,
    z: Float32Array,
    h: Float32Array,
    c: Float32Array,
    open_time_ms: IntArray,
    memory: Float32Array,
    log_return: FloatArray,
) -> None:
    """`step_lane` for a few lanes, one after the other.

    Args:
        wide: And what follows up to the temperature: see `step_lane`.
        latent: z's mixture.
        calendar: Of a week's bars.
        numbers: Sizes and scales.
        noise: [3 + Z, N].
        temperature: τ.
        z: [N, Z], updated.
        h: [N, H], updated.
        c: [N, H], updated.
        open_time_ms: Of the bars that just closed [N], updated.
        memory: Workspace; see `LaneModel`.
        log_return: [N], written.
    """
    hidden, latents = h.shape[1], z.shape[1]
    cell = memory[wide.shape[1] + latent.shape[1] :][:hidden]
    own_h = memory[wide.shape[1] + latent.shape[1] + hidden :][:hidden]
    own_z = memory[wide.shape[1] + latent.shape[1] + 2 * hidden :][:latents]
    for n in range(z.shape[0]):
        own_z[:], own_h[:], cell[:] = z[n], h[n], c[n]
        open_time_ms[n] += int(numbers[3])
        log_return[n] = step_lane(
            wide, latent, calendar, numbers, noise, n, temperature, open_time_ms[n], memory
        )
        z[n], h[n], c[n] = own_z, own_h, cell
