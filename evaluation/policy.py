"""The one policy protocol: Stable-Baselines3's ``predict``."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from ..market.arrays import BoolArray, Float32Array
from ..market.errors import ConfigError


def check_policy(policy: object, world_model_hash: str | None) -> None:
    """Refuse a policy that learned from another world model's z and h, of whatever shape.

    Args:
        policy: Says by its ``world_model_hash`` which one; a policy without one passes.
        world_model_hash: `WorldModel.fingerprint` of what it is to see the market through; None
            where it sees no world model's latents.

    Raises:
        ConfigError: It is another one.
    """
    learned = getattr(policy, "world_model_hash", None)
    if learned and world_model_hash and learned != world_model_hash:
        raise ConfigError(
            f"the controller was trained in the world model {learned[:12]}…, and this is "
            f"{world_model_hash[:12]}…: its z and h mean something else; load the world model that "
            "was saved beside the controller, or train a controller in this one"
        )


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
