"""From a closed candle to an action: what following a market bar by bar takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.live import LiveTrader
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.features import StreamingFeatures
from worldmodel_trading.market.synthetic import synthetic_candles

from .results import Benchmark, Line, Result, Results
from .timing import Settings
from .worlds import default_world

_SHARE = 0.99  # of bars that take no longer than the figure


def _live(settings: Settings) -> Results:
    world = default_world()
    size = world.config.latent_size + world.config.hidden_size + 2
    trader = LiveTrader(world, LinearController(np.full(size, 0.01)))
    history = trader.history_bars
    candles = synthetic_candles(seed=3, bars=history + settings.size(5_000, 60))
    bars = [candles.rows(row, row + 1) for row in range(history, len(candles))]
    features = StreamingFeatures(world.config.features)
    trader.warm_up(candles.rows(0, history))
    features.update(candles.rows(0, history))
    return {
        "live-step": _slowest(trader.update, bars, "candle to action"),
        "live-features": _slowest(features.update, bars, "the features alone"),
    }


def _slowest(step: Callable[[Candles], Any], bars: Sequence[Candles], what: str) -> Result:
    """The 99th percentile of this thread's own processor time, in ms; the first bars are warmth."""
    spent = []
    for bar in bars:
        began = time.thread_time()
        step(bar)
        spent.append(1e3 * (time.thread_time() - began))
    counted = sorted(spent[len(spent) // 10 :])
    slow = counted[int(_SHARE * (len(counted) - 1))]
    note = f"ms of processor time, {what}: median {statistics.median(counted):.3f}"
    return Result(slow, note, details={"median_ms": statistics.median(counted)})


BENCHMARKS = (
    Benchmark(
        "live",
        (
            Line("live-step", "closed candle to action: ms, 99 bars of 100 take less", 1, True),
            Line("live-features", "its features: the same"),
        ),
        _live,
    ),
)
