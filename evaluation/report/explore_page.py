"""An exploration's page: who is good first, then how the candidates lie, and what ranks them blindly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...market.arrays import FloatArray, spread
from ...market.errors import ConfigError
from ...market.files.writer import write_whole
from ...market.intervals import describe_interval
from ..results import read_results
from .comparison_charts import floors
from .comparison_tables import KINDS, agent_name, luck_note, luck_table, percent, ranks_table
from .components import (
    CHARTS_NOTE,
    Tile,
    Verdict,
    chart,
    page,
    section,
    sentences,
    settings,
    table,
    verdict_card,
)
from .explore_text import HEADER, Told, median_pay, verified_rows
from .explore_text import sentences as said
from .parallel import ParallelPlot

if TYPE_CHECKING:
    import pandas as pd

_DRAWN = 2_500
_SHOWN = {
    "exposure": "weight",
    "turnover": "turnover a bar",
    "max_drawdown": "worst fall",
    "gross": "a year before costs",
    "recorded": "on the record",
    "score": "in dreams",
}


RESULTS, REPORT, CANDIDATES = "explore.json", "explore.html", "candidates.parquet"


def rewrite_explore(folder: str | Path) -> Path:
    """Make the page of an exploration again from its folder.

    Raises:
        ConfigError: ``explore.json`` or ``candidates.parquet`` is missing, or is none.
    """
    import pandas as pd

    path = Path(folder)
    told = read_results(path / RESULTS, ("verified", "finalists"), "exploration")
    try:
        candidates = pd.read_parquet(path / CANDIDATES)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path / CANDIDATES} cannot be read ({error}): do the work anew"
        ) from None
    return write_explore_page(path, told, candidates)


def write_explore_page(folder: Path, told: Told, candidates: pd.DataFrame) -> Path:
    """Write the page.

    Args:
        folder: Where to.
        told: What ``explore.json`` holds.
        candidates: A row for each candidate.
    """
    market = told["market"]
    parts = [
        verdict_card(explore_verdict(told)),
        sentences(said(told)),
        _verified(told),
        *(_luck(told, name) for name in told["ranges"]),
        _spaces(told, candidates),
        _ranks(told),
        section("How it was done", settings("Settings", told["config"])),
    ]
    body = "".join(filter(None, parts))
    title = f"{told['candidates']:,} candidates in dreams of {market['symbol']}"
    return write_whole(folder / REPORT, page(title, body, describe_interval(market["interval"])))


def explore_verdict(told: Told) -> Verdict:
    """Whether anybody whom dreams chose is called good on the range that judges."""
    ranges = list(told["ranges"])
    if not ranges:
        return Verdict(
            "Cannot tell", "unsure", "Nobody was replayed, and dreams alone prove nothing."
        )
    judge = ranges[-1]
    chosen = [one["name"] for one in told["verified"] if "dream" in one["chosen_by"]]
    good = [name for name in chosen if told["verdicts"][judge][name]["good"]]
    word = f"{len(good)} of {len(chosen)} are good" if good else "None is good"
    pay, rival = (median_pay(told, by, judge) for by in ("dream", "record"))
    chance = median_pay(told, "chance", judge)
    tiles = [Tile("Chosen in dreams, a year", percent(pay or 0.0), (f"the median, on {judge}",))]
    if rival is not None:
        tiles.append(Tile("Chosen on recorded bars", percent(rival), ("the same candidates",)))
    if chance is not None:
        tiles.append(Tile("Chosen by chance", percent(chance)))
    held = next(one for one in told["verified"] if one["name"] == "hold")
    tiles.append(Tile("Holding", percent(held["performance"][judge]["annual_log_return"])))
    deciding = (
        f"Of those that dreams chose among {told['candidates']:,}, judged on {judge} against the luck of "
        f"{told['trials']:,} trials."
    )
    return Verdict(word, "good" if good else "unsure", deciding, tuple(tiles))


def _verified(told: Told) -> str:
    if not told["ranges"]:
        return ""
    header = [*HEADER, *told["ranges"]]
    caption = "A year's return after costs; in dreams by their mean log return."
    return section("Promised and paid", table(header, [verified_rows(told)], 3, caption=caption))


def _luck(told: Told, range_: str) -> str:
    return section(
        f"Luck, {range_}",
        luck_table(told, range_, "Every policy that was replayed."),
        luck_note(told["luck"][range_]),
    )


def _spaces(told: Told, candidates: pd.DataFrame) -> str:
    parts = []
    for space, rows in candidates.groupby("space", sort=False):
        plot = parallel(rows, told["market"]["bars_per_year"])
        caption = (
            f"{agent_name(str(space))}: {len(rows):,} candidates; the best in dreams are coloured."
        )
        parts.append(chart(plot, caption))
    note = "Drag along an axis to pick candidates out; drag its title to move it."
    return section("The candidates", *parts, f"{note} {CHARTS_NOTE}")


def parallel(rows: pd.DataFrame, bars_per_year: float) -> ParallelPlot:
    """Candidates of a space by their settings and how they fared: the best, and some of the others."""
    ordered = rows.sort_values("score", ascending=False)
    best = min(len(ordered), _DRAWN // 5)
    rest = best + spread(min(_DRAWN - best, len(ordered) - best), len(ordered) - best)
    drawn = ordered.iloc[np.concatenate([rest[::-1], np.arange(best)[::-1]])]  # the best on top
    measures = {"space", "number", "net", "cost", *_SHOWN}
    own = [name for name in map(str, drawn) if name not in measures and drawn[name].notna().any()]
    axes = {name: _column(drawn, name) for name in own}
    drawn = drawn.assign(gross=drawn["gross"] * bars_per_year)
    axes |= {title: _column(drawn, name) for name, title in _SHOWN.items() if name in drawn}
    shade = np.linspace(0.0, 1.0, len(drawn))
    names = [
        f"{space} {number}" for space, number in zip(drawn["space"], drawn["number"], strict=True)
    ]
    return ParallelPlot("Candidates by their settings and how they fared", names, axes, shade)


def _column(rows: pd.DataFrame, name: str) -> FloatArray:
    return rows[name].to_numpy(dtype=np.float64)


def _ranks(told: Told) -> str:
    ranks = told["ranks"]
    if ranks is None:
        return ""
    everyone, judge = ranks["agreements"]["all"], list(told["ranges"])[-1]
    kind = next(kind for kind in KINDS if kind in everyone[judge])
    return section(
        "Can the dream's ranking be believed?",
        "A sample of the candidates, drawn by chance, ranked by dreams and by what knows nothing of them.",
        chart(floors(everyone[judge][kind], judge, kind), "What each ranking tells"),
        ranks_table(ranks, "Rank correlations with the market", ["all"]),
    )
