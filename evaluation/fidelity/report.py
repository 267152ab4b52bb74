"""The fidelity page and file: is the dream like the market?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...market.files.writer import write_whole
from ...market.intervals import describe_interval
from ..report.components import (
    Tile,
    Verdict,
    page,
    section,
    sentences,
    settings,
    table,
    verdict_card,
)
from ..report.text_table import aligned
from ..results import to_plain, write_results
from ..stored import read_stored, write_stored
from .goals import Goal
from .measure import Fidelity
from .page_dreams import dream_sections
from .page_forecasts import (
    OUTLOOKS_NOTE,
    STARTS_NOTE,
    forecast_sections,
    outlooks_html,
    starts_html,
)
from .page_ranks import memory_sections, rank_sections
from .results import FidelityResults
from .runs import FidelityRuns

PAGE = "page.json"


def write_fidelity(folder: str | Path, measured: Fidelity | FidelityRuns) -> tuple[Path, Path]:
    """Write ``fidelity.json`` and ``fidelity.html`` into a folder; returns both paths.

    ``page.json`` beside them is what the page can be made from again.
    """
    target = Path(folder)
    numbers = measured.results if isinstance(measured, Fidelity) else measured
    html = fidelity_html(measured)
    write_stored(target / PAGE, measured)
    page_path = write_whole(target / "fidelity.html", html)
    return write_results(target / "fidelity.json", numbers), page_path


def rewrite_fidelity(folder: str | Path) -> Path:
    """Make the page again from what `write_fidelity` left in a folder.

    Raises:
        ConfigError: It is not there, or another version of the package wrote it.
    """
    target = Path(folder)
    measured: Fidelity | FidelityRuns = read_stored(target / PAGE, Fidelity, FidelityRuns)
    return write_whole(target / "fidelity.html", fidelity_html(measured))


def fidelity_summary(results: FidelityResults | FidelityRuns) -> str:
    """The table of goals as text for the console."""
    rows = aligned(goal_rows(results.goals))
    return "\n".join("  ".join(row).rstrip() for row in rows)


def fidelity_html(measured: Fidelity | FidelityRuns) -> str:
    """The page as text: goals over all runs, and the rest of the first."""
    runs = {} if isinstance(measured, Fidelity) else measured.results
    first = measured if isinstance(measured, Fidelity) else measured.first
    goals = first.results.goals if isinstance(measured, Fidelity) else measured.goals
    results, pictures, head = first.results, first.pictures, first.results.head
    told = {
        "ranges": head.ranges,
        "settings": head.settings.to_dict(),
        "vae": vars(head.vae),
    }
    body = [
        verdict_card(_verdict(goals)),
        sentences(_open_and_missed(goals)),
        section("Goals", _goals_html(goals), _GOALS_NOTE, *_runs_html(runs, goals)),
        *dream_sections(results, pictures),
        *forecast_sections(results.forecasts),
        section("Forecasting days and weeks", outlooks_html(results.outlooks), OUTLOOKS_NOTE),
        section("Do dreams follow their start?", starts_html(results.starts), STARTS_NOTE),
        *memory_sections(results, pictures),
        *rank_sections(results.ranks),
        section("Settings", *(settings(name, to_plain(part)) for name, part in told.items())),
    ]
    bars = f"bars of {describe_interval(head.interval)}"
    subtitle = f"{head.symbol} · {bars} · preset {head.preset}"
    return page("Is the dream like the market?", "".join(body), subtitle)


def _verdict(goals: Sequence[Goal]) -> Verdict:
    """How many goals are met; "like the market" where none is missed."""
    count = {verdict: 0 for verdict in ("met", "missed", "open")}
    for goal in goals:
        count[goal.verdict] += 1
    tiles = [
        Tile("Goals met", str(count["met"]), (f"of {len(goals)}",)),
        Tile("Missed", str(count["missed"]), ("the whole interval misses",)),
        Tile("Cannot be told", str(count["open"]), ("the interval holds both",)),
    ]
    lead = (
        "Every goal is met."
        if count["met"] == len(goals)
        else f"{count['met']} of {len(goals)} goals are met."
    )
    if count["missed"]:
        return Verdict("Unlike the market in part", "bad", lead, tuple(tiles))
    if count["open"]:
        return Verdict("No difference found, some open", "unsure", lead, tuple(tiles))
    return Verdict("Like the market", "good", lead, tuple(tiles))


def _open_and_missed(goals: Sequence[Goal]) -> list[str]:
    said = {"missed": "Missed", "open": "Cannot be told"}
    named = {v: "; ".join(g.name for g in goals if g.verdict == v) for v in said}
    return [f"{words}: {named[verdict]}." for verdict, words in said.items() if named[verdict]]


_GOALS_NOTE = (
    "A goal is met where the whole interval meets it, missed where none of it does, and open where it "
    "cannot be told. Intervals resample whole dreams, controllers, or weeks of bars. The last column is what the "
    "record scores against itself, split in random halves (for the rank agreement: the replayed "
    "training range with the later one): nothing can be asked to be nearer."
)


_RUNS_NOTE = (
    "Measured are medians over runs, the interval reaches from the median of their lower ends, or the "
    "least value, to that of the upper ends, or the greatest. The runs one by one, of which the first is the rest "
    "of this page:"
)


def _runs_html(runs: Mapping[str, FidelityResults], goals: Sequence[Goal]) -> list[str]:
    """Every run's values, a column each; nothing of one run."""
    if len(runs) < 2:
        return []
    values = [{goal.name: goal.value for goal in results.goals} for results in runs.values()]
    rows = [
        [goal.name, *(f"{run[goal.name]:.3f}" if goal.name in run else "–" for run in values)]
        for goal in goals
    ]
    return [_RUNS_NOTE, table(["", *runs], [rows], text_columns=1)]


def goal_rows(goals: Sequence[Goal]) -> list[list[str]]:
    """The table with its header; a range where there are several runs."""
    header = ["", "measured", "range", "95% interval", "goal", "", "real against real"]
    rows = [header, *map(_goal_cells, goals)]
    several = any(goal.range for goal in goals)
    return rows if several else [[*row[:2], *row[3:]] for row in rows]


def _goal_cells(goal: Goal) -> list[str]:
    low, high = goal.goal
    if low is not None and high is not None:
        wanted = f"{low:g} to {high:g}"
    else:
        wanted = f"≥ {low:g}" if high is None else f"≤ {high:g}"
    span = "" if goal.low is None else f"{goal.low:.3f} to {goal.high:.3f}"
    ends = "" if goal.range is None else f"{goal.range[0]:.3f} to {goal.range[1]:.3f}"
    return [goal.name, f"{goal.value:.3f}", ends, span, wanted, goal.verdict, goal.floor]


def _goals_html(goals: Sequence[Goal]) -> str:
    """The table of goals, each one's verdict beside its name."""
    header, *rows = [[row[0], row[-2], *row[1:-2], row[-1]] for row in goal_rows(goals)]
    tones = [[_tone(cell) for cell in row[1:]] for row in rows]
    return table(header, [rows], text_columns=1, tones=[tones])


def _tone(cell: str) -> str:
    kind = {"met": "yes", "missed": "no", "open": "open"}.get(cell)
    return f'class="{kind}"' if kind else ""
