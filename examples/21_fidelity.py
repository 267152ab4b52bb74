"""How like the market are the dreams? Every measure, with its goal, met or missed.

python examples/21_fidelity.py --out runs/fidelity-example

Prints the table of goals and how many were met; the folder gets the page.
"""

from __future__ import annotations

import argparse

import torch

from worldmodel_trading import (
    fidelity_summary,
    measure_fidelity,
    open_candles,
    open_world_model,
    write_fidelity,
)
from worldmodel_trading.evaluation import FidelityConfig

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world-model", default="default", help="its folder; the one that ships")
parser.add_argument("--candles", default="synthetic", help="of its market; the embedded one")
parser.add_argument("--dreams", type=int, default=256)
parser.add_argument("--bars", type=int, default=720, help="of each dream")
parser.add_argument("--controllers", type=int, default=200, help="that dream and replay rank")
parser.add_argument("--out", default="runs/fidelity-example")
given = parser.parse_args()

torch.set_num_threads(1)  # small networks: more threads only wait for each other
config = FidelityConfig(
    num_dreams=given.dreams,
    bars=given.bars,
    decay_dreams=min(128, given.dreams),
    controllers=given.controllers,
    rank_dreams=given.dreams,
    outlook_paths=min(128, given.dreams),
)
measured = measure_fidelity(
    open_world_model(given.world_model), open_candles(given.candles), config
)
print(fidelity_summary(measured.results))
goals = [goal for goal in measured.results.goals if goal.met is not None]
print(f"{sum(goal.met for goal in goals)} of {len(goals)} goals met")
_, page = write_fidelity(given.out, measured)
print(f"the page: {page}")
