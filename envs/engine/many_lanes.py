"""A dream of latents between its matrix products, compiled: gates, mixtures, sampling (``paper``).

All of it is float32, and every lane's numbers depend on that lane alone. Mixtures are those of
Bishop 1994 ("Mixture density networks"), whose equations the comments number; the temperature τ is
that of Ha & Schmidhuber 2018, section 2.2 (Ha & Eck 2017, eq. 8): it divides logits and multiplies
variances.
"""

from __future__ import annotations

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.numerics.compiled import compiled_fused, compiled_sums
from ...market.numerics.float32 import fast_exp
from ...market.numerics.float32_tanh import tanh_parts
from ...models.forward import lstm_cell

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_LOG_SIGMA_MIN, _LOG_SIGMA_MAX = np.float32(-6.0), np.float32(3.0)
_LATENT_LIMIT = np.float32(10.0)
_LANES_AT_ONCE = 16  # a cache line of each column: it is written whole


@compiled_fused
def lstm_step(
    gates: Float32Array,
    bias: Float32Array,
    cell: Float32Array,
    hidden: Float32Array,
    inputs: Float32Array,
    columns: Float32Array,
) -> None:
    """`lstm_cell` of many lanes, which also writes h to where the products read it.

    Args:
        gates: And the three that follow: see `lstm_cell`.
        bias: [4 H].
        cell: c [N, H], updated.
        hidden: h [N, H], written.
        inputs: [N, H + I], of which the first columns are written.
        columns: [H + Z, N or more], of which the first rows are written.
    """
    count, size = cell.shape
    for start in range(0, count, _LANES_AT_ONCE):
        some = slice(start, min(start + _LANES_AT_ONCE, count))
        lstm_cell(gates[some], bias, cell[some], hidden[some])
        for n in range(some.start, some.stop):  # while they are in the first-level cache
            heard = inputs[n]
            for j in range(size):
                heard[j] = hidden[n, j]
        for j in range(size):  # a cache line of lanes at a time
            column = columns[j]
            for n in range(some.start, some.stop):
                column[n] = hidden[n, j]


# The kernels below hold one number of all lanes in a row, [numbers, N or more]: their loops run over
# lanes, and choosing a component is arithmetic instead of a branch. That makes them vector
# instructions; a loop over a lane's components with a branch in it would go one number at a time.


@compiled_fused
def likeliest(
    head: Float32Array, bias: Float32Array, count: int, top: Float32Array, chosen: Float32Array
) -> None:
    """Add the bias to the logits [K, N]; write their largest [N] and its component [N]."""
    lanes = top.shape[0]
    for n in range(lanes):
        head[0, n] += bias[0]
        top[n] = head[0, n]
        chosen[n] = _ZERO
    for k in range(1, count):
        added = bias[k]
        for n in range(lanes):
            logit = head[k, n] + added
            head[k, n] = logit
            # before `top` moves: the first of equal logits stays chosen
            chosen[n] = np.float32(k) if logit > top[n] else chosen[n]
            top[n] = logit if logit > top[n] else top[n]


@compiled_fused
def choose(
    head: Float32Array,
    bias: Float32Array,
    count: int,
    uniforms: Float32Array,
    temperature: np.float32,
    chosen: Float32Array,
) -> None:
    """The components that uniforms draw by the inverse distribution; the likeliest at τ = 0.

    Args:
        head: Its first rows are the logits without bias [K, N]; overwritten.
        bias: Its first K numbers.
        count: K.
        uniforms: [N].
        temperature: τ.
        chosen: The components [N], as float32, written.
    """
    lanes = uniforms.shape[0]
    total = np.empty(lanes, np.float32)
    likeliest(head, bias, count, total, chosen)
    if temperature == _ZERO:
        return
    # Weights are softmax(logits / τ) (Bishop eq. 25), never divided by their sum: the uniform is
    # multiplied by it instead.
    sharpness = _ONE / temperature
    for n in range(lanes):
        chosen[n] = total[n]  # the largest logit, until there are sums
        total[n] = _ZERO
    for k in range(count):  # row k becomes the sum of the first k + 1 weights
        for n in range(lanes):
            total[n] += fast_exp((head[k, n] - chosen[n]) * sharpness)
            head[k, n] = total[n]
    # The component is how many running sums the uniform has passed. The last sum is not asked: it
    # is the total, which rounding must not let it pass.
    chosen[:] = _ZERO
    for k in range(count - 1):
        for n in range(lanes):
            chosen[n] += _ONE if uniforms[n] * total[n] >= head[k, n] else _ZERO


@compiled_fused
def draw_component(
    head: Float32Array,
    bias: Float32Array,
    first: int,
    stride: int,
    count: int,
    chosen: Float32Array,
    normals: Float32Array,
    noise: np.float32,
    drawn: Float32Array,
    log_sigma: Float32Array,
) -> None:
    """Draw one dimension from the chosen components: μ_k + √τ σ_k ε.

    Args:
        head: Rows ``first + k stride`` are the means, ``count stride`` further the log σ [.., N].
        bias: Of the head.
        first: Row of the first component's mean.
        stride: Rows from one component's mean to the next's.
        count: K.
        chosen: Components [N].
        normals: ε [N].
        noise: √τ.
        drawn: [N], written.
        log_sigma: Of the chosen components [N], written.
    """
    lanes = chosen.shape[0]
    for k in range(count):
        mean, width, here = first + k * stride, first + (count + k) * stride, np.float32(k)
        # one number for all lanes, read before the loop, or each lane gathers it again
        mean_bias, width_bias = bias[mean], bias[width]
        for n in range(lanes):
            # all loaded in any case: a choice between numbers, not a branch
            m, s = head[mean, n] + mean_bias, head[width, n] + width_bias
            m_before, s_before, picked = drawn[n], log_sigma[n], chosen[n] == here
            drawn[n] = m if picked else m_before
            log_sigma[n] = s if picked else s_before
    for n in range(lanes):  # σ = exp(head), μ = head (Bishop eq. 26 and 27)
        s = log_sigma[n]
        s = _LOG_SIGMA_MIN if s < _LOG_SIGMA_MIN else s
        s = _LOG_SIGMA_MAX if s > _LOG_SIGMA_MAX else s
        drawn[n] += fast_exp(s) * noise * normals[n]


@compiled_fused
def draw_latents(
    raw: Float32Array,
    bias: Float32Array,
    spread: Float32Array,
    components: int,
    noise: Float32Array,
    temperature: np.float32,
    z: Float32Array,
) -> None:
    """Draw the next latents.

    Args:
        raw: Products [K (1 + 2 Z), N or more]: logits, means, log σ; overwritten.
        bias: [K (1 + 2 Z)].
        spread: What the noise of each dimension is multiplied by [Z].
        components: K.
        noise: Two uniforms and 1 + Z normals [3 + Z, N], of which the first of each is not used.
        temperature: τ.
        z: [Z, N or more], written.
    """
    lanes, size = noise.shape[1], z.shape[0]
    chosen, value = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    width = np.empty(lanes, np.float32)
    choose(raw, bias, components, noise[1], temperature, chosen)
    breadth = np.sqrt(temperature)
    for d in range(size):
        draw_component(
            raw,
            bias,
            components + d,
            size,
            components,
            chosen,
            noise[3 + d],
            breadth * spread[d],
            value,
            width,
        )
        for n in range(lanes):
            x = value[n]
            x = _LATENT_LIMIT if x > _LATENT_LIMIT else x
            z[d, n] = -_LATENT_LIMIT if x < -_LATENT_LIMIT else x


@compiled_fused
def tile_lanes(rows: Float32Array, out: Float32Array) -> None:
    """Repeat rows [R, N] side by side in ``out`` [R, P N]."""
    lanes = rows.shape[1]
    for r in range(rows.shape[0]):
        for first in range(0, out.shape[1], lanes):
            to = out[r, first : first + lanes]
            for n in range(lanes):
                to[n] = rows[r, n]


@compiled_fused
def close_bars(
    columns: Float32Array,
    z: Float32Array,
    inputs: Float32Array,
    open_time_ms: IntArray,
    interval_ms: int,
    bar_of_week: IntArray,
    table: Float32Array,
    hidden: int,
    first: int,
) -> None:
    """Write drawn latents, and the next bars' calendar, to where M hears them.

    Args:
        columns: Latents, drawn column by column [Z, N or more].
        z: The same by lanes [N, Z], written.
        inputs: [N, H + I]; the columns of z and of the calendar are written.
        open_time_ms: Of the bars that just closed [N], updated.
        interval_ms: Length of a bar.
        bar_of_week: Which row of the table the bar after is [N], updated.
        table: The calendar of the bars of a week from 1970-01-01 on [B, 4].
        hidden: H, and the first column of z.
        first: Column of the calendar.
    """
    for n in range(z.shape[0]):
        for d in range(z.shape[1]):
            value = columns[d, n]
            z[n, d] = value
            inputs[n, hidden + d] = value
        bar = bar_of_week[n] + 1  # counted on: no lane divides
        bar = 0 if bar == table.shape[0] else bar
        bar_of_week[n] = bar
        open_time_ms[n] += interval_ms
        for j in range(table.shape[1]):
            inputs[n, first + j] = table[bar, j]


@compiled_sums
def silu_product(
    values: Float32Array,
    bias: Float32Array,
    kernel: Float32Array,
    shift: np.float32,
    out: Float32Array,
) -> None:
    """X · sigmoid(x) of x/2 = values + bias [N, G], times a kernel [G] and summed, plus a shift [N]."""
    for n in range(values.shape[0]):
        total = shift
        for j in range(values.shape[1]):
            x = values[n, j] + bias[j]
            t_n, t_d = tanh_parts(x)  # X sigmoid(X) = x (1 + tanh x), tanh x = n/d
            total += kernel[j] * x * (t_d + t_n) / t_d
        out[n] = total


@compiled_fused
def unscale(scaled: Float32Array, scale: float, mean: float, out: FloatArray) -> None:
    """Log returns [N], float64, from standardised ones."""
    for n in range(scaled.shape[0]):
        out[n] = scaled[n] * scale + mean
