"""One lane of latents, compiled: a step with no other lanes beside it (``paper``).

For many lanes everything runs over lanes (`envs.engine.many_lanes`). A lane alone is bound by
reading the weights, 0.1 MB: here each is read once, in whole cache lines
(`envs.engine.lane_layout`), and loops run over units. The formulae are the same, in the same order:
the tests hold both ways to the same bits.

M hears z and the action (Ha & Schmidhuber 2018, section 2.2: p(z_{t+1} | a_t, z_t, h_t)), z is drawn
from its mixture (Bishop 1994, eq. 22), and the return is decoded from it.
"""

from __future__ import annotations

import numpy as np

from ...market.arrays import Float32Array, FloatArray
from ...market.numerics.compiled import compiled_fused
from ...market.numerics.float32 import fast_exp
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
def draw_latent(
    raw: Float32Array,
    bias: Float32Array,
    spread: Float32Array,
    components: int,
    noise: Float32Array,
    step: int,
    temperature: np.float32,
    z: Float32Array,
) -> None:
    """The next latent.

    Args:
        raw: Products [K (1 + 2 Z), or more]: logits, means, log σ.
        bias: Of them.
        spread: What the noise of each number is multiplied by [Z, or more].
        components: K.
        noise: [3 + Z, S]; see `dream_lane`.
        step: Which column of it.
        temperature: τ.
        z: [Z], written.
    """
    size = z.shape[0]  # row by component: [K] logits, [K, Z] means, [K, Z] log σ
    chosen = choose_one(raw, bias, components, noise[1, step], temperature)
    mean, width = components + chosen * size, components + (components + chosen) * size
    breadth = np.sqrt(temperature)
    for d in range(size):
        x = draw_one(
            raw[mean + d] + bias[mean + d],
            raw[width + d] + bias[width + d],
            noise[3 + d, step],
            breadth * spread[d],
        )
        x = _LATENT_LIMIT if x > _LATENT_LIMIT else x
        z[d] = -_LATENT_LIMIT if x < -_LATENT_LIMIT else x


@compiled_fused
def remember(
    gates: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    action: float,
    open_time_ms: int,
    memory: Float32Array,
) -> None:
    """M's step: h, z, the action and the calendar of a bar enter; c and h move on.

    Args:
        gates: And the two that follow: of a `LaneModel`.
        calendar: Of a week's bars [B, 4].
        numbers: Sizes and scales, as `LaneNumbers`.
        action: Target weight.
        open_time_ms: Of the bar that comes.
        memory: The lane's, updated.
    """
    latents, hidden, first = int(numbers[1]), int(numbers[2]), int(numbers[6])
    size, bar = gates.shape[0] - 1, open_time_ms // int(numbers[3])
    outputs, cell = memory[: gates.shape[1]], memory[first : first + hidden]
    inputs = memory[first + hidden :][:size]
    inputs[hidden + latents] = action
    days = inputs[size - calendar.shape[1] :]
    for j in range(calendar.shape[1]):
        days[j] = calendar[bar % calendar.shape[0], j]
    outputs[:] = _ZERO
    add_product(inputs, gates[:size], outputs)
    h = inputs[:hidden]
    lstm_cell(outputs[np.newaxis, :], gates[size], cell[np.newaxis, :], h[np.newaxis, :])


@compiled_fused
def dream_lane(
    gates: Float32Array,
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
    """Dream one bar of one lane, whose market hears the action.

    Args:
        gates: And the three that follow: a `LaneModel`.
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
    first = int(numbers[6])
    raw = memory[gates.shape[1] : first]
    h = memory[first + hidden :][:hidden]
    z = memory[first + 2 * hidden :][:latents]
    remember(gates, calendar, numbers, action, open_time_ms, memory)
    raw[:] = _ZERO
    add_product(h, latent[:hidden], raw)
    draw_latent(raw, latent[hidden], latent[hidden + 1], components, noise, step, temperature, z)
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
    gates: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    action: float,
    latent: Float32Array,
    open_time_ms: int,
    memory: Float32Array,
) -> None:
    """Let one lane live a latent [Z] that did happen, of a bar that opens then."""
    remember(gates, calendar, numbers, action, open_time_ms, memory)
    first = int(numbers[6]) + 2 * int(numbers[2])
    memory[first:][: latent.shape[0]] = latent
