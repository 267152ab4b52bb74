"""What V makes of features, compiled: see `models.bars.networks.BarVAE`."""

from __future__ import annotations

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.numerics.compiled import compiled_fused
from ...market.numerics.panels import add_layer, padded
from ..vae import LATENT_LIMIT
from .layers import LANES_AT_ONCE, activate, carved, workspace
from .networks import FEATURE_LIMIT
from .packed import ENCODER, ENCODER_OUT, V, Z

_LIMIT = np.float32(LATENT_LIMIT)
_CLIP = FEATURE_LIMIT


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
    free = workspace(LANES_AT_ONCE * width)
    for start in range(0, count, LANES_AT_ONCE):
        some = slice(start, min(count, start + LANES_AT_ONCE))
        encode_rows(parameters, sizes, features[some], free, z[some])
