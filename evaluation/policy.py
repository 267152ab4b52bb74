"""The one policy protocol: Stable-Baselines3's ``predict``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias

from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from ..envs.spaces import ActionKind
from ..market.arrays import BoolArray, Float32Array
from ..market.errors import ConfigError
from ..market.times import format_time, to_ms

Sight: TypeAlias = Literal["seen", "unseen", "unknown"]


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


def check_actions(policy: object, space: object) -> None:
    """Refuse a policy that says 0, 1, 2 where weights are expected: 0 would be flat, 1 and 2 long.

    Args:
        policy: See `action_kind`.
        space: The environment's action space.

    Raises:
        ConfigError: The environment takes weights, and the policy says something else.
    """
    if isinstance(space, Box) and action_kind(policy) == "discrete":
        raise ConfigError(
            f"{type(policy).__name__} says 0, 1 or 2 (short, flat, long), and the environment takes "
            "weights: make it with actions='discrete'"
        )


def seen_ranges(policy: object, name: str = "the policy") -> dict[str, tuple[int, int]] | None:
    """The bars that a policy was trained and chosen on, as it says by ``seen``.

    That is a mapping of names to start and end, the end exclusive, each anything `to_ms` takes:
    ``policy.seen = {"train": ("2022-01-01", "2023-07-01"), "validation": ("2023-07-01", "2024-01-01")}``;
    an empty one says that it has seen none. An `Agent` that `train` made knows its own.

    Args:
        policy: What acts.
        name: What a refusal calls it.

    Returns:
        The ranges by name [ms UTC]; None where it does not say.

    Raises:
        ConfigError: ``seen`` is something else.
    """
    said = getattr(policy, "seen", None)
    if said is None:
        return None
    try:
        found = {str(what): (to_ms(start), to_ms(end)) for what, (start, end) in said.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{name} says by `seen` that it has seen {said!r}; expected start and end of ranges by "
            f"name, such as {{'train': ('2022-01-01', '2023-07-01')}} ({error})"
        ) from None
    for what, (begin, end) in found.items():
        if begin >= end:
            raise ConfigError(
                f"{name} says by `seen` that {what!r} ends at {format_time(end)}, which is not after "
                f"its start, {format_time(begin)}"
            )
    return found


def sight(policy: object, ends: tuple[int, int], name: str = "the policy") -> Sight:
    """Whether a policy has seen bars of a range ``[start, end)`` [ms UTC], as it says itself.

    Args:
        policy: What acts; see `seen_ranges`.
        ends: Of the range.
        name: What a refusal calls it.
    """
    seen = seen_ranges(policy, name)
    if seen is None:
        return "unknown"
    return "seen" if any(a < ends[1] and b > ends[0] for a, b in seen.values()) else "unseen"


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
