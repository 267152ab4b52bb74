"""How well rare events are found, and how well the tails of the next day are forecast.

``python -m benchmarks.stress splitting`` estimates chances by importance splitting again and again, of the synthetic
market and of the shipped world model's dreams, and holds them against very many plain paths: how often the interval
covers that, and how many plain dreams would have told as much.

``python -m benchmarks.stress tails --candles BTCUSDT-60.csv --world-model runs/seed-0/world_model …`` forecasts value at
risk and expected shortfall of the next 24 bars over the test range by each world model's dreams, by GJR-GARCH in step
with the clock, and by filtered historical simulation; Kupiec, Christoffersen and Acerbi & Székely judge.

Both print Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from worldmodel_trading.evaluation.baselines.garch import FilteredHistory, GarchModel
from worldmodel_trading.evaluation.fidelity.outlooks import DreamSimulator
from worldmodel_trading.evaluation.fidelity.subject import TEST, find_ranges
from worldmodel_trading.evaluation.horizons import Simulator
from worldmodel_trading.evaluation.results import write_results
from worldmodel_trading.evaluation.stress.conditions import Condition
from worldmodel_trading.evaluation.stress.guide import Stepper
from worldmodel_trading.evaluation.stress.splitting import (
    Sampled,
    sample_condition,
    sample_plainly,
)
from worldmodel_trading.evaluation.stress.steppers import DreamStepper, SyntheticStepper
from worldmodel_trading.evaluation.stress.tails import TailTest, day_tails
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.market.synthetic import SyntheticMarket
from worldmodel_trading.models.load import open_world_model

SYNTHETIC, DREAMS = "synthetic market", "dreams"
CONDITIONS = {
    SYNTHETIC: (
        "return < -0.16 within 24",
        "return > 0.16 within 24",
        "volatility > 0.1 within 24",
        "range > 0.22 within 24",
        "volume < 0.22 within 24",
    ),
    DREAMS: ("return < -0.15 within 24", "volatility > 0.09 within 24", "volume < 0.25 within 24"),
}
_AT_ONCE = 50_000  # plain paths
_BLIND_SEED = 1_000_003


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _arguments(given)
    torch.set_num_threads(1)
    if options.what == "splitting":
        splitting(options)
    else:
        tails(options)
    return 0


def splitting(options: argparse.Namespace) -> None:
    """Coverage and saving, a row for each condition."""
    markets: dict[str, tuple[Stepper, int]] = {
        SYNTHETIC: (SyntheticStepper(SyntheticMarket()), options.plain_synthetic),
        DREAMS: (DreamStepper(open_world_model(options.world_model[0])), options.plain_dreams),
    }
    print(
        "| market | condition | plain paths | their share | mean estimate | intervals that cover it | plain dreams ÷ dreams "
        "| effective paths |\n|---|---|---|---|---|---|---|---|"
    )
    for market, (stepper, plain) in markets.items():
        for text in CONDITIONS[market] if plain else ():
            condition = Condition.parse(text)
            met = plain_share(stepper, condition, plain)
            found = [
                sample_condition(stepper, condition, options.paths, np.random.default_rng(seed))
                for seed in range(options.repetitions)
            ]
            print(splitting_row(market, found, met, plain), flush=True)


def plain_share(stepper: Stepper, condition: Condition, paths: int) -> float:
    """Share of very many plain paths that meet a condition."""
    rng, left, met = np.random.default_rng(_BLIND_SEED), paths, 0
    while left:
        some = min(left, _AT_ONCE)
        met += sample_plainly(stepper, condition, some, rng)
        left -= some
    return met / paths


def splitting_row(market: str, found: Sequence[Sampled], share: float, plain: int) -> str:
    """A row; what plain paths are not sure of themselves widens no interval."""
    estimates = np.array([one.probability.value for one in found])
    covered = sum(one.probability.low <= share <= one.probability.high for one in found)
    spread = estimates.var(ddof=1)
    saving = share * (1.0 - share) / spread / found[0].lanes
    error = np.sqrt(share * (1.0 - share) / plain)
    effective = np.median([one.effective for one in found])
    return (
        f"| {market} | {found[0].condition} | {plain:,} | {share:.3g} ± {error:.1g} | {estimates.mean():.3g} ± "
        f"{np.sqrt(spread / len(found)):.1g} | {covered} of {len(found)} | {saving:.0f} | {effective:.0f} |"
    )


def _name(folder: Path) -> str:
    """What tells a world model from another: a run's folder, where it is one's."""
    return folder.parent.name if folder.name == "world_model" else folder.name


def tails(options: argparse.Namespace) -> None:
    """Tests of the next day's tails, a row for each simulator and level."""
    candles = open_candles(options.candles)
    models = {_name(Path(name)): open_world_model(name) for name in options.world_model}
    ranges = find_ranges(next(iter(models.values())), candles)
    simulators: dict[str, Simulator] = {
        **{f"dreams, {name}": DreamSimulator(model) for name, model in models.items()},
        "GJR-GARCH-t × clock": GarchModel.fit(candles, ranges.train),
        "filtered historical simulation": FilteredHistory.fit(candles, ranges.train),
    }
    rows = ranges.held_out[TEST]
    found = day_tails(simulators, candles, rows, seed=options.seed, paths=options.paths)
    print(tails_table(candles.symbol, found), flush=True)
    if options.save:
        write_results(options.save, {"symbol": candles.symbol, "tails": found})


def tails_table(symbol: str, found: Mapping[str, Sequence[TailTest]]) -> str:
    """The tests as Markdown."""
    lines = [
        "| market | forecast by | tail | below the value at risk | Kupiec p | Christoffersen p | Acerbi–Székely Z₂ | p | VaR "
        "[%] | ES [%] | loss of both |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, tests in found.items():
        for one in tests:
            quantile = one.quantile
            lines.append(
                f"| {symbol} | {name} | {quantile.level:.0%} | {quantile.share:.2%} of {quantile.count} | "
                f"{quantile.kupiec_p:.3f} | {quantile.christoffersen_p:.3f} | {one.statistic:+.2f} | {one.shortfall_p:.3f} | "
                f"{one.value_at_risk:.2f} | {one.shortfall:.2f} | {one.loss:.3f}{' refused' if one.refused else ''} |"
            )
    return "\n".join(lines)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stress", description=__doc__)
    parser.add_argument("what", choices=("splitting", "tails"))
    parser.add_argument("--world-model", action="append", default=[], metavar="FOLDER")
    parser.add_argument("--candles", metavar="SOURCE", help="the record (tails)")
    parser.add_argument(
        "--paths", type=int, metavar="N", help="dreams (default: 4096, and 1000 for tails)"
    )
    parser.add_argument("--repetitions", type=int, default=40, metavar="N", help="of splitting")
    parser.add_argument("--plain-synthetic", type=int, default=4_000_000, metavar="N")
    parser.add_argument("--plain-dreams", type=int, default=400_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--save", metavar="FILE", help="the tests of tails as JSON")
    options = parser.parse_args(given)
    options.paths = options.paths or (4096 if options.what == "splitting" else 1000)
    options.world_model = options.world_model or ["default"]
    return options


if __name__ == "__main__":
    sys.exit(main())
