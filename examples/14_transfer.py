"""A market with few bars: teach it to a world model of another one, and forecast what comes next."""

import argparse
from dataclasses import replace

import numpy as np

from worldmodel_trading import FineTuneConfig, open_world_model, synthetic_candles

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--steps", type=int, default=2000, help="bars known of the new market")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

known, unseen = options.steps, 2_000
candles = synthetic_candles(seed=101, bars=known + unseen)
prices = {  # a market that moves twice as far
    name: 100.0 * (getattr(candles, name) / candles.open[0]) ** 2
    for name in ("open", "high", "low", "close")
}
candles = replace(candles, symbol="NEWUSDT", instrument=None, **prices)
late = known * 3 // 4

parent = open_world_model("default")
tuned, history = parent.fine_tune(
    candles.rows(0, late), candles.rows(late, known), FineTuneConfig(epochs=5), seed=options.seed
)
for note in history.notes:
    if not note.startswith("dreams"):
        print(note)

# The parent as it is forecasts them too, once it is told that they are its own market's.
as_it_is = replace(candles, symbol=parent.provenance.symbol)
returns = np.append(100 * np.diff(np.log(candles.close)), np.nan)
for name, model, record in (("not adapted", parent, as_it_is), ("fine-tuned", tuned, candles)):
    losses = -model.return_forecast(record).log_prob(returns)
    print(f"{name}: {np.nanmean(losses[known:]):.4f} nats a bar on {unseen} unseen bars")
print(f"dreams of {tuned.provenance.symbol} begin at {tuned.bank.close[-1]:.2f}")
