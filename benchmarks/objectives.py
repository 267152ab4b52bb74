"""What each objective of a search buys, against holding less.

``python -m benchmarks.objectives --candles candles.csv --world-model runs/btc/world_model`` searches
with every objective, several seeds each, in dreams of the world model, and prints as Markdown what the
controllers that validation chose earned and risked in validation and test, median and range over the
seeds, each figure beside that of a constant long weight as volatile as the controller on that range.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controllers
from worldmodel_trading.agents.objectives import OBJECTIVES, Merit
from worldmodel_trading.envs.population.scorers import DreamWorkers
from worldmodel_trading.envs.population.scoring import score_replay
from worldmodel_trading.envs.recorded import RecordedMarket, latent_record, restrict
from worldmodel_trading.evaluation.seeds import SeedRange
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.sources import open_candles
from worldmodel_trading.models.world_model import WorldModel

_WORST = Merit("cvar", tail=0.1)
_WEIGHTS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Figures:
    """What a policy earned and risked on a range.

    Attributes:
        log_return: A year.
        drawdown: The maximum, as a fraction.
        worst: Mean log return of the worst tenth of windows as long as a dream.
        volatility: A year, of simple returns.
        weight: Mean weight traded to, where it is constant; 0 of others.
    """

    log_return: float
    drawdown: float
    worst: float
    volatility: float
    weight: float = 0.0


def main(given: Sequence[str] | None = None) -> int:
    """Search, score and print."""
    arguments = _arguments(given)
    torch.set_num_threads(1)
    world_model = WorldModel.from_pretrained(arguments.world_model)
    candles = open_candles(arguments.candles)
    recorded = latent_record(candles, world_model)
    made = world_model.provenance
    ranges = {
        "validation": restrict(recorded, made.train_end_ms, made.validation_end_ms),
        "test": restrict(recorded, made.validation_end_ms, None),
    }
    dreamed = world_model.recent(arguments.recent)
    rows: dict[str, list[str]] = {name: [] for name in ranges}
    with DreamWorkers(dreamed, 0) as scorer:
        for objective in arguments.objective or OBJECTIVES:
            config = replace(_config(arguments), objective=objective)
            searches = train_controllers(
                dreamed,
                config,
                searches=arguments.searches,
                seed=arguments.seed,
                validation=ranges["validation"],
                scorer=scorer,
            )
            parameters = np.array([one.controller.parameters for one in searches.trained], float)
            for name, record in ranges.items():
                rows[name].append(
                    row(objective, record, parameters, made.bars_per_year, arguments.horizon)
                )
            print(objective, file=sys.stderr, flush=True)
    print("\n".join(f"{name}\n\n{_HEADER}\n" + "\n".join(rows[name]) + "\n" for name in ranges))
    return 0


_HEADER = (
    "| objective | log return a year | of the weight | max. drawdown | of the weight | worst tenth of "
    "windows | of the weight | volatility a year | the weight |\n" + "|---" * 9 + "|"
)


def row(
    objective: str,
    recorded: RecordedMarket,
    parameters: FloatArray,
    bars_per_year: float,
    window: int,
) -> str:
    """An objective's line: its controllers [P, D + 1], and the constant weights beside them."""
    found = figures(recorded, parameters, bars_per_year, window)
    rivals = as_volatile(recorded, found, parameters.shape[1], bars_per_year, window)
    own, rival = SeedRange.of(found), SeedRange.of(rivals)
    cells = [
        text(each, name) for name in ("log_return", "drawdown", "worst") for each in (own, rival)
    ]
    return f"| `{objective}` | {' | '.join([*cells, text(own, 'volatility'), text(rival, 'weight')])} |"


def text(found: SeedRange[Figures], name: str) -> str:
    """Median and range of a figure."""
    median, low, high = (getattr(part, name) for part in (found.median, found.low, found.high))
    return f"{median:+.3f} ({low:+.3f} to {high:+.3f})"


def figures(
    recorded: RecordedMarket, parameters: FloatArray, bars_per_year: float, window: int
) -> list[Figures]:
    """What controllers [P, D + 1] earned and risked, each stretch between gaps counted by its bars."""
    scores = score_replay(recorded, parameters, BrokerConfig())
    months = score_replay(recorded, parameters, BrokerConfig(), window=window)
    bars = scores.steps.sum(axis=1)
    mean = scores.return_sum.sum(axis=1) / bars
    variance = scores.square_sum.sum(axis=1) / bars - mean**2
    columns = (
        scores.log_return.sum(axis=1) * bars_per_year / bars,
        scores.max_drawdown.max(axis=1),
        _WORST.of(months, bars_per_year),
        np.sqrt(np.maximum(variance, 0.0) * bars_per_year),
    )
    return [Figures(*numbers) for numbers in np.array(columns).T.tolist()]


def as_volatile(
    recorded: RecordedMarket,
    wanted: Sequence[Figures],
    size: int,
    bars_per_year: float,
    window: int,
) -> list[Figures]:
    """Constant long weights, each as volatile as a policy on the same range; at most 1."""
    grid = [
        one.volatility for one in figures(recorded, constant(_WEIGHTS, size), bars_per_year, window)
    ]
    weights = np.interp([one.volatility for one in wanted], grid, _WEIGHTS)
    found = figures(recorded, constant(weights, size), bars_per_year, window)
    return [replace(one, weight=float(w)) for one, w in zip(found, weights, strict=True)]


def constant(weights: FloatArray, size: int) -> FloatArray:
    """Controllers [P, D + 1] that hold a weight for ever, by their bias."""
    parameters = np.zeros((len(weights), size))
    parameters[:, -1] = np.arctanh(np.minimum(weights, 1.0 - 1e-7))
    return parameters


def _config(arguments: argparse.Namespace) -> DreamSearchConfig:
    cma_es = CMAESConfig(population=arguments.population, generations=arguments.generations)
    return DreamSearchConfig(
        cma_es,
        dreams=arguments.dreams,
        horizon=arguments.horizon,
        tail=arguments.tail,
        aversion=arguments.aversion,
    )


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.objectives", description=__doc__)
    parser.add_argument("--candles", required=True, help="a file, or synthetic")
    parser.add_argument("--world-model", type=Path, required=True, help="its folder")
    parser.add_argument("--objective", action="append", help="these alone; repeatable")
    parser.add_argument("--tail", type=float, default=Merit.tail)
    parser.add_argument("--aversion", type=float, default=Merit.aversion)
    parser.add_argument("--searches", type=int, default=5, help="seeds of each objective")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recent", type=float, default=0.25, help="as in the job run")
    parser.add_argument("--population", type=int, default=CMAESConfig.population)
    parser.add_argument("--generations", type=int, default=CMAESConfig.generations)
    parser.add_argument("--dreams", type=int, default=DreamSearchConfig.dreams)
    parser.add_argument("--horizon", type=int, default=DreamSearchConfig.horizon)
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
