"""A comparison's page, made from what its job left in the folder: the verdict first."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...market.files.writer import write_whole
from ...market.intervals import INTERVALS_MS, describe_interval
from ..results import read_results, to_plain
from .comparison_charts import (
    climbs,
    equity_of_all,
    floors,
    rank_scatter,
    temperatures,
    waterfall,
    waterfalls,
    windows,
)
from .comparison_tables import (
    EARNINGS_NOTE,
    HOLDING,
    KINDS,
    Told,
    agent_name,
    crossed_table,
    earnings_table,
    ladder_table,
    lift_table,
    luck_note,
    luck_table,
    promises_table,
    ranks_table,
    recorded,
    sight_notes,
    waterfall_steps,
    waterfall_table,
)
from .comparison_verdict import best_agent, best_first, comparison_verdict
from .components import CHARTS_NOTE, chart, details, page, section, settings, verdict_card

if TYPE_CHECKING:
    import pandas as pd

RESULTS, REPORT = "comparison.json", "report.html"
SEEN = "Measured also on bars that model, search or choice has seen (--allow-in-sample)."
_EVERYONE = "all"


class Tables(NamedTuple):
    """What lies beside ``comparison.json``; None where there is no such table.

    Attributes:
        cells: A row for each cell and place.
        curves: A row for each cell, recorded range and bar.
        policies: A row for each policy, venue and world model of the audit.
    """

    cells: pd.DataFrame | None = None
    curves: pd.DataFrame | None = None
    policies: pd.DataFrame | None = None

    @classmethod
    def read(cls, folder: Path) -> Tables:
        """Those of a folder."""
        import pandas as pd

        found = {name: folder / f"{name}.parquet" for name in cls._fields}
        return cls(**{n: pd.read_parquet(path) for n, path in found.items() if path.exists()})


def write_comparison_page(folder: str | Path, told: Mapping[str, Any]) -> Path:
    """Write ``report.html`` beside the tables of a comparison, whole or not at all.

    Args:
        folder: Holds the tables.
        told: What ``comparison.json`` holds, or will.
    """
    plain: Any = json.loads(json.dumps(to_plain(told)))
    target = Path(folder)
    return write_whole(target / REPORT, comparison_html(plain, Tables.read(target)))


def rewrite_comparison(folder: str | Path) -> Path:
    """Make the page of a comparison again from its folder.

    Raises:
        ConfigError: There is no ``comparison.json``, or it is none.
    """
    told = read_results(Path(folder) / RESULTS, ("summary", "config"), "comparison")
    return write_comparison_page(folder, told)


def comparison_html(told: Told, tables: Tables | None = None) -> str:
    """The page as text.

    Args:
        told: ``comparison.json``, parsed; parts that are absent are passed over.
        tables: What lies beside it.
    """
    beside = tables or Tables()
    seen = SEEN if told.get("in_sample") else ""
    body = [
        verdict_card(comparison_verdict(told)),
        f'<p class="alarm">{SEEN}</p>' if seen else "",
        *(f'<p class="alarm">{escape(note)}</p>' for note in sight_notes(told.get("agents", {}))),
        section("Who earned what", earnings_table(told, seen), EARNINGS_NOTE),
        *_equity_sections(told, beside),
        *_cost_sections(told, seen),
        *_promise_sections(told, seen),
        *_rank_sections(told, beside, seen),
        *_lift_sections(told, seen),
        *_window_sections(told, beside),
        *_luck_sections(told, seen),
        *_ladder_sections(told),
        _provenance(told),
    ]
    return page(_title(told), "".join(body), _subtitle(told))


def _equity_sections(told: Told, beside: Tables) -> Iterator[str]:
    if beside.curves is None or not len(beside.curves):
        return
    some = best_first(told)
    parts = [
        chart(
            equity_of_all(beside.curves, place, some),
            f"On the {place} range, after costs: the best paid, and holding.",
        )
        for place in recorded(told)
        if (beside.curves["place"] == place).any()
    ]
    if parts:
        yield section("What became of the money", *parts, CHARTS_NOTE)


def _cost_sections(told: Told, seen: str) -> Iterator[str]:
    costs, best = waterfall_table(told, seen), best_agent(told)
    if not costs or best is None:
        return
    place = recorded(told)[0]
    parts = []
    if waterfall_steps(told, best, place):
        words = f"{agent_name(best)} on the {place} range: simple returns of a year."
        parts.append(chart(waterfall(told, best, place), words))
    parts.append(
        chart(waterfalls(told, best_first(told), place), "The best paid, beside each other.")
    )
    yield section(
        "What costs took",
        *parts,
        costs,
        "Simple returns of a year, of equity: before costs − fees − slippage − funding = after costs; what compounding "
        "takes leads to the log return.",
    )


def _promise_sections(told: Told, seen: str) -> Iterator[str]:
    promises = told.get("promises", ())
    if not promises:
        return
    charts = [
        chart(
            temperatures([one for one in promises if one["venue"] == venue], best_first(told)),
            f"What dreams promised a year, and what the {venue} range paid, after costs.",
        )
        for venue in dict.fromkeys(one["venue"] for one in promises)
        if len({one["temperature"] for one in promises}) > 1
    ]
    yield section(
        "What dreams promised, and what was paid",
        *charts,
        promises_table(told, seen),
        "The temperature is that of the dreams: above 1 they are wilder than the market. The gap is promised "
        "less paid, in its standard errors: dreams differ, and a record is one path.",
    )


def _rank_sections(told: Told, beside: Tables, seen: str) -> Iterator[str]:
    ranks = told.get("ranks")
    if not ranks or _EVERYONE not in ranks["agreements"]:
        return
    everyone = ranks["agreements"][_EVERYONE]
    parts = [ranks_table(ranks, seen, [_EVERYONE])]
    for range_, kinds in everyone.items():
        kind = next((each for each in KINDS if each in kinds), next(iter(kinds)))
        words = f"The {range_} range, {KINDS.get(kind, kind)}: the dream beside blind rankings, over world models."
        parts.append(chart(floors(kinds[kind], range_, kind), words))
        if beside.policies is not None and range_ in set(beside.policies["venue"]):
            words = f"Each policy by its rank in dreams and on the {range_} range, {KINDS.get(kind, kind)}."
            parts.append(chart(rank_scatter(beside.policies, range_, kind), words))
    counted = ", ".join(f"{count} {name}" for name, count in ranks.get("families", {}).items())
    others = [group for group in ranks["agreements"] if group != _EVERYONE]
    if others:
        parts.append(ranks_table(ranks, "By family, and all but one", others))
    yield section(
        "Does the dream rank policies as the market does?",
        *parts,
        f"Policies: {counted}. A ranking can be right because trading costs money, and because a market that rose pays "
        "those who hold it. Beyond costs and exposure is what is left of a rank correlation with both held "
        "fixed; blind rankings know no dream. The dream adds where its interval is above 0 and it tells more than every "
        "blind one.",
    )


def _lift_sections(told: Told, seen: str) -> Iterator[str]:
    lift = told.get("lift")
    if not lift or not lift.get("searches"):
        return
    words = "The search's mean policy in dreams that it has not seen, and in the market, along the generations."
    yield section(
        "What searching in dreams bought",
        chart(climbs(lift), words),
        lift_table(lift, seen),
        crossed_table(lift),
        "Log returns. Where the line in dreams still rises and the market's falls, the search exploits "
        "what is wrong with the dream.",
    )


def _window_sections(told: Told, beside: Tables) -> Iterator[str]:
    cells = beside.cells
    if cells is None or cells["window"].nunique() < 2:
        return
    parts = [
        chart(windows(cells, place, best_first(told)), f"The {place} range of each window.")
        for place in recorded(told)
    ]
    yield section(
        "Walking forward",
        *parts,
        "For each window world models and agents were trained on what came before it alone.",
    )


def _luck_sections(told: Told, seen: str) -> Iterator[str]:
    for range_, luck in told.get("luck", {}).items():
        words = " · ".join(filter(None, [f"On the {range_} range", seen]))
        yield section(
            f"More than luck? The {range_} range", luck_table(told, range_, words), luck_note(luck)
        )


def _ladder_sections(told: Told) -> Iterator[str]:
    ladder = ladder_table(told)
    if ladder:
        yield section("The questions, one by one", ladder)


def _provenance(told: Told) -> str:
    shown = [details("commands", _commands(told))]
    keys = ("agents", "candles", "windows", "models", "config", "versions")
    shown += [settings(key, told[key]) for key in keys if told.get(key)]
    return section("Where this comes from", *shown)


def _commands(told: Told) -> str:
    """The command of the comparison, and that of its page."""
    config, candles = told["config"], told.get("candles", {})
    given = [agent for agent in told["summary"] if agent not in (HOLDING, "flat")]
    if candles.get("source"):
        given.append(f"--candles {shlex.quote(str(candles['source']))}")
    given += [
        f"--{name} {','.join(map(str, config[name]))}"
        for name in ("venues", "temperatures")
        if name in config
    ]
    for name, value in config.items():
        if value is True:
            given.append(f"--{name.replace('_', '-')}")
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            given.append(f"--{name.replace('_', '-')} {shlex.quote(str(value))}")
    given += [f"--account {name}={value}" for name, value in config.get("account", {}).items()]
    lines = " \\\n    ".join(["worldmodel-trading compare", *given])
    return f"{lines}\nworldmodel-trading report FOLDER   # this page, again"


def _title(told: Told) -> str:
    symbol = told.get("candles", {}).get("symbol")
    return f"Dream against market: {symbol}" if symbol else "Dream against market"


def _subtitle(told: Told) -> str:
    config, candles = told["config"], told.get("candles", {})
    counts = {
        "agent": len(told["summary"]),
        "world model": max(len(told.get("models", {})), 1),
        "seed": config.get("seeds", 1),
    }
    parts = [f"{count} {noun}{'s' if count != 1 else ''}" for noun, count in counts.items()]
    if candles.get("interval") in INTERVALS_MS:
        parts.append(f"{candles['bars']:,} bars of {describe_interval(candles['interval'])}")
    return " · ".join(parts)
