"""Free dreams of bars, held to the size, the spread and the volume of the training range.

One step ahead the forecasts are right on average, but a dream feeds on its own bars, and a bias too
small to see in one bar adds up: the response to a shift of log σ is eight to ten times the shift. So
M dreams from its bank, and four numbers (`BarRNN.calibration`) are moved:

| of dreams and record | what moves |
|---|---|
| mean size of returns | the shift of the return's log σ |
| deviation of the market's slow level between dreams, and over time in the record | its pull |
| trend of average volume | the shift of relative volume |
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...market.candles import Candles
from ...market.features import feature_chunks, valid_rows
from ...market.streams import AVERAGE_VOLUME, FEATURES
from ..bar_world_model import BarWorldModel, chosen, draw_bar_noise, noise_rows, start_lanes
from ..bars.dreaming import dream_bars
from .loops import Session

_BARS = 720
_LANES = 256
_RESPONSE = 8.0  # of the size of returns to a shift of log σ
_VOLUME_RESPONSE = 8.5  # of the trend over a dream to a shift: its bars ÷ half the average's span
_PULL_STEP = 0.02  # a bar, for each unit of excess log deviation
_PULL_LIMIT = 0.1
_LEAST_SPREAD = 1e-3  # of dreams that all left the features' limit behind
_LEVEL = [feature.name for feature in FEATURES].index("level")
_ONE = np.float32(1.0)


class _Moments(NamedTuple):
    """Of dreams or the record.

    Attributes:
        size: Mean absolute log return.
        level: Mean of the slow level, standardised.
        spread: Its deviation.
        volume_trend: Mean change of log average volume over a dream.
    """

    size: float
    level: float
    spread: float
    volume_trend: float


def calibrated(
    world_model: BarWorldModel,
    candles: Candles,
    session: Session,
    parent: BarWorldModel | None = None,
    share: float = 1.0,
) -> BarWorldModel:
    """The world model with `BarRNN.calibration` set.

    Args:
        world_model: Trained.
        candles: The training range.
        session: The training's.
        parent: Calibrated, whose dreams say what a market is like in the long run where the training range
            is a few months of it; None for the training range alone.
        share: How far the training range is believed, beside the parent's dreams.
    """
    record, calibration = _recorded(world_model, candles), world_model.mdn_rnn.calibration
    if parent is not None:
        long_run = _dreamed(parent.recent(1.0), np.random.default_rng(session.stage_seed(9)))
        record = _between(_rescaled(long_run, parent, world_model), record, share)
    rounds = session.config.calibration_rounds
    rng = np.random.default_rng(session.stage_seed(7))
    values, kept = np.zeros(4), []
    for number in range(rounds):
        calibration[:] = calibration.new_tensor(values)
        dreamed = _dreamed(world_model.recent(1.0), rng)
        gain = 1.0 / (1.0 + 0.25 * number)
        values[0] -= gain * np.log(dreamed.size / record.size) / _RESPONSE
        values[1] -= gain * dreamed.volume_trend / _VOLUME_RESPONSE
        wider = np.log(max(dreamed.spread, _LEAST_SPREAD) / max(record.spread, _LEAST_SPREAD))
        values[2] = np.clip(values[2] + gain * _PULL_STEP * wider, 0.0, _PULL_LIMIT)
        values[3] = record.level
        session.callbacks.on_note(
            f"dreams {number + 1} of {rounds}: returns {dreamed.size / record.size:.3f} of the "
            f"record's size, level {dreamed.level:+.2f} ± {dreamed.spread:.2f} (record "
            f"± {record.spread:.2f}), volume {dreamed.volume_trend:+.2f}"
        )
        if number >= rounds // 2:
            kept.append(values.copy())
    if kept:
        calibration[:] = calibration.new_tensor(np.mean(kept, axis=0))
    return world_model.recent(1.0)  # compiled anew, with these numbers


def _rescaled(moments: _Moments, parent: BarWorldModel, world_model: BarWorldModel) -> _Moments:
    """Moments whose level is standardised as another world model does."""
    old, new = parent.scaler, world_model.scaler
    ratio = float(old.scale[_LEVEL] / new.scale[_LEVEL])
    moved = float((old.mean[_LEVEL] - new.mean[_LEVEL]) / new.scale[_LEVEL])
    return moments._replace(level=moments.level * ratio + moved, spread=moments.spread * ratio)


def _between(long_run: _Moments, record: _Moments, share: float) -> _Moments:
    """Moments on the way from those of a long run to those of a record, whose volume has no trend."""
    return _Moments(
        long_run.size ** (1.0 - share) * record.size**share,
        long_run.level + share * (record.level - long_run.level),
        long_run.spread ** (1.0 - share) * record.spread**share,
        0.0,
    )


def _recorded(world_model: BarWorldModel, candles: Candles) -> _Moments:
    levels = [
        world_model.scaler.transform(features[valid_rows(features)])[:, _LEVEL]
        for _, features in feature_chunks(candles, world_model.config.features)
    ]
    level = np.concatenate(levels).astype(np.float64)
    size = float(np.nanmean(np.abs(candles.log_returns())))
    return _Moments(size, float(level.mean()), float(level.std()), 0.0)


def _dreamed(world_model: BarWorldModel, rng: np.random.Generator) -> _Moments:
    """Of free dreams; levels in their second half, when they have forgotten where they began."""
    starts = start_lanes(world_model)
    lanes = chosen(starts, np.resize(np.arange(len(starts.z)), max(_LANES, len(starts.z))))
    count, before = len(lanes.z), np.log(lanes.memory[:, AVERAGE_VOLUME])
    size, levels = 0.0, []
    for noise in draw_bar_noise(rng, count, _BARS, noise_rows(world_model.config)):
        dream_bars(*lanes, *world_model.network, noise, 0, _ONE, False)
        size += float(np.abs(lanes.drawn[:, 0]).mean())
        levels.append(lanes.features[:, _LEVEL].astype(np.float64))
    late = np.array(levels[_BARS // 2 :])
    trend = float((np.log(lanes.memory[:, AVERAGE_VOLUME]) - before).mean())
    return _Moments(size / _BARS, float(late.mean()), float(late.std()), trend)
