"""What a picture shows of a dream: candles, the bars before it, and what may come next."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..market.arrays import FloatArray
from ..models.provenance import BarBank
from .engine.base import Engine
from .trace import PastBars

FUTURE_BARS, FUTURE_DREAMS = 30, 128
_NOISE_SEED = 0


def bars_between(engine: Engine, closes: FloatArray, features: FloatArray) -> FloatArray:
    """Candles of known closes whose height is decoded.

    A bar opens where the one before closed. What its range exceeds its body by is split evenly, as
    `DecodedBars` does for accounts that look at highs and lows.

    Args:
        engine: Of the dream.
        closes: Closes [B + 1], from that before the first bar on.
        features: Raw features of the bars [B, F].

    Returns:
        Open, high, low and close [B, 4].
    """
    opening, close = closes[:-1], closes[1:]
    ranges = features[:, engine.config.features.names.index("range")]
    beyond = np.exp(0.5 * np.maximum(ranges - np.abs(np.log(close / opening)), 0.0))
    high, low = np.maximum(opening, close) * beyond, np.minimum(opening, close) / beyond
    return np.stack([opening, high, low, close], axis=1)


def warm_up_bars(engine: Engine, time_ms: int, close: float) -> PastBars:
    """The recorded segment that a dream began from, as V remembers it.

    Args:
        engine: Of the dream.
        time_ms: Open time of the segment's last bar.
        close: Its close.
    """
    world_model, interval_ms = engine.world_model, engine.interval_ms
    bank = world_model.bank
    segment = int(np.flatnonzero(bank.open_time_ms == time_ms)[0])
    times = time_ms + interval_ms * np.arange(1 - bank.z.shape[1], 1)
    if isinstance(bank, BarBank):
        numbers = bank.bars[segment].astype(np.float64)
        return PastBars(interval_ms, times, candles_of(_closes(close, numbers[:, 0]), numbers))
    features = world_model.decode(bank.z[segment])
    returns = features[:, engine.config.features.names.index("log_return")]
    return PastBars(interval_ms, times, bars_between(engine, _closes(close, returns), features))


def _closes(last: float, returns: FloatArray) -> FloatArray:
    """Closes [B + 1] that end there, from log returns [B]."""
    back = np.concatenate([np.cumsum(returns[::-1])[::-1], [0.0]])
    closes: FloatArray = last * np.exp(-back)
    return closes


def candles_of(closes: FloatArray, numbers: FloatArray) -> FloatArray:
    """Open, high, low and close [B, 4] of drawn bars [B, 4] between closes [B + 1]."""
    opening, close = closes[:-1], closes[1:]
    high = np.maximum(opening, close) * np.exp(numbers[:, 1])
    low = np.minimum(opening, close) / np.exp(numbers[:, 2])
    return np.stack([opening, high, low, close], axis=1)


def dreamed_on(
    engine: Engine, state: Any, price: float, weight: float, temperature: float
) -> FloatArray:
    """Closes of dreams that go on from a state of one lane [N, B].

    The noise is its own, the same at every bar: the environment's generator is not touched, and the
    fan moves with the state alone.

    Args:
        engine: Of the dream.
        state: Of one lane; left as it is.
        price: The newest close.
        weight: Held on, for a market that hears actions.
        temperature: τ.
    """
    rng, count = np.random.default_rng(_NOISE_SEED), FUTURE_DREAMS
    lanes = state.repeated(count)
    held = np.full(count, np.clip(weight, -1.0, 1.0))
    returns = [
        engine.step(lanes, held, noise, temperature)
        for noise in engine.draw_steps(rng, count, FUTURE_BARS)
    ]
    closes: FloatArray = price * np.exp(np.cumsum(returns, axis=0).T)
    return closes
