"""The tables of a run's page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..baselines.scores import TITLES, BaselineScores
from ..outcome import RunResults
from ..performance import Performance
from ..rollout import Curve
from ..seeds import Figures, SeedRange
from ..significance import SharpeEvidence
from .ageing_table import ageing_cells
from .charts import name_of
from .components import section, table
from .sentences import growth
from .text_table import VENUES
from .track import DAY_MS, falls, monthly_returns

_MEASURES: tuple[tuple[str, Callable[[Performance], str]], ...] = (
    ("return", lambda measured: f"{math.expm1(measured.log_return):+.1%}"),
    ("a year", lambda measured: f"{growth(measured.annual_log_return):+.1%}"),
    ("Sharpe", lambda measured: f"{measured.sharpe:+.2f}"),
    ("Sortino", lambda measured: f"{measured.sortino:+.2f}"),
    ("Calmar", lambda measured: f"{measured.calmar:+.2f}"),
    ("worst fall", lambda measured: f"{measured.max_drawdown:.1%}"),
    ("traded a bar", lambda measured: f"{measured.turnover:.1%}"),
    ("costs", lambda measured: f"{measured.costs:.1%}"),
)
_SHARPE = tuple(measure for measure in _MEASURES if measure[0] == "Sharpe")
_EVIDENCE: tuple[tuple[str, Callable[[SharpeEvidence], str]], ...] = (
    ("standard error", lambda only: f"{only.standard_error:.2f}"),
    ("probabilistic", lambda only: f"{only.probabilistic_sharpe:.3f}"),
    ("trials", lambda only: f"{only.trials:.0f}"),
    ("deflated", lambda only: f"{only.deflated_sharpe:.3f}"),
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DEEP = 250.0  # how fast a cell takes colour: a month of 10% has a quarter of it
_PALEST, _DEEPEST = 4.0, 45.0


def performance_table(results: RunResults) -> str:
    """Every measure of every policy as an HTML table, its venues beneath each other.

    What several searches found is a median over its range; the deployed controller follows.
    """
    header = ["", "", *(title for title, _ in _MEASURES)]
    groups = []
    for title, ranges, _ in _entries(results):
        venues = [v for v in VENUES if v in ranges] + [v for v in ranges if v not in VENUES]
        rows = [["", venue, *_cells(ranges[venue], _MEASURES)] for venue in venues]
        rows[0][0] = title
        groups.append(rows)
    return table(header, groups, text_columns=2)


PERFORMANCE_NOTE = (
    "After costs. Where there were several searches, each figure is their median over their range, "
    "and the deployed controller is the one that validation chose. The return is over the whole range, "
    "of dreams the one whose logarithm is the mean; Sharpe and Sortino ratios are annual, from returns "
    "of a bar; the worst fall is from a peak; traded a bar is the mean size of what was bought or sold, of "
    "equity; costs are the sum of the fractions of equity paid."
)


def evidence_table(results: RunResults) -> str:
    """Sharpe ratios beside their standard errors, where they were measured of what traded."""
    rows = [
        [title, label, *_cells(ranges[label], _SHARPE), *_cells(only, _EVIDENCE)]
        for title, ranges, evidence in _entries(results)
        for label, only in evidence.items()
        if ranges[label].high.turnover > 0
    ]
    header = ["", "", *(title for title, _ in _SHARPE), *(title for title, _ in _EVIDENCE)]
    return table(header, [rows], text_columns=2) if rows else ""


EVIDENCE_NOTE = (
    "Probabilistic: one minus the p-value of “the true Sharpe ratio is at most 0”. Deflated: the same "
    "against what the best of so many worthless candidates, compared on the same range, would show. "
    "Above 0.95 a claim that only luck explains the ratio is refused, and one in twenty worthless "
    "strategies gets there; neither is the probability that the ratio is real."
)


def months_table(curves: Mapping[str, Curve]) -> str:
    """Returns of calendar months in percent, a row for each year and policy, gains and losses tinted."""
    found = {name: monthly_returns(curve) for name, curve in curves.items()}
    years = sorted({year for months in found.values() for year, _ in months})
    groups, tones = [], []
    for year in years:
        rows = [[months.get((year, month)) for month in range(1, 13)] for months in found.values()]
        whole = [math.prod(1 + value for value in row if value is not None) - 1 for row in rows]
        filled = [[*row, total] for row, total in zip(rows, whole, strict=True)]
        groups.append(
            [
                [f"{year}, {name_of(name)}", *map(_percent, row)]
                for name, row in zip(found, filled, strict=True)
            ]
        )
        tones.append([[_tinted(value) for value in row] for row in filled])
    caption = "Returns of each month in percent, after costs"
    return table(["", *_MONTHS, "year"], groups, tones=tones, caption=caption)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _tinted(value: float | None) -> str:
    if value is None or abs(value) < 5e-4:
        return ""
    by = min(_PALEST + _DEEP * abs(value), _DEEPEST)
    return f'class="{"up" if value > 0 else "down"}" style="--by:{by:.0f}"'


def falls_table(curve: Curve) -> str:
    """The deepest falls from a peak, and how long each lasted."""
    rows = [
        [
            f"−{fall.depth:.1%}",
            _day(fall.peak_ms),
            _day(fall.trough_ms),
            "not yet" if fall.back_ms is None else _day(fall.back_ms),
            f"{(_end(fall.back_ms, curve) - fall.peak_ms) / DAY_MS:,.0f}",
        ]
        for fall in falls(curve)
    ]
    return table(["fall", "peak", "lowest", "back at the peak", "days under water"], [rows])


def _end(back_ms: int | None, curve: Curve) -> int:
    assert curve.time_ms is not None
    return int(curve.time_ms[-1]) if back_ms is None else back_ms


def _day(time_ms: int) -> str:
    return str(np.datetime64(time_ms, "ms").astype("datetime64[D]"))


class _Entry(NamedTuple):
    """What stands in the tables: a policy, or of several searches' controller all and the deployed."""

    title: str
    performance: Mapping[str, SeedRange[Performance]]
    evidence: Mapping[str, SeedRange[SharpeEvidence]]


def _entries(results: RunResults) -> list[_Entry]:
    entries = []
    for policy, by_venue in results.performance.items():
        title, ranges = name_of(policy), results.ranges(policy)
        count = max((spread.count for spread in ranges.values()), default=1)
        both = title if count == 1 else f"{title}, {count} searches"
        entries.append(_Entry(both, ranges, results.evidence(policy)))
        if count > 1:
            alone = {venue: SeedRange.of([measured]) for venue, measured in by_venue.items()}
            by_range = results.significance.get(policy, {})
            evidence = {label: SeedRange.of([only]) for label, only in by_range.items()}
            entries.append(_Entry(f"{title}, deployed", alone, evidence))
    return entries


def _cells(
    spread: SeedRange[Figures], columns: Sequence[tuple[str, Callable[[Figures], str]]]
) -> list[str]:
    """Medians, each over its range where that can be told from it."""
    cells = []
    for _, shown in columns:
        low, high = shown(spread.low), shown(spread.high)
        cells.append(shown(spread.median) + ("" if low == high else f"\n{low} to {high}"))
    return cells


def density_sections(results: RunResults) -> list[str]:
    """How the forecasts of the next return compare."""
    model = results.world_model
    if model is None:
        return []
    ours = model.return_nll()
    ranges = list(ours)
    rows = [["world model", *(cell for label in ranges for cell in (f"{ours[label]:.4f}", ""))]]
    rows += [_baseline_row(name, scores, ranges) for name, scores in model.baselines.items()]
    header = ["loss [nats]"]
    header += [title for label in ranges for title in (label, "world model minus this")]
    return [
        section(
            "Does the world model forecast better than simple ones?",
            table(header, [rows], text_columns=1),
            "Loss: mean negative log-likelihood of the next log return in percent, one step ahead; lower "
            "is better. The baselines are fitted on the training range alone. Differences have 95% intervals "
            "that allow for losses which cluster as volatility does (Diebold–Mariano, 168 lags).",
            *(
                f"{TITLES.get(name, name)}: {scores.note}."
                for name, scores in model.baselines.items()
                if scores.note
            ),
        )
    ]


def ageing_sections(results: RunResults) -> list[str]:
    """What the forecasts lose as time goes on."""
    quarters = results.world_model.ageing if results.world_model else ()
    if not quarters:
        return []
    header, rows = ageing_cells(quarters)
    return [
        section(
            "As the model ages",
            table(header, [rows], text_columns=2),
            "The same losses by calendar quarter: of the world model, and what it loses more or less "
            "than each other forecast, with half the width of a 95% interval (Diebold–Mariano). "
            "Negative: the world model, as it was first trained, is better. “Refitted” was trained "
            "anew as the range went on, on the bars up to there (--refit).",
        )
    ]


def _baseline_row(name: str, scores: BaselineScores, ranges: list[str]) -> list[str]:
    cells = [TITLES.get(name, name)]
    for label in ranges:
        nll, gap = scores.return_nll.get(label), scores.gap.get(label)
        cells.append("–" if nll is None else f"{nll:.4f}")
        cells.append(
            "–" if gap is None else f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
        )
    return cells
