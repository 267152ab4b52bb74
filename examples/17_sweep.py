"""Try settings of the world model, choose by validation alone, and see whether the choice holds.

python examples/17_sweep.py --trials 20 --workers 2
"""

from __future__ import annotations

import argparse

from worldmodel_trading import sweep

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--trials", type=int, default=10)
parser.add_argument("--epochs", type=int, help="of V and M, at most")
parser.add_argument("--workers", type=int, default=0, help="processes on the one study")
parser.add_argument("--out", default="runs/sweep-example")
given = parser.parse_args()

if __name__ == "__main__":
    found = sweep(
        {"model.hidden_size": "16:64:log", "model.learning_rate": "0.0005:0.005:log"},
        given.out,
        candles="synthetic",
        end="2020-05-01",  # the rest is left out; of this, the last part is never looked at
        vae_epochs=given.epochs,
        mdn_rnn_epochs=given.epochs,
        trials=given.trials,
        again=1,
        workers=given.workers,
        overwrite=True,
    )
    best = found["best"]
    print(f"best of {given.trials} trials, {best['value']:.4f} nats a bar: {best['arguments']}")
    print(f"with another seed {found['best_again'][0]:.4f}, as given {found['given'][1]:.4f}")
