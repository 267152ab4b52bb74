"""Policies of few parameters: a = tanh(W·observation + b), or the same on a hidden layer of tanh.

The linear one is C of Ha & Schmidhuber (2018), eq. 1. Whoever computes an action, for one observation
or for a population, adds the same products in the same order: in that of the observation, the bias
last. So it is the same bits everywhere but on a device.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ...market.arrays import Float32Array, FloatArray
from ...market.errors import ConfigError
from ...market.numerics.compiled import compiled_fused
from ...market.numerics.float32_tanh import tanh
from ...market.numerics.products import product

_ZERO = np.float32(0.0)


def policy_size(observation_size: int, hidden_size: int = 0) -> int:
    """How many parameters a policy has: D + 1, or with H hidden units H (D + 2) + 1."""
    if not hidden_size:
        return observation_size + 1
    return hidden_size * (observation_size + 2) + 1


def hidden_units(num_parameters: int, observation_size: int) -> int:
    """How many hidden units a policy of so many parameters has; 0 is none.

    Raises:
        ConfigError: No policy that reads such observations has so many.
    """
    size, rest = divmod(num_parameters - 1, observation_size + 2)
    if num_parameters == policy_size(observation_size):
        return 0
    if rest or size < 1:
        raise ConfigError(
            f"a policy has {num_parameters} parameters; one that reads {observation_size} numbers "
            f"takes {policy_size(observation_size)}, or H × {observation_size + 2} + 1 with H hidden "
            "units"
        )
    return size


class Layers(NamedTuple):
    """The parameters of P policies that read D numbers, float32; a linear one is a single unit.

    Attributes:
        weights: Of each unit [P, D, U].
        bias: Of each unit [P, U].
        output: Of the layer after the hidden one, its bias last [P, U + 1]; [P, 0] of linear ones.
    """

    weights: Float32Array
    bias: Float32Array
    output: Float32Array

    @classmethod
    def of(cls, parameters: NDArray[np.floating], observation_size: int) -> Self:
        """Unpack parameters [P, S]: the weights unit by unit, the biases, then the output layer.

        Raises:
            ConfigError: Their number fits no policy that reads so many numbers.
        """
        rows = np.asarray(parameters, dtype=np.float32)
        hidden = hidden_units(rows.shape[1], observation_size)
        units = max(1, hidden)
        edge = units * observation_size
        weights = rows[:, :edge].reshape(len(rows), units, observation_size).transpose(0, 2, 1)
        bias, output = rows[:, edge : edge + units], rows[:, edge + units :]
        return cls(*(np.ascontiguousarray(part) for part in (weights, bias, output)))


def spread_inputs(
    parameters: FloatArray, read: NDArray[np.bool_], hidden_size: int = 0
) -> FloatArray:
    """Parameters of policies that read part of an observation [P, S], as of ones that read it all.

    Args:
        parameters: Of policies for ``read.sum()`` numbers.
        read: Which numbers of the observation they read [D].
        hidden_size: H.

    Returns:
        The same policies, with weights of 0 for what they do not read.
    """
    units, wide = max(1, hidden_size), len(read)
    edge = units * int(read.sum())
    whole = np.zeros((len(parameters), policy_size(wide, hidden_size)))
    weights = whole[:, : units * wide].reshape(len(parameters), units, wide)
    weights[:, :, read] = parameters[:, :edge].reshape(len(parameters), units, -1)
    whole[:, units * wide :] = parameters[:, edge:]
    return whole


@compiled_fused
def choose_actions(
    observations: Float32Array,
    weights: Float32Array,
    bias: Float32Array,
    output: Float32Array,
    actions: FloatArray,
) -> None:
    """Actions [L] in [−1, 1] for observations [L, D], of P policies for L ÷ P rows each.

    Args:
        observations: [L, D].
        weights: And the two that follow: see `Layers`.
        bias: [P, U].
        output: [P, U + 1], or [P, 0].
        actions: [L], written.
    """
    count, units = bias.shape
    lanes = observations.shape[0] // count
    scores = np.empty((lanes, units), np.float32)
    for p in range(count):
        product(observations[p * lanes : (p + 1) * lanes], weights[p], scores)
        for n in range(lanes):
            total = _ZERO
            if output.shape[1] == 0:
                total = scores[n, 0] + bias[p, 0]
            else:
                for u in range(units):
                    total += output[p, u] * tanh(scores[n, u] + bias[p, u])
                total += output[p, units]
            actions[p * lanes + n] = tanh(total)
