"""Train the `paper` preset, and see what an action does to the dream.

python examples/23_paper.py --epochs 60

Ha and Schmidhuber's M hears the action. An order does not move a liquid market, so whatever an action
changes in these dreams is profit that an agent finds and the market does not pay. Prints the mean
dreamed return of a bar while long and while short, with the same chance in both, for `paper` and for
`market`, whose M hears no action.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from worldmodel_trading import (
    MarketConfig,
    PaperConfig,
    open_engine,
    synthetic_candles,
    train_world_model,
)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=20, help="of V and of M")
parser.add_argument("--bars", type=int, default=8_000, help="known of the embedded market")
parser.add_argument("--lanes", type=int, default=1_024, help="dreams of a day")
parser.add_argument("--seed", type=int, default=0)
given = parser.parse_args()

torch.set_num_threads(1)  # small networks: more threads only wait for each other
candles = synthetic_candles(bars=given.bars)
train, validation = (
    candles.rows(0, given.bars * 4 // 5),
    candles.rows(given.bars * 4 // 5, given.bars),
)
epochs = {"vae_epochs": given.epochs, "mdn_rnn_epochs": given.epochs}
presets = {
    "paper": PaperConfig(kl_warmup_epochs=min(8, given.epochs), **epochs),
    "market": MarketConfig(forecast_epochs=given.epochs, head_epochs=given.epochs, **epochs),
}


def dreamed(engine, target):
    """Log returns [lanes, 24] of dreams in which this weight is held, from one stream of chance."""
    rng = np.random.default_rng(given.seed)
    state = engine.start(rng.integers(engine.num_segments, size=given.lanes))
    held = np.full(given.lanes, target)
    return np.stack(
        [engine.step(state, held, engine.draw_noise(rng, given.lanes)) for _ in range(24)], axis=1
    )


for name, config in presets.items():
    model, _ = train_world_model(train, validation, config, seed=given.seed)
    engine = open_engine(model)
    long, short = dreamed(engine, 1.0), dreamed(engine, -1.0)
    gap = (long - short).mean(axis=1) / long.std()  # of each lane, in deviations of a bar
    error = gap.std() / np.sqrt(given.lanes)
    print(
        f"{name}: mean return of a bar {long.mean():+.4%} while long, {short.mean():+.4%} while short; "
        f"the action moves it by {gap.mean():+.4f} ± {2 * error:.4f} deviations"
    )
