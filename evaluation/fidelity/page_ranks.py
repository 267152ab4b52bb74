"""The fidelity page on memory, and on how dreams rank policies."""

from __future__ import annotations

from collections.abc import Mapping

from ..comparison.rank_agreement import RankAgreement
from ..report.components import (
    chart,
    section,
    table,
)
from .consistency import LatentSpread
from .figures import (
    kl_bars,
    latent_map,
    rank_scatter,
    warmup_curve,
)
from .page_cells import spanned
from .pictures import Pictures
from .ranks import Ranks
from .results import FidelityResults
from .subject import TRAIN


def memory_sections(results: FidelityResults, pictures: Pictures) -> list[str]:
    """What V and M keep, and what it is worth."""
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


def rank_sections(ranks: Ranks) -> list[str]:
    """Dream and market, and what costs and exposure explain."""
    whole = ranks.whole
    labels = list(whole.spearman)
    runs = {"all of the observation": whole, **ranks.controls}
    rows = [
        [name.replace("_", " "), *(spanned(run.spearman.get(label)) for label in labels)]
        for name, run in runs.items()
    ]
    pairs = {**whole.spearman, **whole.between_ranges}
    between = [
        [
            f"dream, {name}" if name in whole.spearman else name,
            spanned(span),
            spanned(whole.before_costs[name]),
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
            rows.append([f"dream, {name}, {kind}", spanned(audit.spearman), spanned(audit.beyond)])
            rows += [
                [f"{floor}, {name}, {kind}", spanned(span), spanned(audit.floors_beyond[floor])]
                for floor, span in audit.floors.items()
            ]
    return table(["ranking, range", "correlation", "beyond costs and exposure"], [rows])
