"""Settings as frozen records that refuse what they do not know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, asdict, fields
from typing import Any, ClassVar, NamedTuple, Self, cast

from .errors import ConfigError
from .settings import nearest, plain, real_number, truth, whole_number

MANY = 1e9
"""No count is so high: as an upper end it goes without saying."""


class Bounds(NamedTuple):
    """The numbers that a setting may be: from ``low`` to ``high``, both included unless said.

    Infinity is a number only where it is an included end.
    """

    low: float
    high: float
    above: bool = False
    """Whether ``low`` is left out."""
    below: bool = False
    """Whether ``high`` is left out."""

    def hold(self, number: float) -> bool:
        """Whether the number is inside."""
        over = self.low < number if self.above else self.low <= number
        return over and (number < self.high if self.below else number <= self.high)

    def describe(self, name: str) -> str:
        """What is inside, in words or signs."""
        if self.high >= MANY:
            return f"more than {self.low:g}" if self.above else f"{self.low:g} or more"
        first, second = ("<" if left_out else "≤" for left_out in (self.above, self.below))
        return f"{self.low:g} {first} {name} {second} {self.high:g}"


FROM_ZERO = Bounds(0, math.inf)
AT_LEAST_ONE = Bounds(1, math.inf)
POSITIVE = Bounds(0, math.inf, above=True, below=True)
TEMPERATURES = Bounds(0, 100, below=True)
"""What τ of a dream may be."""
_FINITE = Bounds(-math.inf, math.inf, above=True, below=True)
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


class Record:
    """Base of all frozen dataclasses of settings: checked, and the same as plain values.

    Fields declared ``int``, ``float`` or ``bool``, or one of them ``| None``, become Python's own,
    whoever counted: numpy's scalars are numbers too.
    """

    _bounds: ClassVar[Mapping[str, tuple[float, float] | Bounds]] = {}
    """Which numbers each may be; a pair is a closed interval."""
    _choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The words that each may be."""

    def __post_init__(self) -> None:
        for setting in fields(cast(Any, self)):
            kind, optional = _kind(setting)
            value = getattr(self, setting.name)
            if kind in _KINDS and not (optional and value is None):
                object.__setattr__(self, setting.name, self._read(setting.name, value, kind))
        for name, known in self._choices.items():
            if getattr(self, name) not in known:
                given = getattr(self, name)
                raise ConfigError(f"{name} is {given!r}; expected one of {', '.join(known)}")

    def _read(self, name: str, value: object, kind: str) -> float | bool:
        found: float | bool | None = _READERS[kind](value)
        bounds = Bounds(*self._bounds.get(name, _FINITE))
        if found is None or (kind != "bool" and not bounds.hold(found)):
            more = [bounds.describe(name)] if name in self._bounds else []
            raise ConfigError(
                f"{name} is {plain(value)!r}; expected {', '.join([_KINDS[kind], *more])}"
            )
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping, such as parsed JSON; refuses unknown keys with `ConfigError`."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"{cls.__name__} is {values!r}; expected a mapping of settings")
        refuse_unknown(values, [f.name for f in fields(cast(Any, cls))], cls.__name__)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry; `from_dict` restores an equal record."""
        return asdict(cast(Any, self))


def _kind(setting: Field[Any]) -> tuple[str, bool]:
    """The declared type's first name, and whether None is allowed."""
    declared = str(getattr(setting.type, "__name__", setting.type))
    first, _, rest = declared.partition(" | ")
    return (first, rest == "None") if rest in ("", "None") else (declared, False)


def _number(value: object) -> float | None:
    number = real_number(value)
    return math.inf if number is None and value == math.inf else number


_READERS: dict[str, Any] = {"int": whole_number, "float": _number, "bool": truth}


def refuse_unknown(values: Mapping[str, Any], known: list[str], owner: str) -> None:
    """Raise `ConfigError` for a name that is not known, suggesting the nearest."""
    for name in values:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"expected one of {', '.join(known)}"
            raise ConfigError(f"{owner} has no setting {name!r}; {hint}")
