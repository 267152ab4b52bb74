"""Draws from mixtures of one dimension, many lanes abreast.

Numbers lie by component, then by lane [K, N], so that every loop over lanes is made of vector
instructions; a lane's draw has the same bits alone.
"""

from __future__ import annotations

import numpy as np

from ...market.arrays import Float32Array, FloatArray
from ...market.numerics.compiled import compiled_fused
from ...market.numerics.float32 import fast_exp
from ..mixture import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from .networks import _MEAN_STEP

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_LOW, _HIGH = np.float32(LOG_SIGMA_MIN), np.float32(LOG_SIGMA_MAX)
_MEAN = np.float32(_MEAN_STEP)
_FARTHEST = np.float32(100.0)  # of a return or wick, in deviations of the training range
_SHARPEST = np.float32(1e30)  # 1 ÷ τ at τ = 0: all weight to the likeliest component
_MIDDLE = np.float32(0.5)

# Rows of a workspace, each a number a lane; the weights of K components follow them.
_TOP, _TOTAL, _PART, _MEANS, _SIGMAS, _UNIFORMS, _NONE = range(7)
SCALE, UNITS, SHIFT, WICK = range(7, 11)
"""In a workspace: mean log σ of the return, the draw, what log σ is shifted by, the wick's part."""
ROWS = 11


@compiled_fused
def turn(values: Float32Array, out: Float32Array) -> None:
    """Write rows [N, J] as columns [J, N]."""
    for j in range(out.shape[0]):
        for n in range(out.shape[1]):
            out[j, n] = values[n, j]


@compiled_fused
def sharpness_of(temperature: np.float32) -> np.float32:
    """What logits are multiplied by at a temperature τ."""
    return _ONE / temperature if temperature > _ZERO else _SHARPEST


@compiled_fused
def copy_uniforms(uniforms: Float32Array, temperature: np.float32, out: Float32Array) -> None:
    """The uniforms [N] of a draw; at τ = 0 chance has no part in it."""
    for n in range(out.shape[0]):
        out[n] = uniforms[n] if temperature > _ZERO else _MIDDLE


@compiled_fused
def weigh(
    logits: Float32Array, sharpness: np.float32, work: Float32Array, weights: Float32Array
) -> None:
    """The weights of components [K, N] but for their sum, which goes to ``work``."""
    components, count = logits.shape
    top, total = work[_TOP], work[_TOTAL]
    for n in range(count):
        top[n] = logits[0, n]
        total[n] = _ZERO
    for k in range(1, components):
        for n in range(count):
            top[n] = logits[k, n] if logits[k, n] > top[n] else top[n]
    for k in range(components):
        for n in range(count):
            weight = fast_exp((logits[k, n] - top[n]) * sharpness)
            weights[k, n] = weight
            total[n] += weight


@compiled_fused
def choose(
    uniforms: Float32Array,
    weights: Float32Array,
    means: Float32Array,
    sigmas: Float32Array,
    work: Float32Array,
) -> None:
    """Put into ``work`` the mean and σ of the component that each lane's uniform [N] falls on."""
    components, count = weights.shape
    total, part, mean, sigma = work[_TOTAL], work[_PART], work[_MEANS], work[_SIGMAS]
    for n in range(count):
        part[n], mean[n], sigma[n] = weights[0, n], means[0, n], sigmas[0, n]
    for k in range(1, components):
        for n in range(count):
            beyond = uniforms[n] * total[n] >= part[n]
            mean[n] = means[k, n] if beyond else mean[n]
            sigma[n] = sigmas[k, n] if beyond else sigma[n]
            part[n] += weights[k, n]


@compiled_fused
def clipped(log_sigma: np.float32) -> np.float32:
    """A log σ within its bounds."""
    log_sigma = _LOW if log_sigma < _LOW else log_sigma
    return _HIGH if log_sigma > _HIGH else log_sigma


@compiled_fused
def lay_out_returns(
    columns: Float32Array,
    components: int,
    share: np.float32,
    level: np.float32,
    drift: np.float32,
    work: Float32Array,
) -> None:
    """Turn K logits, means and log σ [3 K, N] into a mixture of returns, at a temperature of 1.

    Means and σ, in deviations of the training range, are written where they stood, the weights and
    their sum to ``work``; ``SCALE`` is the mean log σ, and ``UNITS`` what all means are too high by.

    Args:
        columns: K logits, K means in a tenth of their component's σ, K log σ [3 K, N]; overwritten.
        components: K.
        share: Of what the mean of the whole mixture strays from a level, this much is kept: all
            means move together.
        level: That level.
        drift: Added to the mean.
        work: Workspace [`ROWS` + K, N]; its row ``SHIFT`` is added to log σ.
    """
    k, count = components, columns.shape[1]
    logits, means, sigmas = columns[:k], columns[k : 2 * k], columns[2 * k : 3 * k]
    weights, shift, log_scale, units = work[ROWS : ROWS + k], work[SHIFT], work[SCALE], work[UNITS]
    total = work[_TOTAL]
    weigh(logits, _ONE, work, weights)
    for n in range(count):
        log_scale[n] = _ZERO
        units[n] = _ZERO
    for i in range(k):
        for n in range(count):
            log_sigma = clipped(sigmas[i, n] + shift[n])
            spread = fast_exp(log_sigma)
            center = _MEAN * means[i, n] * spread
            log_scale[n] += weights[i, n] * log_sigma
            units[n] += weights[i, n] * center
            means[i, n], sigmas[i, n] = center, spread
    for n in range(count):
        log_scale[n] /= total[n]
        units[n] = (_ONE - share) * (units[n] / total[n] - level) - drift


@compiled_fused
def draw_returns(
    columns: Float32Array,
    components: int,
    uniforms: Float32Array,
    normals: Float32Array,
    temperature: np.float32,
    work: Float32Array,
) -> None:
    """Draw returns, in deviations of the training range, into ``UNITS``.

    Args:
        columns: As `lay_out_returns` leaves them.
        components: K.
        uniforms: In [0, 1) [N].
        normals: ε [N].
        temperature: τ: logits ÷ τ, noise × √τ; 0 takes the likeliest component's mean.
        work: Likewise.
    """
    k, count = components, columns.shape[1]
    logits, means, sigmas = columns[:k], columns[k : 2 * k], columns[2 * k : 3 * k]
    weights, units = work[ROWS : ROWS + k], work[UNITS]
    chance, mean, sigma = work[_UNIFORMS], work[_MEANS], work[_SIGMAS]
    if temperature != _ONE:
        weigh(logits, sharpness_of(temperature), work, weights)
    copy_uniforms(uniforms, temperature, chance)
    choose(chance, weights, means, sigmas, work)
    root = np.sqrt(temperature)
    for n in range(count):
        drawn = mean[n] - units[n] + root * sigma[n] * normals[n]
        drawn = -_FARTHEST if drawn < -_FARTHEST else drawn
        units[n] = _FARTHEST if drawn > _FARTHEST else drawn


@compiled_fused
def measure_returns(
    columns: Float32Array, components: int, work: Float32Array, mean: FloatArray, sigma: FloatArray
) -> None:
    """Mean and deviation of each lane's mixture [N], in deviations of the training range.

    Args:
        columns: As `lay_out_returns` leaves them.
        components: K.
        work: Likewise; overwritten.
        mean: Written.
        sigma: Written.
    """
    k, count = components, columns.shape[1]
    means, sigmas = columns[k : 2 * k], columns[2 * k : 3 * k]
    weights, total, middle, square = (
        work[ROWS : ROWS + k],
        work[_TOTAL],
        work[_MEANS],
        work[_SIGMAS],
    )
    for n in range(count):
        middle[n] = _ZERO
        square[n] = _ZERO
    for i in range(k):
        for n in range(count):
            middle[n] += weights[i, n] * means[i, n]
    for n in range(count):
        middle[n] /= total[n]
    for i in range(k):
        for n in range(count):
            away = means[i, n] - middle[n]
            square[n] += weights[i, n] * (sigmas[i, n] * sigmas[i, n] + away * away)
    for n in range(count):
        mean[n] = middle[n] - work[UNITS, n]
        sigma[n] = np.sqrt(square[n] / total[n])


@compiled_fused
def draw_wicks(
    columns: Float32Array,
    components: int,
    uniforms: Float32Array,
    normals: Float32Array,
    temperature: np.float32,
    shift: np.float32,
    work: Float32Array,
) -> None:
    """Draw wicks, in deviations of the training range, into ``UNITS``.

    A wick is exactly 0 by its own chance, else log-mixed.

    Args:
        columns: The logit of none; K logits, K means and K log σ of log units [1 + 3 K, N].
        components: K.
        uniforms: In [0, 1) [N].
        normals: ε [N].
        temperature: τ.
        shift: Added to every log σ.
        work: Workspace [`ROWS` + K, N]; its row ``SCALE`` is the log of the unit.
    """
    k, count, sharpness = components, columns.shape[1], sharpness_of(temperature)
    weights, log_scale, units = work[ROWS : ROWS + k], work[SCALE], work[UNITS]
    chance, none, mean, sigma = work[_UNIFORMS], work[_NONE], work[_MEANS], work[_SIGMAS]
    copy_uniforms(uniforms, temperature, chance)
    for n in range(count):
        none[n] = _ONE / (_ONE + fast_exp(-columns[0, n] * sharpness))
        units[n] = (chance[n] - none[n]) / (_ONE - none[n])  # what is left of chance, if it is some
    weigh(columns[1 : 1 + k], sharpness, work, weights)
    choose(units, weights, columns[1 + k : 1 + 2 * k], columns[1 + 2 * k : 1 + 3 * k], work)
    root = np.sqrt(temperature)
    for n in range(count):
        spread = fast_exp(clipped(sigma[n] + shift))
        wick = fast_exp(mean[n] + root * spread * normals[n] + log_scale[n])
        wick = _FARTHEST if wick > _FARTHEST else wick
        units[n] = _ZERO if chance[n] < none[n] else wick


@compiled_fused
def draw_volumes(
    columns: Float32Array,
    components: int,
    uniforms: Float32Array,
    normals: Float32Array,
    temperature: np.float32,
    shift: np.float32,
    work: Float32Array,
) -> None:
    """Draw relative log volumes into ``UNITS``; the arguments are those of `draw_wicks`.

    Args:
        columns: K logits, K means, K log σ [3 K, N].
        components: K.
        uniforms: In [0, 1) [N].
        normals: ε [N].
        temperature: τ.
        shift: Added to every log σ.
        work: Workspace [`ROWS` + K, N].
    """
    k, count = components, columns.shape[1]
    weights, units = work[ROWS : ROWS + k], work[UNITS]
    chance, mean, sigma = work[_UNIFORMS], work[_MEANS], work[_SIGMAS]
    copy_uniforms(uniforms, temperature, chance)
    weigh(columns[:k], sharpness_of(temperature), work, weights)
    choose(chance, weights, columns[k : 2 * k], columns[2 * k : 3 * k], work)
    root = np.sqrt(temperature)
    for n in range(count):
        units[n] = mean[n] + root * fast_exp(clipped(sigma[n] + shift)) * normals[n]


@compiled_fused
def draw_changes(
    columns: Float32Array,
    components: int,
    uniforms: Float32Array,
    normals: Float32Array,
    temperature: np.float32,
    work: Float32Array,
) -> None:
    """Draw changes of a column into ``UNITS``: exactly 0 by their own chance, else from a mixture.

    Args:
        columns: The logit of none; K logits, K means and K log σ [1 + 3 K, N].
        components: K.
        uniforms: In [0, 1) [N].
        normals: ε [N].
        temperature: τ.
        work: Workspace [`ROWS` + K, N].
    """
    k, count, sharpness = components, columns.shape[1], sharpness_of(temperature)
    weights, units = work[ROWS : ROWS + k], work[UNITS]
    chance, none, mean, sigma = work[_UNIFORMS], work[_NONE], work[_MEANS], work[_SIGMAS]
    copy_uniforms(uniforms, temperature, chance)
    for n in range(count):
        none[n] = _ONE / (_ONE + fast_exp(-columns[0, n] * sharpness))
        units[n] = (chance[n] - none[n]) / (_ONE - none[n])
    weigh(columns[1 : 1 + k], sharpness, work, weights)
    choose(units, weights, columns[1 + k : 1 + 2 * k], columns[1 + 2 * k : 1 + 3 * k], work)
    root = np.sqrt(temperature)
    for n in range(count):
        change = mean[n] + root * fast_exp(clipped(sigma[n])) * normals[n]
        change = -_FARTHEST if change < -_FARTHEST else change
        change = _FARTHEST if change > _FARTHEST else change
        units[n] = _ZERO if chance[n] < none[n] else change
