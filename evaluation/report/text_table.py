"""Dream, validation and test side by side, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...market.errors import ConfigError

WORLDS = ("dream", "validation", "test")
PolicyPerformance = Mapping[str, Mapping[str, Mapping[str, float]]]
"""``{policy: {world: {measure: value}}}``, the ``performance`` part of ``results.json``."""

_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("annual_log_return", "log/yr", "{:+.3f}"),
    ("sharpe", "Sharpe", "{:+.2f}"),
    ("max_drawdown", "maxDD", "{:.1%}"),
    ("turnover", "turn", "{:.3f}"),
)
_UNKNOWN = "–"


def comparison_table(performance: PolicyPerformance, worlds: Sequence[str] = WORLDS) -> str:
    """A table with a row per policy and a group of columns per world.

    Shown are the annual log return (after costs), the annual Sharpe ratio, the maximum drawdown
    and the weight traded per bar; what was not measured is a dash.

    Args:
        performance: ``{policy: {world: {measure: value}}}``.
        worlds: Which worlds to show, in order.
    """
    if not performance:
        raise ConfigError("there is no policy to compare")
    rows = [_cells(name, by_world, worlds) for name, by_world in performance.items()]
    header = ["policy", *(title for _ in worlds for _, title, _ in _COLUMNS)]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [_world_line(worlds, widths), _line(header, widths)]
    lines += [_rule(widths), *(_line(row, widths) for row in rows)]
    return "\n".join(line.rstrip() for line in lines)


def format_measure(name: str, value: float | None) -> str:
    """One measure as people read it: shares in percent, log returns and ratios as numbers."""
    if value is None:
        return _UNKNOWN
    if name in ("log_return", "annual_log_return"):
        return f"{value:+.3f}"
    if name in ("max_drawdown", "costs"):
        return f"{value:.1%}"
    return f"{value:.3f}" if name == "turnover" else f"{value:+.2f}"


def _cells(
    name: str, by_world: Mapping[str, Mapping[str, float]], worlds: Sequence[str]
) -> list[str]:
    cells = [name.replace("_", " ")]
    for world in worlds:
        measures = by_world.get(world, {})
        cells += [
            form.format(measures[key]) if key in measures else _UNKNOWN for key, _, form in _COLUMNS
        ]
    return cells


def _groups(values: Sequence[str]) -> list[Sequence[str]]:
    """The policy's cell, then one group of cells per world."""
    size = len(_COLUMNS)
    return [values[:1], *(values[i : i + size] for i in range(1, len(values), size))]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [cells[0].ljust(widths[0])]
    aligned += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return " │ ".join("  ".join(group) for group in _groups(aligned))


def _rule(widths: Sequence[int]) -> str:
    return "─┼─".join("──".join(group) for group in _groups(["─" * width for width in widths]))


def _world_line(worlds: Sequence[str], widths: Sequence[int]) -> str:
    spans = [len("  ".join(group)) for group in _groups(["x" * width for width in widths])]
    titles = ["", *worlds]
    return " │ ".join(title.ljust(span) for title, span in zip(titles, spans, strict=True))
