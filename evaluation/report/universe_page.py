"""The page of several symbols' runs: does what was learned of each pay on bars that nobody saw?"""

from __future__ import annotations

from pathlib import Path

from ...market.files.writer import write_whole
from ..baselines.scores import TITLES
from ..outcome import CONTROLLER
from ..results import read_results
from ..universe import HOLDING, SymbolOutcome, UniverseOutcome
from .components import Tile, Tone, Verdict, chart, page, section, table, verdict_card
from .plot import Plot
from .sentences import growth, signed
from .text_table import aligned

RESULTS_FILE, PAGE_FILE = "universe.json", "universe.html"
_HEADER = (
    "symbol",
    "bars",
    "NLL, test",
    "best rival",
    "minus rival",
    "95%",
    "controller",
    "its searches",
    "holding",
    "momentum",
    "Sharpe, dream",
    "Sharpe, test",
)
_FORECASTS = (
    "Mean of −log p of the next log return in percent on each symbol's test range [nats], less that of the best of "
    "the baselines there, with the 95% interval of Diebold and Mariano: left of 0 the world model is better."
)
_POLICIES = (
    "Growth a year on the test range, costs and funding paid; the deployed controller, the range over its searches, "
    "and the rules that it has to beat. Staying flat earns 0. Symbols move together: many of them are worth far fewer "
    "independent trials."
)


def universe_page(found: UniverseOutcome) -> str:
    """The page as text."""
    kind = "one joint world model" if found.joint else "a world model each"
    count = len(found.symbols)
    return page(
        f"{count} symbols",
        "".join(
            [
                verdict_card(_verdict(found)),
                section("Forecasts", chart(_gaps(found), "Against the best baseline"), _FORECASTS),
                section("Policies", table(_HEADER, [_rows(found)]), _POLICIES),
                section("Dream and market", chart(_sharpes(found), "Sharpe ratios")),
            ]
        ),
        f"{kind} · {', '.join(one.symbol for one in found.symbols)}",
    )


def universe_text(found: UniverseOutcome) -> str:
    """The table for the console."""
    return "\n".join("  ".join(row).rstrip() for row in aligned([list(_HEADER), *_rows(found)]))


def universe_sentence(found: UniverseOutcome) -> str:
    """What it comes to."""
    count, (better, worse) = len(found.symbols), found.better_forecasts()
    middle, low, high = found.over_holding()
    return (
        f"On {found.beating_holding()} of {count} symbols the controller earned more than holding on the test "
        f"range (a year {signed(middle)} in the median of log returns, {signed(low)} to {signed(high)}), on "
        f"{found.earning()} more than nothing. The world model forecasts better than its best rival on {better} "
        f"and worse on {worse}, by 95% intervals."
    )


def write_universe(folder: Path, found: UniverseOutcome) -> Path:
    """Write the page; returns it."""
    return write_whole(folder / PAGE_FILE, universe_page(found))


def rewrite_universe(folder: Path) -> Path:
    """Write the page anew from the numbers beside it."""
    told = read_results(folder / RESULTS_FILE, ("joint", "symbols"), "universe of runs")
    return write_universe(folder, UniverseOutcome.from_dict(told))


def _verdict(found: UniverseOutcome) -> Verdict:
    count, beating = len(found.symbols), found.beating_holding()
    word = f"{beating} of {count} beat holding"
    tone: Tone = "good" if beating == count else "bad" if beating == 0 else "unsure"
    better, worse = found.better_forecasts()
    middle, low, high = found.over_holding()
    tiles = (
        Tile("beyond holding, a year", signed(middle), (f"{signed(low)} to {signed(high)}",)),
        Tile("earned anything", f"{found.earning()} of {count}", ("flat earns nothing",)),
        Tile("forecasts better, worse", f"{better}, {worse}", ("than the best baseline, 95%",)),
    )
    return Verdict(word, tone, universe_sentence(found), tiles)


def _rows(found: UniverseOutcome) -> list[list[str]]:
    return [_row(one) for one in found.symbols]


def _row(one: SymbolOutcome) -> list[str]:
    low, high = (_growth(value) for value in one.growth_range)
    return [
        one.symbol,
        f"{one.bars:,}",
        f"{one.nll:.4f}",
        TITLES.get(one.rival, one.rival),
        f"{one.gap.value:+.4f}",
        f"{one.gap.low:+.4f} to {one.gap.high:+.4f}",
        _growth(one.growth[CONTROLLER]),
        f"{low} to {high}",
        _growth(one.growth[HOLDING]),
        _growth(one.growth["momentum"]),
        f"{one.dream_sharpe:+.2f}",
        f"{one.sharpe[CONTROLLER]:+.2f}",
    ]


def _growth(annual_log_return: float) -> str:
    return f"{growth(annual_log_return):+.1%}"


def _gaps(found: UniverseOutcome) -> Plot:
    gaps = [one.gap for one in found.symbols]
    plot = Plot(
        "The world model's loss less that of the best baseline, by symbol",
        "world model minus best baseline [nats]",
    )
    names = [one.symbol for one in found.symbols]
    plot.spans(names, [g.value for g in gaps], [g.low for g in gaps], [g.high for g in gaps])
    return plot.rule(x=0.0)


def _sharpes(found: UniverseOutcome) -> Plot:
    plot = Plot("Sharpe ratios of the deployed controllers", "in the dream", "on the test range")
    names = [one.symbol for one in found.symbols]
    dream = [one.dream_sharpe for one in found.symbols]
    plot.points(dream, [one.sharpe[CONTROLLER] for one in found.symbols], size=9.0, texts=names)
    return plot.rule(y=0.0)
