"""The fidelity page and file: is the dream like the market?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ...market.files.writer import write_whole
from ..report.page import details, figure, page, section, table
from ..report.text_table import aligned
from ..results import write_results
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
from .measure import CONE_HORIZONS, Fidelity

_FACT_TITLES = {
    "sigma_ratio": "σ ÷ real",
    "kurtosis_ratio_1": "kurtosis ÷ real, 1",
    "kurtosis_ratio_4": "4",
    "kurtosis_ratio_24": "24",
    "kurtosis_ratio_168": "168 bars",
    "abs_acf_rmse": "ACF of |r|, RMSE",
    "hill_index": "Hill",
}


def write_fidelity(folder: str | Path, measured: Fidelity) -> tuple[Path, Path]:
    """Write ``fidelity.json`` and ``fidelity.html`` into a folder; returns both paths."""
    target = Path(folder)
    json_path = write_results(target / "fidelity.json", measured.results)
    return json_path, write_whole(target / "fidelity.html", fidelity_html(measured))


def fidelity_summary(results: Mapping[str, Any]) -> str:
    """The table of goals as text for the console."""
    rows = aligned([_GOALS_HEADER, *(_goal_cells(goal) for goal in results["goals"])])
    return "\n".join("  ".join(row).rstrip() for row in rows)


def fidelity_html(measured: Fidelity) -> str:
    """The page as text."""
    results, pictures = measured.results, measured.pictures
    missed = [goal["name"] for goal in results["goals"] if not goal["met"]]
    lead = (
        f"{len(results['goals']) - len(missed)} of {len(results['goals'])} goals are met."
        if missed
        else "Every goal is met."
    )
    body = [
        f'<p class="lead">{escape(lead)}</p>',
        f"<p>Missed: {escape('; '.join(missed))}.</p>" if missed else "",
        section("Goals", _goals_html(results["goals"]), _GOALS_NOTE),
        *_dream_sections(results, pictures),
        *_forecast_sections(results),
        *_memory_sections(results, pictures),
        *_rank_sections(results, pictures),
        section(
            "Settings", *(details(k, _plain(results[k])) for k in ("ranges", "settings", "vae"))
        ),
    ]
    subtitle = f"{results['symbol']} · interval {results['interval']} · preset {results['preset']}"
    return page("Is the dream like the market?", "".join(body), subtitle)


_GOALS_HEADER = ["", "measured", "95% interval", "goal", "", "real against real"]
_GOALS_NOTE = (
    "Intervals resample whole dreams, controllers, or weeks of bars. The last column is what the "
    "record scores against itself, split in random halves (for the rank agreement: the replayed "
    "training range with the later one): nothing can be asked to be nearer."
)


def _goal_cells(goal: Mapping[str, Any]) -> list[str]:
    low, high = goal["goal"]
    if low is not None and high is not None:
        wanted = f"{low:g} to {high:g}"
    else:
        wanted = f"≥ {low:g}" if high is None else f"≤ {high:g}"
    span = "" if goal["low"] is None else f"{goal['low']:.3f} to {goal['high']:.3f}"
    verdict = "met" if goal["met"] else "missed"
    return [goal["name"], f"{goal['value']:.3f}", span, wanted, verdict, goal["floor"]]


def _goals_html(goals: Sequence[Mapping[str, Any]]) -> str:
    return table(_GOALS_HEADER, [[_goal_cells(goal) for goal in goals]], text_columns=1)


def _dream_sections(results: Mapping[str, Any], pictures: Mapping[str, Any]) -> list[str]:
    return [
        section(
            "Dreams beside other generators",
            _facts_html(results),
            _FACTS_NOTE,
            *_notes(results["generator_notes"]),
        ),
        section(
            "What they look like",
            figure(sample_paths(pictures["paths"]), "Dreams under recorded months."),
            figure(return_histogram(pictures["returns"]), "Returns of a bar, logarithmic scale."),
            figure(
                quantile_plot(pictures["returns"]),
                "Quantiles of returns; clipped at twice the record's.",
            ),
            figure(
                absolute_autocorrelation(pictures["abs_acf"]),
                "Volatility clusters: how long |r| is remembered.",
            ),
            figure(cone(pictures["cone"], CONE_HORIZONS), "Realised volatility by window length."),
            figure(decay(results["horizon_decay"]), "Facts by dream age."),
            figure(
                ood_by_age(pictures["ood"]),
                "How far dreamed states are from those of the training range: 0.9 is farther than 90%.",
            ),
            _ood_html(results),
        ),
    ]


def _ood_html(results: Mapping[str, Any]) -> str:
    rows = [[f"record, {name}", *_ood_cells(row)] for name, row in results["ood"].items()]
    aged = [
        [f"dreams, bars {row['from_bar']}–{row['to_bar']}", *_ood_cells(row)]
        for row in results["horizon_decay"]
    ]
    header = ["out-of-distribution meter", "median", "share above 0.95", "share above 0.99"]
    return table(header, [rows, aged])


def _ood_cells(row: Mapping[str, float] | None) -> list[str]:
    if row is None:
        return ["–"] * 3
    return [f"{row[key]:.3f}" for key in ("ood_median", "ood_above_95", "ood_above_99")]


_FACTS_NOTE = (
    "Distances from the training range. Two-sample: |accuracy − 0.5| of a classifier on windows of 48 "
    "returns. The first line is the record against itself."
)


def _facts_html(results: Mapping[str, Any]) -> str:
    scores, floor = results["two_sample"]["returns"], results["facts_noise_floor"]
    shuffled = results["two_sample"]["returns_noise_floor"]["shuffled_fortnights"]["value"]
    first = [
        "record, random halves",
        *(
            f"{floor[k]['low']:.2f}–{floor[k]['high']:.2f}" if k in floor else "–"
            for k in _FACT_TITLES
        ),
        f"{shuffled:.3f}",
    ]
    rows = [
        [
            title_of(name),
            *(f"{facts[k]['value']:.3f}" if k in facts else "–" for k in _FACT_TITLES),
            f"{scores[name]['value']:.3f}",
        ]
        for name, facts in results["facts"].items()
    ]
    return table(["", *_FACT_TITLES.values(), "two-sample"], [[first], rows], text_columns=1)


def _forecast_sections(results: Mapping[str, Any]) -> list[str]:
    density = results["density"]
    names = list(next(iter(density.values()))["nll"])
    header = [
        "",
        *(f"{measure}, {label}" for label in density for measure in ("NLL [nats]", "CRPS [%]")),
    ]
    rows = [
        [
            title_of(name),
            *(f"{density[label][key][name]:.4f}" for label in density for key in ("nll", "crps")),
        ]
        for name in names
    ]
    return [
        section(
            "Forecasting the next return",
            table(header, [rows], text_columns=1),
            *_notes(next(iter(density.values()))["notes"]),
            _slopes_html(density),
            *(
                figure(
                    pit_histogram(scores["calibration"]),
                    f"Where outcomes fell in their forecasts, {label} ({scores['bars']:,} bars).",
                )
                for label, scores in density.items()
            ),
        )
    ]


def _notes(notes: Mapping[str, str]) -> list[str]:
    """What there is to say about fits, a paragraph each."""
    return [f"{title_of(name)}: {note}." for name, note in notes.items()]


def _slopes_html(density: Mapping[str, Any]) -> str:
    """Whether the market pays what the mean forecast promises."""
    rows = []
    for label, scores in density.items():
        slope = scores["mean_slope"]
        interval = f"{slope['low']:.2f} to {slope['high']:.2f}"
        rows.append([label, f"{slope['value']:.2f}", interval])
    title = "slope of returns on the mean forecast: 1 is paid in full, 0 not at all"
    return table([title, "measured", "95% interval"], [rows], text_columns=1)


def _memory_sections(results: Mapping[str, Any], pictures: Mapping[str, Any]) -> list[str]:
    warmup = [
        [str(e["bars"]), f"{e['distance']:.2g}", f"{e['return_nll']:.4f}"]
        for e in results["warmup"]
    ]
    probes, nll = (results["controls"][name] for name in ("volatility_probe_r2", "return_nll"))
    return [
        section(
            "What V and M carry",
            figure(
                latent_map(pictures["latents"], pictures["volatility"]),
                "Recorded z, calm (first colour) to wild.",
            ),
            figure(
                kl_bars(results["vae"]["kl"]),
                "KL of each dimension; one that carries the return itself has none.",
            ),
            _spread_html(results["latent_spread"]),
            table(
                ["a linear probe of the next day's volatility reads from", "R²"],
                [[[name.replace("_", " "), f"{value:.3f}"] for name, value in probes.items()]],
            ),
            table(
                ["forecast of the next return by", "NLL [nats]"],
                [[[name.replace("_", " "), f"{value:.4f}"] for name, value in nll.items()]],
            ),
        ),
        section(
            "Warm-up",
            figure(
                warmup_curve(results["warmup"]), "Distance of M's state to that after 384 bars."
            ),
            table(
                ["warm-up [bars]", "distance", "NLL of the next return"], [warmup], text_columns=0
            ),
        ),
    ]


def _spread_html(spread: Mapping[str, Sequence[float | None]]) -> str:
    """How wide each dimension of z is in the dream: far from 1 is what replay never shows."""
    rows = [
        [f"σ of its {name}", *("–" if value is None else f"{value:.2f}" for value in values)]
        for name, values in spread.items()
    ]
    count = len(next(iter(spread.values()), []))
    return table(["z, dreamed ÷ encoded, by dimension", *map(str, range(count))], [rows])


def _rank_sections(results: Mapping[str, Any], pictures: Mapping[str, Any]) -> list[str]:
    ranking, scores = results["rank_agreement"], pictures["rank_agreement"]
    labels = list(ranking["spearman"])
    runs = {"all of the observation": ranking, **ranking.get("controls", {})}
    rows = [
        [name.replace("_", " "), *(_span(run["spearman"].get(label)) for label in labels)]
        for name, run in runs.items()
    ]
    spans = {f"dream, {name}": span for name, span in ranking["spearman"].items()}
    spans |= ranking["between_ranges"]
    gross = ranking["before_costs"]
    between = [
        [name, _span(span), _span(gross[name.removeprefix("dream, ")])]
        for name, span in spans.items()
    ]
    return [
        section(
            "Does the dream rank policies as the market does?",
            table(["controllers read", *(f"dream, {label}" for label in labels)], [rows]),
            f"Spearman correlation of the scores of {ranking['controllers']} random linear "
            "controllers after costs, with bootstrap intervals.",
            table(["two rankings with each other", "after costs", "before costs"], [between]),
            "A perfect dream of the training range would agree with a later range as the replayed "
            "training range does.",
            *(
                figure(rank_scatter(scores, label), f"Ranks in the dream and on {label}.")
                for label in labels
                if label != "train"
            ),
        )
    ]


def _span(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "–"
    return f"{interval['value']:.2f} ({interval['low']:.2f} to {interval['high']:.2f})"


def _plain(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in values.items())
