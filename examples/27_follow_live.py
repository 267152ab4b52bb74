"""Follow a live market with a paper account: a decision at every closed candle, and no orders.

python examples/27_follow_live.py --world-model runs/btc/world_model --bars 24

Reads Bybit's public feed, which needs no key (`worldmodel-trading watch` does the same). Prints the
regime, the target weight and the paper account's equity at each close. With the world model that
ships, which learned a synthetic market, it shows how this works, and nothing else.
"""

from __future__ import annotations

import argparse
import warnings

import torch

from worldmodel_trading import (
    BybitClient,
    KlineFeed,
    LinearController,
    LiveTrader,
    buy_and_hold,
    open_world_model,
)
from worldmodel_trading.market import OtherMarketWarning

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--world-model", default="default", help="its folder; the one that ships")
parser.add_argument("--controller", help="a linear controller's file; holds when left out")
parser.add_argument("--symbol", default="BTCUSDT")
parser.add_argument("--bars", type=int, help="stop after so many; Ctrl-C when left out")
parser.add_argument("--base-url", default="https://api.bybit.com")
parser.add_argument("--stream-url", default="wss://stream.bybit.com/v5/public")
given = parser.parse_args()

torch.set_num_threads(1)  # small networks: more threads only wait for each other
model = open_world_model(given.world_model)
interval, bar_ms = model.provenance.interval, model.provenance.interval_ms
if model.provenance.symbol != given.symbol:
    print(f"the world model learned {model.provenance.symbol}, not {given.symbol}")
    warnings.simplefilter("ignore", OtherMarketWarning)  # that is said now
policy = LinearController.load(given.controller) if given.controller else buy_and_hold()
trader = LiveTrader(model, policy)

with BybitClient(given.base_url) as client:
    now = client.server_time_ms()  # the exchange's clock, not this machine's
    begin = now - (trader.history_bars + 2) * bar_ms
    known = client.candles(given.symbol, interval, begin, now)
    trader.warm_up(known)
    feed = KlineFeed(client, given.symbol, interval, url=given.stream_url, tell=print)
    for count, bar in enumerate(feed.closed_candles(int(known.open_time_ms[-1])), start=1):
        decision = trader.update(bar)
        if decision is None:
            print(f"bars are missing: in cash, until {trader.history_bars} have come in a row")
        else:
            print(
                f"close {decision.close:g}: {decision.regime} ({decision.regime_probability:.0%}), "
                f"target {decision.target:+.2f}, paper equity {decision.equity:.4f}"
            )
        if count == given.bars:
            break
