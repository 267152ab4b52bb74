"""Free dreams of bars, held to the size, the spread and the volume of the training range.

One step ahead the forecasts are right on average, but a dream feeds on its own bars, and a bias too
small to see in one bar adds up: the response to a shift of log σ is eight to ten times the shift. So
M dreams from its bank, and seven numbers (`BarRNN.calibration`, `noise_calibration`) are moved:

| of dreams and record | what moves |
|---|---|
| mean size of returns | the shift of the return's log σ |
| deviation of the market's slow level between dreams, and over time in the record | its pull |
| trend of average volume | the shift of relative volume |
| how far wicks and log volume step from bar to bar, in a window of two days | the log σ of each |
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...market.arrays import FloatArray
from ...market.candles import Candles
from ...market.features import feature_chunks, valid_rows
from ...market.streamed_bars import bar_numbers
from ...market.streams import AVERAGE_VOLUME, FEATURES, SCALE_FLOOR
from ..bar_world_model import BarWorldModel, chosen, draw_bar_noise, noise_rows, start_lanes
from ..bars.dreaming import dream_bars
from ..bars.networks import BarRNN
from .loops import Session

_BARS = 720
_LANES = 256
_RESPONSE = 8.0  # of the size of returns to a shift of log σ
_VOLUME_RESPONSE = 8.5  # of the trend over a dream to a shift: its bars ÷ half the average's span
_PULL_STEP = 0.02  # a bar, for each unit of excess log deviation
_PULL_LIMIT = 0.1
_LEAST_SPREAD = 1e-3  # of dreams that all left the features' limit behind
_WINDOW = 48  # bars
_VOLUME_FLOOR = 1e-3  # of a window's mean volume: keeps the logarithm of none finite
_NOISE_RESPONSE = np.array([0.9, 0.9, 0.25])  # of steps of wicks, of volume: to a shift of log σ
_NOISE_LIMIT = 0.3
_UNKNOWN = 1e6  # the error of what a record is too short to tell
_LEVEL = [feature.name for feature in FEATURES].index("level")
_ONE = np.float32(1.0)


class _Moments(NamedTuple):
    """Of dreams or the record.

    Attributes:
        size: Mean absolute log return.
        level: Mean of the slow level, standardised.
        spread: Its deviation.
        volume_trend: Mean change of log average volume over a dream.
        steps: Of windows, the mean log deviation of steps of the upper and the lower wick, in units of
            a window's mean bar, and of log volume [3].
        steps_error: Their standard errors [3].
    """

    size: float
    level: float
    spread: float
    volume_trend: float
    steps: FloatArray
    steps_error: FloatArray


def calibrated(
    world_model: BarWorldModel,
    candles: Candles,
    session: Session,
    parent: BarWorldModel | None = None,
    share: float = 1.0,
) -> BarWorldModel:
    """The world model with `BarRNN.calibration` and `noise_calibration` set.

    Args:
        world_model: Trained.
        candles: The training range.
        session: The training's.
        parent: Calibrated, whose dreams say what a market is like in the long run where the training range
            is a few months of it; None for the training range alone.
        share: How far the training range is believed, beside the parent's dreams.
    """
    record, rnn = _recorded(world_model, candles), world_model.mdn_rnn
    if parent is not None:
        long_run = _dreamed(parent.recent(1.0), np.random.default_rng(session.stage_seed(9)))
        record = _between(_rescaled(long_run, parent, world_model), record, share)
    rounds = session.config.calibration_rounds
    rng = np.random.default_rng(session.stage_seed(7))
    values, kept = np.zeros(7), []
    for number in range(rounds):
        _set(rnn, values)
        dreamed = _dreamed(world_model.recent(1.0), rng)
        gain = 1.0 / (1.0 + 0.25 * number)
        values[0] -= gain * np.log(dreamed.size / record.size) / _RESPONSE
        values[1] -= gain * dreamed.volume_trend / _VOLUME_RESPONSE
        wider = np.log(max(dreamed.spread, _LEAST_SPREAD) / max(record.spread, _LEAST_SPREAD))
        values[2] = np.clip(values[2] + gain * _PULL_STEP * wider, 0.0, _PULL_LIMIT)
        values[3] = record.level
        noise = values[4:] - gain * _told(dreamed.steps - record.steps, record) / _NOISE_RESPONSE
        values[4:] = np.clip(noise, -_NOISE_LIMIT, _NOISE_LIMIT)
        session.callbacks.on_note(
            f"dreams {number + 1} of {rounds}: returns {dreamed.size / record.size:.3f} of the "
            f"record's size, level {dreamed.level:+.2f} ± {dreamed.spread:.2f} (record "
            f"± {record.spread:.2f}), volume {dreamed.volume_trend:+.2f}, steps of wicks and volume "
            + " ".join(f"{excess:+.2f}" for excess in dreamed.steps - record.steps)
        )
        if number >= rounds // 2:
            kept.append(values.copy())
    if kept:
        _set(rnn, np.mean(kept, axis=0))
    return world_model.recent(1.0)  # compiled anew, with these numbers


def _set(rnn: BarRNN, values: FloatArray) -> None:
    rnn.calibration[:] = rnn.calibration.new_tensor(values[:4])
    rnn.noise_calibration[:] = rnn.noise_calibration.new_tensor(values[4:])


def _told(excess: FloatArray, record: _Moments) -> FloatArray:
    """An excess [3] as far as the record tells it from none (James & Stein 1961)."""
    certain = 1.0 - (record.steps_error / np.maximum(np.abs(excess), 1e-12)) ** 2
    told: FloatArray = excess * np.maximum(certain, 0.0)
    return told


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
        long_run.steps + share * (record.steps - long_run.steps),
        share * record.steps_error,
    )


def _recorded(world_model: BarWorldModel, candles: Candles) -> _Moments:
    levels = [
        world_model.scaler.transform(features[valid_rows(features)])[:, _LEVEL]
        for _, features in feature_chunks(candles, world_model.config.features)
    ]
    level = np.concatenate(levels).astype(np.float64)
    size = float(np.nanmean(np.abs(candles.log_returns())))
    bars, starts = bar_numbers(candles), []
    for first, last in candles.segments():
        starts.append(np.arange(first + 1, last - _WINDOW + 1, _WINDOW))
    steps = _steps(bars[np.concatenate(starts)[:, None] + np.arange(_WINDOW)])
    return _Moments(size, float(level.mean()), float(level.std()), 0.0, *steps)


def _steps(windows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`_Moments.steps` and their errors, of windows of bars [n, W, 4]."""
    if len(windows) < 2:
        return np.zeros(3), np.full(3, _UNKNOWN)
    log_return, upper, lower, volume = np.moveaxis(windows, -1, 0)
    unit = (np.abs(log_return) + upper + lower).mean(axis=1) + SCALE_FLOOR
    log_volume = np.log(volume + _VOLUME_FLOOR * volume.mean(axis=1, keepdims=True) + 1e-300)
    deviations = [np.diff(values, axis=1).std(axis=1) for values in (upper, lower, log_volume)]
    deviations[0] /= unit
    deviations[1] /= unit
    logs = np.log(np.array(deviations) + _LEAST_SPREAD)
    return logs.mean(axis=1), logs.std(axis=1, ddof=1) / np.sqrt(logs.shape[1])


def _dreamed(world_model: BarWorldModel, rng: np.random.Generator) -> _Moments:
    """Of free dreams; levels in their second half, when they have forgotten where they began."""
    starts = start_lanes(world_model)
    lanes = chosen(starts, np.resize(np.arange(len(starts.z)), max(_LANES, len(starts.z))))
    count, before = len(lanes.z), np.log(lanes.memory[:, AVERAGE_VOLUME])
    size, levels, windows = 0.0, [], np.empty((count, _BARS, 4))
    drawn = draw_bar_noise(rng, count, _BARS, noise_rows(world_model.config))
    for bar, noise in enumerate(drawn):
        dream_bars(*lanes, *world_model.network, noise, 0, _ONE, False)
        windows[:, bar] = lanes.drawn[:, :4]
        size += float(np.abs(lanes.drawn[:, 0]).mean())
        levels.append(lanes.features[:, _LEVEL].astype(np.float64))
    late = np.array(levels[_BARS // 2 :])
    trend = float((np.log(lanes.memory[:, AVERAGE_VOLUME]) - before).mean())
    steps = _steps(windows.reshape(-1, _WINDOW, 4))
    return _Moments(size / _BARS, float(late.mean()), float(late.std()), trend, *steps)
