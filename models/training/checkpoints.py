"""The state of a training on disk: one safetensors file a stage, replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ...market.errors import TrainingError
from ...market.files.writer import write_whole

_STATE = "state"


@dataclass(frozen=True)
class Checkpoint:
    """Where a stage keeps its state, and what it belongs to.

    Attributes:
        file: The file, replaced after every epoch.
        identity: Hash of candles, settings and seed; a file of another identity is refused.
    """

    file: Path
    identity: str

    def write(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace the file: a reader finds the old state or the new one, never a part."""
        metadata = {"identity": self.identity, _STATE: json.dumps(state)}
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_whole(self.file, save(whole, metadata=metadata))

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and state, or None where there is no file.

        Raises:
            TrainingError: The file is damaged, or of another training.
        """
        if not self.file.exists():
            return None
        try:
            with safe_open(self.file, framework="pt") as stored:
                metadata = stored.metadata() or {}
                names = list(stored.keys())
                tensors = {name: stored.get_tensor(name) for name in names}
            state = json.loads(metadata[_STATE])
        except (SafetensorError, KeyError, ValueError) as error:
            raise TrainingError(
                f"the checkpoint {self.file} is damaged ({error}): delete it and train anew"
            ) from None
        if metadata.get("identity") != self.identity:
            raise TrainingError(
                f"the checkpoint {self.file} belongs to other candles, settings or another seed: "
                "resume with those, or name another folder"
            )
        return tensors, state

    def clear(self) -> None:
        """Remove the file."""
        self.file.unlink(missing_ok=True)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An Adam optimiser's moments and step counts, by number of the parameter and name."""
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under ``prefix.name``."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under a prefix, without it."""
    cut = f"{prefix}."
    return {n.removeprefix(cut): t for n, t in tensors.items() if n.startswith(cut)}
