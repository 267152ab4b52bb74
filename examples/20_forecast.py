"""Forecast the next return with a world model, beside the floors that it must beat.

python examples/20_forecast.py --world-model runs/btc/world_model --candles BTCUSDT-60.csv

Prints the newest forecast, and the mean negative log-likelihood of the bars after training for the
model and for each floor, with the 95% interval of the difference.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from worldmodel_trading import diebold_mariano, fit_baselines, open_candles, open_world_model

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world-model", default="default", help="its folder; the one that ships")
parser.add_argument("--candles", default="synthetic", help="a file; the embedded market")
parser.add_argument("--bars", type=int, help="forecast so many after training; all when left out")
given = parser.parse_args()

torch.set_num_threads(1)  # small networks: more threads only wait for each other
model, candles = open_world_model(given.world_model), open_candles(given.candles)
first, cut = (
    int(np.searchsorted(candles.open_time_ms, time))
    for time in (model.provenance.train_start_ms, model.provenance.train_end_ms)
)
if given.bars:
    candles = candles.rows(0, cut + given.bars)

forecast = model.return_forecast(candles)  # row t: of the bar after t, from bars up to t alone
low, high = (forecast.quantile(share)[-1] for share in (0.05, 0.95))
print(
    f"next bar: deviation {forecast.volatility[-1]:.3f}%, 90% between {low:+.3f}% and {high:+.3f}%"
)

returns = 100 * candles.log_returns()[cut + 1 :]  # of the bars after training
ours = -forecast.rows(cut, len(candles) - 1).log_prob(returns)
floors = fit_baselines(candles, (first, cut), settings=model.config).forecasts
print(f"nats a bar on {len(returns):,} bars after training; world model: {ours.mean():.4f}")
differences = {}
for name, floor in floors.items():
    loss = -floor.rows(cut + 1, len(candles)).log_prob(returns)
    gap = differences[name] = diebold_mariano(ours, loss)
    print(
        f"{name}: {loss.mean():.4f}, model minus this {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
    )
beaten = [name for name, gap in differences.items() if gap.high < 0]
print(f"the world model is better than {len(beaten)} of {len(floors)} floors, beyond chance")
