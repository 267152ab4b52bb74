"""What was measured, what was wanted, and whether it was met."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..significance import Interval

Verdict = Literal["met", "open", "missed"]


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
        verdict: Met where the whole interval meets the goal, missed where none of it does, and open
            where it cannot be told; without an interval the value decides.
        range: Least and greatest value over several runs; None of one.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    goal: tuple[float | None, float | None]
    floor: str
    verdict: Verdict
    range: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        """Whether the goal is surely met."""
        return self.verdict == "met"

    @classmethod
    def of(
        cls,
        name: str,
        measured: float | Interval,
        at_least: float | None = None,
        at_most: float | None = None,
        floor: str = "",
    ) -> Goal:
        """A measurement, judged by its interval, or by its value where it has none."""
        ends: tuple[float | None, float | None] = (None, None)
        if isinstance(measured, Interval):
            value, ends = measured.value, (measured.low, measured.high)
            low, high = measured.low, measured.high
        else:
            value = low = high = float(measured)
        least = -math.inf if at_least is None else at_least
        most = math.inf if at_most is None else at_most
        verdict: Verdict = "open"
        if least <= low and high <= most:
            verdict = "met"
        elif high < least or low > most:
            verdict = "missed"
        return cls(name, value, *ends, (at_least, at_most), floor, verdict)


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
