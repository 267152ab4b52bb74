"""What a world model has to beat: the baselines of `evaluation/baselines/` on a record.

``python -m benchmarks.baselines --candles candles.csv --train-end 2023-07-01 --validation-end
2024-01-01`` prints, as Markdown, their mean negative log-likelihood of the next log return in percent,
and their scores of 1, 24 and 168 bars by simulated paths on the test range, HAR's subtracted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch

from worldmodel_trading.evaluation.baselines.bootstrap import BarBootstrap
from worldmodel_trading.evaluation.baselines.garch import GarchModel
from worldmodel_trading.evaluation.baselines.har import HAR
from worldmodel_trading.evaluation.baselines.scores import (
    GJR_GARCH_CLOCK,
    HAR_T,
    TITLES,
    Baselines,
    fit_baselines,
)
from worldmodel_trading.evaluation.baselines.student_t import mean_nll
from worldmodel_trading.evaluation.horizons import HorizonScores, Simulator, compare_horizons
from worldmodel_trading.market.candles import Candles

from .records import add_record, open_record

_BOOTSTRAP = "bootstrap"


def main(given: Sequence[str] | None = None) -> int:
    """Fit, score and print."""
    arguments = _arguments(given)
    torch.set_num_threads(1)
    candles = open_record(arguments)
    train = candles.row_range(None, arguments.train_end)
    ranges = {
        "validation": candles.row_range(arguments.train_end, arguments.validation_end),
        "test": candles.row_range(arguments.validation_end, None),
    }
    baselines = fit_baselines(candles, train, seed=arguments.seed)
    print(likelihoods(candles, baselines, ranges), flush=True)
    print(horizons(candles, train, ranges["test"], arguments.seed))
    return 0


def likelihoods(candles: Candles, baselines: Baselines, ranges: dict[str, tuple[int, int]]) -> str:
    """The table of one step ahead."""
    returns = 100 * candles.log_returns()
    lines = [f"| {candles.symbol} | {' | '.join(ranges)} |", "|---|" + "---|" * len(ranges)]
    for name, forecast in baselines.forecasts.items():
        scores = [
            f"{mean_nll(forecast.rows(*rows), returns[slice(*rows)]):.4f}"
            for rows in ranges.values()
        ]
        lines.append(f"| {TITLES[name]} | {' | '.join(scores)} |")
    return "\n".join([*lines, ""])


def horizons(candles: Candles, train: tuple[int, int], rows: tuple[int, int], seed: int) -> str:
    """The table of several bars ahead."""
    simulators: dict[str, Simulator] = {
        HAR_T: HAR.fit(candles, train),
        GJR_GARCH_CLOCK: GarchModel.fit(candles, train),
        _BOOTSTRAP: BarBootstrap.fit(candles.rows(*train)),
    }
    table = compare_horizons(simulators, candles, rows, seed=seed, against=HAR_T)
    lines = [
        "| bars | by | CRPS, return | CRPS, volatility | QLIKE | QLIKE minus HAR's | in 90% "
        "| below 1%, 5% | Kupiec p | Christoffersen p |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for horizon, found in table.items():
        lines += [_line(horizon, name, row) for name, row in found.items()]
    return "\n".join(lines)


def _line(horizon: int, name: str, row: HorizonScores) -> str:
    gap = row.minus["qlike"]
    cells = [
        str(horizon),
        TITLES.get(name, "stationary bootstrap of whole bars"),
        f"{row.crps_return:.4f}",
        f"{row.crps_volatility:.4f}",
        f"{row.qlike:.4f}",
        f"{gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})",
        f"{row.covered:.3f}",
        ", ".join(f"{test.share:.3f}" for test in row.var),
        ", ".join(f"{test.kupiec_p:.2f}" for test in row.var),
        ", ".join(f"{test.christoffersen_p:.2f}" for test in row.var),
    ]
    return f"| {' | '.join(cells)} |"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baselines", description=__doc__)
    add_record(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the network and the paths")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
