"""C: the controller on [z, h, account] of Ha & Schmidhuber (2018), section 2.3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from ..envs.population.policies import Layers, choose_actions, policy_size
from ..evaluation.policy import seen_ranges
from ..market.arrays import BoolArray, Float32Array
from ..market.errors import ConfigError, ModelFileError
from ..market.files.writer import write_whole
from ..market.times import Time, iso_text

Inputs = Literal[
    "latent_hidden_account",
    "latent_hidden",
    "latent_account",
    "hidden_account",
    "latent",
    "hidden",
    "account",
]
"""Parts of an observation that a controller reads: z, h, and what is shown of the account."""

_FORMAT_VERSION = 2  # 1 had linear controllers alone, and told no version in the file's metadata
_WORLD_MODEL = "world_model"  # in the file's metadata: the fingerprint
_SEEN = "seen"  # likewise: ranges as ISO times


class LinearController:
    """The target weight a = tanh(W·observation + b), or tanh(V·tanh(W·observation + b) + c).

    Args:
        parameters: W and then b [D + 1], for observations of D numbers; with H hidden units W row by
            row, b, V and c [H (D + 2) + 1].
        world_model_hash: `WorldModel.fingerprint` of the one whose z and h it learned from, which
            keeps it out of another (`check_policy`); None where that is not known.
        hidden_size: H; 0 is no hidden layer.
        inputs: What it reads of an observation; W is 0 for the rest, so that it takes whole
            observations all the same.

    Attributes:
        seen: Bars that it was searched and chosen on, by name, as ``seen`` of any policy
            (`seen_ranges`); None where that is not known. Files keep it.

    Raises:
        ConfigError: The parameters are not a finite vector of at least two numbers, or do not fit
            the hidden layer.
    """

    def __init__(
        self,
        parameters: NDArray[np.floating[Any]],
        world_model_hash: str | None = None,
        *,
        hidden_size: int = 0,
        inputs: Inputs = "latent_hidden_account",
    ) -> None:
        vector = np.array(parameters, dtype=np.float32)
        if vector.ndim != 1 or vector.size < 2 or not np.isfinite(vector).all():
            raise ConfigError(
                f"controller parameters have shape {vector.shape}; expected finite weights and a "
                "bias, [D + 1]"
            )
        vector.setflags(write=False)
        self.parameters = vector
        self.world_model_hash = world_model_hash
        self.hidden_size, self.inputs = hidden_size, inputs
        self.seen: Mapping[str, tuple[Time, Time]] | None = None
        self.observation_size = _observed(vector.size, hidden_size)
        self._layers = Layers.of(vector[np.newaxis], self.observation_size)

    def predict(
        self,
        observation: Float32Array,
        state: Any = None,
        episode_start: BoolArray | None = None,
        deterministic: bool = False,
    ) -> tuple[Float32Array, None]:
        """Target weights [.., 1] for observations [.., D]; the controller has no state.

        An observation leads to the same bits alone and in any batch.
        """
        observation = np.asarray(observation, dtype=np.float32)
        if observation.shape[-1] != self.observation_size:
            raise ConfigError(
                f"the controller reads observations of {self.observation_size} numbers; "
                f"got {observation.shape[-1]}: was it trained with another world model?"
            )
        rows = np.ascontiguousarray(observation).reshape(-1, self.observation_size)
        targets = np.empty(len(rows))
        choose_actions(rows, *self._layers, targets)
        return targets.astype(np.float32).reshape(*observation.shape[:-1], 1), None

    def save(self, path: str | Path, **provenance: Any) -> Path:
        """Write ``path`` (safetensors) and a JSON beside it.

        Args:
            path: Where to; ``.safetensors`` is the expected suffix.
            provenance: JSON-able facts about how the controller was made.
        """
        from safetensors.numpy import save as to_bytes

        path = Path(path)
        facts = {
            "format_version": _FORMAT_VERSION,
            "policy": "tanh(V·tanh(W·observation + b) + c)"
            if self.hidden_size
            else "tanh(W·observation + b)",
            "observation_size": self.observation_size,
            "hidden_size": self.hidden_size,
            "inputs": self.inputs,
            "world_model": self.world_model_hash,
            **provenance,
        }
        told = {"format_version": str(_FORMAT_VERSION), "inputs": self.inputs}
        told |= {"hidden_size": str(self.hidden_size)}
        told |= {_WORLD_MODEL: self.world_model_hash} if self.world_model_hash else {}
        seen = seen_ranges(self, "the controller")
        if seen is not None:
            ranges = {name: [iso_text(begin), iso_text(end)] for name, (begin, end) in seen.items()}
            told[_SEEN], facts[_SEEN] = json.dumps(ranges), ranges
        write_whole(path, to_bytes({"parameters": self.parameters}, told))
        write_whole(path.with_suffix(".json"), json.dumps(facts, indent=2) + "\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> LinearController:
        """Read a controller written by `save`; an old one names no world model.

        Raises:
            ModelFileError: The file is missing, altered or holds something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as stored:
                told = stored.metadata() or {}
                controller = cls(
                    stored.get_tensor("parameters"), told.get(_WORLD_MODEL), **_described(told)
                )
            controller.seen = json.loads(told.get(_SEEN, "null"))
            seen_ranges(controller, "the controller")
            return controller
        except (OSError, SafetensorError, ConfigError, ValueError) as error:
            raise ModelFileError(f"{path} is no linear controller: {error}") from error


def _observed(num_parameters: int, hidden_size: int) -> int:
    """How many numbers a controller of so many parameters reads."""
    size = num_parameters - 1
    if hidden_size:
        size = size // hidden_size - 2
    if size < 1 or policy_size(size, hidden_size) != num_parameters:
        raise ConfigError(
            f"{num_parameters} parameters make no controller with {hidden_size} hidden units; "
            "expected H × (D + 2) + 1 for observations of D numbers"
        )
    return size


def _described(told: dict[str, str]) -> dict[str, Any]:
    """What a file's metadata says of the controller; the first format said nothing.

    Raises:
        ConfigError: It is of a later format, or cannot be read.
    """
    version, hidden = told.get("format_version", "1"), told.get("hidden_size", "0")
    inputs = told.get("inputs", get_args(Inputs)[0])
    known = version in [str(number + 1) for number in range(_FORMAT_VERSION)]
    if not known or not hidden.isdecimal() or inputs not in get_args(Inputs):
        raise ConfigError(
            f"it is of format {version}, hidden_size {hidden}, inputs {inputs}; expected format "
            f"{_FORMAT_VERSION} or before: a later version of this package may have written it"
        )
    return {"hidden_size": int(hidden), "inputs": cast(Inputs, inputs)}
