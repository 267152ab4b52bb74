"""The page of a sweep: which settings validation liked best, and whether that is more than luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .components import Tile, Verdict, chart, page, section, table, verdict_card
from .plot import Plot
from .text_table import aligned

_UNKNOWN = "–"
_TITLES = {"nll": "NLL on validation [nats a bar]", "controller": "score on validation"}
_AGAIN_NOTE = (
    "The best of many trials looks better than it is. With seeds that did not choose it, it is beside the given "
    "settings on equal terms, but for the validation range, which is the same: what it is worth on other bars, "
    "only the test range tells, which no trial has seen."
)


def sweep_page(told: Mapping[str, Any]) -> str:
    """The page as text."""
    objective = told["config"]["objective"]
    parts = [
        verdict_card(_verdict(told)),
        section("With other seeds", table(_AGAIN, [_again(told)]), _AGAIN_NOTE),
        section("Trials", chart(_curve(told), _TITLES[objective])),
        section("Every trial", table(_header(told), [_rows(told)])),
    ]
    market = told["market"]
    subtitle = f"{market['symbol']} {market['interval']} · chosen on {' – '.join(told['ranges']['validation'])}"
    return page("Which settings does validation like?", "".join(parts), subtitle)


def sweep_text(told: Mapping[str, Any]) -> str:
    """The trials, the best first, and the verdict, for the console."""
    rows = aligned([_header(told), *_rows(told)])
    verdict = _verdict(told)
    lines = ["  ".join(row).rstrip() for row in rows]
    return "\n".join([*lines, "", f"{verdict.word}: {verdict.deciding}"])


def gains(told: Mapping[str, Any]) -> list[float]:
    """How much better the best settings are than the given ones, by each seed that did not choose them."""
    sign = -1.0 if told["config"]["objective"] == "nll" else 1.0
    pairs = zip(told["best_again"], told["given"][1:], strict=True)
    return [sign * (best - given) for best, given in pairs]


_AGAIN = ("settings", "median", "over seeds")


def _again(told: Mapping[str, Any]) -> list[list[str]]:
    rows = [("as given", told["given"]), ("best, seeds that did not choose it", told["best_again"])]
    cells = [[name, *_spread(values)] for name, values in rows if values]
    return cells + [[name, _number(value), _UNKNOWN] for name, value in told["rival"].items()]


def _verdict(told: Mapping[str, Any]) -> Verdict:
    gained, best = gains(told), told["best"]
    tiles = (
        Tile("best trial", _number(best["value"]), (f"of {told['complete']} that ended",)),
        Tile("as given", *_tile(told["given"])),
        Tile("best, other seeds", *_tile(told["best_again"])),
        *(Tile(name, _number(value)) for name, value in told["rival"].items()),
    )
    settings = best["arguments"]
    if not gained:
        return Verdict("Not checked", "plain", f"{settings}: tried with one seed alone.", tiles)
    middle, spread = float(np.median(gained)), f"{min(gained):+.4f} to {max(gained):+.4f}"
    if min(gained) > 0:
        deciding = f"{settings} is better with every other seed, by {middle:.4f} ({spread})."
        return Verdict("Better on validation", "good", deciding, tiles)
    deciding = f"{settings} gains {middle:+.4f} ({spread}) with other seeds: no more than a draw."
    return Verdict("No better than given", "unsure", deciding, tiles)


def _tile(values: Sequence[float]) -> tuple[str, tuple[str, ...]]:
    if not values:
        return _UNKNOWN, ()
    middle, spread = _spread(values)
    return middle, (f"{spread}, {len(values)} seeds",)


def _spread(values: Sequence[float]) -> tuple[str, str]:
    return _number(float(np.median(values))), f"{min(values):.4f} to {max(values):.4f}"


def _header(told: Mapping[str, Any]) -> list[str]:
    return ["trial", "state", told["config"]["objective"], *(one["name"] for one in told["space"])]


def _rows(told: Mapping[str, Any]) -> list[list[str]]:
    sign = 1.0 if told["config"]["objective"] == "nll" else -1.0

    def rank(one: Mapping[str, Any]) -> tuple[bool, float]:
        return one["value"] is None, sign * (one["value"] or 0.0)

    return [
        [
            f"{one['number'] + 1}",
            one["state"],
            _number(one["value"]),
            *(_number(one["values"].get(two["name"])) for two in told["space"]),
        ]
        for one in sorted(told["trials"], key=rank)
    ]


def _number(value: Any) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e-2 else _plain(value)


def _plain(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _curve(told: Mapping[str, Any]) -> Plot:
    plot = Plot(
        "What each trial came to, and the best so far",
        x_label="trial",
        y_label=_TITLES[told["config"]["objective"]],
    )
    ended = [
        (one["number"] + 1, one["value"]) for one in told["trials"] if one["value"] is not None
    ]
    numbers, values = map(list, zip(*ended, strict=True))
    best = np.minimum.accumulate(values)
    if told["config"]["objective"] != "nll":
        best = np.maximum.accumulate(values)
    plot.points(numbers, values, "c1", "trials")
    plot.line(numbers, best, "c0", "best so far")
    plot.line(numbers, [told["given"][0]] * len(numbers), "c3", "as given", "dashed")
    return plot
