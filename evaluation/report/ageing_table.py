"""Forecast losses by quarter as rows of cells, for a terminal and a page."""

from __future__ import annotations

from collections.abc import Sequence

from ..ageing import FORECASTERS, Quarter
from ..density import WORLD_MODEL
from .text_table import aligned

_UNKNOWN = "–"


def ageing_cells(quarters: Sequence[Quarter]) -> tuple[list[str], list[list[str]]]:
    """Column titles, and a row of cells for each quarter.

    Of the world model its mean loss; of each other forecaster what the world model's loss is more
    or less than its own, with half the width of a 95% interval.
    """
    known = {name for quarter in quarters for name in quarter.gap}
    rivals = [name for name in FORECASTERS if name in known]
    header = ["quarter", "range", "bars", FORECASTERS[WORLD_MODEL]]
    header += [f"minus {FORECASTERS[name]}" for name in rivals]
    rows = [
        [
            quarter.name,
            quarter.range,
            str(quarter.bars),
            f"{quarter.nll[WORLD_MODEL]:.4f}",
            *(_gap(quarter, name) for name in rivals),
        ]
        for quarter in quarters
    ]
    return header, rows


def ageing_text(quarters: Sequence[Quarter]) -> str:
    """The same as text."""
    header, rows = ageing_cells(quarters)
    return "\n".join("  ".join(line).rstrip() for line in aligned([header, *rows]))


def _gap(quarter: Quarter, name: str) -> str:
    gap = quarter.gap.get(name)
    if gap is None:
        return _UNKNOWN
    return f"{gap.value:+.4f} ± {0.5 * (gap.high - gap.low):.4f}"
