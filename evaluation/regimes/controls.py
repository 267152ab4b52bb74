"""The controls that regimes of a trained latent space must beat: the same procedure on other inputs."""

from __future__ import annotations

import numpy as np

from ...market.arrays import FloatArray
from ...market.candles import Candles
from ...market.intervals import INTERVALS_MS
from ...models.regimes.choice import choose
from ...models.regimes.observed import cut, stretches
from ...models.regimes.reading import Reading
from ...models.world_model import WorldModel
from ..untrained import random_networks

RAW_FEATURES = "the same on raw features"
RANDOM_ENCODER = "the same on a random encoder"
TERCILES = "terciles of the last day's volatility"


def believed_by(
    kind: str, world_model: WorldModel, candles: Candles, count: int, seed: int
) -> FloatArray:
    """Probabilities [T, R] of regimes that the same procedure finds in something else than z.

    Args:
        kind: `RAW_FEATURES` or `RANDOM_ENCODER`.
        world_model: Whose features, ranges and shape of V.
        candles: The record, of which the training range is fitted on.
        count: R.
        seed: Of the random encoder and of the fit.
    """
    features = world_model.scaler.transform(world_model.features(candles))
    inputs = np.clip(np.nan_to_num(features), -6.0, 6.0).astype(np.float32)
    if kind == RANDOM_ENCODER:
        inputs = _with_random_encoder(world_model, seed).encode(world_model.features(candles))
        inputs = world_model.heard(np.nan_to_num(inputs))
    made, interval = world_model.provenance, world_model.provenance.interval
    parts = [
        (start, stop, stretch._replace(heard=inputs[start:stop]))
        for start, stop, stretch in stretches(world_model, candles)
    ]
    training = []
    for _, _, stretch in parts:
        times = stretch.open_time_ms
        inside = (times >= made.train_start_ms) & (times < made.train_end_ms)
        if inside.sum() > 1:
            training.append(cut(stretch, inside))
    reading = Reading.fit(training, interval)
    read = [reading.read(one.heard, one.open_time_ms) for one in training]
    chain = choose(read, count, "hmm", seed, 0)[0].chain
    out = np.full((len(candles), count), np.nan)
    for start, stop, stretch in parts:
        out[start] = chain.stationary
        out[start + 1 : stop] = chain.filter(reading.read(stretch.heard, stretch.open_time_ms))
    return out


def terciles(candles: Candles, first_ms: int, end_ms: int) -> FloatArray:
    """Dummies [T, 3] of the last day's volatility, cut at the terciles of the range given [ms UTC]."""
    past = _last_day(candles)
    inside = (candles.open_time_ms >= first_ms) & (candles.open_time_ms < end_ms)
    cuts = np.quantile(past[inside & np.isfinite(past)], [1 / 3, 2 / 3])
    dummies: FloatArray = np.eye(3)[np.digitize(np.nan_to_num(past), cuts)]
    dummies[~np.isfinite(past)] = np.nan
    return dummies


def last_day(candles: Candles) -> FloatArray:
    """The last day's log volatility itself [T, 1]: what a line knows that three classes do not."""
    return _last_day(candles)[:, None]


def _last_day(candles: Candles) -> FloatArray:
    bars = max(2, INTERVALS_MS["D"] // candles.interval_ms)
    out = np.full(len(candles), np.nan)
    for start, stop in candles.segments():
        if stop - start <= bars:
            continue
        moves = np.diff(np.log(candles.close[start:stop]))
        windows = np.lib.stride_tricks.sliding_window_view(moves**2, bars)
        out[start + bars : stop] = np.log(np.sqrt(windows.mean(axis=1)) + 1e-4)
    return out


def _with_random_encoder(world_model: WorldModel, seed: int) -> WorldModel:
    """The same world model with a V that was never trained."""
    kind = type(world_model)
    vae = random_networks(world_model, seed)[0]
    return kind(
        world_model.config,
        world_model.provenance,
        world_model.scaler,
        vae,
        world_model.mdn_rnn,
        world_model.bank,
    )
