"""What Gymnasium's protocol asks of every environment: seeds, options, lengths, and an end."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import date
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ClosedEnvironmentError

from ..market.arrays import BoolArray, IntArray
from ..market.errors import ConfigError
from ..market.settings import nearest, plain
from ..market.times import iso_text

Chance: TypeAlias = np.random.Generator | Sequence[np.random.Generator]
"""What lanes draw from: one generator for all of them, or one for each."""


def read_options(options: Mapping[str, Any] | None, *known: str) -> dict[str, Any]:
    """The reset options that say something: None says nothing.

    Raises:
        ConfigError: An option that is not known would be ignored.
    """
    if not isinstance(options, Mapping | None):
        raise ConfigError(f"reset options are {options!r}; expected a mapping of names to values")
    for name in options or {}:
        if name not in known:
            meant = nearest(name, known)
            hint = "" if meant is None else f"did you mean {meant!r}? "
            raise ConfigError(
                f"reset option {name!r} is unknown; {hint}expected one of {', '.join(known)}"
            )
    return {name: value for name, value in (options or {}).items() if value is not None}


def for_lanes(name: str, value: Any, lanes: BoolArray) -> list[Any]:
    """What an option says to each of the lanes that start over, [lanes.sum()].

    Args:
        name: Of the option.
        value: One value for all, or a list or array of one for each lane [N]; None for no wish.
        lanes: Which of the N lanes start over.

    Raises:
        ConfigError: A list of another length.
    """
    if not (isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim)):
        return [value] * int(lanes.sum())
    if len(value) != len(lanes):
        raise ConfigError(
            f"{name} has {len(value)} entries; expected one value, or one for each of the "
            f"{len(lanes)} lanes"
        )
    return [value[lane] for lane in np.flatnonzero(lanes).tolist()]


def draw_integers(chance: Chance, high: int, lanes: BoolArray) -> IntArray:
    """A number in [0, high) for each of the lanes that start over, [lanes.sum()]."""
    if isinstance(chance, np.random.Generator):
        return chance.integers(high, size=int(lanes.sum()))
    own = [chance[lane].integers(high) for lane in np.flatnonzero(lanes).tolist()]
    return np.array(own, dtype=np.int64)


def complete_spec(spec: EnvSpec | None, num_steps: int) -> EnvSpec | None:
    """A specification that says how many steps an episode has at most, and that JSON can hold.

    The environments end their episodes themselves; ``max_episode_steps`` is where wrappers such as
    `TimeAwareObservation` look for the number. numpy's numbers become Python's; dates
    and modes become text.
    """
    if spec is None:
        return None
    told = copy.copy(spec)
    told.max_episode_steps = num_steps
    told.kwargs = {name: _written(value) for name, value in spec.kwargs.items()}
    return told


def _written(value: Any) -> Any:
    if isinstance(value, date | np.datetime64):
        return iso_text(value)
    return value.value if isinstance(value, Enum) else plain(value)


def refuse_closed(closed: bool) -> None:
    """Raise what Gymnasium raises of an environment that was closed."""
    if closed:
        raise ClosedEnvironmentError("the environment is closed: make another one")
