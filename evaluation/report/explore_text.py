"""An exploration in words: who was chosen by whom, what it was promised and what it was paid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .comparison_tables import agent_name, percent
from .text_table import aligned

Told = Mapping[str, Any]

CHOSEN_BY = {
    "dream": "the dreams",
    "record": "recorded bars",
    "chance": "chance",
}
HEADER = ("candidate", "chosen by", "settings", "the sweep", "fresh dreams")


def explore_text(told: Told) -> str:
    """Tables and sentences for a terminal."""
    rows = [list(HEADER) + list(told["ranges"]), *verified_rows(told)]
    lines = ["  ".join(row).rstrip() for row in aligned(rows)] if told["ranges"] else []
    return "\n".join([*lines, *sentences(told)])


def verified_rows(told: Told) -> list[list[str]]:
    """A row for each policy that was replayed: a year's return, promised and paid."""
    years, rows = told["market"]["bars_per_year"], []
    for one in told["verified"]:
        promises = [
            "–" if value is None else percent(value * years)
            for value in (one["swept"], one["fresh"])
        ]
        paid = [percent(one["performance"][name]["annual_log_return"]) for name in told["ranges"]]
        by = " and ".join(CHOSEN_BY[each] for each in one["chosen_by"]) or "stands beside"
        rows.append([agent_name(one["name"]), by, one["what"] or "–", *promises, *paid])
    return rows


def sentences(told: Told) -> list[str]:
    """What it comes to."""
    years, kept = told["market"]["bars_per_year"], told["finalists"]
    said = [
        f"Of {told['candidates']:,} candidates the best {told['config']['finalists']:,} made "
        f"{percent(kept['swept'] * years)} a year in the dreams that chose them; fresh dreams promise them "
        f"{percent(kept['fresh'] * years)}."
    ]
    return said + [_paid(told, name) for name in told["ranges"]]


def _paid(told: Told, range_: str) -> str:
    """The median pay by who chose."""
    parts = []
    for by, title in CHOSEN_BY.items():
        pay = median_pay(told, by, range_)
        if pay is not None:
            parts.append(f"{percent(pay)} by {title}")
    held = next(one for one in told["verified"] if one["name"] == "hold")
    made = percent(held["performance"][range_]["annual_log_return"])
    return f"On {range_}, a year after costs, the median of those chosen: {', '.join(parts)}; holding {made}."


def median_pay(told: Told, by: str, range_: str) -> float | None:
    """Median annual log return on a range of those that somebody chose."""
    pays = sorted(
        one["performance"][range_]["annual_log_return"]
        for one in told["verified"]
        if by in one["chosen_by"]
    )
    return pays[(len(pays) - 1) // 2] if pays else None
