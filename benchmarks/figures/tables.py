"""Tables of what several commands left in their folders."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from worldmodel_trading.evaluation.baselines.scores import TITLES

from ..growth import exponents
from ..results import markdown

if TYPE_CHECKING:
    from .work import Work

_MARKETS = ("btc", "eth", "sol")
_SEEDS = (0, 1, 2)
_POLICIES = {
    "controller": "controller (CMA-ES in the dream)",
    "buy_and_hold": "buy-and-hold",
    "flat": "flat",
    "momentum": "momentum, one week",
}

_RANKS = {
    "dream": "dream, over models",
    "95% over world models": "95% over models",
    "mean exposure": "exposure",
    "recorded training range": "training range",
    "block bootstrap": "bootstrap",
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def outcome(run: str, *, grown: bool = False) -> Callable[[Work], str]:
    """Policies of a run in dream, validation and test; a controller's are ranges over searches.

    Args:
        run: Its folder.
        grown: Whether to show the return of the whole test range besides.
    """

    def make(work: Work) -> str:
        results = _results(work, run)
        searched = results["controller"]["performance"]

        def of(policy: str, venue: str, name: str) -> dict[str, float]:
            if policy == "controller":
                return {end: searched[venue][end][name] for end in ("median", "low", "high")}
            return dict.fromkeys(
                ("median", "low", "high"), results["performance"][policy][venue][name]
            )

        def whole(policy: str) -> dict[str, float]:
            return {end: math.expm1(r) for end, r in of(policy, "test", "log_return").items()}

        head = [
            "policy",
            *(f"{venue}, log return a year" for venue in ("dream", "validation", "test")),
            "test Sharpe",
            "test max. drawdown",
            *(["test, return of the whole range"] if grown else []),
        ]
        rows = [
            [
                title,
                *(
                    _ranged(of(policy, venue, "annual_log_return"), "+.3f")
                    for venue in ("dream", "validation", "test")
                ),
                _ranged(of(policy, "test", "sharpe"), ".2f"),
                _ranged(of(policy, "test", "max_drawdown"), ".0%"),
                *([_ranged(whole(policy), "+.0%")] if grown else []),
            ]
            for policy, title in _POLICIES.items()
        ]
        return table(head, rows)

    return make


def ratios(command: str, file: str) -> Callable[[Work], str]:
    """The benchmarks' ratios, of the file that their command writes."""

    def make(work: Work) -> str:
        work.run(command)
        return markdown(json.loads((work.folder / file).read_text("utf-8"))["rows"]).strip()

    return make


def growth(command: str, file: str) -> Callable[[Work], str]:
    """Time and memory of records of two lengths, of the file that their command writes."""

    def make(work: Work) -> str:
        work.run(command)
        rows = json.loads((work.folder / file).read_text("utf-8"))["rows"]
        stages = ", ".join(name.replace("_", " ") for name in rows[0]["stages_s"])
        return table(
            ["bars", "seconds", "MB at its peak", f"{stages} [s]"],
            [
                *(
                    [
                        *(f"{row[name]:,.0f}" for name in ("bars", "seconds", "peak_mb")),
                        ", ".join(f"{seconds:.0f}" for seconds in row["stages_s"].values()),
                    ]
                    for row in rows
                ),
                [
                    "as bars to the power",
                    *(f"{power:.2f}" for power in exponents(rows).values()),
                    "",
                ],
            ],
        )

    return make


def ranks(commands: Mapping[str, str]) -> Callable[[Work], str]:
    """What dreams tell of policies beyond costs and exposure, by market; in bold the best of a row.

    Args:
        commands: The audit of each market, by what stands before its rows.
    """

    def make(work: Work) -> str:
        head: list[str] = []
        rows = []
        for market, command in commands.items():
            lines = work.tables(command)[0].splitlines()
            first, _, *printed = [
                [cell.strip() for cell in line[1:-1].split("|")] for line in lines
            ]
            head = [_RANKS.get(title, title) for title in (first[2], "dream", *first[3:])]
            rows += [_ranked(f"{market} {name}".strip(), cells) for name, _, *cells in printed]
        return table(head, rows)

    return make


def _ranked(name: str, cells: Sequence[str]) -> list[str]:
    """A row of ranks: the dream's, two intervals, and the floors'."""
    counted = re.compile(r" \(\d+\)$")  # of how many world models, which the title says
    cells = [counted.sub("", cell) for cell in cells]
    shown = [re.sub(r"(?<![\d.])0\.(?=\d)", ".", cell).replace("-", "−") for cell in cells]
    rivals = [i for i in range(len(cells)) if i not in (1, 2)]
    best = max(rivals, key=lambda i: float(cells[i].split()[0]))
    median, *more = shown[best].split(" ", 1)
    shown[best] = " ".join([f"**{median}**", *more])
    return [name, *shown]


def forecasts(work: Work) -> str:
    """Mean negative log-likelihood of the next return, world model and rivals."""
    head = ["forecast", *(f"{m.upper()}, {r}" for m in _MARKETS for r in ("validation", "test"))]
    runs = {m: [_results(work, f"{m}-{seed}")["world_model"] for seed in _SEEDS] for m in _MARKETS}
    rivals = runs["btc"][0]["baselines"]
    rows = [
        [
            TITLES[name],
            *(
                f"{runs[m][0]['baselines'][name]['return_nll'][r]:.4f}"
                for m in _MARKETS
                for r in ("validation", "test")
            ),
        ]
        for name in rivals
    ]
    ours = [
        _over([one["mdn_rnn"]["return_nll"][r] for one in runs[m]], ".4f")
        for m in _MARKETS
        for r in ("validation", "test")
    ]
    return table(head, [*rows, ["**world model**", *ours]])


def fidelity(of: str = "", **columns: str) -> Callable[[Work], str]:
    """Every goal, by market: bold is missed, italic is open.

    Args:
        of: What the folders' names end in.
        columns: By title, the market; `paper` is of Bitcoin.
    """

    def make(work: Work) -> str:
        found = {
            title: {goal["name"]: goal for goal in _goals(work, f"{market}-fidelity{of}")}
            for title, market in columns.items()
        }
        first = next(iter(found.values()))
        rows = [
            [
                name.replace("|", r"\|"),
                _wanted(goal["goal"]),
                *(_judged(goals.get(name)) for goals in found.values()),
            ]
            for name, goal in first.items()
        ]
        titles = ["BTC, `paper`" if title == "paper" else title for title in columns]
        return table(["", "goal", *titles], rows)

    return make


def _results(work: Work, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((work.share(run) / "results.json").read_text("utf-8"))
    return found


def _goals(work: Work, name: str) -> Iterator[dict[str, Any]]:
    found = json.loads((work.share(name) / "fidelity.json").read_text("utf-8"))
    yield from found["goals"]


def _ranged(found: dict[str, float], form: str) -> str:
    """Median and range; one number where they show the same."""
    shown = {end: format(value, form) for end, value in found.items()}
    if len(set(shown.values())) == 1:
        return shown["median"]
    return f"{shown['median']} ({shown['low']} to {shown['high']})"


def _over(values: Sequence[float], form: str) -> str:
    return _ranged({"median": median(values), "low": min(values), "high": max(values)}, form)


def _wanted(goal: Sequence[float | None]) -> str:
    low, high = goal
    if low is None:
        return f"≤ {high:g}"
    return f"≥ {low:g}" if high is None else f"{low:g} to {high:g}"


def _judged(goal: dict[str, Any] | None) -> str:
    """A measurement with its range over seeds, or of one with its interval."""
    if goal is None or not math.isfinite(goal["value"]):
        return "–"
    low, high = goal.get("range") or (goal["low"], goal["high"])
    ends = {"low": low, "high": high} if low is not None else {}
    shown = _ranged({"median": goal["value"], **ends}, ".3f") if ends else f"{goal['value']:.3f}"
    mark = {"met": "", "open": "*", "missed": "**"}[goal["verdict"]]
    return f"{mark}{shown}{mark}"
