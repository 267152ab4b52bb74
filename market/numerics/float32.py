"""Elementary functions of float32 as plain arithmetic, and noise made of them.

Written with conditions rather than min and max, and without calls into the C library, so that
loops over them become vector instructions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float32Array
from .compiled import compiled_fused

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)

_EXP_LOW, _EXP_HIGH = np.float32(-87.0), np.float32(88.0)
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693145751953125), np.float32(1.428606765330187e-06)
_C2, _C3, _C4, _C5, _C6 = (np.float32(1.0 / f) for f in (2, 6, 24, 120, 720))
_EXPONENT_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)


@compiled_fused
def fast_exp(x: np.float32) -> np.float32:
    """The exponential of a float32 in [-87, 88], within 3e-7 of itself; beyond, that of the edge.

    x = n ln 2 + r with |r| ≤ ½ ln 2; e^r by its Taylor series, 2ⁿ by writing the exponent's bits.
    """
    x = _EXP_LOW if x < _EXP_LOW else x
    x = _EXP_HIGH if x > _EXP_HIGH else x
    n = np.floor(x * _LOG2_E + _HALF)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p: np.float32 = _ONE + r * (_ONE + r * (_C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * _C6)))))
    return p * power_of_two(np.int32(n))


@compiled_fused
def power_of_two(n: np.int32) -> np.float32:
    """2ⁿ for -126 ≤ n ≤ 127."""
    value: np.float32 = np.int32((n + _EXPONENT_BIAS) << _MANTISSA_BITS).view(np.float32)
    return value


_ROOT_HALF_BITS = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))
_L3, _L5, _L7, _L9 = (np.float32(1.0 / k) for k in (3, 5, 7, 9))


@compiled_fused
def fast_log(x: np.float32) -> np.float32:
    """The natural logarithm of a positive normal float32, within 2e-7 absolute or relative.

    x = m 2ⁿ with m in [√½, √2); log m = 2 artanh((m − 1)/(m + 1)) by its series.
    """
    bits = np.float32(x).view(np.int32)
    # cut back to 32 bits after each operation, as vector instructions want it: numba makes 64 of them
    above = np.int32(bits - _ROOT_HALF_BITS)
    n = np.int32(above >> _MANTISSA_BITS)
    m = np.int32(bits - (n << _MANTISSA_BITS)).view(np.float32)
    f = (m - _ONE) / (m + _ONE)
    s = f * f
    series = _ONE + s * (_L3 + s * (_L5 + s * (_L7 + s * _L9)))
    return np.float32(n) * _LN2_HIGH + (np.float32(n) * _LN2_LOW + (f + f) * series)


@compiled_fused
def fast_asinh(x: np.float32) -> np.float32:
    """The inverse hyperbolic sine of a float32, within 4e-7 absolute or relative."""
    size = abs(x)
    value = fast_log(size + np.sqrt(size * size + _ONE))
    return value if x >= _ZERO else -value


_QUARTER_TURN = np.float32(math.pi / 2)
_S3, _S5, _S7, _S9 = (np.float32(v) for v in (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880))
_K2, _K4, _K6, _K8 = (np.float32(v) for v in (-1 / 2, 1 / 24, -1 / 720, 1 / 40320))
_K10, _S11 = np.float32(-1 / 3628800), np.float32(-1 / 39916800)
_UNIT = np.float32(2.0**-32)
_UNIT24, _BITS_8 = np.float32(2.0**-24), np.uint32(8)


@compiled_fused
def noise_from_bits(
    bits: NDArray[np.uint32], uniforms: Float32Array, normals: Float32Array
) -> None:
    """Uniforms in [0, 1) and standard normals from random bits (Box & Muller 1958).

    Args:
        bits: [S, U + 2 P]; every row by itself.
        uniforms: [S, U], written.
        normals: [S, 2 P], written: radius times cosine in the first half, sine in the second. The
            radius reaches 6.7.
    """
    count, pairs = uniforms.shape[1], normals.shape[1] // 2
    for step in range(bits.shape[0]):
        _noise_of_step(
            bits[step, :count],
            bits[step, count : count + pairs],
            bits[step, count + pairs :],
            uniforms[step],
            normals[step, :pairs],
            normals[step, pairs:],
        )


@compiled_fused
def _noise_of_step(
    uniform_bits: NDArray[np.uint32],
    radius_bits: NDArray[np.uint32],
    turn_bits: NDArray[np.uint32],
    uniforms: Float32Array,
    cosines: Float32Array,
    sines: Float32Array,
) -> None:
    for i in range(uniforms.shape[0]):
        uniforms[i] = np.float32(uniform_bits[i] >> _BITS_8) * _UNIT24
    for i in range(cosines.shape[0]):
        radius = np.sqrt(np.float32(-2.0) * fast_log((np.float32(radius_bits[i]) + _ONE) * _UNIT))
        turn = np.float32(np.int32(turn_bits[i])) * np.float32(2.0**-31)  # [-1, 1)
        # a half turn either way is folded into a quarter, where the series are short
        folded = turn if turn >= -_HALF else -_ONE - turn
        folded = folded if folded <= _HALF else _ONE - folded
        sign = _ONE if abs(turn) <= _HALF else -_ONE
        angle = folded * (_QUARTER_TURN + _QUARTER_TURN)
        s = angle * angle
        sine = angle * (_ONE + s * (_S3 + s * (_S5 + s * (_S7 + s * (_S9 + s * _S11)))))
        cosine = _ONE + s * (_K2 + s * (_K4 + s * (_K6 + s * (_K8 + s * _K10))))
        cosines[i] = radius * sign * cosine
        sines[i] = radius * sine
