"""What a lane by itself shows of its market, whatever it dreams."""

from __future__ import annotations

from ..market.arrays import Float32Array, FloatArray
from ..market.numerics.compiled import compiled
from .spaces import FEATURE_BOUND


@compiled
def show_market(
    features: FloatArray,
    z: Float32Array,
    h: Float32Array,
    shows_features: bool,
    observation: Float32Array,
) -> None:
    """Write what a policy sees of the market: the features [F], bounded, or [z, h]."""
    if shows_features:
        for f in range(features.shape[0]):
            observation[f] = min(max(features[f], -FEATURE_BOUND), FEATURE_BOUND)
        return
    for d in range(z.shape[0]):
        observation[d] = z[d]
    for j in range(h.shape[0]):
        observation[z.shape[0] + j] = h[j]
