"""What the synthetic market looks like, what can be earned there, how far a model is from its truth.

``python -m benchmarks.synthetic`` prints the tables of ``docs/synthetic.md`` as Markdown;
``--world-model FOLDER`` measures another than the one that ships.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.stats import kurtosis, rankdata
from scipy.stats import t as student_t

from worldmodel_trading.evaluation.fidelity.subject import find_ranges
from worldmodel_trading.evaluation.likelihood import fit_student
from worldmodel_trading.evaluation.loss_tests import LossDifference
from worldmodel_trading.evaluation.performance import sharpe_ratio
from worldmodel_trading.evaluation.truth import distance_to_truth
from worldmodel_trading.evaluation.untrained import with_untrained_memory
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.optimal_policy import OptimalPolicy
from worldmodel_trading.market.synthetic import (
    MixtureDensity,
    SyntheticMarket,
    synthetic_candles,
)
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.world_model import WorldModel

COST = 0.00075  # taker fee 0.055% and slippage 0.02%
YEAR = 8_760  # hours
SEEDS = 10
_LAGS = (1, 24, 168)
_EDGES = (0.5, 1.5, 2.0)


class ForgetfulMarket(SyntheticMarket):
    """The synthetic market as it looks to one who knows its laws and its clock, not its regime."""

    def filter(self, candles: Candles) -> FloatArray:
        """The long-run share of each regime, whatever came before [T, R]."""
        return np.repeat(self.stationary[None], len(candles), axis=0)


def main(given: Sequence[str] | None = None) -> int:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.synthetic", description=__doc__)
    parser.add_argument("--world-model", default="default", help="folder, or default")
    names = ("path", "policies", "distance")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="paths of three years each")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    tables: dict[str, Callable[[], str]] = {
        "path": lambda: path_table(arguments.seeds),
        "policies": lambda: policy_table(arguments.seeds),
        "distance": lambda: distance_table(open_world_model(arguments.world_model)),
    }
    for name in arguments.only:
        print(tables[name](), end="\n\n", flush=True)
    return 0


def path_table(seeds: int) -> str:
    """Facts of a path and likelihoods of its returns, means over seeds."""
    facts = [_path_facts(seed) for seed in range(seeds)]
    lines = [f"| {name} | {np.mean([each[name] for each in facts]):.3f} |" for name in facts[0]]
    return "\n".join(["| means of paths | |", "|---|---|", *lines])


def _path_facts(seed: int) -> dict[str, float]:
    market = SyntheticMarket()
    candles, regimes = market.sample(seed=seed)
    returns = 100 * candles.log_returns()[1:]
    size = np.abs(returns)
    ranks = [rankdata(values) for values in (candles.volume[1:], size)]
    top = np.maximum(candles.open, candles.close)
    filtered = market.filter(candles)
    fitted = fit_student(returns)
    heavy = student_t.logpdf(returns, fitted.degrees, fitted.loc, fitted.scale)
    return {
        "annual volatility": returns.std() * np.sqrt(YEAR) / 100,
        "excess kurtosis": float(kurtosis(returns)),
        **{
            f"autocorrelation of absolute returns, lag {lag}": _correlation(size[:-lag], size[lag:])
            for lag in _LAGS
        },
        "rank correlation of volume and absolute return": _correlation(*ranks),
        "share of bars without an upper wick": float((candles.high == top).mean()),
        "share of bars whose regime the filter names": float(
            (filtered.argmax(axis=1) == regimes).mean()
        ),
        "mean negative log density of the next return in percent: the truth": _nll(
            market.return_density(candles), returns
        ),
        "the truth without drift": _nll(SyntheticMarket(0.0).return_density(candles), returns),
        "regimes unknown, clock known": _nll(ForgetfulMarket().return_density(candles), returns),
        "Student-t, fitted": float(-heavy.mean()),
    }


def _correlation(one: FloatArray, two: FloatArray) -> float:
    return float(np.corrcoef(one, two)[0, 1])


def _nll(density: MixtureDensity, returns: FloatArray) -> float:
    return float(-density.log_prob(np.append(returns, 0.0))[:-1].mean())


def policy_table(seeds: int) -> str:
    """What policies earn in single years under costs, and the best one where the edge is another."""
    kelly = OptimalPolicy(SyntheticMarket(), 0.0)
    policies: list[tuple[str, float, Callable[[Candles], FloatArray]]] = [
        ("optimal under costs", 1.0, _optimal(1.0)),
        ("Kelly, blind to costs", 1.0, kelly.targets),
        ("momentum, 168 bars", 1.0, lambda candles: _momentum(candles, 168)),
        ("momentum, 24 bars", 1.0, lambda candles: _momentum(candles, 24)),
        ("hold", 1.0, lambda candles: np.ones(len(candles))),
        *((f"optimal, edge {edge:g}", edge, _optimal(edge)) for edge in _EDGES),
    ]
    lines = [
        "| policy | annual log return, mean (10%–90%) | Sharpe, mean (10%–90%) "
        "| mean trade per bar, of equity |",
        "|---|---|---|---|",
    ]
    for name, edge, targets in policies:
        paths = [synthetic_candles(seed, edge=edge) for seed in range(seeds)]
        years = np.concatenate([_years(path, targets(path)) for path in paths])
        growth, sharpe = (_mean_and_span(years[:, column]) for column in (0, 1))
        lines.append(f"| {name} | {growth} | {sharpe} | {years[:, 2].mean():.3f} |")
    return "\n".join(lines)


def _optimal(edge: float) -> Callable[[Candles], FloatArray]:
    return OptimalPolicy(SyntheticMarket(edge), COST).targets


def _momentum(candles: Candles, bars: int) -> FloatArray:
    log_close = np.log(candles.close)
    return np.sign(np.append(np.zeros(bars), log_close[bars:] - log_close[:-bars]))


def _years(candles: Candles, targets: FloatArray) -> FloatArray:
    """Log growth, Sharpe ratio and mean trade of each year [years, 3]; costs are paid bar by bar."""
    growth, traded, weight = [], [], 0.0
    moves = np.expm1(np.diff(np.log(candles.close)))
    for target, move in zip(targets[:-1], moves, strict=True):
        traded.append(abs(target - weight))
        growth.append(np.log((1 - COST * traded[-1]) * (1 + target * move)))
        weight = target * (1 + move) / (1 + target * move)
    years = []
    for first in range(0, len(growth) - YEAR + 2, YEAR):
        year = np.array(growth[first : first + YEAR])
        sharpe = sharpe_ratio(np.expm1(year), YEAR)
        years.append([year.sum(), float(sharpe), np.mean(traded[first : first + YEAR])])
    return np.array(years)


def _mean_and_span(values: FloatArray) -> str:
    low, high = np.quantile(values, [0.1, 0.9])
    return f"{values.mean():.2f} ({low:.2f} – {high:.2f})".replace("-", "−")


def distance_table(world_model: WorldModel) -> str:
    """Distances from the truth on the last range that the world model was not trained on."""
    candles = synthetic_candles()
    rows = find_ranges(world_model, candles).last
    rivals: dict[str, WorldModel | SyntheticMarket] = {
        "the world model": world_model,
        "the same V, M of random weights": with_untrained_memory(world_model, 0),
        "regimes unknown, all else known": ForgetfulMarket(),
    }
    found = {name: distance_to_truth(rival, candles, rows) for name, rival in rivals.items()}
    parts = list(found["the world model"])
    head = f"| distance from the truth [nats] | {' | '.join(parts).replace('_', ' ')} |"
    lines = [
        f"| {name} | {' | '.join(_gap(gaps[part]) for part in parts)} |"
        for name, gaps in found.items()
    ]
    return "\n".join([head, "|---|" + "---|" * len(parts), *lines])


def _gap(gap: LossDifference) -> str:
    return f"{gap.value:.3f} ({gap.low:.3f} to {gap.high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
