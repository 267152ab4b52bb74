"""A feature of your own, without editing the package: a column that you compute from the bars.

python examples/26_own_feature.py --bars 12000 --epochs 12

What is known at a bar's close can be a column of the candles, and a world model sees it by name, beside
the groups that come with the package (`funding`, `volume_profile`). Prints the mean negative
log-likelihood of the last fifth of the bars without the feature and with it, and whether it helped.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch

from worldmodel_trading import (
    MarketConfig,
    diebold_mariano,
    synthetic_candles,
    train_world_model,
)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--bars", type=int, default=6_000, help="of the embedded market")
parser.add_argument("--seed", type=int, default=0)
given = parser.parse_args()


def close_in_range(candles):
    """Where each close lies in the last day's range, 0 to 1; NaN while there is no day."""
    made = np.full(len(candles), np.nan)
    for row in range(23, len(candles)):
        day = slice(row - 23, row + 1)  # up to this bar, and no further
        low, high = candles.low[day].min(), candles.high[day].max()
        made[row] = (candles.close[row] - low) / max(high - low, 1e-12)
    return made


torch.set_num_threads(1)  # small networks: more threads only wait for each other
candles = synthetic_candles(bars=given.bars)
candles = replace(candles, columns={"close_in_range": close_in_range(candles)})
cuts = [int(share * len(candles)) for share in (0.0, 0.6, 0.8)]
returns = 100 * candles.log_returns()[cuts[2] + 1 :]

epochs = dict.fromkeys(
    ("forecast_epochs", "vae_epochs", "mdn_rnn_epochs", "head_epochs"), given.epochs
)
losses = {}
for name, features in (
    ("without", ()),
    ("with", ("volume_profile", "column:close_in_range:lag=0")),
):
    config = MarketConfig.for_interval(candles.interval, features=features, **epochs)
    model, _ = train_world_model(
        candles.rows(*cuts[:2]), candles.rows(*cuts[1:]), config, seed=given.seed
    )
    forecast = model.return_forecast(candles).rows(cuts[2], len(candles) - 1)
    losses[name] = -forecast.log_prob(returns)
    print(f"{name}: {losses[name].mean():.4f} nats a bar on {len(returns)} unseen bars")

gap = diebold_mariano(losses["with"], losses["without"])
helped = (
    "helped" if gap.high < 0 else "harmed" if gap.low > 0 else "made no difference beyond chance"
)
print(f"the features {helped}: {gap.value:+.4f} nats ({gap.low:+.4f} to {gap.high:+.4f}), one seed")
