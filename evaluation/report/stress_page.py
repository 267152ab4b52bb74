"""A stress test's page and its table in text, made from ``stress.json``: the verdict first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...market.files.writer import write_whole
from ...market.intervals import describe_interval
from ..results import read_results, to_plain, write_results
from .comparison_charts import hues
from .comparison_tables import agent_name
from .components import (
    CHARTS_NOTE,
    Tile,
    Verdict,
    chart,
    page,
    section,
    settings,
    table,
    verdict_card,
)
from .plot import Plot

RESULTS, REPORT = "stress.json", "stress.html"
Told = Mapping[str, Any]
_BESIDE = ("hold", "flat")
_DREAMS = "dreams"
_ACCOUNTS = {
    "usual": "The account as it is every day",
    "widened": "With costs and delays as they are in such hours",
}
_MEASURES = {
    "mean loss": "mean_loss",
    "value at risk, 5%": "value_at_risk",
    "expected shortfall, 5%": "expected_shortfall",
    "liquidated": "liquidation_rate",
    "under water": "time_under_water",
    "deepest fall": "max_drawdown",
}
_LOSS_NOTE = (
    "Losses are fractions of the equity at the start; negative ones are gains. Value at risk is the loss that "
    "one path in twenty exceeds, expected shortfall (CVaR) the mean loss of those; under water is the share of "
    "bars on which equity is below what it once was. Beneath each a 95% interval over independent repetitions."
)
_CHANCE_NOTE = (
    "The probability is the world model's, of a window begun at a random moment of its training range, with a "
    "95% interval over independent repetitions; beside it the share of recorded windows, with an interval by "
    "blocks, and how often it happened, overlapping windows counted once. Effective paths are 1 ÷ Σ w². Saved: "
    "plain dreams that would tell the probability as exactly, ÷ dreams."
)


def write_stress(folder: str | Path, results: object) -> Path:
    """Write ``stress.json`` and ``stress.html``; returns the page.

    Args:
        folder: Where.
        results: `StressResults`.
    """
    target = Path(folder)
    write_results(target / RESULTS, results)
    return write_whole(target / REPORT, stress_html(plainly(results)))


def rewrite_stress(folder: str | Path) -> Path:
    """Make the page of a stress test again from its folder.

    Raises:
        ConfigError: There is no ``stress.json``, or it is none.
    """
    told = read_results(Path(folder) / RESULTS, ("scenarios", "losses"), "stress test")
    return write_whole(Path(folder) / REPORT, stress_html(told))


def plainly(results: object) -> Told:
    """As ``stress.json`` holds them."""
    told: Told = json.loads(json.dumps(to_plain(results)))
    return told


def stress_html(told: Told) -> str:
    """The page as text.

    Args:
        told: ``stress.json``, parsed.
    """
    agents = _agents(told)
    parts = [
        verdict_card(stress_verdict(told)),
        section("How likely it is", _chances(told), _CHANCE_NOTE),
        *(
            section(title, chart(_tails(told, account), f"Expected shortfall: {title.lower()}"),
                    _losses(told, account), _LOSS_NOTE if account == "usual" else "")
            for account, title in _ACCOUNTS.items()
        ),
        section("The worst that was recorded", _windows(told),
                "Windows in the training range are known to the world model and to agents that learned from it."),
        section("What the paths are like", *_fans(told), CHARTS_NOTE),
        section("The worst path of each scenario", *_worst(told, agents)),
        section("How it was done", settings("Settings", {"config": told["config"], "accounts": told["accounts"]})),
    ]  # fmt: skip
    market = (
        f"{told['symbol']}, {describe_interval(told['interval'])}, paths of {told['bars']} bars"
    )
    return page("Stress test", "\n".join(parts), market)


def stress_verdict(told: Told) -> Verdict:
    """Who is liquidated, and whether the agents lose less than holding in the tails."""
    agents = [agent for agent in _agents(told) if agent not in _BESIDE]
    names = _met(told, events=True)
    if not names:
        return Verdict(
            "Nothing happened", "unsure", "No path met a condition: there is nothing to trade."
        )
    subject = agents[0] if agents else "hold"
    worst = max(names, key=lambda name: _value(told, subject, name, "expected_shortfall"))
    deciding = (
        f"In its worst scenario, {worst}, {agent_name(subject)} loses {_percent(_value(told, subject, worst, 'mean_loss'))} "
        f"on average and {_span(told, subject, worst, 'expected_shortfall')} in the worst twentieth of the paths; "
        f"{_span(told, subject, worst, 'liquidation_rate')} of the paths end the account."
    )
    tiles = tuple(_tile(told, subject, name) for name in names)
    if not agents:
        return Verdict("Only holding was judged", "plain", deciding, tiles)
    safer = [name for name in names if _apart(told, subject, name) < 0]
    worse = [name for name in names if _apart(told, subject, name) > 0]
    word = f"{subject}: tails like holding's"
    if safer or worse:
        word = (
            f"{subject}: smaller tails than holding in {len(safer)} of {len(names)} scenarios, larger in "
            f"{len(worse)}"
        )
    tone = "bad" if worse else "good" if len(safer) == len(names) else "unsure"
    return Verdict(word, tone, deciding, tiles)  # type: ignore[arg-type]


def _apart(told: Told, agent: str, name: str) -> int:
    """Whether the agent's shortfall is below (−1) or above holding's, by the widths of both intervals."""
    ours, theirs = (
        told["losses"][one][name]["usual"]["expected_shortfall"] for one in (agent, "hold")
    )
    if ours["high"] < theirs["low"]:
        return -1
    return int(ours["low"] > theirs["high"])


def _tile(told: Told, agent: str, name: str) -> Tile:
    rate = _percent(_value(told, agent, name, "liquidation_rate"))
    holding = _percent(_value(told, "hold", name, "expected_shortfall"))
    return Tile(
        f"Expected shortfall, {name}",
        _percent(_value(told, agent, name, "expected_shortfall")),
        (f"holding {holding}", f"liquidated {rate}"),
    )


def stress_text(results: object) -> str:
    """The tables for a terminal."""
    told = plainly(results)
    rows = [["scenario", "condition", "probability", "training range", "later", "effective paths"]]
    rows += [[*row[:5], row[7]] for row in _chance_rows(told)]
    parts = [_plain_table(rows)]
    for account, title in _ACCOUNTS.items():
        header = ["scenario", "agent", *_MEASURES, "worst path"]
        losses = [
            header,
            *(row for rows in _loss_groups(told, account, _shown(told)) for row in rows),
        ]
        parts.append(f"{title}\n{_plain_table(losses)}")
    header, groups = _window_rows(told)
    parts.append(_plain_table([header, *(row for group in groups for row in group)]))
    return "\n\n".join(parts)


def _plain_table(rows: list[list[str]]) -> str:
    flat = [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*flat, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in flat)
    return "\n".join(line.rstrip() for line in lines)


def _agents(told: Told) -> list[str]:
    """Those that were given first, holding and staying out last."""
    every = list(told["losses"])
    return [agent for agent in every if agent not in _BESIDE] + [
        agent for agent in _BESIDE if agent in every
    ]


def _met(told: Told, *, events: bool) -> list[str]:
    """Scenarios with paths to trade."""
    return [
        name
        for name, facts in told["scenarios"].items()
        if facts["paths"] and not (events and name == _DREAMS)
    ]


def _value(told: Told, agent: str, name: str, measure: str, account: str = "usual") -> float:
    return float(told["losses"][agent][name][account][measure]["value"])


def _span(told: Told, agent: str, name: str, measure: str, account: str = "usual") -> str:
    found = told["losses"][agent][name][account][measure]
    return f"{_percent(found['value'])} ({_percent(found['low'])} to {_percent(found['high'])})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _chance(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "–"
    low, high = f"{100 * found['low']:.3g}%", f"{100 * found['high']:.3g}%"
    return f"{100 * found['value']:.3g}%\n{low} to {high}"


def _often(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    times = found["episodes"]
    return f"{_chance(found['share'])}, {times} time{'' if times == 1 else 's'}"


def _chance_rows(told: Told) -> list[list[str]]:
    return [
        [
            name,
            facts["condition"] or "none",
            _chance(facts["probability"]),
            _often(facts["training"]),
            _often(facts["later"]),
            f"{facts['dreams']:,}",
            f"{facts['paths']:,}",
            f"{facts['effective']:,.0f}",
            f"{facts['ancestors']:,}",
            "–" if facts["saving"] is None else f"{facts['saving']:.3g}×",
        ]
        for name, facts in told["scenarios"].items()
    ]


def _chances(told: Told) -> str:
    header = [
        "scenario",
        "condition",
        "probability",
        "training range",
        "later",
        "dreams",
        "that meet it",
    ]
    return table(
        [*header, "effective", "beginnings", "saved"], [_chance_rows(told)], text_columns=2
    )


def _shown(told: Told) -> list[str]:
    """Agents that can lose."""
    return [agent for agent in _agents(told) if agent != "flat"]


def _loss_groups(told: Told, account: str, agents: Sequence[str]) -> list[list[list[str]]]:
    groups = []
    for name in _met(told, events=False):
        rows: list[list[str]] = []
        for agent in agents:
            found = told["losses"][agent][name][account]
            cells = [_with_span(found[key]) for key in _MEASURES.values()]
            rows.append(
                [name if not rows else "", agent_name(agent), *cells, _percent(found["worst_loss"])]
            )
        groups.append(rows)
    return groups


def _with_span(found: Mapping[str, float]) -> str:
    return f"{_percent(found['value'])}\n{_percent(found['low'])} to {_percent(found['high'])}"


def _losses(told: Told, account: str) -> str:
    header = ["scenario", "agent", *_MEASURES, "worst path"]
    return table(header, _loss_groups(told, account, _agents(told)), text_columns=2)


def _window_rows(told: Told) -> tuple[list[str], list[list[list[str]]]]:
    agents = _shown(told)
    header = [
        "worst of",
        "window",
        "begins",
        "market",
        *(f"loss, {agent_name(agent)}" for agent in agents),
    ]
    groups: dict[str, list[list[str]]] = {}
    for i, one in enumerate(told["windows"].get("hold", [])):
        event = one["event"] or "remembered"
        rows = groups.setdefault(event, [])
        start = one["start"] + ("\nin the training range" if one["seen"] else "")
        losses = (_replayed(told["windows"][agent][i]) for agent in agents)
        rows.append(
            [
                event if not rows else "",
                one["window"],
                start,
                _percent(one["market_return"]),
                *losses,
            ]
        )
    return header, list(groups.values())


def _replayed(one: Mapping[str, Any]) -> str:
    cells = [
        _percent(one["loss"][account]) + (", liquidated" if one["liquidated"][account] else "")
        for account in _ACCOUNTS
    ]
    return f"{cells[0]}\nwidened: {cells[1]}"


def _windows(told: Told) -> str:
    header, groups = _window_rows(told)
    return table(header, groups, text_columns=3)


def _tails(told: Told, account: str) -> Plot:
    """Expected shortfall by scenario, agents beside each other."""
    plot = Plot(f"Expected shortfall, {account}", "", "of the equity", percent_y=True)
    agents, names = _agents(told), _met(told, events=False)
    colors = hues(agents)
    for agent in agents:
        heights = [_value(told, agent, name, "expected_shortfall", account) for name in names]
        plot.columns(names, heights, colors[agent], agent_name(agent))
    return plot


def _fans(told: Told) -> list[str]:
    found = []
    for name in _met(told, events=False):
        low, fifth, _, middle, _, upper, high = told["scenarios"][name]["closes"]
        x = list(range(len(low)))
        plot = Plot(f"Closes, {name}", "bars", "close ÷ close before", whole_x=True, height=260)
        plot.band(x, low, high, "c0", "98% of the weight").band(x, fifth, upper, "c0", "90%")
        plot.line(x, middle, "c0", "median").rule(y=1.0)
        found.append(chart(plot, f"Closes, {name}"))
    return found


def _worst(told: Told, agents: list[str]) -> list[str]:
    colors, found = hues(agents), []
    for name in _met(told, events=True):
        plot = Plot(f"Equity on the worst path, {name}", "bars", "equity", whole_x=True, height=260)
        for agent in agents:
            path = told["losses"][agent][name]["usual"]["worst_equity"]
            plot.line(list(range(len(path))), path, colors[agent], agent_name(agent))
        found.append(chart(plot, f"Equity on each agent's worst path, {name}"))
    return found
