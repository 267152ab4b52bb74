"""A run's page: one HTML file that needs nothing else, the verdict first."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...market.files.writer import write_whole
from ...market.groups import PROFILE, columns_of, read_groups
from ...market.intervals import describe_interval
from ...market.sources import EMBEDDED
from ..outcome import RunResults
from ..results import to_plain
from ..rollout import Curve
from ..stored import read_stored, write_stored
from .charts import (
    HOLDING,
    History,
    daily_distribution,
    drawdown,
    dream_fan,
    equity,
    is_holding,
    price_and_weight,
    sharpe_over_time,
    training,
    weight,
)
from .components import (
    CHARTS_NOTE,
    chart,
    details,
    heading,
    page,
    section,
    sentences,
    settings,
    verdict_card,
)
from .curves import Curves, read_curves, write_curves
from .run_tables import (
    EVIDENCE_NOTE,
    PERFORMANCE_NOTE,
    ageing_sections,
    density_sections,
    evidence_table,
    falls_table,
    months_table,
    performance_table,
)
from .run_verdict import run_verdict
from .sentences import last_replay, main_policy, never_traded, summarise

CURVES, PAGE, REPORT = "curves.parquet", "page.json", "report.html"
_STAGE_TITLES = {
    "forecast": "V: what comes next, without memory",
    "vae": "V: the autoencoder",
    "mdn_rnn": "M: the memory",
    "heads": "M: wicks and volume",
    "controller": "C: the controller, scores of each generation",
}
_WORDS = {
    "test": "On the test range, touched once.",
    "validation": "On the validation range, which chose the controller.",
}


def write_report(path: str | Path, results: RunResults, curves: Curves, history: History) -> Path:
    """Write the page of a run, whole or not at all.

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


@dataclass(frozen=True, eq=False)
class RunRecord:
    """What a run's page is made from, beside its curves.

    Attributes:
        results: What the run came to.
        history: See `write_report`.
    """

    results: RunResults
    history: dict[str, list[dict[str, Any]]]


def write_run(folder: str | Path, results: RunResults, curves: Curves, history: History) -> Path:
    """Write a run's page, and into its folder what the page can be made from again.

    That is ``page.json`` and ``curves.parquet``, each whole or not at all, the page last; arguments
    are those of `write_report`.
    """
    target = Path(folder)
    html = report_html(results, curves, history)
    rows = {stage: [dict(row) for row in rows] for stage, rows in history.items()}
    write_curves(target / CURVES, curves)
    write_stored(target / PAGE, RunRecord(results, rows))
    return write_whole(target / REPORT, html)


def rewrite_run(folder: str | Path) -> Path:
    """Make the page of a run again from what `write_run` left in its folder.

    Raises:
        ConfigError: It is not there, or another version of the package wrote it.
    """
    target = Path(folder)
    kept: RunRecord = read_stored(target / PAGE, RunRecord)
    return write_report(target / REPORT, kept.results, read_curves(target / CURVES), kept.history)


def report_html(results: RunResults, curves: Curves, history: History) -> str:
    """The page as text; see `write_report`."""
    to_plain(results.to_dict())  # refuses, by its place, a number that JSON lacks
    policy = main_policy(results.performance)
    body = [
        verdict_card(run_verdict(results, curves)),
        sentences(summarise(results)),
        *_track_sections(results, curves, policy),
        section("Everyone, in dream and market", performance_table(results), PERFORMANCE_NOTE),
        *_evidence_sections(results),
        *_dream_sections(curves, policy),
        *density_sections(results),
        *ageing_sections(results),
        *_training_sections(history),
        *_provenance_sections(results),
    ]
    return page(_title(results), "".join(body), _subtitle(results))


def _venues(curves: Curves, policy: str) -> list[str]:
    """The recorded ranges of which there are curves, the one that judges first."""
    return [venue for venue in _WORDS if venue in curves.get(policy, {})]


def _track_sections(results: RunResults, curves: Curves, policy: str) -> Iterator[str]:
    """What the account did on recorded bars."""
    venues = _venues(curves, policy)
    if venues:
        yield section(
            "What became of the money",
            *(chart(equity(curves, venue, policy), _WORDS[venue]) for venue in venues),
            CHARTS_NOTE,
        )
    judged = last_replay(results, policy)
    idle = judged is not None and never_traded(results.ranges(policy)[judged])
    if idle or not venues:
        return
    yield section(
        "How deep it fell",
        *(chart(drawdown(curves, venue, policy), _WORDS[venue]) for venue in venues),
        *_falls(curves[policy][venues[0]], venues[0]),
    )
    yield from _positions(curves, policy, venues)
    if curves[policy][venues[0]].time_ms is not None:
        yield _steadiness(curves, policy, venues[0])


def _falls(curve: Curve, venue: str) -> list[str]:
    if curve.time_ms is None:
        return []
    return [heading(f"The worst falls, {venue} range"), falls_table(curve)]


def _positions(curves: Curves, policy: str, venues: list[str]) -> Iterator[str]:
    parts = []
    for venue in venues:
        own = curves[policy][venue]
        if own.weight is not None and own.price is not None:
            words = f"{_WORDS[venue]} Behind the price: green is long, red short, pale is little."
            parts.append(chart(price_and_weight(own, venue), words))
        if own.weight is not None:
            parts.append(chart(weight(own, venue), "How much of the equity was held."))
    if parts:
        yield section("When it was long and when short", *parts)


def _steadiness(curves: Curves, policy: str, venue: str) -> str:
    lines = {name: by[venue] for name, by in curves.items() if venue in by}
    shown = [policy] if is_holding(lines, policy) or policy == HOLDING else [policy, HOLDING]
    months = months_table({name: lines[name] for name in shown if name in lines})
    return section(
        "Month by month",
        months,
        chart(sharpe_over_time(curves, venue, policy), "The Sharpe ratio as time went on."),
        chart(
            daily_distribution(curves, venue, policy),
            "Returns of a day; the outermost columns hold all that lie beyond.",
        ),
    )


def _evidence_sections(results: RunResults) -> list[str]:
    found = evidence_table(results)
    return [section("More than luck?", found, EVIDENCE_NOTE)] if found else []


def _dream_sections(curves: Curves, policy: str) -> list[str]:
    if "dream" not in curves.get(policy, {}):
        return []
    words = (
        "In dreams, where the policy was trained, and over as long stretches of the last recorded range. "
        "If the dream were the market, half of the stretches would lie in the inner band."
    )
    return [section("What the dream promised", chart(dream_fan(curves, policy), words))]


def _training_sections(history: History) -> list[str]:
    charts = [
        chart(training(history, stage), title)
        for stage, title in _STAGE_TITLES.items()
        if history.get(stage)
    ]
    return [section("How it was trained", *charts)] if charts else []


def _provenance_sections(results: RunResults) -> list[str]:
    plain, model = results.to_dict(), results.world_model
    parts = {"V": asdict(model.vae)} if model else {}
    for key in ("candles", "config", "controller", "versions", "machine", "timings_s"):
        if plain.get(key):
            parts[key.replace("_", " ").removesuffix(" s")] = plain[key]
    shown = [settings(title, part) for title, part in parts.items()]
    if results.config:
        shown.insert(0, details("commands", _commands(results)))
        if results.config.get("features"):
            told = _seen_besides(str(results.config["features"]))
            shown.insert(
                1, details("what it sees beside candles, and how that goes on in dreams", told)
            )
        if results.config.get("preset") == "market":
            shown.insert(1, details("what else its dreams are good for", _applications(results)))
    return [section("Where this comes from", *shown)] if shown else []


def _commands(results: RunResults) -> str:
    """The command of the run, and that of its page."""
    settings, given = dict(results.config), []
    for name, value in settings.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            given.append(f"--{name.replace('_', '-')} {shlex.quote(str(value))}")
    given += [f"--account {name}={value}" for name, value in settings.get("account", {}).items()]
    lines = " \\\n    ".join(["worldmodel-trading run", *given])
    return f"{lines}\nworldmodel-trading report FOLDER   # this page, again"


def _seen_besides(features: str) -> str:
    """Each group of features beside the candles' own, a line for each column."""
    groups = read_groups(features)
    profile = [f"{PROFILE}: recomputed from the dreamed bars"] if PROFILE in groups else []
    return "\n".join([*profile, *(str(column) for column in columns_of(groups))])


def _applications(results: RunResults) -> str:
    """What else the world model can be asked, by the commands that ask it."""
    candles = results.config.get("candles")
    record = "" if candles in (None, EMBEDDED) else f" --candles {shlex.quote(str(candles))}"
    asked = f"--world-model FOLDER/world_model{record}"
    return "\n".join(
        (
            f"worldmodel-trading compare momentum cma_es {asked}   # which agent is good",
            f"worldmodel-trading fidelity {asked}   # how like the market the dreams are",
            f"worldmodel-trading stress --agent momentum {asked}   # what crashes would cost",
            f"worldmodel-trading regimes {asked}   # calm, wild, rising, and what follows",
            f"worldmodel-trading explore linear momentum {asked}   # a hundred thousand candidates",
            f"worldmodel-trading hallucinate {asked} --out dreams.parquet   # candles of its dreams",
            f"worldmodel-trading play {asked}   # trade them by hand",
        )
    )


def _title(results: RunResults) -> str:
    return f"Dream and market: {results.candles.symbol}" if results.candles else "Dream and market"


def _subtitle(results: RunResults) -> str:
    candles = results.candles
    bars = candles and f"{candles.bars:,} of {describe_interval(candles.interval)}"
    known = {"run": results.run_id, "seed": results.seed, "bars": bars}
    told = [f"{name} {value}" for name, value in known.items() if value is not None]
    return " · ".join(told)
