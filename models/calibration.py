"""Dreams that stay where the market was: M's drift, run free, is measured and taken out.

One step ahead M is unbiased, but a dream feeds on its own draws, and a bias too small to see in
one step adds up: free-running dreams settled in markets 6% too quiet. So M dreams from the warm-up
bank, and the means of z that it draws are moved until the average dreamed latent is the average
latent of the training range. The head of returns is not touched: forecasts are what they were.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..market.features import calendar
from .mdn_rnn import MDNRNN, State
from .provenance import WarmupBank

_BARS = 600
_LANES = 256
_GAIN = 0.25  # the dimensions answer together, through volatility: a whole step would overshoot
_COOLING = 4.0


def calibrate_dreams(
    mdn_rnn: MDNRNN,
    bank: WarmupBank,
    latents: NDArray[np.float32],
    interval_ms: int,
    rounds: int,
    seed: int,
) -> None:
    """Move the biases of the ``market`` head of z, in place.

    Dimension d moves by -gain · (1 - ρ_d) · (dreamed mean - recorded mean), ρ_d its lag-one
    autocorrelation: a persistent dimension multiplies a constant push by about 1/(1 - ρ_d).

    Args:
        mdn_rnn: M, trained.
        bank: Where dreams begin.
        latents: Latents of the training range [T, Z], complete bars.
        interval_ms: Length of a bar.
        rounds: How often to dream and move.
        seed: Of the dreams.
    """
    generator = torch.Generator().manual_seed(seed)
    target = latents[:, 1:].mean(axis=0)
    push = 1.0 - _autocorrelation(latents[:, 1:])
    k, d = mdn_rnn.num_components, mdn_rnn.latent_size - 1
    with torch.no_grad():
        for number in range(rounds):
            dreamed = _dreamed_mean(mdn_rnn, bank, interval_ms, generator)
            step = _GAIN / (1 + number / _COOLING) * push * (dreamed - target)
            moved = torch.from_numpy(np.tile(step, k).astype(np.float32))
            mdn_rnn.latent_head.bias[k : k + k * d] -= moved


def _autocorrelation(latents: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each column at lag one; 0 for a column that never moves."""
    centred = latents.astype(np.float64) - latents.mean(axis=0)
    variance = np.maximum((centred**2).mean(axis=0), 1e-12)
    return np.asarray(np.clip((centred[1:] * centred[:-1]).mean(axis=0) / variance, 0.0, 1.0))


def _dreamed_mean(
    mdn_rnn: MDNRNN, bank: WarmupBank, interval_ms: int, generator: torch.Generator
) -> NDArray[np.float64]:
    """Mean of latent dimensions 1 … Z-1 over dreams from the bank [Z-1]."""
    lanes = np.resize(np.arange(len(bank)), max(_LANES, len(bank)))
    times = bank.open_time_ms[lanes]
    state = warm_state(mdn_rnn, bank.z[lanes], times, interval_ms)
    total = torch.zeros(mdn_rnn.latent_size - 1, dtype=torch.float64)
    for _ in range(_BARS):
        uniforms = torch.rand(len(lanes), 2, generator=generator)
        normals = torch.randn(len(lanes), 1 + mdn_rnn.latent_size, generator=generator)
        latent = mdn_rnn.sample_next(state, uniforms, normals).latent
        times = times + interval_ms
        waves = torch.from_numpy(calendar(times + interval_ms))
        state = mdn_rnn.advance(latent, waves, None, state)
        total += latent[:, 1:].double().mean(0)
    mean: NDArray[np.float64] = (total / _BARS).numpy()
    return mean


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
