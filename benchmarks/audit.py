"""Do dreams rank policies of many kinds as the market does, and what does searching in them buy?

``python -m benchmarks.audit --candles FILE --world-models FOLDER …`` prints the tables of
``docs/evaluation.md`` as Markdown; without arguments, of the shipped world model on the embedded
market. ``--lift`` searches too; ``--out FOLDER`` keeps scores and curves as Parquet.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig
from worldmodel_trading.agents.families import standard_families
from worldmodel_trading.agents.lifting import LiftConfig, measure_lift
from worldmodel_trading.evaluation.comparison.families import (
    ALL,
    KINDS,
    Agreement,
    FamilyAudit,
    audit_families,
)
from worldmodel_trading.evaluation.comparison.lift import Lift
from worldmodel_trading.evaluation.comparison.pooled import Pooled
from worldmodel_trading.evaluation.fidelity.subject import find_ranges
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.models.drift import RECORDED
from worldmodel_trading.models.load import open_world_model


def main(given: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--candles", default="synthetic")
    parser.add_argument("--world-models", nargs="+", default=["default"], help="folders")
    parser.add_argument("--dreams", type=int, default=512, help="of each world model and floor")
    parser.add_argument("--bars", type=int, default=720, help="of a dream")
    parser.add_argument("--per-scale", type=int, default=50, help="random controllers")
    parser.add_argument("--searches", type=int, default=0, help="of the family CMA-ES")
    parser.add_argument("--lift", type=int, default=0, help="searches in each world model")
    parser.add_argument("--generations", type=int, default=40, help="of those")
    parser.add_argument("--only-lift", action="store_true")
    parser.add_argument("--drift", default=RECORDED, help="of dreams: recorded, zero, or a number")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    candles = open_candles(arguments.candles)
    world_models = {name: open_world_model(name) for name in arguments.world_models}
    ranges = find_ranges(next(iter(world_models.values())), candles).held_out
    tell = partial(print, file=sys.stderr, flush=True)
    if not arguments.only_lift:
        families = partial(
            standard_families, per_scale=arguments.per_scale, searches=arguments.searches
        )
        size = {"dreams": arguments.dreams, "bars": arguments.bars, "drift": arguments.drift}
        audit = audit_families(
            world_models, candles, ranges, families=families, progress=tell, **size
        )
        print(headline_table(audit), families_table(audit), sep="\n\n", flush=True)
        if arguments.out is not None:
            keep(arguments.out, audit)
    if arguments.lift:
        search = DreamSearchConfig(CMAESConfig(generations=arguments.generations))
        search = replace(search, horizon=arguments.bars)
        config = LiftConfig(
            search, arguments.lift, dreams=arguments.dreams // 2, drift=arguments.drift
        )
        lift = measure_lift(world_models, candles, ranges, config=config, progress=tell)
        print(lift_table(lift), turns_table(lift), crossed_table(lift), sep="\n\n", flush=True)
        if arguments.out is not None:
            keep_lift(arguments.out, lift)
    return 0


def headline_table(audit: FamilyAudit) -> str:
    """What dreams tell beyond costs and exposure, and what every floor does: all policies."""
    first = next(iter(next(iter(audit.headline.values())).values()))
    floors = list(first.floors_beyond)
    lines = [
        [
            "",
            "dream, rank correlation",
            "beyond costs and exposure",
            "95% over world models",
            "by quarter",
            *floors,
        ]
    ]
    lines += [
        [
            f"{range_}, {kind}",
            _span(found.spearman),
            _span(found.beyond),
            _interval(found),
            "–" if found.over_windows is None else _span(found.over_windows),
            *(f"{found.floors_beyond[name].median:.2f}" for name in floors),
        ]
        for range_, kinds in audit.headline.items()
        for kind, found in kinds.items()
    ]
    return _markdown(lines)


def families_table(audit: FamilyAudit) -> str:
    """The same of each family, and of all but one."""
    ranges = list(audit.headline)
    lines = [["policies", "number", *(f"{r}, {kind}" for r in ranges for kind in KINDS)]]
    for group, found in audit.agreements.items():
        if group == ALL:
            continue
        every = [found[range_][kind] for range_ in ranges for kind in KINDS]
        number = next(iter(every[0].models.values())).policies
        lines.append([group, str(number), *(_with_floor(one) for one in every)])
    return _markdown(lines)


def lift_table(lift: Lift) -> str:
    """What the market paid winners more than their rivals."""
    rows = lift.table().to_dict("records")
    lines = [["log return a year more than", "range", "median", "lowest", "highest", "above 0"]]
    lines += [
        [
            row["rival"],
            row["range"],
            *(f"{row[name]:.3f}" for name in ("median", "low", "high")),
            f"{row['above']} of {row['searches']}",
        ]
        for row in rows
    ]
    return _markdown(lines)


def turns_table(lift: Lift) -> str:
    """Where the market's pay turns while the dream's rises."""
    lines = [
        [
            "search in",
            "range",
            "market's best generation",
            "dream from there",
            "market from there",
            "promised beyond paid",
        ]
    ]
    lines += [
        [
            f"{row['world_model']}, {row['search']}",
            row["range"],
            str(row["generation"]),
            f"{row['dream_gain']:+.3f}",
            f"{-row['market_loss']:+.3f}",
            f"{row['promised_beyond_paid']:+.3f}",
        ]
        for row in lift.turns().to_dict("records")
    ]
    return _markdown(lines)


def crossed_table(lift: Lift) -> str:
    """Log return a year of winners trained in one world model and judged in another."""
    judges = list(lift.crossed)
    lines = [["trained in", *(f"judged in {name}" for name in judges)]]
    lines += [
        [trainer, *(f"{row[judge]:.3f}" for judge in judges)]
        for trainer, row in lift.crossed.items()
    ]
    return _markdown(lines)


def keep(folder: Path, audit: FamilyAudit) -> None:
    """Scores as Parquet, and the audit as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    audit.scores_table().to_parquet(folder / "scores.parquet")
    (folder / "audit.json").write_text(json.dumps(audit.to_dict(), indent=1), encoding="utf-8")


def keep_lift(folder: Path, lift: Lift) -> None:
    """Curves as Parquet, and the lift as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    lift.curves().to_parquet(folder / "curves.parquet")
    (folder / "lift.json").write_text(json.dumps(lift.to_dict(), indent=1), encoding="utf-8")


def _span(pooled: Pooled) -> str:
    if pooled.units == 1:
        return f"{pooled.median:.2f}"
    return f"{pooled.median:.2f} ({pooled.low:.2f} to {pooled.high:.2f})"


def _interval(found: Agreement) -> str:
    span = found.beyond.interval
    if span is None:
        span = next(iter(found.models.values())).beyond
        return f"{span.low:.2f} to {span.high:.2f} (over policies)"
    return f"{span.low:.2f} to {span.high:.2f} ({found.beyond.units})"


def _with_floor(found: Agreement) -> str:
    floor = found.strongest_floor
    told = f"{found.beyond.median:.2f}"
    return told if floor is None else f"{told} ({found.floors_beyond[floor].median:.2f} {floor})"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rest])


if __name__ == "__main__":
    sys.exit(main())
