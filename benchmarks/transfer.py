"""Is one world model of several symbols better than one of each?

``python -m benchmarks.transfer --record BTCUSDT-60.csv:2020-04-01 --record ETHUSDT-60.csv:2021-03-15
--train-end 2023-07-01 --validation-end 2024-01-01 --seeds 3 --out folder`` trains both for every seed,
keeps them in the folder, takes those that are there already, and prints the table of
``docs/transfer.md`` as Markdown: mean losses of the next return [nats], median and range over seeds, and
the difference of the means over seeds with a 95% interval (Diebold–Mariano).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodel_trading.evaluation.loss_tests import diebold_mariano
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.models.joint_world_model import JointWorldModel, is_joint
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

HEADER = "| symbol | range | alone | joint | joint minus alone |\n|---|---|---|---|---|"


def main(given: Sequence[str] | None = None) -> int:
    """Train what is missing, and measure."""
    arguments = _arguments(given)
    torch.set_num_threads(1)
    records = [_record(text) for text in arguments.record]
    cuts = arguments.train_end, arguments.validation_end
    seeds = range(arguments.seeds)
    joint = [_joint(records, cuts, seed, arguments.out) for seed in seeds]
    print(HEADER, flush=True)
    for candles in records:
        alone = [_alone(candles, cuts, seed, arguments.out) for seed in seeds]
        together = [one.of(candles.symbol) for one in joint]
        test = arguments.test_start or arguments.validation_end
        ranges = {"validation": cuts, "test": (test, None)}
        for name, (start, end) in ranges.items():
            rows = candles.row_range(start, end)
            print(row_text(candles.symbol, name, *(
                np.stack([losses(one, candles, rows) for one in models])
                for models in (alone, together)
            )), flush=True)  # fmt: skip
    return 0


def _record(text: str) -> Candles:
    """A file and its first bar, as ``FILE:TIME``."""
    file, _, start = text.partition(":")
    return open_candles(file).between(start or None, None)


def _cut(candles: Candles, cuts: tuple[str, str]) -> tuple[Candles, Candles]:
    return candles.between(None, cuts[0]), candles.between(*cuts)


def _joint(
    records: Sequence[Candles], cuts: tuple[str, str], seed: int, out: Path
) -> JointWorldModel:
    folder = out / f"joint-{seed}"
    if not is_joint(folder):
        trains, validations = zip(*(_cut(candles, cuts) for candles in records), strict=True)
        made, _ = train_world_model(list(trains), list(validations), seed=seed)
        made.save_pretrained(folder)
    return JointWorldModel.from_pretrained(folder)


def _alone(candles: Candles, cuts: tuple[str, str], seed: int, out: Path) -> WorldModel:
    folder = out / f"{candles.symbol}-{seed}"
    if not folder.is_dir():
        made, _ = train_world_model(*_cut(candles, cuts), seed=seed)
        made.save_pretrained(folder)
    return WorldModel.from_pretrained(folder)


def losses(world_model: WorldModel, candles: Candles, rows: tuple[int, int]) -> FloatArray:
    """-log p of each return of the rows [T], percent."""
    returns = 100 * candles.log_returns()[slice(*rows)]
    forecast = world_model.return_forecast(candles).rows(rows[0] - 1, rows[1] - 1)
    found: FloatArray = -forecast.log_prob(returns)
    return found


def row_text(symbol: str, name: str, alone: FloatArray, joint: FloatArray) -> str:
    """One line of the table, from losses [seeds, T] of both."""
    kept: Any = np.isfinite(alone).all(axis=0) & np.isfinite(joint).all(axis=0)
    gap = diebold_mariano(joint[:, kept].mean(axis=0), alone[:, kept].mean(axis=0))
    cells = [_spread(side[:, kept].mean(axis=1)) for side in (alone, joint)]
    cells.append(f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})")
    return f"| {symbol} | {name} | {' | '.join(cells)} |"


def _spread(nll: FloatArray) -> str:
    return f"{np.median(nll):.4f} ({nll.min():.4f}–{nll.max():.4f})"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parser.add_argument(
        "--record", action="append", required=True, metavar="FILE:TIME", help="and its first bar"
    )
    parser.add_argument("--train-end", required=True, metavar="TIME")
    parser.add_argument("--validation-end", required=True, metavar="TIME")
    parser.add_argument("--test-start", metavar="TIME", help="if later than --validation-end")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--out", type=Path, required=True, help="folder of the world models")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
