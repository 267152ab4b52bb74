"""C: the linear controller on [z, h, account] of Ha & Schmidhuber (2018), section 2.3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..market.arrays import BoolArray, Float32Array
from ..market.errors import ConfigError, ModelFileError
from ..market.files.writer import write_whole
from ..market.numerics.compiled import compiled_sums
from ..market.numerics.float32_tanh import tanh

_FORMAT_VERSION = 1
_WORLD_MODEL = "world_model"  # in the file's metadata: the fingerprint


class LinearController:
    """The target weight a = tanh(W·observation + b).

    Args:
        parameters: W and then b [D + 1], for observations of D numbers.
        world_model_hash: `WorldModel.fingerprint` of the one whose z and h it learned from, which
            keeps it out of another (`check_policy`); None where that is not known.

    Raises:
        ConfigError: The parameters are not a finite vector of at least two numbers.
    """

    def __init__(
        self, parameters: NDArray[np.floating[Any]], world_model_hash: str | None = None
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

    @property
    def observation_size(self) -> int:
        """How many numbers it reads."""
        return self.parameters.size - 1

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
        targets = np.empty((len(rows), 1), dtype=np.float32)
        linear_targets(rows, self.parameters, targets)
        return targets.reshape(*observation.shape[:-1], 1), None

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
            "policy": "tanh(W·observation + b)",
            "observation_size": self.observation_size,
            "world_model": self.world_model_hash,
            **provenance,
        }
        learned = {_WORLD_MODEL: self.world_model_hash} if self.world_model_hash else None
        write_whole(path, to_bytes({"parameters": self.parameters}, learned))
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
                learned = (stored.metadata() or {}).get(_WORLD_MODEL)
                return cls(stored.get_tensor("parameters"), learned)
        except (OSError, SafetensorError, ConfigError) as error:
            raise ModelFileError(f"{path} is no linear controller: {error}") from error


@compiled_sums
def linear_targets(observations: Float32Array, parameters: Float32Array, out: Float32Array) -> None:
    """Target weights [N, 1] for observations [N, D], from W and b [D + 1]."""
    size = observations.shape[1]
    for n in range(observations.shape[0]):
        score = np.float32(parameters[size])
        for d in range(size):
            score += observations[n, d] * parameters[d]
        out[n, 0] = tanh(score)
