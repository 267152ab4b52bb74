"""Dream, validation and test side by side, as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...market.errors import ConfigError
from ..outcome import ByVenue, RunResults
from ..performance import Performance

VENUES = ("dream", "validation", "test")

_COLUMNS: tuple[tuple[str, Callable[[Performance], str]], ...] = (
    ("log/yr", lambda measured: f"{measured.annual_log_return:+.3f}"),
    ("Sharpe", lambda measured: f"{measured.sharpe:+.2f}"),
    ("maxDD", lambda measured: f"{measured.max_drawdown:.1%}"),
    ("turn", lambda measured: f"{measured.turnover:.3f}"),
)
_UNKNOWN = "–"


def comparison_rows(results: RunResults) -> dict[str, ByVenue]:
    """What to compare, by title: where there were several searches, their median and range.

    The lowest and the highest are those of each figure by itself.
    """
    rows: dict[str, ByVenue] = {}
    for policy, by_venue in results.performance.items():
        title = policy.replace("_", " ")
        ranges = results.ranges(policy)
        count = max((spread.count for spread in ranges.values()), default=1)
        if count == 1:
            rows[title] = by_venue
            continue
        rows[f"{title}, median"] = {venue: spread.median for venue, spread in ranges.items()}
        rows[f"  lowest of {count}"] = {venue: spread.low for venue, spread in ranges.items()}
        rows[f"  highest of {count}"] = {venue: spread.high for venue, spread in ranges.items()}
        rows["  the deployed one"] = by_venue
    return rows


def comparison_table(rows: Mapping[str, ByVenue], venues: Sequence[str] = VENUES) -> str:
    """A table with a row per policy and a group of columns per venue.

    Shown are the annual log return (after costs), the annual Sharpe ratio, the maximum drawdown
    and the weight traded per bar; what was not measured is a dash.

    Args:
        rows: What to compare, by title; see `comparison_rows`.
        venues: Which venues to show, in order.
    """
    if not rows:
        raise ConfigError("there is no policy to compare")
    cells = [_cells(title, by_venue, venues) for title, by_venue in rows.items()]
    header = ["policy", *(title for _ in venues for title, _ in _COLUMNS)]
    first, *others = aligned([header, *cells])
    widths = [len(cell) for cell in first]
    lines = [_venue_line(venues, widths), _line(first), _rule(widths), *map(_line, others)]
    return "\n".join(line.rstrip() for line in lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows of cells, each column as wide as its widest: the first flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        for row in rows
    ]


def _cells(title: str, by_venue: ByVenue, venues: Sequence[str]) -> list[str]:
    cells = [title]
    for venue in venues:
        measured = by_venue.get(venue)
        cells += [_UNKNOWN if measured is None else shown(measured) for _, shown in _COLUMNS]
    return cells


def _groups(values: Sequence[str]) -> list[Sequence[str]]:
    """The policy's cell, then one group of cells per venue."""
    size = len(_COLUMNS)
    return [values[:1], *(values[i : i + size] for i in range(1, len(values), size))]


def _line(cells: Sequence[str]) -> str:
    return " │ ".join("  ".join(group) for group in _groups(cells))


def _rule(widths: Sequence[int]) -> str:
    return "─┼─".join("──".join(group) for group in _groups(["─" * width for width in widths]))


def _venue_line(venues: Sequence[str], widths: Sequence[int]) -> str:
    spans = [len("  ".join(group)) for group in _groups(["x" * width for width in widths])]
    titles = ["", *venues]
    return " │ ".join(title.ljust(span) for title, span in zip(titles, spans, strict=True))
