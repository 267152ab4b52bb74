"""A run's report: one HTML file that needs nothing else, the table first."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import NamedTuple

from ...market.files.writer import write_whole
from ..baselines.scores import TITLES, BaselineScores
from ..outcome import RunResults
from ..performance import Performance
from ..results import to_plain
from ..seeds import Figures, SeedRange
from ..significance import SharpeEvidence
from .ageing_table import ageing_cells
from .chart import Chart
from .figures import Curves, History, dream_fan, replay_equity, replay_weight, training_curves
from .page import details, figure, page, section, table
from .sentences import main_policy, summarise
from .text_table import VENUES

_MEASURES: tuple[tuple[str, Callable[[Performance], str]], ...] = (
    ("log return", lambda measured: f"{measured.log_return:+.3f}"),
    ("per year", lambda measured: f"{measured.annual_log_return:+.3f}"),
    ("Sharpe", lambda measured: f"{measured.sharpe:+.2f}"),
    ("Sortino", lambda measured: f"{measured.sortino:+.2f}"),
    ("Calmar", lambda measured: f"{measured.calmar:+.2f}"),
    ("max drawdown", lambda measured: f"{measured.max_drawdown:.1%}"),
    ("turnover", lambda measured: f"{measured.turnover:.3f}"),
    ("costs", lambda measured: f"{measured.costs:.1%}"),
)
_SHARPE = tuple(measure for measure in _MEASURES if measure[0] == "Sharpe")
_EVIDENCE: tuple[tuple[str, Callable[[SharpeEvidence], str]], ...] = (
    ("standard error", lambda only: f"{only.standard_error:.2f}"),
    ("probabilistic", lambda only: f"{only.probabilistic_sharpe:.3f}"),
    ("trials", lambda only: f"{only.trials:.0f}"),
    ("deflated", lambda only: f"{only.deflated_sharpe:.3f}"),
)
_STAGE_TITLES = {
    "forecast": "V: what comes next, without memory",
    "vae": "V: the autoencoder",
    "mdn_rnn": "M: the memory",
    "heads": "M: wicks and volume",
    "controller": "C: the controller, fitness per generation",
}


def write_report(path: str | Path, results: RunResults, curves: Curves, history: History) -> Path:
    """Write the report of a run, whole or not at all.

    Args:
        path: The HTML file.
        results: What the run came to; only ``performance`` must be there.
        curves: What to draw of each policy, by venue; in the dream [N, T + 1].
        history: ``{"vae" | "mdn_rnn" | …: [{"epoch", "train_loss", "validation_loss"}],
            "controller": [{"generation", "best", "mean", "validation"}]}``.

    Returns:
        The path written.
    """
    return write_whole(path, report_html(results, curves, history))


def report_html(results: RunResults, curves: Curves, history: History) -> str:
    """The report as text; see `write_report`."""
    to_plain(results.to_dict())  # refuses, by its place, a number that JSON lacks
    policy = main_policy(results.performance)
    sentences = summarise(results)
    body = [
        f'<p class="lead">{escape(sentences[0])}</p>',
        *(f"<p>{escape(sentence)}</p>" for sentence in sentences[1:]),
        section("Performance", performance_table(results), _PERFORMANCE_NOTE),
        *_evidence_sections(results),
        *_equity_sections(curves, policy),
        *_training_sections(history),
        *_density_sections(results),
        *_ageing_sections(results),
        *_provenance_sections(results),
    ]
    return page(_title(results), "".join(body), _subtitle(results))


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


class _Entry(NamedTuple):
    """What stands in the tables: a policy, or of several searches' controller all and the deployed."""

    title: str
    performance: Mapping[str, SeedRange[Performance]]
    evidence: Mapping[str, SeedRange[SharpeEvidence]]


def _entries(results: RunResults) -> list[_Entry]:
    entries = []
    for policy, by_venue in results.performance.items():
        title, ranges = policy.replace("_", " "), results.ranges(policy)
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


_PERFORMANCE_NOTE = (
    "After costs. Where there were several searches, each figure is their median over their range, "
    "and the deployed controller is the one that validation chose. Log return is the total over the range (for dreams the mean over dreams), per year "
    "the same annualised; Sharpe and Sortino are annual, from returns per bar; turnover is the mean "
    "weight traded per bar; costs are the sum of the fractions of equity paid."
)


def _evidence_sections(results: RunResults) -> list[str]:
    """Sharpe ratios beside their standard errors, where ``significance`` was measured."""
    rows = [
        [title, label, *_cells(ranges[label], _SHARPE), *_cells(only, _EVIDENCE)]
        for title, ranges, evidence in _entries(results)
        for label, only in evidence.items()
    ]
    if not rows:
        return []
    header = ["", "", *(title for title, _ in _SHARPE), *(title for title, _ in _EVIDENCE)]
    return [section("More than luck?", table(header, [rows], text_columns=2), _EVIDENCE_NOTE)]


_EVIDENCE_NOTE = (
    "Probabilistic: one minus the p-value of “the true Sharpe ratio is at most 0”. Deflated: the same "
    "against what the best of so many worthless candidates, compared on the same range, would show. "
    "Above 0.95 a claim that only luck explains the ratio is refused, and one in twenty worthless "
    "strategies gets there; neither is the probability that the ratio is real."
)


def _equity_sections(curves: Curves, policy: str) -> list[str]:
    figures = []
    if "dream" in curves.get(policy, {}):
        fan = dream_fan(curves, policy, reference="buy_and_hold")
        figures.append(figure(fan, "In the dream: where the policy was trained."))
    for venue, words in (
        ("validation", "Replay on the validation range, which chose the controller."),
        ("test", "Replay on the test range, touched once."),
    ):
        if any(venue in venues for venues in curves.values()):
            figures.append(figure(replay_equity(curves, venue, policy), words))
    own = curves.get(policy, {})
    weights = [
        figure(replay_weight(curves, policy, venue), f"On the {venue} range.")
        for venue in ("validation", "test")
        if venue in own and own[venue].weight is not None
    ]
    parts = [section("Equity", *figures)] if figures else []
    return parts + ([section("The weight over time", *weights)] if weights else [])


def _training_sections(history: History) -> list[str]:
    charts: list[tuple[Chart, str]] = [
        (training_curves(history, stage), title)
        for stage, title in _STAGE_TITLES.items()
        if history.get(stage)
    ]
    return [section("Training", *(figure(*chart) for chart in charts))] if charts else []


def _density_sections(results: RunResults) -> list[str]:
    model = results.world_model
    if model is None:
        return []
    ours = model.return_nll()
    ranges = list(ours)
    rows = [["world model", *(cell for label in ranges for cell in (f"{ours[label]:.4f}", ""))]]
    rows += [_baseline_row(name, scores, ranges) for name, scores in model.baselines.items()]
    header = ["mean negative log-likelihood [nats]"]
    header += [title for label in ranges for title in (label, "world model minus this")]
    return [
        section(
            "Forecasting the next return",
            table(header, [rows], text_columns=1),
            "Of the next log return in percent, one step ahead; lower is better. The baselines are "
            "fitted on the training range alone. Differences have 95% intervals that allow for "
            "losses which cluster as volatility does (Diebold–Mariano, 168 lags).",
            *(
                f"{TITLES.get(name, name)}: {scores.note}."
                for name, scores in model.baselines.items()
                if scores.note
            ),
        )
    ]


def _ageing_sections(results: RunResults) -> list[str]:
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


def _provenance_sections(results: RunResults) -> list[str]:
    plain, model = results.to_dict(), results.world_model
    parts = {"V": asdict(model.vae)} if model else {}
    for key in ("candles", "config", "controller", "versions", "machine", "timings_s"):
        if plain.get(key):
            parts[key.replace("_", " ")] = plain[key]
    shown = [
        details(title, json.dumps(part, indent=2, ensure_ascii=False))
        for title, part in parts.items()
    ]
    return [section("Where this comes from", *shown)] if shown else []


def _title(results: RunResults) -> str:
    return f"Dream and market: {results.candles.symbol}" if results.candles else "Dream and market"


def _subtitle(results: RunResults) -> str:
    known = {
        "run": results.run_id,
        "seed": results.seed,
        "bars": results.candles and results.candles.bars,
    }
    return " · ".join(f"{name} {value}" for name, value in known.items() if value is not None)
