"""A run's report: one HTML file that needs nothing else, the table first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from html import escape
from pathlib import Path
from typing import Any

from ...market.files.writer import write_whole
from ..performance import Performance
from ..results import to_plain
from .chart import Chart
from .figures import Curves, History, dream_fan, replay_equity, replay_weight, training_curves
from .page import details, figure, page, section, table
from .sentences import main_policy, summarise
from .text_table import WORLDS, format_measure

_MEASURE_TITLES = {
    "log_return": "log return",
    "annual_log_return": "per year",
    "sharpe": "Sharpe",
    "sortino": "Sortino",
    "calmar": "Calmar",
    "max_drawdown": "max drawdown",
    "turnover": "turnover",
    "costs": "costs",
}
_STAGE_TITLES = {
    "vae": "V: the autoencoder",
    "mdn_rnn": "M: the dreaming network",
    "controller": "C: the controller, fitness per generation",
}


def write_report(
    path: str | Path, results: Mapping[str, Any], curves: Curves, history: History
) -> Path:
    """Write the report of a run, whole or not at all.

    Args:
        path: The HTML file.
        results: As in ``results.json``; only ``performance`` must be there.
        curves: ``{policy: {"dream": {"equity": [N, T + 1]}, "validation" | "test": {"time_ms":
            [T + 1], "equity": [T + 1], "weight": [T + 1]}}}``; what is absent is not drawn.
        history: ``{"vae" | "mdn_rnn": [{"epoch", "train_loss", "validation_loss"}],
            "controller": [{"generation", "best", "mean", "validation"}]}``.

    Returns:
        The path written.
    """
    return write_whole(path, report_html(results, curves, history))


def report_html(results: Mapping[str, Any], curves: Curves, history: History) -> str:
    """The report as text; see `write_report`."""
    plain: Any = to_plain(results)
    policy = main_policy(plain["performance"])
    sentences = summarise(plain)
    body = [
        f'<p class="lead">{escape(sentences[0])}</p>',
        *(f"<p>{escape(sentence)}</p>" for sentence in sentences[1:]),
        section("Performance", performance_table(plain["performance"]), _PERFORMANCE_NOTE),
        *_evidence_sections(plain),
        *_equity_sections(curves, policy),
        *_training_sections(history),
        *_density_sections(plain),
        *_provenance_sections(plain),
    ]
    return page(_title(plain), "".join(body), _subtitle(plain))


def performance_table(performance: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Every measure of every policy as an HTML table, its worlds beneath each other."""
    measures = [field.name for field in fields(Performance)]
    header = ["", "", *(_MEASURE_TITLES[name] for name in measures)]
    groups = []
    for policy, by_world in performance.items():
        worlds = [w for w in WORLDS if w in by_world] + [w for w in by_world if w not in WORLDS]
        groups.append(
            [
                [
                    policy.replace("_", " ") if i == 0 else "",
                    world,
                    *(format_measure(name, by_world[world].get(name)) for name in measures),
                ]
                for i, world in enumerate(worlds)
            ]
        )
    return table(header, groups, text_columns=2)


_PERFORMANCE_NOTE = (
    "After costs. Log return is the total over the range (for dreams the mean over dreams), per year "
    "the same annualised; Sharpe and Sortino are annual, from returns per bar; turnover is the mean "
    "weight traded per bar; costs are the sum of the fractions of equity paid."
)


def _evidence_sections(results: Mapping[str, Any]) -> list[str]:
    """Sharpe ratios beside their standard errors, where ``significance`` was measured."""
    evidence = results.get("significance", {})
    rows = [
        [
            policy.replace("_", " "),
            label,
            format_measure(
                "sharpe", results["performance"].get(policy, {}).get(label, {}).get("sharpe")
            ),
            f"{only['standard_error']:.2f}",
            f"{only['probabilistic_sharpe']:.3f}",
            f"{only['trials']:.0f}",
            f"{only['deflated_sharpe']:.3f}",
        ]
        for policy, by_range in evidence.items()
        for label, only in by_range.items()
    ]
    if not rows:
        return []
    header = ["", "", "Sharpe", "standard error", "probabilistic", "trials", "deflated"]
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
    for world, words in (
        ("validation", "Replay on the validation range, which chose the controller."),
        ("test", "Replay on the test range, touched once."),
    ):
        if any(world in worlds for worlds in curves.values()):
            figures.append(figure(replay_equity(curves, world, policy), words))
    weights = [
        figure(replay_weight(curves, policy, world), f"On the {world} range.")
        for world in ("validation", "test")
        if "weight" in curves.get(policy, {}).get(world, {})
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


def _density_sections(results: Mapping[str, Any]) -> list[str]:
    model = results.get("world_model", {})
    scores: dict[str, Mapping[str, float]] = {}
    if "return_nll" in model.get("mdn_rnn", {}):
        scores["world model"] = model["mdn_rnn"]["return_nll"]
    for name, baseline in model.get("baselines", {}).items():
        scores[name.replace("_", "-")] = baseline.get("return_nll", {})
    if not scores:
        return []
    notes = [
        f"{name.replace('_', '-')}: {baseline['note']}."
        for name, baseline in model.get("baselines", {}).items()
        if "note" in baseline
    ]
    ranges = list(dict.fromkeys(label for score in scores.values() for label in score))
    rows = [
        [name, *(f"{score[label]:.4f}" if label in score else "–" for label in ranges)]
        for name, score in scores.items()
    ]
    return [
        section(
            "Forecasting the next return",
            table(["mean negative log-likelihood [nats]", *ranges], [rows], text_columns=1),
            "Of the next log return in percent, one step ahead; lower is better. The baselines are "
            "fitted on the training range and then only filtered.",
            *notes,
        )
    ]


def _provenance_sections(results: Mapping[str, Any]) -> list[str]:
    parts = []
    for key in ("candles", "config", "controller", "versions", "timings_s"):
        if results.get(key):
            text = json.dumps(results[key], indent=2, ensure_ascii=False)
            parts.append(details(key.replace("_", " "), text))
    vae = results.get("world_model", {}).get("vae", {})
    if vae:
        parts.insert(0, details("V", json.dumps(vae, indent=2, ensure_ascii=False)))
    return [section("Where this comes from", *parts)] if parts else []


def _title(results: Mapping[str, Any]) -> str:
    symbol = results.get("candles", {}).get("symbol")
    return f"Dream and market: {symbol}" if symbol else "Dream and market"


def _subtitle(results: Mapping[str, Any]) -> str:
    known: Sequence[tuple[str, Any]] = [
        ("run", results.get("run_id")),
        ("seed", results.get("seed")),
        ("bars", results.get("candles", {}).get("bars")),
    ]
    return " · ".join(f"{name} {value}" for name, value in known if value is not None)
