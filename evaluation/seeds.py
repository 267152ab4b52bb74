"""Figures over several seeds: one draw is not a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from ..market.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Figures = TypeVar("Figures", bound=DataclassInstance)
else:
    Figures = TypeVar("Figures")


@dataclass(frozen=True)
class SeedRange(Generic[Figures]):
    """Each figure's median and range over several draws of a record of figures.

    Every figure stands for itself: the lowest return and the lowest drawdown may be those of
    different draws.

    Attributes:
        median: The median of each figure.
        low: The lowest of each.
        high: The highest of each.
        count: Over how many draws.
    """

    median: Figures
    low: Figures
    high: Figures
    count: int

    @classmethod
    def of(cls, drawn: Sequence[Figures]) -> SeedRange[Figures]:
        """The range over records of one kind, whose fields are numbers.

        Raises:
            ConfigError: There is none.
        """
        if not drawn:
            raise ConfigError("there is no draw to take a range over; expected at least one")
        table = np.array([astuple(one) for one in drawn], dtype=np.float64)
        names = [field.name for field in fields(drawn[0])]
        kinds = [type(getattr(drawn[0], name)) for name in names]

        def record(values: Sequence[float]) -> Figures:
            plain = (kind(value) for kind, value in zip(kinds, values, strict=True))
            return type(drawn[0])(*plain)

        return cls(
            record(np.median(table, axis=0).tolist()),
            record(table.min(axis=0).tolist()),
            record(table.max(axis=0).tolist()),
            len(drawn),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold: ``{"median" | "low" | "high": {figure: number}}``."""
        return {name: asdict(getattr(self, name)) for name in ("median", "low", "high")}
