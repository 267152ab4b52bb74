"""A comparison as text: what was promised, what was paid, and the questions on the ladder."""

from __future__ import annotations

from collections.abc import Sequence

from ..comparison.results import Comparison, Figure, Promise
from .comparison_tables import sight_notes
from .sentences import growth
from .text_table import aligned

SEEN = "on bars that model, search or choice has seen"


def comparison_text(comparison: Comparison) -> str:
    """What the command ``compare`` prints: tables and sentences for a terminal.

    First what is to be known of the bars (`Facts.in_sample`, and agents that have seen them or do not
    say); then a year's return after costs, by agent and place; what dreams promised beside what was
    paid; and the questions of the ladder, with their answers.

    Args:
        comparison: As `compare` returns it.
    """
    notes = sight_notes(comparison.facts.agents)
    if comparison.facts.in_sample:
        notes.insert(0, f"Measured also {SEEN} (--allow-in-sample).")
    parts = [
        "\n".join(notes),
        _performance(comparison),
        _promises(comparison.promises),
        _ladder(comparison),
    ]
    return "\n\n".join(filter(None, parts))


def percent(log_return: float) -> str:
    """A log return as people think of it: +12%."""
    return f"{growth(log_return):+.0%}"


def _span(figure: Figure) -> str:
    shown = percent(figure.median)
    if figure.count == 1:
        return shown
    return f"{shown} ({percent(figure.low)} to {percent(figure.high)})"


def _performance(comparison: Comparison) -> str:
    """A year's return after costs, by agent and place: median and range."""
    places = comparison.places
    rows = [["a year, after costs", *places]]
    for agent, found in comparison.summary().items():
        measures = [found.get(place) for place in places]
        rows.append(
            [agent, *("-" if m is None else _span(m["annual_log_return"]) for m in measures)]
        )
    return _lines(rows)


def _promises(promises: Sequence[Promise]) -> str:
    if not promises:
        return ""
    header = ["promised and paid", "temperature", "dream", "market", "range", "gap / error"]
    rows = [
        [
            one.agent,
            f"{one.temperature:g}",
            percent(one.promised.median),
            percent(one.paid.median),
            one.venue,
            f"{one.errors:+.1f}",
        ]
        for one in promises
    ]
    alarms = [
        f"{one.agent}, temperature {one.temperature:g}, {one.venue}: {one.alarm}"
        for one in promises
        if one.alarm
    ]
    return "\n".join([_lines([header, *rows]), *alarms])


def _ladder(comparison: Comparison) -> str:
    if not comparison.ladder:
        return ""
    words = {True: "yes", False: "no", None: "cannot tell"}
    return "\n".join(
        f"{rung.question}: {rung.answer} [{words[rung.met]}]" for rung in comparison.ladder
    )


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("  ".join(row).rstrip() for row in aligned(rows))
