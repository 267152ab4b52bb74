"""The out-of-distribution meter: how far a state is from those met on the training range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from ..market.arrays import Float32Array, FloatArray
from ..market.numerics.compiled import compiled_sums
from ..market.numerics.products import product
from .states import training_states

if TYPE_CHECKING:
    from .world_model import WorldModel

_HOLD_OUT = 4  # every fourth segment calibrates what the others fit


@dataclass(frozen=True, eq=False)
class OODMeter:
    """Measures [z, h] by its Mahalanobis distance, and says it as a quantile.

    A reading of 0.9 says that 90% of the training range's states are nearer to its middle; 1 that
    all are. The covariance is shrunk (Ledoit & Wolf 2004), because hidden units move together.

    Attributes:
        mean: Of [z, h] over training states [D].
        whitening: [D, D]; the distance is the norm of ``(state − mean) @ whitening``.
        quantiles: Sorted distances of training states that were not fitted on [Q].
    """

    mean: Float32Array
    whitening: Float32Array
    quantiles: Float32Array

    @classmethod
    def fit(cls, world_model: WorldModel) -> OODMeter:
        """From the states that M has along the model's own warm-up segments."""
        from sklearn.covariance import LedoitWolf

        z, h, segment = training_states(world_model)
        states = np.concatenate([z, h], axis=1).astype(np.float64)
        calibrating = segment % _HOLD_OUT == 0
        with threadpool_limits(limits=1):  # more would round in another order
            fitted = LedoitWolf().fit(states[~calibrating])
            values, vectors = np.linalg.eigh(fitted.covariance_)
        whitening = vectors / np.sqrt(np.maximum(values, 1e-12))
        meter = cls(
            mean=fitted.location_.astype(np.float32),
            whitening=np.ascontiguousarray(whitening, dtype=np.float32),
            quantiles=np.zeros(1, dtype=np.float32),
        )
        distances = np.sort(meter.distance(states[calibrating].astype(np.float32)))
        return cls(meter.mean, meter.whitening, distances)

    def distance(self, states: Float32Array) -> Float32Array:
        """Distances [...] of states [..., D]."""
        rows = np.ascontiguousarray(states - self.mean).reshape(-1, len(self.mean))
        white = np.empty_like(rows)
        product(rows, self.whitening, white)
        norms = np.empty(len(rows), dtype=np.float32)
        row_norms(white, norms)
        return norms.reshape(np.shape(states)[:-1])

    def read(self, states: Float32Array) -> FloatArray:
        """Readings in [0, 1] of states [..., D]."""
        ranks = np.searchsorted(self.quantiles, self.distance(states), side="right")
        return np.asarray(ranks / len(self.quantiles))


@compiled_sums
def row_norms(rows: Float32Array, norms: Float32Array) -> None:
    """Euclidean norms [N] of rows [N, D]."""
    for n in range(rows.shape[0]):
        total = np.float32(0.0)
        for d in range(rows.shape[1]):
            total += rows[n, d] * rows[n, d]
        norms[n] = np.sqrt(total)
