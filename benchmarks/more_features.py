"""What a world model gains that sees more than candles: forecasts, and controllers found in its dreams.

``python -m benchmarks.more_features --candles candles.csv --funding funding.csv --start 2021-01-01
--train-end 2023-07-01 --validation-end 2024-01-01 --end 2024-07-01`` trains, for every seed, the default
and one model for each of `VARIANTS`, on the same bars, and prints the table of
``docs/more_than_candles.md`` as Markdown. Both trade with the recorded funding charged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controllers
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.opening import open_recorded
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.rollout import run_episode
from worldmodel_trading.market.account.rules import BrokerConfig
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.files.reader import read_funding
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.market.funding import FundingRates
from worldmodel_trading.market.series import with_funding
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

from .records import add_record, open_record

VARIANTS = {
    "default": (),
    "funding": ("funding",),
    "volume_profile": ("volume_profile",),
}
RANGES = ("validation", "test")
_COSTS = {"taker_fee": 0.00055, "slippage": 0.0002}
HEADER = (
    "| sees besides | return, validation | return, test | whole bar, validation | whole bar, test "
    "| controllers, validation | controllers, test |\n|---|---|---|---|---|---|---|"
)


def main(given: Sequence[str] | None = None) -> int:
    """Train and measure every variant with every seed."""
    arguments = _arguments(given)
    torch.set_num_threads(1)
    rates = read_funding(arguments.funding)
    candles = with_funding(open_record(arguments).between(None, arguments.end), rates)
    rows: list[dict[str, object]] = []
    for seed in range(arguments.seeds):
        for name in arguments.only or VARIANTS:
            row = measure(name, candles, rates, arguments, seed)
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    print(f"{candles!r}; seeds: {arguments.seeds}\n\n{table(rows)}")
    if arguments.out is not None:
        write_whole(arguments.out, json.dumps(rows, indent=2) + "\n")
    return 0


def measure(
    name: str, candles: Candles, rates: FundingRates, arguments: argparse.Namespace, seed: int
) -> dict[str, object]:
    """One model: mean −log density a bar by range, and log growth a year of each controller."""
    train_end, validation_end = arguments.train_end, arguments.validation_end
    parts = (candles.between(None, train_end), candles.between(train_end, validation_end))
    config = MarketConfig.for_interval(candles.interval, features=VARIANTS[name])
    model, _ = train_world_model(*parts, config, seed=seed)
    rows = {
        "validation": candles.row_range(train_end, validation_end),
        "test": candles.row_range(validation_end, None),
    }
    made: dict[str, object] = {"variant": name, "seed": seed}
    returns, whole = model.bar_log_prob_parts(candles)[:, 0], model.bar_log_prob(candles)  # type: ignore[attr-defined]
    for label, (first, last) in rows.items():
        made[f"return_{label}"] = float(-np.nanmean(returns[first - 1 : last - 1]))
        made[f"whole_{label}"] = float(-np.nanmean(whole[first - 1 : last - 1]))
    for label, grown in _controllers(model, candles, rates, arguments, seed).items():
        made[f"growth_{label}"] = grown
    return made


def _controllers(
    model: WorldModel,
    candles: Candles,
    rates: FundingRates,
    arguments: argparse.Namespace,
    seed: int,
) -> dict[str, list[float]]:
    """Log growth a year of the controllers of several searches, as the main job searches."""
    dreamed = model.recent(0.25)
    starts = {"validation": arguments.train_end, "test": arguments.validation_end}
    ends = {"validation": arguments.validation_end, "test": None}
    chosen_by = open_recorded(
        candles, dreamed, starts["validation"], ends["validation"], rates, 0.0
    )
    found = train_controllers(
        dreamed,
        DreamSearchConfig(CMAESConfig(generations=arguments.generations)),
        BrokerConfig.from_settings(**_COSTS),
        searches=arguments.searches,
        seed=seed,
        funding=DreamFunding(rates, dreamed),
        validation=chosen_by,
    )
    grown: dict[str, list[float]] = {label: [] for label in RANGES}
    for label in RANGES:
        replay = BybitReplayEnv(
            candles, dreamed, starts[label], ends[label], episode_length=None, random_start=False,
            funding=rates, **_COSTS,
        )  # fmt: skip
        for one in found.trained:
            record = run_episode(replay, one.controller)
            years = len(record.reward) / candles.bars_per_year
            grown[label].append(float(np.sum(record.reward)) / years)
    return grown


def table(rows: list[dict[str, object]]) -> str:
    """Medians and ranges as Markdown; those of the others as differences from the default's, by seed."""
    lines = [HEADER]
    names = list(dict.fromkeys(str(row["variant"]) for row in rows))
    by_place = {(row["variant"], row["seed"]): row for row in rows}
    for name in names:
        cells = []
        for measured in ("return", "whole"):
            for label in RANGES:
                key = f"{measured}_{label}"
                values = np.array([row[key] for row in rows if row["variant"] == name], dtype=float)
                if name != names[0]:
                    seeds = [row["seed"] for row in rows if row["variant"] == name]
                    values -= np.array([by_place[names[0], seed][key] for seed in seeds], float)
                cells.append(_cell(values, "+.4f" if name != names[0] else ".4f"))
        for label in RANGES:
            key = f"growth_{label}"
            grown = [row[key] for row in rows if row["variant"] == name]
            cells.append(_cell(np.concatenate(grown), "+.2f"))  # type: ignore[arg-type]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: np.ndarray, shown: str) -> str:
    low, high = values.min(), values.max()
    return f"{np.median(values):{shown}} ({low:{shown}} … {high:{shown}})"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.more_features", description=__doc__)
    add_record(parser)
    parser.add_argument("--end", help="end of the test range, ISO time")
    parser.add_argument("--funding", type=Path, required=True, help="file of recorded rates")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--searches", type=int, default=3, help="of each model")
    parser.add_argument("--generations", type=int, default=60)
    parser.add_argument("--only", action="append", choices=tuple(VARIANTS))
    parser.add_argument("--out", type=Path, help="JSON file of all rows")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
