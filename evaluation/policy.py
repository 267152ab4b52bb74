"""The one policy protocol: Stable-Baselines3's ``predict``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from ..envs.spaces import ActionKind
from ..market.arrays import BoolArray, Float32Array
from ..market.errors import ConfigError


def check_policy(
    policy: object, world_model_hash: str | None, layout: Mapping[str, slice] | None = None
) -> None:
    """Refuse a policy to which the observation means something else, of whatever shape it is.

    Args:
        policy: Says by its ``world_model_hash`` which one; a policy without one passes.
        world_model_hash: `WorldModel.fingerprint` of what it is to see the market through; None
            where it sees no world model's latents.
        layout: Names of the observation's parts, and their slices; None where that is not known. A
            policy that reads features says by ``reads`` of how many.

    Raises:
        ConfigError: It learned from another world model's z and h, or reads features that the
            observation has not.
    """
    learned = getattr(policy, "world_model_hash", None)
    if learned and world_model_hash and learned != world_model_hash:
        raise ConfigError(
            f"the controller was trained in the world model {learned[:12]}…, and this is "
            f"{world_model_hash[:12]}…: its z and h mean something else; load the world model that "
            "was saved beside the controller, or train a controller in this one"
        )
    reads = getattr(policy, "reads", None)
    if reads is not None and layout is not None:
        there = layout.get("features", slice(0, 0))
        if there.stop - there.start != reads:
            sizes = ", ".join(f"{name} [{part.stop - part.start}]" for name, part in layout.items())
            raise ConfigError(
                f"{type(policy).__name__} reads an observation of {reads} features, and this one is "
                f"{sizes}: make the environment with observation='features', and the rule with the "
                "features that the environment shows (make_rule(…, features=world_model.config.features))"
            )


def action_kind(policy: object) -> ActionKind:
    """What a policy's actions are: as it says by ``actions``, or as its action space is; else continuous.

    A model of Stable-Baselines3 has an action space; who says nothing chooses weights.
    """
    said = getattr(policy, "actions", None)
    if said in ("continuous", "discrete"):
        return "discrete" if said == "discrete" else "continuous"
    space = getattr(policy, "action_space", None)
    return "discrete" if isinstance(space, Discrete) else "continuous"


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
