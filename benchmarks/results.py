"""Lines of the table: what is wanted, what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .timing import Rate, Settings


@dataclass(frozen=True)
class Line:
    """One figure that is measured.

    Attributes:
        name: For the command line.
        what: In words.
        goal: The figure wanted; None where it is for information.
        at_most: Whether the goal is an upper bound.
    """

    name: str
    what: str
    goal: float | None = None
    at_most: bool = False

    def goal_text(self) -> str:
        """Such as ``≥ 0.5``."""
        return "–" if self.goal is None else f"{'≤' if self.at_most else '≥'} {self.goal:g}"


@dataclass(frozen=True)
class Result:
    """What was found.

    Attributes:
        value: The figure; None where it could not be had.
        note: How, or why not.
        by_cpu_time: The same from processor time, where both sides are one process's.
        details: Rates and further figures.
    """

    value: float | None
    note: str = ""
    by_cpu_time: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


Results = dict[str, Result]


@dataclass(frozen=True)
class Benchmark:
    """Lines that are measured together.

    Attributes:
        name: For the command line.
        lines: Its figures.
        run: Measures them; a result for each line's name.
        long: Whether it takes so long that it is run where it is named alone.
    """

    name: str
    lines: tuple[Line, ...]
    run: Callable[[Settings], Results]
    long: bool = False


def ratio(ours: Rate, theirs: Rate, unit: str, note: str = "", **details: Any) -> Result:
    """Our rate ÷ theirs."""
    rates = {
        name: {"median": rate.wall, "by_cpu_time": rate.cpu, "spread": rate.spread, "unit": unit}
        for name, rate in (("ours", ours), ("theirs", theirs))
    }
    said = f"{quantity(ours.wall)} ÷ {quantity(theirs.wall)} {unit}"
    note = f"{said}; {note}" if note else said
    return Result(ours.wall / theirs.wall, note, ours.cpu / theirs.cpu, rates | details)


def missing(reason: str) -> Result:
    """A figure that could not be had."""
    return Result(None, f"not available: {reason}")


def quantity(value: float) -> str:
    """A number with a prefix: 1.23 M."""
    for factor, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"


def figure_text(value: float | None) -> str:
    """A figure with three digits, or all those before the point: 0.582, 2,988."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def met(line: Line, result: Result) -> bool | None:
    """Whether the goal is reached; None where there is none or no figure."""
    if line.goal is None or result.value is None:
        return None
    return result.value <= line.goal if line.at_most else result.value >= line.goal


def row_text(line: Line, result: Result) -> str:
    """One row of the console's table."""
    verdict = {True: "yes", False: "NO", None: ""}[met(line, result)]
    cpu = "" if result.by_cpu_time is None else figure_text(result.by_cpu_time)
    head = f"{line.name:<28} {figure_text(result.value):>8} {cpu:>8}  {line.goal_text():<7} {verdict:<4}"
    return f"{head} {line.what}\n{'':<28} {result.note}"


HEADER = f"{'figure':<28} {'ratio':>8} {'by CPU':>8}  {'goal':<7} {'met':<4} what"


def row_json(line: Line, result: Result) -> dict[str, Any]:
    """One row as plain values."""
    return {
        "name": line.name,
        "what": line.what,
        "goal": line.goal,
        "goal_is": "at most" if line.at_most else "at least",
        "value": result.value,
        "value_by_cpu_time": result.by_cpu_time,
        "met": met(line, result),
        "note": result.note,
        "details": result.details,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table for docs/performance.md."""
    lines = ["| figure | what | ratio | by CPU | goal | |", "|---|---|---|---|---|---|"]
    for row in rows:
        goal = Line("", "", row["goal"], row["goal_is"] == "at most").goal_text()
        shown = [figure_text(row[name]) for name in ("value", "value_by_cpu_time")]
        verdict = {True: "met", False: "**missed**", None: ""}[row["met"]]
        cells = [f"`{row['name']}`", row["what"], *shown, goal, verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
