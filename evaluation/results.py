"""Results on disk: strict JSON, written whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..market.errors import ConfigError
from ..market.files.writer import write_whole

Path_ = str | Path


def write_results(path: Path_, results: Mapping[str, object]) -> Path:
    """Write results as JSON that every parser reads: no NaN, no infinity, keys in their order.

    numpy numbers and arrays become numbers and lists, paths become text.

    Args:
        path: File to write; its folder is made if need be.
        results: Names to numbers, text, lists and mappings of them.

    Raises:
        ConfigError: A value is not finite or has no JSON form; its place is named. Nothing is
            written then.
    """
    text = json.dumps(to_plain(results), indent=2, allow_nan=False, ensure_ascii=False)
    return write_whole(path, text + "\n")


def to_plain(value: object, place: str = "results") -> object:
    """The value in JSON's own types; `place` names it in errors."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist(), place)
    return _plain_scalar(value, place)


def _plain_scalar(value: object, place: str) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{place} is {value}; JSON has no such number")
        return value
    if isinstance(value, Path):
        return str(value)
    raise ConfigError(f"{place} is a {type(value).__name__}; expected a number, text or a list")
