"""The page and the text of the job ``regimes``: the verdict first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...market.files.writer import write_whole
from ...market.intervals import describe_interval
from ...market.times import format_time
from ..regimes.controls import RANDOM_ENCODER, RAW_FEATURES, TERCILES
from ..regimes.outcomes import Explained
from ..regimes.periods import Periods
from ..regimes.results import RegimeResults
from ..significance import Interval
from .components import CHARTS_NOTE, Tile, Verdict, chart, page, section, table, verdict_card
from .plot import Plot
from .text_table import aligned

RESULTS, REPORT = "periods.json", "regimes.html"
REGIMES = "these regimes"
_CONTROLS = (RAW_FEATURES, RANDOM_ENCODER, TERCILES)
_HUES = ("c2", "c0", "c4", "c1", "c3", "c5")
_NAMES_NOTE = (
    "Names come from what the bar after did on the training range: calm and high-volatility are below 0.75 and "
    "above 1.25 of the volatility of all bars, a trend is a mean return beyond two standard errors, "
    "mean-reverting and trending a variance ratio of four bars beyond two robust standard errors. Durations: "
    "1 ÷ (1 − chance of staying), in brackets the shortest and the longest of fits on resampled blocks."
)
_PERIODS_NOTE = (
    "Of bars that began in the regime as it was filtered at the close before them, so that each could have been "
    "acted on. Returns are a year of such bars, with 95% intervals over blocks; the fall is the largest inside one visit."
)


def write_regimes(folder: Path, results: RegimeResults) -> Path:
    """Write ``regimes.json``, ``periods.json`` and ``regimes.html``; returns the page."""
    results.regimes.save(folder)
    write_whole(folder / RESULTS, json.dumps(results.to_dict(), indent=1) + "\n")
    return write_whole(folder / REPORT, regimes_html(results))


def regimes_html(results: RegimeResults) -> str:
    """The page as text."""
    names = results.regimes.names
    parts = [
        verdict_card(regimes_verdict(results)),
        section("What they are", _traits(results), chart(_durations(results), "Mean stay"), _NAMES_NOTE),
        section("When they were", chart(_price(results), "Closes, coloured by the regime filtered at each"),
                f"The regimes were found on bars before {format_time(results.seen_until_ms)}; no bar's regime "
                "depends on a later bar."),
        section("How they follow each other", table(["from \\ to", *names], [_transitions(results)]),
                _choice(results)),
        section("Where they are in the latent space", chart(_map(results), "z by its two principal components")),
        *(section(f"What the market did: {venue}", _periods({"market": found}, names), _PERIODS_NOTE)
          for venue, found in results.market.items()),
        section(f"Who earned in which: {results.venue}", _periods(results.agents, names)) if results.agents else "",
        section("What they tell of the next day", _told(results), _told_note(results)) if results.explained else "",
        section("", CHARTS_NOTE),
    ]  # fmt: skip
    market = f"{results.symbol}, {describe_interval(results.interval)}"
    return page("Regimes", "\n".join(parts), market)


def regimes_text(results: RegimeResults) -> str:
    """The same in a few lines of text."""
    rows = [["regime", "share", "σ a bar", "trend t", "variance ratio", "stay [bars]"]]
    rows += _trait_rows(results)
    lines = ["  ".join(row).rstrip() for row in aligned(rows)]
    for venue, found in results.market.items():
        lines += ["", f"market, {venue}"]
        lines += _period_lines({"market": found}, results.regimes.names)
    if results.agents:
        lines += ["", f"accounts, {results.venue}"]
        lines += _period_lines(results.agents, results.regimes.names)
    return "\n".join([*lines, "", regimes_verdict(results).deciding])


def regimes_verdict(results: RegimeResults) -> Verdict:
    """Whether the regimes tell more of the next day than what is easier."""
    count = len(results.regimes)
    word = f"{count} regimes: {', '.join(results.regimes.names)}"
    if not results.explained:
        text = "The record holds too few days after the training range to say what they tell of the next day."
        return Verdict(word, "plain", text)
    mine = results.explained[REGIMES].volatility
    beaten = [name for name in _CONTROLS if _better(results, name)]
    kept = [name for name in _CONTROLS if name not in beaten]
    said = f"They explain {_span(mine)} of the next day's log volatility after the training range"
    if beaten:
        said += f", more than {_list(results, beaten)}"
    if kept:
        said += f"; {_list(results, kept)} explain as much or are not told apart"
    tone = "good" if not kept else "unsure" if beaten else "bad"
    tiles = tuple(
        Tile(name, f"{each.volatility.value:.3f}", (f"drawdown {each.drawdown.value:.3f}",))
        for name, each in results.explained.items()
    )
    return Verdict(word, tone, said + ".", tiles)  # type: ignore[arg-type]


def _better(results: RegimeResults, name: str) -> bool:
    """Whether the intervals lie apart: a strict reading, for the same days scored both."""
    return results.explained[REGIMES].volatility.low > results.explained[name].volatility.value


def _list(results: RegimeResults, names: Sequence[str]) -> str:
    return ", ".join(f"{name} ({results.explained[name].volatility.value:.3f})" for name in names)


def _span(value: Interval) -> str:
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


def _trait_rows(results: RegimeResults) -> list[list[str]]:
    return [
        [
            name,
            f"{each.share:.0%}",
            f"{each.volatility:.3f}%",
            f"{each.trend:+.1f}",
            f"{each.variance_ratio:.3f} (z {each.reversion:+.1f})",
            f"{each.duration:.0f} ({each.duration_low:.0f}–{each.duration_high:.0f})",
        ]
        for name, each in zip(results.regimes.names, results.regimes.traits, strict=True)
    ]


def _traits(results: RegimeResults) -> str:
    header = ["regime", "share", "volatility a bar", "trend, t", "variance ratio", "stay, bars"]
    return table(header, [_trait_rows(results)])


def _transitions(results: RegimeResults) -> list[list[str]]:
    names, matrix = results.regimes.names, results.regimes.chain.transition
    return [[name, *(f"{p:.3f}" for p in row)] for name, row in zip(names, matrix, strict=True)]


def _choice(results: RegimeResults) -> str:
    tried = "; ".join(
        f"{each.count}: {each.bic:,.0f}, {each.stability:.2f}" for each in results.regimes.trials
    )
    return (
        "Numbers of regimes tried, their BIC (lower is better) and the lowest adjusted Rand index of a fit on "
        f"resampled blocks: {tried}. Of those that every resample finds again (0.9 or more) the one of the "
        "lowest BIC is taken; where there is none, the most stable."
    )


def _price(results: RegimeResults) -> Plot:
    plot = Plot("closes by regime", "", "close", log_y=True, time_x=True, height=420)
    for regime, name in enumerate(results.regimes.names):
        inside = results.labels == regime
        plot.points(results.time_ms[inside], results.close[inside], _hue(regime), name, size=3.0)
    return plot.rule(x=float(results.seen_until_ms))


def _map(results: RegimeResults) -> Plot:
    plot = Plot("latents by regime", "first component", "second component", height=420)
    for regime, name in enumerate(results.regimes.names):
        inside = results.labels == regime
        across, up = results.latent_map[inside].T
        plot.points(across, up, _hue(regime), name, size=3.0)
    return plot


def _durations(results: RegimeResults) -> Plot:
    traits = results.regimes.traits
    plot = Plot("mean stays", "bars", height=80 + 40 * len(traits))
    return plot.spans(
        results.regimes.names,
        np.array([each.duration for each in traits]),
        np.array([each.duration_low for each in traits]),
        np.array([each.duration_high for each in traits]),
    )


def _hue(regime: int) -> str:
    return _HUES[regime % len(_HUES)]


def _period_rows(
    by_agent: Mapping[str, Sequence[Periods]], names: Sequence[str]
) -> list[list[list[str]]]:
    groups = []
    for agent, found in by_agent.items():
        rows = []
        for i, (name, each) in enumerate(zip(names, found, strict=True)):
            year = each.annual_log_return
            rows.append([
                agent if i == 0 else "", name, f"{each.share:.0%}", f"{each.visits}",
                f"{year.value:+.2f} ({year.low:+.2f} to {year.high:+.2f})",
                f"{each.annual_volatility:.2f}", f"{each.sharpe:+.2f}", f"{each.max_drawdown:.1%}",
            ])  # fmt: skip
        groups.append(rows)
    return groups


_PERIOD_TITLES = ["", "regime", "share", "visits", "log return a year", "volatility a year", "Sharpe", "largest fall"]  # fmt: skip


def _periods(by_agent: Mapping[str, Sequence[Periods]], names: Sequence[str]) -> str:
    return table(_PERIOD_TITLES, _period_rows(by_agent, names), text_columns=2)


def _period_lines(by_agent: Mapping[str, Sequence[Periods]], names: Sequence[str]) -> list[str]:
    rows = [_PERIOD_TITLES, *(row for group in _period_rows(by_agent, names) for row in group)]
    return ["  ".join(row).rstrip() for row in aligned(rows)]


def _told(results: RegimeResults) -> str:
    rows = [_told_row(name, each) for name, each in results.explained.items()]
    header = ["known at the close", "next day's volatility, R²", "next day's drawdown, R²"]
    return table(header, [rows])


def _told_row(name: str, each: Explained) -> list[str]:
    return [name, _span(each.volatility), _span(each.drawdown)]


def _told_note(results: RegimeResults) -> str:
    beaten = [name for name in _CONTROLS if _better(results, name)]
    kept = [name for name in _CONTROLS if name not in beaten]
    said = (
        "A regression on the probabilities of the regimes, fitted on the training range, scored on the days after "
        "it, with 95% intervals over blocks of days."
    )
    if kept:
        said += f" {'; '.join(kept)}: what is easier tells as much, and for this purpose the latent space is not needed."
    return said
