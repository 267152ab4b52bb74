"""What regimes tell: the truth on the synthetic market, the next day on a recorded one.

``python -m benchmarks.regimes`` prints the tables of ``docs/regimes.md`` as Markdown; the second for
``--world-model FOLDER …`` of one market and its ``--candles``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from worldmodel_trading.evaluation.regimes.controls import (
    RANDOM_ENCODER,
    RAW_FEATURES,
    TERCILES,
    believed_by,
    last_day,
    terciles,
)
from worldmodel_trading.evaluation.regimes.outcomes import Explained, explained
from worldmodel_trading.evaluation.regimes.staying import stay_in_regime
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.regimes.regimes import Regimes
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

PATHS = (11, 12, 13)
TRUE = 4  # regimes of the synthetic market
COUNT = 3  # of regimes on a recorded market, as many as there are terciles


def main(given: Sequence[str] | None = None) -> int:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regimes", description=__doc__)
    parser.add_argument("--world-model", nargs="+", default=[], metavar="FOLDER")
    parser.add_argument("--candles", help="their market's record")
    parser.add_argument("--seeds", type=int, default=3, help="world models of the synthetic market")
    parser.add_argument("--bars", type=int, default=20_000, help="of each unseen synthetic path")
    parser.add_argument("--stay", action="store_true", help="how long the first one's dreams stay")
    parser.add_argument("--count", type=int, default=COUNT, help="regimes of a recorded market")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    if arguments.stay:
        model = open_world_model(arguments.world_model[0])
        print(stay_table(model, open_candles(arguments.candles), arguments.count))
    elif arguments.world_model:
        models = [open_world_model(folder) for folder in arguments.world_model]
        print(recorded_table(models, open_candles(arguments.candles), arguments.count))
    else:
        print(synthetic_table(arguments.seeds, arguments.bars))
    return 0


def synthetic_table(seeds: int, bars: int) -> str:
    """Adjusted Rand index against the true regimes on unseen paths, filtered, by world model."""
    record = synthetic_candles()
    lines = [
        "| world model | number chosen | of that number | of four | four, mixture without memory | four, raw "
        "features | four, random encoder | the market's own filter |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for seed in range(seeds):
        model = open_world_model("default") if seed == 0 else _trained(record, seed)
        chosen = Regimes.fit(model, record)
        four = Regimes.fit(model, record, count=TRUE, bootstraps=0)
        mixture = Regimes.fit(model, record, count=TRUE, method="mixture", bootstraps=0)
        fits = (chosen, four, mixture)
        rows = [_path(model, record, fits, path, bars, seed) for path in PATHS]
        cells = [
            f"{np.mean(c):.3f} ({min(c):.3f} to {max(c):.3f})" for c in zip(*rows, strict=True)
        ]
        tried = ", ".join(f"{each.count}: {each.stability:.2f}" for each in chosen.trials)
        lines.append(f"| seed {seed} | {len(chosen)} ({tried}) | {' | '.join(cells)} |")
        print(lines[-1], "; ".join(four.names), file=sys.stderr, flush=True)
    return "\n".join(lines)


def _trained(record: Candles, seed: int) -> WorldModel:
    made = open_world_model("default").provenance
    train = record.between(made.train_start_ms, made.train_end_ms)
    validation = record.between(made.validation_start_ms, made.validation_end_ms)
    return train_world_model(train, validation, seed=seed)[0]


def _path(
    model: WorldModel,
    record: Candles,
    fits: Sequence[Regimes],
    seed: int,
    bars: int,
    control_seed: int,
) -> list[float]:
    market = SyntheticMarket()
    candles, truth = market.sample(bars, seed=seed, start="2030-01-01")
    labels = [fit.classify(model, candles) for fit in fits]
    known = labels[0] >= 0
    both = _joined(record, candles)
    for kind in (RAW_FEATURES, RANDOM_ENCODER):
        believed = believed_by(kind, model, both, TRUE, control_seed)[-bars:]
        labels.append(np.nan_to_num(believed).argmax(axis=1))
    labels.append(market.filter(candles).argmax(axis=1))
    return [float(adjusted_rand_score(truth[known], found[known])) for found in labels]


def _joined(first: Candles, second: Candles) -> Candles:
    """Two records of one market with a gap between them."""
    from dataclasses import replace

    names = ("open_time_ms", "open", "high", "low", "close", "volume", "turnover")
    columns = {n: np.concatenate([getattr(first, n), getattr(second, n)]) for n in names}
    return replace(first, **columns)  # type: ignore[arg-type]


def recorded_table(models: Sequence[WorldModel], candles: Candles, count: int) -> str:
    """R² of the next day's log volatility and log drawdown after the validation range."""
    found: dict[str, list[Explained]] = {}
    for seed, model in enumerate(models):
        for name, known in _known(model, candles, count, seed).items():
            made = model.provenance
            fitted = (made.train_start_ms, made.train_end_ms)
            scored = (made.validation_end_ms, int(candles.open_time_ms[-1]) + 1)
            found.setdefault(name, []).append(explained(known, candles, fitted, scored))
    head = [
        "| known at the close | next day's volatility, R² | next day's drawdown, R² |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *(_line(name, each) for name, each in found.items())])


def stay_table(model: WorldModel, candles: Candles, count: int) -> str:
    """The chance that dreams begun in a regime stay there, and what staying leaves of 4,096 paths."""
    regimes = Regimes.fit(model, candles, count=count, bootstraps=0)
    lines = [
        "| regime | bars | chance to stay | effective paths | deviation, a bar |",
        "|---|---|---|---|---|",
    ]
    for name in regimes.names:
        for bars in (24, 72):
            found = stay_in_regime(model, regimes, name, bars=bars, paths=4096)
            chance = found.probability
            lines.append(
                f"| {name} | {bars} | {chance.value:.3f} ({chance.low:.3f} to {chance.high:.3f}) "
                f"| {found.effective:,.0f} | {100 * found.bars[..., 0].std():.2f}% |"
            )
    return "\n".join(lines)


def _known(model: WorldModel, candles: Candles, count: int, seed: int) -> dict[str, FloatArray]:
    made = model.provenance
    regimes = Regimes.fit(model, candles, count=count, seed=seed, bootstraps=0)
    mixture = Regimes.fit(model, candles, count=count, seed=seed, method="mixture", bootstraps=0)
    believed = regimes.filter(model, candles)
    return {
        "regimes, probabilities": believed,
        "regimes, the likeliest alone": _dummies(believed),
        "mixture, no memory": mixture.filter(model, candles),
        RAW_FEATURES: believed_by(RAW_FEATURES, model, candles, count, seed),
        RANDOM_ENCODER: believed_by(RANDOM_ENCODER, model, candles, count, seed),
        TERCILES: terciles(candles, made.train_start_ms, made.train_end_ms),
        "the last day's volatility, a line": last_day(candles),
        "z, a line": model.heard(model.latents(candles).z).astype(np.float64),
    }


def _dummies(believed: FloatArray) -> FloatArray:
    dummies: FloatArray = np.eye(believed.shape[1])[np.nan_to_num(believed).argmax(axis=1)]
    dummies[np.isnan(believed).any(axis=1)] = np.nan
    return dummies


def _line(name: str, found: Sequence[Explained]) -> str:
    cells = []
    for part in ("volatility", "drawdown"):
        values = [getattr(each, part) for each in found]
        middle = float(np.median([each.value for each in values]))
        seeds = f"{min(v.value for v in values):.3f} to {max(v.value for v in values):.3f}"
        ends = f"{min(v.low for v in values):.3f} to {max(v.high for v in values):.3f}"
        cells.append(f"{middle:.3f} ({seeds}; interval {ends})")
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
