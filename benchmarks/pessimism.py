"""What dreams of several members, and pessimism about what they disagree on, are worth to an agent.

``python -m benchmarks.pessimism --candles candles.csv --train-end 2023-07-01
--validation-end 2024-01-01`` prints the table of ``docs/engine.md`` as Markdown: the same search in
dreams of one world model, of several trained from other seeds, and of several with pessimism, judged
in replay. Each world model leads once, with a seed of the search of its own: medians and ranges are
over those. Beside it stands what holding less would have earned: at the mean |weight| of each
controller, constantly.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from worldmodel_trading.agents.cma_es import CMAESConfig
from worldmodel_trading.agents.dream_search import DreamSearchConfig, train_controller
from worldmodel_trading.agents.rules.constant import ConstantWeight, buy_and_hold
from worldmodel_trading.envs.dream_funding import DreamFunding
from worldmodel_trading.envs.opening import open_recorded
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.evaluation.policy import Policy
from worldmodel_trading.evaluation.rollout import chain_episodes, run_episode
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.files.writer import write_whole
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.drift import with_drift
from worldmodel_trading.models.presets import default_config
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel

from .records import add_record, open_record

VENUES = ("validation", "test")
HEADER = (
    "| dreams | log return, validation | log return, test | Sharpe, test | mean abs. weight, test "
    "| a constant weight of that size, test |\n|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Outcome:
    """How a policy did in a range: log return, annual Sharpe ratio, mean |weight|."""

    log_return: float
    sharpe: float
    weight: float


def main(given: Sequence[str] | None = None) -> int:
    """Train and judge whatever is asked for."""
    arguments = _arguments(given)
    torch.set_num_threads(1)
    record = _Record(open_record(arguments), arguments.train_end, arguments.validation_end)
    rows: dict[str, list[dict[str, Any]]] = {}
    members = _members(record, arguments)
    for seed in range(len(members)):
        family = _led_by(seed, members)
        for name, world_model, pessimism in _dreams(family, arguments):
            row = _searched(record, world_model, pessimism, seed, arguments)
            rows.setdefault(name, []).append(row)
            print(f"seed {seed}, {name}: {json.dumps(row)}", file=sys.stderr, flush=True)
    print(f"{record.candles!r}\n\n{HEADER}")
    for name, found in rows.items():
        print(row_text(name, found))
    print(holding_text(record))
    if arguments.out is not None:
        write_whole(arguments.out, json.dumps(rows, indent=2) + "\n")
    return 0


class _Record:
    """The ranges, and what a policy makes of those that come after training."""

    def __init__(self, candles: Candles, train_end: str, validation_end: str) -> None:
        self.candles = candles
        self.train = candles.between(None, train_end)
        self.validation = candles.between(train_end, validation_end)
        self.ranges = {"validation": (train_end, validation_end), "test": (validation_end, None)}

    def judged(
        self, policy: Policy, venue: str, world_model: BarWorldModel | None = None
    ) -> Outcome:
        """Replay of a whole range, one episode for each stretch without a gap."""
        env = BybitReplayEnv(
            self.candles,
            world_model,
            *self.ranges[venue],
            episode_length=None,
            random_start=False,
        )
        times = env.recorded.candles.open_time_ms
        starts = (int(times[row]) for row in env.recorded.starts(None))
        records = [run_episode(env, policy, options={"start": time}) for time in starts]
        found = chain_episodes(records, self.candles.bars_per_year)
        held = float(np.abs(found.weight).mean())
        return Outcome(found.performance.log_return, found.performance.sharpe, held)


def _members(record: _Record, arguments: argparse.Namespace) -> list[BarWorldModel]:
    """World models of the training range, each from a seed of its own; dreams begin late in it."""
    if arguments.world_models:
        made = [WorldModel.from_pretrained(folder) for folder in arguments.world_models]
    else:
        config = default_config(record.candles.interval, "market")
        made = [
            train_world_model(record.train, record.validation, config, seed=seed)[0]
            for seed in range(arguments.members)
        ]
    return [cast(BarWorldModel, one).recent(0.25) for one in made]


def _led_by(leader: int, members: Sequence[BarWorldModel]) -> BarWorldModel:
    """All of them as one world model, whose z and h are the leader's."""
    first, *others = (*members[leader:], *members[:leader])
    parts = (first.config, first.provenance, first.scaler, first.vae, first.mdn_rnn, first.bank)
    return BarWorldModel(*parts, others=others)


def _dreams(
    family: BarWorldModel, arguments: argparse.Namespace
) -> Iterator[tuple[str, BarWorldModel, float]]:
    """Name, world model and λ of each search."""
    alone = family.remembering(family.mdn_rnn)
    yield "one member", cast(BarWorldModel, with_drift(alone, arguments.drift)), 0.0
    members = cast(BarWorldModel, with_drift(family, arguments.drift))
    for pessimism in arguments.pessimism:
        name = f"{len(family.members)} members, λ = {pessimism:g}"
        yield name, members, pessimism


def _searched(
    record: _Record,
    world_model: BarWorldModel,
    pessimism: float,
    seed: int,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """What a search in these dreams finds, and what it is worth in replay."""
    config = DreamSearchConfig(
        CMAESConfig(population=arguments.population, generations=arguments.generations),
        dreams=arguments.dreams,
        horizon=arguments.horizon,
        pessimism=pessimism,
    )
    controller, _ = train_controller(
        world_model,
        config,
        seed=seed,
        funding=DreamFunding(None, world_model),
        validation=open_recorded(record.candles, world_model, *record.ranges["validation"]),
    )
    row: dict[str, Any] = {}
    for venue in VENUES:
        found = record.judged(controller, venue, world_model)
        less = record.judged(ConstantWeight(min(found.weight, 1.0)), venue)
        row[venue] = {**vars(found), "constant": less.log_return, "constant_sharpe": less.sharpe}
    return row


def row_text(name: str, found: Sequence[dict[str, Any]]) -> str:
    """One line of the Markdown table: medians over seeds, and ranges."""
    cells = [
        _spread([row["validation"]["log_return"] for row in found], "+.2f"),
        _spread([row["test"]["log_return"] for row in found], "+.2f"),
        _spread([row["test"]["sharpe"] for row in found], "+.2f"),
        _spread([row["test"]["weight"] for row in found], ".2f"),
        _spread([row["test"]["constant"] for row in found], "+.2f"),
    ]
    return f"| {name} | {' | '.join(cells)} |"


def holding_text(record: _Record) -> str:
    """The line of a position that is bought and held."""
    validation, test = (record.judged(buy_and_hold(), venue) for venue in VENUES)
    numbers = f"{validation.log_return:+.2f} | {test.log_return:+.2f} | {test.sharpe:+.2f}"
    return f"| holding | {numbers} | {test.weight:.2f} | {test.log_return:+.2f} |"


def _spread(values: Sequence[float], form: str) -> str:
    low, middle, high = np.min(values), np.median(values), np.max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pessimism", description=__doc__)
    add_record(parser)
    parser.add_argument("--drift", default="recorded", help="of dreams: recorded, zero or a number")
    parser.add_argument("--members", type=int, default=3, help="world models to train")
    parser.add_argument(
        "--world-models", type=Path, nargs="*", help="their folders, where they are trained already"
    )
    parser.add_argument("--pessimism", type=float, nargs="*", default=[0.0, 0.5, 1.0, 2.0])
    parser.add_argument("--population", type=int, default=64)
    parser.add_argument("--generations", type=int, default=60)
    parser.add_argument("--dreams", type=int, default=64, help="that score each candidate")
    parser.add_argument("--horizon", type=int, default=720, help="bars of a dream")
    parser.add_argument("--out", type=Path, help="also write the outcomes as JSON")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
