"""The one policy protocol: Stable-Baselines3's ``predict``."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from ..market.arrays import BoolArray, Float32Array


class Policy(Protocol):
    """Anything that turns observations into actions.

    Stable-Baselines3's models satisfy it as they are, recurrent ones included.
    """

    def predict(
        self,
        observation: Float32Array,
        state: Any = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Choose actions.

        Args:
            observation: One observation [D], or a batch [N, D].
            state: What the policy returned last time; None at the start.
            episode_start: Which lanes [N] begin an episode.
            deterministic: Whether a stochastic policy should return its mode.

        Returns:
            The action [1] or batch [N, 1], and the state for the next call.
        """
