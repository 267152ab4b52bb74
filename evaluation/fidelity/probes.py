"""What M remembers and hears: warm-up, sensitivity to the action, and what z and h know.

The controls that a claim about the model must beat: an M that was never trained, an encoder with
random weights, z without memory, memory without z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...market.arrays import BoolArray, Float32Array, FloatArray, IntArray, spread
from ...market.candles import Candles
from ...market.errors import ConfigError
from ...market.features import calendar
from ...market.sources import open_candles
from ...models.forecast import ReturnForecast
from ...models.mdn_rnn import State
from ...models.world_model import WorldModel
from ..untrained import random_networks, with_untrained_memory

if TYPE_CHECKING:
    from ...market.sources import CandleSource

WARMUP_BARS = (1, 4, 12, 24, 48, 96, 192)
_LONG_WARMUP = 384
_RIDGE = 1e-2
_QUIET = 1e-4  # added to |r| before its logarithm: an unchanged price is no minus infinity


@dataclass(frozen=True)
class WarmupEffect:
    """M after a warm-up of so many bars.

    Attributes:
        bars: Warm-up bars.
        distance: ‖h − h_long‖ ÷ the mean ‖h_long − mean h_long‖, mean over segments; h_long had
            384 bars.
        return_nll: Mean negative log-likelihood of the next return in percent, nats. With one bar
            M has no memory: the control "z only".
    """

    bars: int
    distance: float
    return_nll: float


@dataclass(frozen=True)
class VolatilityProbes:
    """What a linear probe knows of the next day's volatility: R² on later bars, by what it reads.

    Attributes:
        z: The latent.
        h: M's memory.
        z_and_h: Both.
        z_random_encoder: The latent of an encoder with random weights.
        h_untrained: The memory of an M with random weights.
    """

    z: float
    h: float
    z_and_h: float
    z_random_encoder: float
    h_untrained: float


def warmup_effects(
    world_model: WorldModel,
    candles: CandleSource,
    rows: tuple[int, int],
    *,
    lengths: Sequence[int] = WARMUP_BARS,
    samples: int = 1024,
) -> list[WarmupEffect]:
    """How M's state and forecast depend on the warm-up's length.

    Args:
        world_model: Whose M.
        candles: All bars.
        rows: Bars at which forecasts are made.
        lengths: Warm-ups to try.
        samples: Bars to sample evenly.
    """
    candles = open_candles(candles)
    z, ends = _windows(world_model, candles, rows, samples)
    outcomes = 100 * candles.log_returns()[ends + 1]
    times = candles.open_time_ms[ends]
    long = state_after(world_model, z, times).hidden.numpy()
    spread_of_h = float(np.linalg.norm(long - long.mean(axis=0), axis=1).mean())
    effects = []
    for bars in lengths:
        state = state_after(world_model, np.ascontiguousarray(z[:, -bars:]), times)
        distance = np.linalg.norm(state.hidden.numpy() - long, axis=1).mean()
        nll = -forecast_from(world_model, state, times).log_prob(outcomes).mean()
        effects.append(WarmupEffect(bars, float(distance / max(spread_of_h, 1e-12)), float(nll)))
    return effects


def action_sensitivity(
    world_model: WorldModel, candles: CandleSource, rows: tuple[int, int], *, samples: int = 1024
) -> float:
    """|E[r given a = 1] − E[r given a = −1]| ÷ σ of the forecast, mean over bars.

    Every bit of it is profit that a controller finds and the market does not pay. The ``market``
    preset's M hears no action: 0 exactly.
    """
    if world_model.config.preset != "paper":
        return 0.0
    candles = open_candles(candles)
    z, ends = _windows(world_model, candles, rows, samples, bars=world_model.config.warmup_bars)
    times = candles.open_time_ms[ends]
    long, short = (
        forecast_from(world_model, state_after(world_model, z, times, action), times)
        for action in (1.0, -1.0)
    )
    return float(
        np.mean(np.abs(long.mean - short.mean) / (0.5 * (long.volatility + short.volatility)))
    )


def state_after(
    world_model: WorldModel,
    z: Float32Array,
    last_open_time_ms: IntArray,
    last_action: float = 0.0,
) -> State:
    """M's state once all latents [N, W, Z] have entered, the last with this action."""
    state = world_model.warm_up(z, last_open_time_ms)
    if world_model.config.preset != "paper":
        return state
    waves = torch.from_numpy(calendar(last_open_time_ms + world_model.provenance.interval_ms))
    action = torch.full((len(z), 1), last_action)
    with torch.no_grad():
        entered: State = world_model.mdn_rnn.advance(
            torch.from_numpy(np.ascontiguousarray(z[:, -1])), waves, action, state
        )
    return entered


def forecast_from(
    world_model: WorldModel, state: State, last_open_time_ms: IntArray
) -> ReturnForecast:
    """The mixture of the next return in percent that M gives in a state."""
    following = last_open_time_ms + world_model.provenance.interval_ms
    weights, means, sigmas = world_model.return_mixture(state.hidden, state.latent, following)
    return ReturnForecast(weights, means, sigmas, last_open_time_ms)


def volatility_probes(
    world_model: WorldModel,
    candles: CandleSource,
    train_rows: tuple[int, int],
    rows: tuple[int, int],
    *,
    seed: int,
    horizon: int = 24,
) -> VolatilityProbes:
    """What a linear probe reads from each part of the observation about the volatility to come.

    Ridge regression, fitted on the training rows, of the log of the next ``horizon`` bars' realised
    volatility; scored on ``rows``.
    """
    candles = open_candles(candles)
    latents = world_model.latents(candles)
    untrained = with_untrained_memory(world_model, seed).latents(candles)
    encoder = random_networks(world_model, seed)[0].eval()
    features = world_model.scaler.transform(world_model.features(candles))
    with torch.no_grad():
        random_z = encoder.encode(torch.from_numpy(np.nan_to_num(features))).mean.numpy()
    target = _future_volatility(candles.log_returns(), horizon)
    known: BoolArray = np.asarray(latents.valid & np.isfinite(target))
    r2 = partial(_probe_r2, target=target, known=known, train_rows=train_rows, rows=rows)
    return VolatilityProbes(
        z=r2(latents.z),
        h=r2(latents.h),
        z_and_h=r2(np.concatenate([latents.z, latents.h], axis=1)),
        z_random_encoder=r2(random_z),
        h_untrained=r2(untrained.h),
    )


def _future_volatility(returns: FloatArray, horizon: int) -> FloatArray:
    """Log of √mean r² over the next ``horizon`` bars [T]; NaN where they reach a gap or the end."""
    squares = returns**2
    target = np.full(len(returns), np.nan)
    if len(returns) > horizon:
        windows = np.lib.stride_tricks.sliding_window_view(squares[1:], horizon)
        target[: len(windows)] = np.log(np.sqrt(windows.mean(axis=1)) + _QUIET)
    return target


def _probe_r2(
    values: Float32Array,
    target: FloatArray,
    known: BoolArray,
    train_rows: tuple[int, int],
    rows: tuple[int, int],
) -> float:
    inside: BoolArray = np.zeros((2, len(target)), dtype=np.bool_)
    for k, (start, stop) in enumerate((train_rows, rows)):
        inside[k, start:stop] = known[start:stop]
    (x, y), (x_new, y_new) = ((values[mask].astype(np.float64), target[mask]) for mask in inside)
    if len(y) <= values.shape[1] or len(y_new) < 2:
        raise ConfigError("too few bars to fit or to score a probe; give a longer range")
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-9
    x, x_new = (x - centre) / scale, (x_new - centre) / scale
    gram = x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (y - y.mean()))
    error = y_new - y.mean() - x_new @ weights
    return float(1 - (error**2).mean() / y_new.var())


def _windows(
    world_model: WorldModel,
    candles: Candles,
    rows: tuple[int, int],
    samples: int,
    bars: int = _LONG_WARMUP,
) -> tuple[Float32Array, IntArray]:
    """Latents of ``bars`` bars [N, bars, Z] that end at rows with a bar after them, and those rows."""
    latents = world_model.encode(world_model.features(candles))
    complete: BoolArray = np.asarray(np.isfinite(latents).all(axis=1))
    run = np.zeros(len(candles), dtype=np.int64)
    for start, stop in candles.segments():
        age = np.arange(stop - start)
        last_missing = np.maximum.accumulate(np.where(complete[start:stop], -1, age))
        run[start:stop] = age - last_missing
        run[stop - 1] = 0  # nothing follows it
    ends = np.flatnonzero(run >= bars)
    ends = ends[(ends >= rows[0]) & (ends < rows[1] - 1)]
    if not len(ends):
        raise ConfigError(f"no bar of the range has {bars} bars with complete features before it")
    ends = ends[spread(min(samples, len(ends)), len(ends))]
    return latents[ends[:, None] + np.arange(-bars + 1, 1)], ends
