"""What a model has learned, read without running anything that a file says: tensors and numbers alone.

A zip of Stable-Baselines3 holds the parameters and optimisers as files of PyTorch, and beside them
``data``, which is pickled: whoever unpickles runs what its author wrote. `read_parameters` opens the
former, as tensors alone, and never the latter.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..market.errors import ModelFileError
from ..market.files.writer import whole_file, write_whole

_VARIABLES = "pytorch_variables"
_BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
_COUNTS = ("num_timesteps", "_n_updates", "_n_calls", "exploration_rate")  # the last two: of DQN
_NOT_KEPT = [
    "tensorboard_log",
    "ep_info_buffer",
    "ep_success_buffer",
    "_last_obs",
    "_last_original_obs",
]


def save_model(model: Any, path: Path) -> None:
    """Write the zip that Stable-Baselines3 loads, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        model.save(stream, exclude=_NOT_KEPT)


def read_parameters(model: Any, path: Path) -> None:
    """Set a model's parameters and optimisers from a zip, and nothing else of it.

    Raises:
        ModelFileError: The zip is damaged, or holds another model's parameters.
    """
    names, variables = model._get_torch_save_params()
    try:
        with zipfile.ZipFile(path) as stored:
            parameters = {name: _tensors(stored, f"{name}.pth") for name in names}
            others = _tensors(stored, f"{_VARIABLES}.pth") if variables else {}
        model.set_parameters(parameters, exact_match=True, device="cpu")
        for name in variables:
            getattr(model, name).data.copy_(others[name].data)
    except _DAMAGED as error:
        raise ModelFileError(
            f"{path} does not hold the parameters of this agent: {_first_line(error)}"
        ) from error


_DAMAGED = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    EOFError,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


def _tensors(stored: zipfile.ZipFile, name: str) -> Any:
    return torch.load(io.BytesIO(stored.read(name)), map_location="cpu", weights_only=True)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def write_rest(model: Any, path: Path, state: Mapping[str, Any]) -> None:
    """Write what a zip lacks for going on: kept bars, generators, counts, and a caller's own state.

    Args:
        model: Between two rollouts.
        path: A file of safetensors.
        state: Plain values.
    """
    counts = {name: getattr(model, name) for name in _COUNTS if hasattr(model, name)}
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 - SB3 draws from it
    version, words, normal = random.getstate()
    chance = {
        "numpy": [str(kind), int(position), int(has_gauss), float(gauss)],
        "python": [version, normal],
        "actions": _words(model.action_space.np_random.bit_generator.state),
    }
    tensors = {
        "chance.torch": torch.get_rng_state(),
        "chance.numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "chance.python": torch.tensor(words, dtype=torch.int64),
        **_kept_bars(model),
    }
    told = {"counts": counts, "chance": chance, "state": dict(state), **_place(model)}
    write_whole(path, save(tensors, metadata={"told": json.dumps(told)}))


def read_rest(model: Any, path: Path) -> dict[str, Any]:
    """Put back what `write_rest` wrote; returns the caller's own state.

    Raises:
        ModelFileError: The file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            told = json.loads((stored.metadata() or {})["told"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        for name, count in told["counts"].items():
            setattr(model, name, count)
        _restore_chance(model, told["chance"], tensors)
        _restore_bars(model, told, tensors)
        state: dict[str, Any] = told["state"]
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(f"{path} is damaged ({error}): train anew with --overwrite") from error
    return state


def _words(state: Any) -> Any:
    """A generator's state as JSON holds it."""
    return {
        name: _words(value) if isinstance(value, dict) else value for name, value in state.items()
    }


def _restore_chance(model: Any, chance: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["chance.torch"])
    kind, position, has_gauss, gauss = chance["numpy"]
    keys = tensors["chance.numpy"].numpy().astype(np.uint32)
    np.random.set_state((kind, keys, position, has_gauss, gauss))  # noqa: NPY002
    version, normal = chance["python"]
    random.setstate((version, tuple(tensors["chance.python"].tolist()), normal))
    model.action_space.np_random.bit_generator.state = chance["actions"]


def _kept_bars(model: Any) -> dict[str, Tensor]:
    buffer = getattr(model, "replay_buffer", None)
    if buffer is None:
        return {}
    rows = buffer.buffer_size if buffer.full else buffer.pos
    return {
        f"buffer.{name}": torch.from_numpy(np.ascontiguousarray(getattr(buffer, name)[:rows]))
        for name in _BUFFER
    }


def _place(model: Any) -> dict[str, Any]:
    buffer = getattr(model, "replay_buffer", None)
    return {} if buffer is None else {"pos": buffer.pos, "full": buffer.full}


def _restore_bars(model: Any, told: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    buffer = getattr(model, "replay_buffer", None)
    if buffer is None:
        return
    for name in _BUFFER:
        kept = tensors[f"buffer.{name}"].numpy()
        getattr(buffer, name)[: len(kept)] = kept
    buffer.pos, buffer.full = int(told["pos"]), bool(told["full"])
