"""How many bars should an epoch have? Held-out losses at about equal work.

``python -m benchmarks.epochs [--bars N] [--interval 5]``: world models of one synthetic record, whose
epochs have more bars and are as many fewer; what their forecasts lose beyond the true density.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from worldmodel_trading.market.synthetic import SyntheticMarket
from worldmodel_trading.models.bar_world_model import BarWorldModel
from worldmodel_trading.models.bars.config import MarketConfig
from worldmodel_trading.models.training.train import train_world_model

from .machine import machine, machine_text

_STAGES = ("forecast_epochs", "vae_epochs", "mdn_rnn_epochs", "head_epochs")
_CONTEXT = 40_000


def main(given: list[str] | None = None) -> None:
    """Train one for each length of an epoch, and print a row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.epochs", description=__doc__)
    parser.add_argument("--bars", type=int, default=250_000, help="of the record")
    parser.add_argument("--interval", default="5", help="Bybit's code of the bars")
    parser.add_argument("--work", type=float, default=0.5, help="÷ the default settings' work")
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    print(machine_text(machine()))
    whole = int(0.7 * options.bars)
    default = MarketConfig.for_interval(options.interval).epoch_bars
    for bars in (default // 2, default, 2 * default, whole):
        print(_row(options.bars, options.interval, bars, options.work * default / bars), flush=True)


def _row(bars: int, interval: str, epoch_bars: int, share: float) -> str:
    config = MarketConfig.for_interval(interval)
    epochs = {name: max(1, round(share * getattr(config, name))) for name in _STAGES}
    config = replace(config, epoch_bars=epoch_bars, calibration_rounds=0, **epochs)
    market = SyntheticMarket(interval=interval)
    candles, _ = market.sample(bars, seed=1)
    first, last = int(0.7 * bars), int(0.85 * bars)
    began = time.process_time()
    model, _ = train_world_model(candles.rows(0, first), candles.rows(first, last), config)
    seconds = time.process_time() - began
    assert isinstance(model, BarWorldModel)
    test = candles.rows(max(0, last - _CONTEXT), bars)
    returns = np.append(100 * test.log_returns()[1:], np.nan)
    densities = [
        m.log_prob(returns) for m in (market.return_density(test), model.return_forecast(test))
    ]
    lost = np.nanmean(densities[0] - densities[1])
    whole = np.nanmean(market.bar_log_prob(test) - model.bar_log_prob(test))
    return (
        f"{epoch_bars:>9,} bars an epoch, {epochs['forecast_epochs']:>3} of them for the forecast: return "
        f"{lost:.4f}, whole bars {whole:.4f} nats above the truth; {seconds:.0f} s of a core"
    )


if __name__ == "__main__":
    main()
