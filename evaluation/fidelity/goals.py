"""What was measured, what was wanted, and whether it was met."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..significance import Interval


@dataclass(frozen=True)
class Goal:
    """One row of the table of goals.

    Attributes:
        name: What is measured.
        value: The measurement.
        low: Lower end of its interval, or None.
        high: Upper end, or None.
        goal: Lowest and highest value that meets the goal; None is no bound.
        floor: What the record scores against itself, in words; empty where that means nothing.
        met: Whether the value lies between the bounds.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    goal: tuple[float | None, float | None]
    floor: str
    met: bool

    @classmethod
    def of(
        cls,
        name: str,
        measured: float | Interval,
        at_least: float | None = None,
        at_most: float | None = None,
        floor: str = "",
    ) -> Goal:
        """A measurement, judged by its value."""
        if isinstance(measured, Interval):
            judged = cls.of(name, measured.value, at_least, at_most, floor)
            return replace(judged, low=measured.low, high=measured.high)
        met = (at_least is None or measured >= at_least) and (
            at_most is None or measured <= at_most
        )
        return cls(name, float(measured), None, None, (at_least, at_most), floor, met)

    @classmethod
    def surely_above(cls, name: str, measured: Interval, bound: float) -> Goal:
        """A measurement whose whole interval must lie above a bound."""
        return replace(cls.of(name, measured, at_least=bound), met=measured.low > bound)

    @classmethod
    def surely_below(cls, name: str, measured: Interval, bound: float) -> Goal:
        """A measurement whose whole interval must lie at or below a bound."""
        return replace(cls.of(name, measured, at_most=bound), met=measured.high <= bound)


class Part(ABC):
    """The results of one measure: frozen dataclasses that judge themselves.

    A new measure is one such class, in a file of its own, with a field in `FidelityResults`: file,
    table of goals and summary follow.
    """

    @abstractmethod
    def to_dict(self) -> Mapping[str, object]:
        """Its entries in ``fidelity.json``, by name."""

    def goals(self) -> Sequence[Goal]:
        """What is wanted of it; the same for every market."""
        return ()
