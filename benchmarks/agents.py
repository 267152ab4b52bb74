"""What agents earn where the edge is known: `train` with its defaults, judged on bars nobody has seen.

``python -m benchmarks.agents`` trains each agent with several seeds in the dreams of the world model that
ships, and of its twin for the market without an edge, chooses by replay on validation as `train` does, and
plays unseen years of the synthetic market. The optimal policy, which knows the market, is the measure.

``python -m benchmarks.agents --months`` asks how many recorded bars are needed: a world model is trained
on the last months of the record alone, and agents in its dreams and in replay of the same bars.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodel_trading.agents.folder import Agent
from worldmodel_trading.agents.registry import LEARNED
from worldmodel_trading.envs.population.scoring import replay_paths
from worldmodel_trading.envs.recorded import latent_record
from worldmodel_trading.evaluation.report.text_table import aligned
from worldmodel_trading.jobs.train import train_agent
from worldmodel_trading.market.account.broker import Account
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.optimal_policy import OptimalPolicy
from worldmodel_trading.market.synthetic import SyntheticMarket, synthetic_candles
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.progress import be_quiet

YEAR = 8_760
TRAIN, VALIDATION = 18_396, 3_942  # bars, as in the model that ships
RECORD = 26_280
FIRST_YEAR = 101  # seeds of the unseen years; defaults were chosen on others, from 201 on
COST = 0.00075
MONTH = 730
_SHORT = 256  # bars of a dream or a recorded window


@dataclass(frozen=True, eq=False)
class Years:
    """Unseen years of a market, as a world model shows them.

    Attributes:
        view: What an agent sees of the market [N, T, D - 1].
        bars: What each bar does to an account [N, T, 8].
        candles: The years.
    """

    view: Any
    bars: FloatArray
    candles: tuple[Candles, ...]

    @classmethod
    def of(cls, world_model: WorldModel, edge: float, count: int) -> Years:
        """So many of them."""
        seeds = range(FIRST_YEAR, FIRST_YEAR + count)
        candles = tuple(synthetic_candles(seed=seed, bars=YEAR, edge=edge) for seed in seeds)
        paths = [replay_paths(latent_record(year, world_model))[0] for year in candles]
        view, bars = (
            np.concatenate(parts) for parts in zip(*((p.view, p.bars) for p in paths), strict=True)
        )
        return cls(view, bars, candles)

    def earned(self, act: Callable[[int, Any], FloatArray]) -> float:
        """Mean annual log return after costs of the weights [N] that ``act`` answers at each bar."""
        lanes, bars = self.bars.shape[:2]
        account = Account(lanes)
        observation = np.empty((lanes, self.view.shape[2] + 1), dtype=np.float32)
        for t in range(bars):
            observation[:, :-1] = self.view[:, t]
            account.show(observation[:, -1:])
            account.step(act(t, observation), np.ascontiguousarray(self.bars[:, t]))
        return float(np.log(account.equity).mean() * YEAR / bars)

    def of_agent(self, agent: Agent) -> float:
        """What an agent earns."""
        state: list[Any] = [None]

        def act(t: int, observation: Any) -> FloatArray:
            begins = np.full(len(observation), t == 0)
            action, state[0] = agent.predict(observation, state[0], begins, deterministic=True)
            if agent.actions == "discrete":
                return np.asarray(action, dtype=np.float64) - 1.0
            return np.clip(np.asarray(action, dtype=np.float64)[:, 0], -1.0, 1.0)

        return self.earned(act)

    def of_optimum(self, edge: float) -> float:
        """What the optimal policy earns."""
        policy = OptimalPolicy(SyntheticMarket(edge), COST)
        length = self.bars.shape[1]
        targets = np.stack([policy.targets(year)[-length - 1 : -1] for year in self.candles])
        return self.earned(lambda t, _: targets[:, t].copy())


@cache
def market(edge: float) -> tuple[WorldModel, Candles]:
    """The model that ships for the market with its edge, and its twin without; and the record."""
    candles = synthetic_candles(seed=0, bars=RECORD, edge=edge)
    if edge == 1.0:
        return WorldModel.from_pretrained("default"), candles
    parts = candles.rows(0, TRAIN), candles.rows(TRAIN, TRAIN + VALIDATION)
    return train_world_model(*parts, seed=0)[0], candles


def trained(
    agent: str, world_model: WorldModel, candles: Candles, seed: int, **settings: Any
) -> Agent:
    """An agent by `train`'s defaults, from a folder that is forgotten."""
    with tempfile.TemporaryDirectory() as folder:
        return train_agent(agent, world_model, Path(folder), candles=candles, seed=seed, **settings)


def told(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{np.median(values):+.2f} ({min(values):+.2f} to {max(values):+.2f})"


def edges(
    agents: Iterable[str], seeds: int, years: int, chosen: Iterable[float]
) -> list[list[str]]:
    """A row for each agent: what it earns with the edge and without, and how long it trained."""
    rows = [
        ["agent", "edge", "log return a year", "share of the optimum", "training [processor s]"]
    ]
    for edge in chosen:
        world_model, candles = market(edge)
        unseen = Years.of(world_model, edge, years)
        best = unseen.of_optimum(edge) if edge else 0.0
        rows.append(["optimal", f"{edge:g}", f"{best:+.2f}", "", ""])
        rows.append(
            ["hold", f"{edge:g}", f"{unseen.earned(lambda t, o: np.ones(len(o))):+.2f}", "", ""]
        )
        for agent in agents:
            earned, seconds = [], []
            for seed in range(seeds):
                start = time.process_time()
                found = trained(agent, world_model, candles, seed)
                seconds.append(time.process_time() - start)
                earned.append(unseen.of_agent(found))
                print(f"{agent}, edge {edge:g}, seed {seed}: {earned[-1]:+.3f}", flush=True)
            share = f"{np.median(earned) / best:.0%}" if edge else ""
            row = [agent, f"{edge:g}", told(earned), share, f"{max(seconds):.0f}"]
            print("  ".join(row), flush=True)
            rows.append(row)
    return rows


def months(agents: Iterable[str], seeds: int, years: int) -> list[list[str]]:
    """A row for each number of months: what agents earn that learned in dreams, and in replay.

    Dreams and recorded windows are short: a month holds no longer one once features have warmed up.
    """
    agents = tuple(agents)
    kinds = [(agent, env) for agent in agents for env in ("dream", "replay")]
    rows = [["months", *(f"{agent}, {env}" for agent, env in kinds)]]
    record = synthetic_candles(seed=0, bars=RECORD)
    for count in (1, 3, 6, 12):
        candles = record.rows(TRAIN - count * MONTH, RECORD)
        train = count * MONTH
        parts = candles.rows(0, train), candles.rows(train, train + max(train // 4, MONTH // 2))
        world_model = train_world_model(*parts, seed=0)[0]
        unseen = Years.of(world_model, 1.0, years)
        row = [str(count)]
        for agent, env in kinds:
            earned = [
                unseen.of_agent(trained(agent, world_model, candles, seed, env=env, horizon=_SHORT))
                for seed in range(seeds)
            ]
            row.append(told(earned))
        print("  ".join(row), flush=True)
        rows.append(row)
    return rows


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--agents", nargs="+", default=["ppo", "cma_es"], choices=LEARNED)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="of each agent")
    parser.add_argument("--years", type=int, default=12, metavar="N", help="unseen, to judge in")
    parser.add_argument("--edges", nargs="+", type=float, default=[1.0, 0.0], metavar="X")
    parser.add_argument("--months", action="store_true", help="by months of recorded bars")
    options = parser.parse_args()
    torch.set_num_threads(1)
    be_quiet(True)
    asked = options.agents, options.seeds, options.years
    rows = months(*asked) if options.months else edges(*asked, options.edges)
    print("\n" + "\n".join("  ".join(row) for row in aligned(rows)))


if __name__ == "__main__":
    main()
