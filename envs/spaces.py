"""The spaces that replay and dream share, and the rules for actions."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ..market.account.inputs import ACCOUNT_INPUTS
from ..market.account.rules import AccountView
from ..market.arrays import Float32Array, FloatArray
from ..market.errors import ActionError, ConfigError

ActionKind = Literal["continuous", "discrete"]
ObservationKind = Literal["latent", "features"]
DISCRETE_WEIGHTS = (-1.0, 0.0, 1.0)
"""Target weights of the discrete actions 0, 1, 2: short, flat, long."""

LATENT_BOUND = 10.0  # |z|, standard deviations of the prior; M's samples are clipped to it
HIDDEN_BOUND = 1.0  # an LSTM's output is a sigmoid times a tanh
FEATURE_BOUND = 100.0  # raw features are logarithms: e^100 is out of any market's reach


def action_space(kind: ActionKind) -> spaces.Box | spaces.Discrete[np.int64]:
    """Target weights in [-1, 1], or short, flat, long."""
    if kind == "continuous":
        return spaces.Box(-1.0, 1.0, (1,), np.float32)
    if kind == "discrete":
        return spaces.Discrete(len(DISCRETE_WEIGHTS))
    raise ConfigError(f"actions is {kind!r}; expected 'continuous' or 'discrete'")


def check_observation(kind: str) -> str:
    """What is shown of the market, if it is one of what there is; raises `ConfigError`."""
    if kind not in get_args(ObservationKind):
        raise ConfigError(f"observation is {kind!r}; expected 'latent' or 'features'")
    return kind


def observation_layout(parts: dict[str, int]) -> dict[str, slice]:
    """Where each part lies in an observation: ``{"latent": slice(0, 8), …}``."""
    edges = np.cumsum([0, *parts.values()]).tolist()
    return {name: slice(edges[i], edges[i + 1]) for i, name in enumerate(parts)}


def market_size(layout: dict[str, slice]) -> int:
    """Numbers that the market shows: those before the account's."""
    return int(max(part.stop for name, part in layout.items() if name != "account"))


def with_account(layout: dict[str, slice], view: AccountView) -> dict[str, slice]:
    """The market's layout, and after it where the account's inputs lie."""
    size = market_size(layout)
    return {**layout, "account": slice(size, size + len(view.account_observation))}


def observation_space(layout: dict[str, slice], view: AccountView) -> spaces.Space[Float32Array]:
    """A bounded box over the parts of a layout."""
    part_bounds: dict[str, Any] = {
        "latent": LATENT_BOUND,
        "hidden": HIDDEN_BOUND,
        "features": FEATURE_BOUND,
        "account": [ACCOUNT_INPUTS[index].bound for index in view.indices],
    }
    bounds = np.empty(layout["account"].stop, dtype=np.float32)
    for name, part in layout.items():
        bounds[part] = part_bounds[name]
    box: spaces.Space[Any] = spaces.Box(-bounds, bounds, dtype=np.float32)
    return box


def target_weight(action: Any, kind: ActionKind) -> float:
    """The target weight that one action asks for, in [-1, 1].

    A finite number outside the box is clipped to it, as unclipped Gaussian policies need; a number
    by itself is as good as an array of one.

    Raises:
        ActionError: The action is not finite, is no number, or has the wrong shape.
    """
    if kind == "discrete":
        return _discrete_weight(action)
    if type(action) is not np.ndarray or action.shape != (1,):
        action = _one_number(action)
    weight: float = action.item()
    if type(weight) is float and -1.0 <= weight <= 1.0:
        return weight
    weight = float(_one_number(action).item())  # of another type than float, or outside
    if not math.isfinite(weight):
        raise ActionError(f"action is {weight}; expected a finite target weight, in [-1, 1]")
    return min(1.0, max(-1.0, weight))


def target_weights(actions: Any, kind: ActionKind, num_envs: int) -> FloatArray:
    """The target weights [N] that a batch of actions [N, 1] (discrete: [N]) asks for.

    Finite numbers outside the box are clipped to it.

    Raises:
        ActionError: An action is not finite, or the batch has the wrong shape or type.
    """
    batch = np.asarray(actions)
    if kind == "discrete":
        if batch.shape != (num_envs,) or not np.issubdtype(batch.dtype, np.integer):
            raise ActionError(f"actions have shape {batch.shape}; expected integers [{num_envs}]")
        if ((batch < 0) | (batch >= len(DISCRETE_WEIGHTS))).any():
            raise ActionError("a discrete action is outside 0, 1, 2 (short, flat, long)")
        return np.take(np.asarray(DISCRETE_WEIGHTS), batch)
    if batch.shape != (num_envs, 1) or batch.dtype.kind not in "fiu":
        raise ActionError(
            f"actions have shape {batch.shape} and type {batch.dtype}; expected numbers "
            f"({num_envs}, 1)"
        )
    weights = batch[:, 0].astype(np.float64)
    wrong = ~np.isfinite(weights)
    if wrong.any():
        lane = int(np.argmax(wrong))
        raise ActionError(
            f"action of lane {lane} is {weights[lane]}; expected a finite weight, in [-1, 1]"
        )
    return np.clip(weights, -1.0, 1.0)


def _one_number(action: Any) -> NDArray[Any]:
    array = np.asarray(action)
    if array.shape not in ((1,), ()) or array.dtype.kind not in "fiu":
        raise ActionError(
            f"action is {action!r}; expected an array of shape (1,) or a number: a target weight "
            "in [-1, 1]"
        )
    return array


def _discrete_weight(action: Any) -> float:
    array = np.asarray(action)
    if array.shape not in ((), (1,)) or not np.issubdtype(array.dtype, np.integer):
        raise ActionError(f"action is {action!r}; expected 0, 1 or 2 (short, flat, long)")
    index = int(array.reshape(()))
    if not 0 <= index < len(DISCRETE_WEIGHTS):
        raise ActionError(f"action is {index}; expected 0, 1 or 2 (short, flat, long)")
    return DISCRETE_WEIGHTS[index]
