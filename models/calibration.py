"""Dreams that stay where the market was: M's drift, run free, is measured and taken out.

One step ahead M is nearly unbiased, but a dream feeds on its own draws, and a bias too small to
see in one step adds up: free-running dreams settled in markets 6% too quiet. So M dreams from the
warm-up bank, and the means of z that it draws are moved until the average dreamed latent, and the
deviation of dreamed returns, are those of the training range. The head of returns is not touched:
one-step forecasts are what they were.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..market.features import calendar
from .mdn_rnn import MDNRNN, State
from .provenance import WarmupBank

DREAM_BARS = 600
_LANES = 256
_GAIN = 0.25  # the dimensions answer together, through volatility: a whole step would overshoot
_COOLING = 4.0
_LEAN = 0.5  # of the miss in log volatility, a round
_VOLATILITY_BARS = 24


def calibrate_dreams(
    mdn_rnn: MDNRNN,
    bank: WarmupBank,
    latents: NDArray[np.float32],
    interval_ms: int,
    rounds: int,
    seed: int,
    bars: int = DREAM_BARS,
) -> None:
    """Move the biases of the ``market`` head of z, in place.

    Dimension d moves by -gain · (1 - ρ_d) · (dreamed mean - target), ρ_d its lag-one
    autocorrelation: a persistent dimension multiplies a constant push by about 1/(1 - ρ_d). The
    target is the recorded mean, moved along the direction in which latents follow volatility
    until the deviation of dreamed returns is the recorded one.

    Args:
        mdn_rnn: M, trained.
        bank: Where dreams begin.
        latents: Latents of the training range [T, Z], complete bars.
        interval_ms: Length of a bar.
        rounds: How often to dream and move.
        seed: Of the dreams.
        bars: Length of a dream.
    """
    generator = torch.Generator().manual_seed(seed)
    target = latents[:, 1:].mean(axis=0).astype(np.float64)
    push = 1.0 - _autocorrelation(latents[:, 1:])
    along = _volatility_direction(latents)
    deviation = float(np.sinh(latents[:, 0].astype(np.float64)).std())
    k, d = mdn_rnn.num_components, mdn_rnn.latent_size - 1
    with torch.no_grad():
        for number in range(rounds):
            mean, dreamed = _dream_moments(mdn_rnn, bank, interval_ms, bars, generator)
            target += _LEAN * along * np.log(deviation / dreamed)
            step = _GAIN / (1 + number / _COOLING) * push * (mean - target)
            moved = torch.from_numpy(np.tile(step, k).astype(np.float32))
            mdn_rnn.latent_head.bias[k : k + k * d] -= moved


def _volatility_direction(latents: NDArray[np.float32]) -> NDArray[np.float64]:
    """How latent dimensions 1 … Z-1 follow the log volatility of the last bars (regression)."""
    squares = np.sinh(latents[:, 0].astype(np.float64)) ** 2
    total = np.cumsum(np.concatenate([[0.0], squares]))
    window = min(_VOLATILITY_BARS, len(squares) - 1)
    log_volatility = 0.5 * np.log((total[window:] - total[:-window]) / window + 1e-6)
    rest = latents[window - 1 :, 1:].astype(np.float64)
    centred = log_volatility - log_volatility.mean()
    slope = ((rest - rest.mean(axis=0)) * centred[:, None]).mean(axis=0)
    return np.asarray(slope / max(float((centred**2).mean()), 1e-12))


def _autocorrelation(latents: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each column at lag one; 0 for a column that never moves."""
    centred = latents.astype(np.float64) - latents.mean(axis=0)
    variance = np.maximum((centred**2).mean(axis=0), 1e-12)
    return np.asarray(np.clip((centred[1:] * centred[:-1]).mean(axis=0) / variance, 0.0, 1.0))


def _dream_moments(
    mdn_rnn: MDNRNN, bank: WarmupBank, interval_ms: int, bars: int, generator: torch.Generator
) -> tuple[NDArray[np.float64], float]:
    """Mean of latent dimensions 1 … Z-1 [Z-1], and deviation of the standardised return, dreamed."""
    lanes = np.resize(np.arange(len(bank)), max(_LANES, len(bank)))
    times = bank.open_time_ms[lanes]
    state = warm_state(mdn_rnn, bank.z[lanes], times, interval_ms)
    total = torch.zeros(mdn_rnn.latent_size - 1, dtype=torch.float64)
    returns = []
    for _ in range(bars):
        uniforms = torch.rand(len(lanes), 2, generator=generator)
        normals = torch.randn(len(lanes), 1 + mdn_rnn.latent_size, generator=generator)
        latent = mdn_rnn.sample_next(state, uniforms, normals).latent
        times = times + interval_ms
        waves = torch.from_numpy(calendar(times + interval_ms))
        state = mdn_rnn.advance(latent, waves, None, state)
        total += latent[:, 1:].double().mean(0)
        returns.append(torch.sinh(latent[:, 0].double()))
    return (total / bars).numpy(), float(torch.stack(returns).std())


def warm_state(
    mdn_rnn: MDNRNN,
    latents: NDArray[np.float32],
    last_open_time_ms: NDArray[np.int64],
    interval_ms: int,
) -> State:
    """The state after recorded latents [N, W, Z], from zeros; see `WorldModel.warm_up`."""
    bars = np.arange(latents.shape[1]) - (latents.shape[1] - 1)
    times = np.asarray(last_open_time_ms)[:, None] + bars * interval_ms
    inputs: Tensor = torch.from_numpy(latents)
    waves: Tensor = torch.from_numpy(calendar(times + interval_ms))
    if mdn_rnn.preset == "paper":
        inputs, waves = inputs[:, :-1], waves[:, :-1]
    if not inputs.shape[1]:
        return mdn_rnn.initial_state(len(latents))
    with torch.no_grad():
        state: State = mdn_rnn(inputs, waves)[1]
    return state
