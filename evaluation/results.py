"""Results on disk: strict JSON, written whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..market.errors import ConfigError
from ..market.files.writer import write_whole

Path_ = str | Path


@runtime_checkable
class Written(Protocol):
    """What says itself how it looks on disk."""

    def to_dict(self) -> Mapping[str, object]:
        """Names to what `to_plain` takes."""


def write_results(path: Path_, results: object) -> Path:
    """Write results as JSON that every parser reads: no NaN, no infinity, keys in their order.

    numpy numbers and arrays become numbers and lists, paths become text, dataclasses become what
    their ``to_dict`` says, or else their fields by name.

    Args:
        path: File to write; its folder is made if need be.
        results: A dataclass, or names to numbers, text, lists, dataclasses and mappings of them.

    Raises:
        ConfigError: A value is not finite or has no JSON form; its place is named. Nothing is
            written then.
    """
    text = json.dumps(to_plain(results), indent=2, allow_nan=False, ensure_ascii=False)
    return write_whole(path, text + "\n")


def read_results(path: Path_, needed: Collection[str], what: str) -> dict[str, Any]:
    """Read what `write_results` wrote.

    Args:
        path: The file.
        needed: Keys that it must have.
        what: What it should be, in words, such as ``comparison``.

    Raises:
        ConfigError: There is no such file, or it holds something else.
    """
    try:
        told: dict[str, Any] = json.loads(Path(path).read_bytes())
        for key in needed:
            told[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no {what} ({error!r}): do the work anew") from None
    return told


def to_plain(value: object, place: str = "results") -> object:
    """The value in JSON's own types; `place` names it in errors."""
    if isinstance(value, Written):
        return to_plain(value.to_dict(), place)
    if is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
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
