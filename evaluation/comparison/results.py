"""What a comparison came to, typed: what ``comparison.json`` holds, and what its page reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from ..significance import Interval
from .families import FamilyAudit
from .lift import Lift
from .luck import Held, Luck, Verdict

DREAM = "dream"
"""The venue whose bars are drawn; every other is a recorded range."""


@dataclass(frozen=True)
class Row:
    """One agent, of one seed, in one venue, seen through one world model.

    Attributes:
        agent: Its name.
        venue: ``dream``, or a recorded range.
        temperature: τ of the dreams; None in replay.
        seed: Of the agent's training and the dreams.
        model: Name of the world model.
        window: Name of the walk-forward window; empty where there is one alone.
        measures: Figures by name: those of `Performance`, `Waterfall` and `Risk`, and
            ``capacity_halved_usdt`` and ``capacity_gone_usdt`` where there is such a capital, at most
            what makes the largest order all of its bar's turnover.
    """

    agent: str
    venue: str
    temperature: float | None
    seed: int
    model: str
    window: str
    measures: Mapping[str, float]

    @property
    def place(self) -> str:
        """The venue, with its temperature where it has one."""
        return place_of(self.venue, self.temperature)


def place_of(venue: str, temperature: float | None) -> str:
    """A venue's name in tables: ``test``, or ``dream at 1``."""
    return venue if temperature is None else f"{venue} at {temperature:g}"


@dataclass(frozen=True)
class Figure:
    """A figure over seeds, world models and windows.

    Attributes:
        median: The median.
        low: The lowest.
        high: The highest.
        middle: The mean of the middle half (the interquartile mean).
        count: Of how many.
    """

    median: float
    low: float
    high: float
    middle: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of one or more values."""
        ordered = np.sort(np.asarray(values, dtype=np.float64))
        cut = len(ordered) // 4
        middle = ordered[cut : len(ordered) - cut]
        return cls(
            float(np.median(ordered)),
            float(ordered[0]),
            float(ordered[-1]),
            float(middle.mean()),
            len(ordered),
        )


Summary = Mapping[str, Mapping[str, Mapping[str, Figure]]]
"""Figures by agent, place and measure."""


def summarise_rows(rows: Iterable[Row]) -> dict[str, dict[str, dict[str, Figure]]]:
    """Every measure of every agent in every place, over seeds, world models and windows."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        of_place = found.setdefault(row.agent, {}).setdefault(row.place, {})
        for name, value in row.measures.items():
            of_place.setdefault(name, []).append(value)
    return {
        agent: {
            place: {name: Figure.of(values) for name, values in measures.items()}
            for place, measures in places.items()
        }
        for agent, places in found.items()
    }


@dataclass(frozen=True)
class Promise:
    """What dreams of one temperature promised an agent, and what the market paid it.

    Attributes:
        agent: Its name.
        temperature: τ.
        venue: The recorded range that paid.
        promised: Annual log return in the dream, over seeds, world models and windows.
        paid: The same in replay.
        gap: Promised less paid, of the medians.
        errors: The gap in its standard errors: dreams differ, and a record is one path.
        alarm: What to think of it, in words; empty where the gap may be chance.
    """

    agent: str
    temperature: float
    venue: str
    promised: Figure
    paid: Figure
    gap: float
    errors: float
    alarm: str


@dataclass(frozen=True)
class Rung:
    """A question on the ladder from forecast to calibration.

    Attributes:
        question: In plain words.
        answer: In numbers.
        met: Whether the answer is what one would wish; None where that cannot be told.
    """

    question: str
    answer: str
    met: bool | None


@dataclass(frozen=True)
class Facts:
    """What was compared.

    Attributes:
        config: The settings.
        agents: What each agent is, by name: ``kind``; ``trials``, how many candidates were scored to
            find it; and, where somebody brought it along, ``seen``: whether it has seen bars of each
            recorded range, ``"seen"``, ``"unseen"`` or ``"unknown"`` (`seen_ranges`).
        models: Fingerprint of each world model, by name.
        windows: Start and end of each range (ISO times, the end exclusive), by window and range.
        candles: Source, symbol, interval, bars and content hash.
        in_sample: Whether bars were allowed that model, search or choice had seen.
        bars_per_year: 8,760 for hourly bars.
        versions: Of the libraries.
    """

    config: Mapping[str, Any]
    agents: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, str]
    windows: Mapping[str, Mapping[str, tuple[str, str]]]
    candles: Mapping[str, Any]
    in_sample: bool
    bars_per_year: float
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that was measured.

    Attributes:
        facts: What was compared.
        rows: Every agent, seed, world model, window and venue.
        promises: Of each agent and temperature.
        over_holding: Annual log return above holding on each recorded range, by agent and range, with an
            interval by blocks of time.
        luck: By recorded range; see `Luck`.
        verdicts: Who is called good, and why, by recorded range and agent; see `Luck.verdict`.
        held: In how many seeds, world models and windows each earned, by recorded range and agent; see
            `hold_together`.
        ranks: By what the dream ranks policies; see `audit_families`.
        lift: What the search in the dream was worth; see `Lift`.
        ladder: The questions in their order.
    """

    facts: Facts
    rows: tuple[Row, ...]
    promises: tuple[Promise, ...] = ()
    over_holding: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    luck: Mapping[str, Luck] = field(default_factory=dict)
    verdicts: Mapping[str, Mapping[str, Verdict]] = field(default_factory=dict)
    held: Mapping[str, Mapping[str, Held]] = field(default_factory=dict)
    ranks: FamilyAudit | None = None
    lift: Lift | None = None
    ladder: tuple[Rung, ...] = ()

    @property
    def agents(self) -> list[str]:
        """Their names, in the order in which they were given."""
        return list(dict.fromkeys(row.agent for row in self.rows))

    @property
    def places(self) -> list[str]:
        """The venues, the dreams first."""
        found = dict.fromkeys(row.place for row in self.rows)
        return sorted(found, key=lambda place: not place.startswith(DREAM))

    def summary(self) -> dict[str, dict[str, dict[str, Figure]]]:
        """Figures by agent, place and measure."""
        return summarise_rows(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        plain = asdict(self.facts)
        plain |= {
            "summary": {
                agent: {
                    place: {name: asdict(figure) for name, figure in measures.items()}
                    for place, measures in places.items()
                }
                for agent, places in self.summary().items()
            },
            "promises": [asdict(promise) for promise in self.promises],
            "over_holding": {
                agent: {name: span.to_dict() for name, span in spans.items()}
                for agent, spans in self.over_holding.items()
            },
            "luck": {name: one.to_dict() for name, one in self.luck.items()},
            "verdicts": {
                name: {agent: verdict.to_dict() for agent, verdict in found.items()}
                for name, found in self.verdicts.items()
            },
            "held": {
                name: {agent: asdict(held) for agent, held in found.items()}
                for name, found in self.held.items()
            },
            "ranks": _plain(self.ranks),
            "lift": _plain(self.lift),
            "ladder": [asdict(rung) for rung in self.ladder],
        }
        return plain


def _plain(value: Any) -> Any:
    return None if value is None else value.to_dict()
