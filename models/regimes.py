"""Regimes: the market's moods, as clusters of what the world model makes of the newest bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..market.arrays import Float32Array, FloatArray, IntArray
from ..market.errors import ConfigError

if TYPE_CHECKING:
    from .world_model import WorldModel

_NAMES = {
    2: ("calm", "turbulent"),
    3: ("calm", "normal", "turbulent"),
    4: ("calm", "quiet", "lively", "turbulent"),
}


@dataclass(frozen=True, eq=False)
class Regimes:
    """A partition of outlooks (`WorldModel.outlook`), from the calmest regime to the most turbulent.

    Attributes:
        names: Of the R regimes, in order of forecast volatility.
        centres: Mean outlook of each [R, S].
        scale: Deviation of each of its numbers [S]; distances are measured in it.
        volatility: Mean forecast volatility of each, percent a bar [R].
        share: Share of the training bars that belong to each [R].
    """

    names: tuple[str, ...]
    centres: FloatArray
    scale: FloatArray
    volatility: FloatArray
    share: FloatArray

    @classmethod
    def fit(cls, world_model: WorldModel, count: int = 3, seed: int = 0) -> Regimes:
        """Cluster the outlooks along the model's own warm-up segments.

        K-means on standardised numbers (scikit-learn), then sorted by the forecast volatility.

        Args:
            world_model: Of either preset; ``paper`` is asked as an agent that stays flat.
            count: R, 2 to 4.
            seed: Of the clustering.
        """
        if count not in _NAMES:
            raise ConfigError(f"count is {count}; expected {min(_NAMES)} to {max(_NAMES)} regimes")
        from sklearn.cluster import KMeans

        states = training_states(world_model)
        seen = world_model.outlook(states.z, states.h).astype(np.float64)
        volatility = _volatilities(world_model, states)
        scale = np.maximum(seen.std(axis=0), 1e-6)
        clusters = KMeans(count, n_init=4, random_state=seed).fit(seen / scale)
        labels = clusters.labels_
        mean_volatility = np.array([volatility[labels == r].mean() for r in range(count)])
        order = np.argsort(mean_volatility)
        return cls(
            names=_NAMES[count],
            centres=clusters.cluster_centers_[order] * scale,
            scale=scale,
            volatility=mean_volatility[order],
            share=np.bincount(labels, minlength=count)[order] / len(labels),
        )

    def classify(self, outlook: NDArray[np.floating]) -> IntArray:
        """Index of the nearest regime [...] for outlooks [..., S]."""
        scaled = np.asarray(outlook)[..., np.newaxis, :] / self.scale
        distances = ((scaled - self.centres / self.scale) ** 2).sum(axis=-1)
        nearest: IntArray = distances.argmin(axis=-1)
        return nearest


class TrainingStates(NamedTuple):
    """What M goes through on N bars of the training range.

    Attributes:
        z: Latents [N, Z].
        h: The hidden states after they entered [N, H].
        segment: Of the warm-up bank [N].
        next_open_time_ms: When the bars after open [N].
    """

    z: Float32Array
    h: Float32Array
    segment: IntArray
    next_open_time_ms: IntArray


def training_states(world_model: WorldModel) -> TrainingStates:
    """What M goes through along the second half of every warm-up segment, from zeros."""
    bank, step = world_model.bank, world_model.provenance.interval_ms
    width = bank.z.shape[1]
    bars = np.arange(width) - (width - 1)
    following = bank.open_time_ms[:, None] + (bars + 1) * step
    hidden = world_model.remembered(bank.z, following)
    late = slice(width // 2, None)
    segments = np.repeat(np.arange(len(bank.z)), width - width // 2)
    z, h = (part[:, late].reshape(len(segments), -1) for part in (bank.z, hidden))
    return TrainingStates(z, h, segments, following[:, late].ravel())


def _volatilities(world_model: WorldModel, states: TrainingStates) -> FloatArray:
    """Forecast volatility [N] of states, percent a bar."""
    weights, means, sigmas = world_model.return_mixture(
        torch.from_numpy(states.h), torch.from_numpy(states.z), states.next_open_time_ms
    )
    mean = (weights * means).sum(axis=1)
    variance = (weights * (sigmas**2 + means**2)).sum(axis=1) - mean**2
    return np.asarray(np.sqrt(variance))
