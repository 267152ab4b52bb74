"""The fidelity page and file: is the dream like the market?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ...market.files.writer import write_whole
from ...market.intervals import describe_interval
from ..comparison.rank_agreement import RankAgreement
from ..density import WORLD_MODEL, DensityScores
from ..horizons import HorizonScores
from ..report.components import (
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
from ..report.text_table import aligned
from ..results import to_plain, write_results
from ..significance import Interval
from ..stored import read_stored, write_stored
from .consistency import LatentSpread
from .copies import Copies
from .distances import FactDistances
from .dream_age import DreamAge, OODShares
from .facts import Facts
from .figures import (
    absolute_autocorrelation,
    cone,
    decay,
    kl_bars,
    latent_map,
    ood_by_age,
    pit_histogram,
    quantile_plot,
    rank_scatter,
    return_histogram,
    sample_paths,
    title_of,
    warmup_curve,
)
from .forecasts import Forecasts
from .goals import Goal
from .measure import Fidelity
from .outlooks import Outlooks
from .pictures import CONE_HORIZONS, Pictures
from .ranks import Ranks
from .results import FidelityResults
from .runs import FidelityRuns
from .starts import Response, Starts
from .subject import TRAIN
from .two_sample import JUDGES, TwoSample

Number = TypeVar("Number")

PAGE = "page.json"
_FACT_TITLES = (
    "σ ÷ real",
    "kurtosis ÷ real, 1",
    "4",
    "24",
    "168 bars",
    "ACF of |r|, RMSE",
    "at 168, minus real",
    "Hill",
)


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
    rows = aligned(_goal_rows(results.goals))
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
        *_dream_sections(results, pictures),
        *_forecast_sections(results.forecasts),
        section("Forecasting days and weeks", _outlooks_html(results.outlooks), _OUTLOOKS_NOTE),
        section("Do dreams follow their start?", _starts_html(results.starts), _STARTS_NOTE),
        *_memory_sections(results, pictures),
        *_rank_sections(results.ranks),
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


def _goal_rows(goals: Sequence[Goal]) -> list[list[str]]:
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
    header, *rows = [[row[0], row[-2], *row[1:-2], row[-1]] for row in _goal_rows(goals)]
    tones = [[_tone(cell) for cell in row[1:]] for row in rows]
    return table(header, [rows], text_columns=1, tones=[tones])


def _tone(cell: str) -> str:
    kind = {"met": "yes", "missed": "no", "open": "open"}.get(cell)
    return f'class="{kind}"' if kind else ""


def _dream_sections(results: FidelityResults, pictures: Pictures) -> list[str]:
    return [
        section(
            "Dreams beside other generators",
            _facts_html(results.facts),
            _FACTS_NOTE,
            *_notes(results.facts.notes),
        ),
        section(
            "Can a learner tell them from the record?",
            _judges_html(results.two_sample, results.copies),
            _JUDGES_NOTE,
        ),
        section(
            "What they look like",
            CHARTS_NOTE,
            chart(sample_paths(pictures.paths), "Dreams under recorded months."),
            chart(return_histogram(pictures.densities), "Returns of a bar, logarithmic scale."),
            chart(
                quantile_plot(pictures.quantiles),
                "Quantiles of returns; clipped at twice the record's.",
            ),
            chart(
                absolute_autocorrelation(pictures.abs_acf),
                "Volatility clusters: how long |r| is remembered.",
            ),
            chart(cone(pictures.cone, CONE_HORIZONS), "Realised volatility by window length."),
            chart(decay(results.dream_age.decay), "Facts by dream age."),
            chart(
                ood_by_age(results.dream_age.readings),
                "How far dreamed states are from those of the training range: 0.9 is farther than 90%.",
            ),
            _ood_html(results.dream_age),
        ),
    ]


def _ood_html(measured: DreamAge) -> str:
    rows = [[f"record, {name}", *_ood_cells(shares)] for name, shares in measured.recorded.items()]
    aged = [
        [f"dreams, bars {age.from_bar}–{age.to_bar}", *_ood_cells(age.ood)]
        for age in measured.decay
    ]
    header = ["out-of-distribution meter", "median", "share above 0.95", "share above 0.99"]
    return table(header, [rows, aged])


def _ood_cells(shares: OODShares | None) -> list[str]:
    if shares is None:
        return ["–"] * 3
    return [f"{v:.3f}" for v in (shares.ood_median, shares.ood_above_95, shares.ood_above_99)]


_FACTS_NOTE = "Distances from the training range. The first line is the record against itself."


def _facts_html(facts: Facts) -> str:
    floor = [
        f"{span.low:.2f}–{span.high:.2f}" if span else "–" for span in _shown(facts.noise_floor)
    ]
    first = ["record, random halves", *floor]
    rows = [
        [title_of(name), *(f"{span.value:.3f}" if span else "–" for span in _shown(distances))]
        for name, distances in facts.distances.items()
    ]
    return table(["", *_FACT_TITLES], [[first], rows], text_columns=1)


_JUDGES_NOTE = (
    "Windows of 48 bars that begin at the same hours of the week as the record's. Accuracy − 0.5 of "
    "the better of trees and a regression on summaries of returns, and of whole bars (returns, wicks, "
    "volumes); of gradient boosting on every bar; and the area under the curve of a convolutional "
    "network, for which 0.5 is chance; clearly below chance are copies. The first line is the record's alternate months against the "
    "others. Impossible bars have a high or low inside their body. Copies lie nearer to a training "
    "window than 99% of held-out ones do; the distance to the nearest is ÷ that of held-out windows."
)


def _judges_html(tests: TwoSample, copies: Copies) -> str:
    header = ["", "returns", *JUDGES, "impossible bars", "copies", "distance"]
    floor = [tests.returns_floor.alternate_months, *tests.whole_floor.values()]
    first = ["record, alternate months", *map(_judged, floor), "–", "–", "–"]
    rows = []
    for name, score in tests.returns.items():
        whole = [_judged(scores.get(name)) for scores in tests.whole.values()]
        copied = _judged(copies.share.get(name))
        impossible, distance = (
            f"{part[name]:.3f}" if name in part else "–"
            for part in (tests.impossible, copies.distance)
        )
        rows.append([title_of(name), _judged(score), *whole, impossible, copied, distance])
    seen = ["world model, [z, h]", _judged(tests.seen), f"record: {_judged(tests.seen_floor)}"]
    rest = [""] * (len(header) - len(seen))
    return table(header, [[first], rows, [[*seen, *rest]]], text_columns=1)


def _judged(score: Interval | None) -> str:
    return "–" if score is None else f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"


def _shown(distances: FactDistances[Number]) -> list[Number | None]:
    """Those of `_FACT_TITLES`."""
    return [
        distances.sigma_ratio,
        distances.kurtosis_ratio_1,
        distances.kurtosis_ratio_4,
        distances.kurtosis_ratio_24,
        distances.kurtosis_ratio_168,
        distances.abs_acf_rmse,
        distances.abs_acf_168_difference,
        distances.hill_index,
    ]


def _forecast_sections(forecasts: Forecasts) -> list[str]:
    by_range = forecasts.by_range
    first = next(iter(by_range.values()))
    measures = ("NLL [nats]", "world model minus this", "confidence set", "CRPS [%]")
    header = ["", *(f"{measure}, {label}" for label in by_range for measure in measures)]
    rows = [
        [
            title_of(name),
            *(cell for scores in by_range.values() for cell in _forecast_cells(scores, name)),
        ]
        for name in first.nll
    ]
    return [
        section(
            "Forecasting the next return",
            table(header, [rows], text_columns=1),
            "Differences have 95% intervals that allow for losses which cluster as volatility does "
            "(Diebold–Mariano, 168 lags). The confidence set holds the best forecast 9 times in 10: "
            "those whose p-value is at least 0.1.",
            *_notes(first.notes),
            _slopes_html(by_range),
            *(
                chart(
                    pit_histogram(scores.calibration),
                    f"Where outcomes fell in their forecasts, {label} ({scores.bars:,} bars).",
                )
                for label, scores in by_range.items()
            ),
        )
    ]


def _forecast_cells(scores: DensityScores, name: str) -> list[str]:
    gap = scores.nll_minus.get(name)
    return [
        f"{scores.nll[name]:.4f}",
        "" if gap is None else f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})",
        f"p = {scores.confidence_set[name]:.2f}",
        f"{scores.crps[name]:.4f}",
    ]


_STARTS_NOTE = (
    "From recorded bars of the last range, 24 bars are dreamed and compared with those that came. Rank "
    "correlations over starts; persistence is the 24 bars before. The response is the log ratio of what is dreamed "
    "after the loudest and after the quietest fifth of starts ÷ the record's: 0 forgets the start."
)


def _starts_html(starts: Starts) -> str:
    groups = [
        _response_rows(name, response)
        for name, response in (("volatility", starts.volatility), ("volume", starts.volume))
        if response is not None
    ]
    header = ["", "forecast by", "rank correlation", "world model minus this", "response"]
    return table(header, groups, text_columns=2)


def _response_rows(name: str, response: Response) -> list[list[str]]:
    rows = [
        [
            f"{name}, {response.starts} starts",
            title_of(by),
            _judged(found),
            _judged(response.minus[by]) if by in response.minus else "",
            _judged(response.spread) if by == WORLD_MODEL else "",
        ]
        for by, found in response.correlation.items()
    ]
    floor = f"{response.shuffled.low:.3f} to {response.shuffled.high:.3f}"
    return [*rows, [name, "starts shuffled", floor, "", ""]]


_OUTLOOKS_NOTE = (
    "By simulated paths from recorded bars of the last range, whose outcomes do not overlap: CRPS of the "
    "summed return and of the realised volatility, QLIKE of the realised variance with its difference "
    "from HAR's; share of outcomes in the 90% interval, and below the 1% and 5% quantiles with the "
    "p-values of Kupiec and Christoffersen."
)


def _outlooks_html(outlooks: Outlooks) -> str:
    header = [
        "",
        "bars",
        "CRPS, return [%]",
        "CRPS, volatility [%]",
        "QLIKE",
        "QLIKE minus HAR's",
        "in 90%",
        "below 1%",
        "below 5%",
    ]
    groups = [
        [_outlook_cells(name, horizon, scores) for name, scores in found.items()]
        for horizon, found in outlooks.by_horizon.items()
    ]
    return table(header, groups, text_columns=1)


def _outlook_cells(name: str, horizon: int, scores: HorizonScores) -> list[str]:
    gap = scores.minus["qlike"]
    return [
        title_of(name),
        str(horizon),
        f"{scores.crps_return:.4f}",
        f"{scores.crps_volatility:.4f}",
        f"{scores.qlike:.4f}",
        f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})",
        f"{scores.covered:.3f}",
        *(
            f"{test.share:.3f} (p = {test.kupiec_p:.2f}, {test.christoffersen_p:.2f})"
            for test in scores.var
        ),
    ]


def _notes(notes: Mapping[str, str]) -> list[str]:
    """What there is to say about fits, a paragraph each."""
    return [f"{title_of(name)}: {note}." for name, note in notes.items()]


def _slopes_html(by_range: Mapping[str, DensityScores]) -> str:
    """Whether the market pays what the mean forecast promises."""
    rows = []
    for label, scores in by_range.items():
        slope = scores.mean_slope
        rows.append([label, f"{slope.value:.2f}", f"{slope.low:.2f} to {slope.high:.2f}"])
    title = "slope of returns on the mean forecast: 1 is paid in full, 0 not at all"
    return table([title, "measured", "95% interval"], [rows], text_columns=1)


def _memory_sections(results: FidelityResults, pictures: Pictures) -> list[str]:
    memory = results.memory
    warmup = [[str(e.bars), f"{e.distance:.2g}", f"{e.return_nll:.4f}"] for e in memory.warmup]
    return [
        section(
            "What V and M carry",
            chart(latent_map(pictures.latents), "Recorded z, calm (first colour) to wild."),
            chart(
                kl_bars(results.head.vae.kl),
                "KL of each dimension; one that carries the return itself has none.",
            ),
            _spread_html(results.consistency.latent_spread),
            table(
                ["a linear probe of the next day's volatility reads from", "R²"],
                [_named(vars(memory.probes), 3)],
            ),
            table(["forecast of the next return by", "NLL [nats]"], [_named(memory.return_nll, 4)]),
        ),
        section(
            "Warm-up",
            chart(warmup_curve(memory.warmup), "Distance of M's state to that after 384 bars."),
            table(
                ["warm-up [bars]", "distance", "NLL of the next return"], [warmup], text_columns=0
            ),
        ),
    ]


def _named(values: Mapping[str, float], digits: int) -> list[list[str]]:
    return [[name.replace("_", " "), f"{value:.{digits}f}"] for name, value in values.items()]


def _spread_html(spread: LatentSpread) -> str:
    """How wide each dimension of z is in the dream: far from 1 is what replay never shows."""
    rows = [
        [f"σ of its {name}", *("–" if value is None else f"{value:.2f}" for value in values)]
        for name, values in (("level", spread.level), ("change", spread.change))
    ]
    header = ["z, dreamed ÷ encoded, by dimension", *map(str, range(len(spread.level)))]
    return table(header, [rows])


def _rank_sections(ranks: Ranks) -> list[str]:
    whole = ranks.whole
    labels = list(whole.spearman)
    runs = {"all of the observation": whole, **ranks.controls}
    rows = [
        [name.replace("_", " "), *(_span(run.spearman.get(label)) for label in labels)]
        for name, run in runs.items()
    ]
    pairs = {**whole.spearman, **whole.between_ranges}
    between = [
        [
            f"dream, {name}" if name in whole.spearman else name,
            _span(span),
            _span(whole.before_costs[name]),
        ]
        for name, span in pairs.items()
    ]
    return [
        section(
            "Does the dream rank policies as the market does?",
            table(["controllers read", *(f"dream, {label}" for label in labels)], [rows]),
            f"Spearman correlation of the scores of {len(whole.dream)} random linear "
            "controllers after costs, with bootstrap intervals.",
            table(["two rankings with each other", "after costs", "before costs"], [between]),
            "A perfect dream of the training range would agree with a later range as the replayed "
            "training range does.",
            _audit_html(whole),
            "A ranking can be right because trading costs money, and because a market that rose pays those "
            "who hold it. Beyond costs and exposure is what is left of a correlation with both held fixed (the "
            "partial rank correlation, Fisher's interval); blind rankings know no dream.",
            *(
                chart(rank_scatter(whole, label), f"Ranks in the dream and on {label}.")
                for label in labels
                if label != TRAIN
            ),
        )
    ]


def _audit_html(whole: RankAgreement) -> str:
    """What the dream's ranking tells beyond costs and exposure, beside what blind ones tell."""
    rows = []
    for name, both in whole.audits.items():
        for kind, audit in (("after costs", both.net), ("before costs", both.gross)):
            rows.append([f"dream, {name}, {kind}", _span(audit.spearman), _span(audit.beyond)])
            rows += [
                [f"{floor}, {name}, {kind}", _span(span), _span(audit.floors_beyond[floor])]
                for floor, span in audit.floors.items()
            ]
    return table(["ranking, range", "correlation", "beyond costs and exposure"], [rows])


def _span(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"
