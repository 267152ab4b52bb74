"""Settings as frozen records that refuse what they do not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, ClassVar, Self, cast

from .errors import ConfigError
from .settings import nearest, real_number


class Rule:
    """Checked construction from plain mappings, shared by all records of settings."""

    _bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """Closed interval of each number."""
    _optional: ClassVar[frozenset[str]] = frozenset()
    """Numbers that may be None."""

    def __post_init__(self) -> None:
        for name, (low, high) in self._bounds.items():
            value = getattr(self, name)
            if value is None and name in self._optional:
                continue
            number = real_number(value)
            if number is None:
                raise ConfigError(f"{name} is {value!r}; expected a number")
            if not low <= number <= high:
                raise ConfigError(f"{name} is {value!r}; expected {low:g} ≤ {name} ≤ {high:g}")
            object.__setattr__(self, name, number)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping, such as parsed JSON; refuses unknown keys with `ConfigError`."""
        refuse_unknown(values, [f.name for f in fields(cast(Any, cls))], cls.__name__)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry; `from_dict` restores an equal record."""
        return asdict(cast(Any, self))


def refuse_unknown(values: Mapping[str, Any], known: list[str], owner: str) -> None:
    """Raise `ConfigError` for a name that is not known, suggesting the nearest."""
    for name in values:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"expected one of {', '.join(known)}"
            raise ConfigError(f"{owner} has no setting {name!r}; {hint}")
