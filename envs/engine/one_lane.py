"""One lane of M, compiled: a step of either preset with no other lanes beside it.

For many lanes everything runs over lanes (`envs.engine.many_lanes`). A lane alone is bound by
reading the weights, 0.1 MB: here each is read once, in whole cache lines
(`envs.engine.lane_layout`), and loops run over units. The formulae are the same, in the same order:
the tests hold both ways to the same bits.

With the ``market`` preset a step draws the return from its mixture (Bishop 1994, eq. 22), then z
given it, and then lets M hear both; with ``paper`` M hears z and the action first (Ha & Schmidhuber
2018, section 2.2: p(z_{t+1} | a_t, z_t, h_t)), z is drawn, and the return is decoded from it.
"""

from __future__ import annotations

import numpy as np

from ...market.arrays import Float32Array, FloatArray
from ...market.numerics.compiled import compiled_fused
from ...market.numerics.float32 import fast_asinh, fast_exp
from ...market.numerics.products import add_product
from ...models.forward import lstm_cell, silu
from .many_lanes import silu_product

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
    """The component that a uniform draws; see `many_lanes.choose`.

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
    # Bishop 1994, eq. 25, with logits / τ; not divided by the sum, as in `many_lanes.choose`.
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
    """μ + √τ σ ε with log σ in its bounds; see `many_lanes.draw_component`."""
    s = _LOG_SIGMA_MIN if log_sigma < _LOG_SIGMA_MIN else log_sigma
    s = _LOG_SIGMA_MAX if s > _LOG_SIGMA_MAX else s
    # At τ = 0, and of a dimension that is held, the noise is 0: the mean itself, to the last bit.
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
    first = 3 * components  # logits, means and log σ of the return come before the layer
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
    carried: int,
    noise: Float32Array,
    lane: int,
    temperature: np.float32,
    z: Float32Array,
) -> None:
    """The latent's numbers that are not drawn yet, in place of the last ones.

    Args:
        raw: Products [K (1 + 2 D), or more]: logits, means, log σ.
        bias: Of them.
        persistence: How much of the last latent each number keeps [D, or more].
        spread: What its noise is multiplied by [D, or more].
        components: K.
        carried: 1 where z's first number is drawn already (``market``), else 0.
        noise: [3 + Z, N]; see `dream_lane`.
        lane: Which column of it.
        temperature: τ.
        z: [Z], updated.
    """
    drawn = z.shape[0] - carried  # D; row by component: [K] logits, [K, D] means, [K, D] log σ
    chosen = choose_one(raw, bias, components, noise[1, lane], temperature)
    mean, width = components + chosen * drawn, components + (components + chosen) * drawn
    breadth = np.sqrt(temperature)
    for d in range(drawn):
        x = draw_one(
            raw[mean + d] + bias[mean + d],
            raw[width + d] + bias[width + d],
            noise[3 + carried + d, lane],
            breadth * spread[d],
        )
        x += persistence[d] * z[carried + d]
        x = _LATENT_LIMIT if x > _LATENT_LIMIT else x
        z[carried + d] = -_LATENT_LIMIT if x < -_LATENT_LIMIT else x


@compiled_fused
def remember(
    wide: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    bar: int,
    added: int,
    memory: Float32Array,
) -> None:
    """M's step: h, z, the action (``paper``) and the calendar of a bar enter; c and h move on.

    Args:
        wide: Of a `LaneModel`.
        calendar: Likewise.
        numbers: Likewise.
        bar: Number of the bar that comes, counted from 1970.
        added: How many of the inputs' products are in the outputs already.
        memory: The lane's, updated.
    """
    hidden, first = int(numbers[2]), int(numbers[7])
    size, head = wide.shape[0] - 2, wide.shape[1] - 4 * hidden
    outputs, cell = memory[: wide.shape[1]], memory[first : first + hidden]
    inputs = memory[first + hidden :][:size]
    days = inputs[size - calendar.shape[1] :]
    for j in range(calendar.shape[1]):
        days[j] = calendar[bar % calendar.shape[0], j]
    if added == 0:
        outputs[:] = _ZERO
    # Whole rows, the head's columns with them though nobody reads those: rows stay contiguous.
    add_product(inputs[added:], wide[added:size], outputs)
    h = inputs[:hidden]
    lstm_cell(outputs[np.newaxis, head:], wide[size, head:], cell[np.newaxis, :], h[np.newaxis, :])


@compiled_fused
def dream_lane(
    wide: Float32Array,
    latent: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    noise: Float32Array,
    step: int,
    temperature: np.float32,
    open_time_ms: int,
    memory: Float32Array,
) -> float:
    """Dream one bar of one lane (``market``).

    Args:
        wide: And the three that follow: a `LaneModel`.
        latent: z's mixture.
        calendar: Of a week's bars [B, 4].
        numbers: Sizes and scales, as `LaneNumbers`.
        noise: Two uniforms and 1 + Z normals of many steps [3 + Z, S].
        step: Which of them.
        temperature: τ.
        open_time_ms: Of the bar that is dreamed.
        memory: See `LaneModel`; updated.

    Returns:
        The log return.
    """
    components, latents, hidden = int(numbers[0]), int(numbers[1]), int(numbers[2])
    first, bar = int(numbers[7]), open_time_ms // int(numbers[3])
    size, units, head = wide.shape[0] - 2, latent.shape[0] - 3, wide.shape[1] - 4 * hidden
    outputs, raw = memory[: wide.shape[1]], memory[wide.shape[1] : first]
    inputs, inner = memory[first + hidden :][:size], memory[first + hidden + size :][:units]
    h, z = inputs[:hidden], inputs[hidden : hidden + latents]
    outputs[:] = _ZERO
    add_product(h, wide[:hidden], outputs)  # for the head and the gates: each row is read once
    add_product(z, wide[hidden : hidden + latents], outputs[:head])
    scaled = draw_return(
        outputs,
        wide[size],
        wide[size + 1],
        components,
        noise[0, step],
        noise[2, step],
        temperature,
        z,
        inner,
    )
    raw[:] = _ZERO
    add_product(inner, latent[:units], raw)
    bias, persistence, spread = latent[units], latent[units + 1], latent[units + 2]
    draw_latent(raw, bias, persistence, spread, components, 1, noise, step, temperature, z)
    remember(wide, calendar, numbers, bar + 1, hidden, memory)
    log_return: float = scaled * numbers[4] + numbers[5]
    return log_return


@compiled_fused
def dream_heard_lane(
    wide: Float32Array,
    latent: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    action: float,
    kernel_0: Float32Array,
    bias_0: Float32Array,
    kernel_1: Float32Array,
    bias_1: Float32Array,
    to_return: Float32Array,
    noise: Float32Array,
    step: int,
    temperature: np.float32,
    open_time_ms: int,
    memory: Float32Array,
) -> float:
    """Dream one bar of one lane whose market hears the action (``paper``).

    Args:
        wide: And the three that follow: a `LaneModel`.
        latent: z's mixture.
        calendar: Of a week's bars [B, 4].
        numbers: Sizes and scales, as `LaneNumbers`.
        action: Target weight.
        kernel_0: And the four that follow: V's decoder as far as the return needs it, halved for
            `silu`.
        bias_0: [V].
        kernel_1: [V, V].
        bias_1: [V].
        to_return: Kernel of the last layer, and its bias [V + 1].
        noise: Two uniforms and 1 + Z normals of many steps [3 + Z, S].
        step: Which of them.
        temperature: τ.
        open_time_ms: Of the bar that is dreamed.
        memory: See `LaneModel`; updated.

    Returns:
        The log return.
    """
    components, latents, hidden = int(numbers[0]), int(numbers[1]), int(numbers[2])
    first, bar = int(numbers[7]), open_time_ms // int(numbers[3])
    raw = memory[wide.shape[1] : first]
    h = memory[first + hidden :][:hidden]
    z = memory[first + 2 * hidden :][:latents]
    memory[first + 2 * hidden + latents] = action
    remember(wide, calendar, numbers, bar, 0, memory)
    units = latent.shape[0] - 3
    raw[:] = _ZERO
    add_product(h, latent[:units], raw)
    bias, persistence, spread = latent[units], latent[units + 1], latent[units + 2]
    draw_latent(raw, bias, persistence, spread, components, 0, noise, step, temperature, z)
    one, two = (
        np.zeros((1, bias_0.shape[0]), np.float32),
        np.zeros((1, bias_1.shape[0]), np.float32),
    )
    add_product(z, kernel_0, one[0])
    silu(one, bias_0)
    add_product(one[0], kernel_1, two[0])
    scaled = np.empty(1, np.float32)
    silu_product(two, bias_1, to_return[:-1], to_return[-1], scaled)
    log_return: float = scaled[0] * numbers[4] + numbers[5]
    return log_return


@compiled_fused
def force_lane(
    wide: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    action: float,
    latent: Float32Array,
    open_time_ms: int,
    memory: Float32Array,
) -> None:
    """Let one lane live a latent [Z] that did happen, of a bar that opens then; either preset."""
    latents, hidden, first = int(numbers[1]), int(numbers[2]), int(numbers[7])
    z, bar = memory[first + 2 * hidden :][:latents], open_time_ms // int(numbers[3])
    if numbers[6] > 0.0:
        memory[first + 2 * hidden + latents] = action
        remember(wide, calendar, numbers, bar, 0, memory)
        z[:] = latent
    else:
        z[:] = latent
        remember(wide, calendar, numbers, bar + 1, 0, memory)
