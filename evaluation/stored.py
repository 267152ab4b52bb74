"""Records on disk, and back as they were: what a page is made again from.

Every field of a dataclass is written by its name, whatever its ``to_dict`` tells people; the types
that it declares say how it is read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..market.errors import ConfigError
from ..market.files.writer import write_whole

VERSION = 1
"""Of what is written; what another version wrote is not read."""


def write_stored(path: str | Path, value: object) -> Path:
    """Write a dataclass of dataclasses, mappings, sequences, arrays, numbers and text, whole."""
    told = {"version": VERSION, "kind": type(value).__name__, "content": _plain(value)}
    return write_whole(path, json.dumps(told, ensure_ascii=False) + "\n")


def read_stored(path: str | Path, *kinds: type[Any]) -> Any:
    """Read what `write_stored` wrote of one of some types.

    Raises:
        ConfigError: There is no such file, it holds something else, or another version wrote it.
    """
    try:
        told = json.loads(Path(path).read_bytes())
        version, name = told["version"], told["kind"]
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}: nothing to make the page from") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no record of a page: {error!r}") from None
    kind = next((kind for kind in kinds if kind.__name__ == name), None)
    if version != VERSION or kind is None:
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigError(
            f"{path} holds {name}, version {version}; expected {expected}, version {VERSION}: make the page "
            "with the version of this package that did the work, or do the work anew"
        )
    try:
        return _restored(kind, told["content"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path} is no record of this version of the package ({error!r}): do the work anew"
        ) from None


def _plain(value: Any) -> Any:
    """The value in JSON's own types."""
    if isinstance(value, np.ndarray):
        whole = np.ascontiguousarray(value)
        content = base64.b64encode(whole.tobytes()).decode("ascii")
        return {"dtype": whole.dtype.str, "shape": whole.shape, "data": content}
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _restored(kind: Any, plain: Any) -> Any:
    """A value of a declared type."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(parts, plain)
    found = origin or kind
    if found is np.ndarray:
        return np.frombuffer(base64.b64decode(plain["data"]), plain["dtype"]).reshape(
            plain["shape"]
        )
    if is_dataclass(found):
        return _record(found, parts, plain)
    if isinstance(found, type) and issubclass(found, tuple):
        return _tuple(found, parts, plain)
    if isinstance(found, type) and issubclass(found, Mapping) and parts:
        return {_key(parts[0], key): _restored(parts[1], item) for key, item in plain.items()}
    if parts and found is not Literal:  # a list, or what else is walked through
        return [_restored(parts[0], item) for item in plain]
    return plain


def _one_of(parts: tuple[Any, ...], plain: Any) -> Any:
    """A value of one of several types: None, or the first that is no plain one, or as it is."""
    if plain is None and NoneType in parts:
        return None
    made = [part for part in parts if part not in (NoneType, int, float, str, bool)]
    return _restored(made[0], plain) if made else plain


def _record(kind: Any, parts: tuple[Any, ...], plain: Mapping[str, Any]) -> Any:
    """A dataclass, or one of a type that it is generic in."""
    hints = get_type_hints(kind)
    variables = dict(zip(getattr(kind, "__parameters__", ()), parts, strict=False))
    return kind(
        **{
            each.name: _restored(_given(hints[each.name], variables), plain[each.name])
            for each in fields(kind)
            if each.init
        }
    )


def _given(hint: Any, variables: Mapping[Any, Any]) -> Any:
    """A declared type with the type variables that stand in it replaced."""
    inside = tuple(variable for variable in getattr(hint, "__parameters__", ()))
    if isinstance(hint, TypeVar):
        return variables.get(hint, Any)
    return hint[tuple(variables.get(each, Any) for each in inside)] if inside else hint


def _tuple(kind: Any, parts: tuple[Any, ...], plain: list[Any]) -> Any:
    hints = get_type_hints(kind) if hasattr(kind, "_fields") else {}
    if hints:  # a NamedTuple
        names = zip(kind._fields, plain, strict=True)
        return kind(*(_restored(hints[name], item) for name, item in names))
    if len(parts) == 2 and parts[1] is Ellipsis:
        return tuple(_restored(parts[0], item) for item in plain)
    return tuple(_restored(*pair) for pair in zip(parts, plain, strict=True))


def _key(kind: Any, key: str) -> Any:
    return int(key) if kind is int else key
