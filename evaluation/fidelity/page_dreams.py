"""The fidelity page on dreams: what markets are known for, and who can tell them from the record."""

from __future__ import annotations

from typing import TypeVar

from ..report.components import (
    CHARTS_NOTE,
    chart,
    section,
    table,
)
from .copies import Copies
from .distances import FactDistances
from .dream_age import DreamAge, OODShares
from .facts import Facts
from .figures import (
    absolute_autocorrelation,
    cone,
    decay,
    ood_by_age,
    quantile_plot,
    return_histogram,
    sample_paths,
    title_of,
)
from .page_cells import judged, notes
from .pictures import CONE_HORIZONS, Pictures
from .results import FidelityResults
from .two_sample import JUDGES, TwoSample

Number = TypeVar("Number")

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


def dream_sections(results: FidelityResults, pictures: Pictures) -> list[str]:
    """Facts, judges, and how dreams age."""
    return [
        section(
            "Dreams beside other generators",
            _facts_html(results.facts),
            _FACTS_NOTE,
            *notes(results.facts.notes),
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
    first = ["record, alternate months", *map(judged, floor), "–", "–", "–"]
    rows = []
    for name, score in tests.returns.items():
        whole = [judged(scores.get(name)) for scores in tests.whole.values()]
        copied = judged(copies.share.get(name))
        impossible, distance = (
            f"{part[name]:.3f}" if name in part else "–"
            for part in (tests.impossible, copies.distance)
        )
        rows.append([title_of(name), judged(score), *whole, impossible, copied, distance])
    seen = ["world model, [z, h]", judged(tests.seen), f"record: {judged(tests.seen_floor)}"]
    rest = [""] * (len(header) - len(seen))
    return table(header, [[first], rows, [[*seen, *rest]]], text_columns=1)


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
