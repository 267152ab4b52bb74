"""Train a world model that sees a column of your own CSV, and dream of it.

python examples/18_own_column.py --out model    # then WorldModelDream-v0 takes the folder
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from worldmodel_trading import (
    MarketConfig,
    open_candles,
    synthetic_candles,
    train_world_model,
    write_candles,
)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--bars", type=int, default=4_000)
parser.add_argument("--out", default="own-column")
given = parser.parse_args()

# A file as you have one: prices, volume, and a number that was known at each bar's close.
bars = synthetic_candles(bars=given.bars)
imbalance = np.tanh(np.random.default_rng(0).normal(size=len(bars)))
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "MINE.csv"
    write_candles(replace(bars, columns={"book_imbalance": imbalance}), file)
    candles = open_candles(str(file), columns=["book_imbalance"])

epochs = dict.fromkeys(
    ("forecast_epochs", "vae_epochs", "mdn_rnn_epochs", "head_epochs"), given.epochs
)
config = MarketConfig.for_interval(
    candles.interval, features=("column:book_imbalance:lag=0",), **epochs
)
cut = int(0.8 * len(candles))
model, _ = train_world_model(candles.rows(0, cut), candles.rows(cut, len(candles)), config)
model.save_pretrained(given.out)
print(f"{given.out}: {model!r} sees {', '.join(map(str, config.features.columns))}")
