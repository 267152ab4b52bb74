"""Dreams that stay where the market was: M's drift, run free, is measured and taken out.

One step ahead M is nearly unbiased, but a dream feeds on its own draws, and a bias too small to
see in one step adds up. And M learns from draws of the posterior, where replay shows its mean: left
alone, dreamed latents flicker by that noise, and a policy that reads them trades more than it would
in the market. So M dreams from the warm-up bank, and its heads are nudged until dreamed moments are
those of the training range:

| moment | what moves |
|---|---|
| mean of each dimension of z | its means' biases |
| deviation of its change from bar to bar | its log σ's biases |
| deviation of returns | the target means of z, along the direction of volatility |
| mean return | the bias with which V decodes the return |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...market.arrays import Float32Array, FloatArray
from ..latent_dreams import free_dreams
from ..mdn_rnn import MDNRNN
from ..provenance import WarmupBank
from ..vae import VAE

DREAM_BARS = 720
_GAIN = 0.5  # the dimensions answer together, through volatility: a whole step is unstable
_COOLING = 10.0
_LEAN = 0.5  # of the miss in log volatility, a round
_LONGEST_STEP = 0.5  # of log σ and of log volatility
_VOLATILITY_BARS = 24
_IDLE = 1e-3  # a dimension that changes less is silenced, and stays so


class Moments(NamedTuple):
    """Of latent dimensions, each [Z], and of the standardised return.

    Attributes:
        mean: Means.
        change: Root mean squares of the change from bar to bar.
        return_mean: Mean of the return.
        return_deviation: Standard deviation of the return.
    """

    mean: FloatArray
    change: FloatArray
    return_mean: float
    return_deviation: float


def calibrate_dreams(
    vae: VAE,
    mdn_rnn: MDNRNN,
    bank: WarmupBank,
    latents: Float32Array,
    returns: Float32Array,
    interval_ms: int,
    rounds: int,
    seed: int,
    bars: int = DREAM_BARS,
) -> None:
    """Hold dreams to the training range's moments: M's head is moved in place, and V's decoder.

    With ρ_d the lag-one autocorrelation of dimension d, a persistent dimension multiplies a
    constant push by about 1/(1 - ρ_d): pushes are scaled by 1 - ρ_d.

    Args:
        vae: V, trained; feature 0 is the return.
        mdn_rnn: M, trained.
        bank: Where dreams begin.
        latents: Latents of the training range [T, Z], complete bars.
        returns: Their standardised returns [T].
        interval_ms: Length of a bar.
        rounds: How often to dream and move.
        seed: Of the dreams.
        bars: Length of a dream.
    """
    generator = torch.Generator().manual_seed(seed)
    real, along = recorded_moments(latents, returns), _volatility_direction(latents, returns)
    target = real.mean.copy()
    push = 1.0 - _autocorrelation(latents)
    moves = real.change > _IDLE
    k, d = mdn_rnn.num_components, mdn_rnn.latent_size
    latent_bias, decoder = mdn_rnn.latent_head.bias, vae.decoder[-1]
    assert isinstance(decoder, nn.Linear)
    average = _Average([latent_bias, decoder.bias])
    with torch.no_grad():
        for number in range(rounds):
            gain = 1.0 / (1.0 + number / _COOLING)
            dreamed = dreamed_moments(vae, mdn_rnn, bank, interval_ms, bars, generator)
            louder = np.log(real.return_deviation / max(dreamed.return_deviation, _IDLE))
            target += _LEAN * gain * along * _short(louder)
            wider = np.log(_ratio(dreamed.change, real.change))
            latent_bias[k : k + k * d] -= _tiled(_GAIN * gain * push * (dreamed.mean - target), k)
            latent_bias[k + k * d :] -= _tiled(gain * moves * _short(wider), k)
            decoder.bias[0] -= gain * (dreamed.return_mean - real.return_mean)
            if number >= rounds // 2:
                average.add()
        average.put()
        if rounds:  # the drift last: what was averaged does not add up to it
            dreamed = dreamed_moments(vae, mdn_rnn, bank, interval_ms, bars, generator)
            decoder.bias[0] += real.return_mean - dreamed.return_mean


class _Average:
    """Of what the last rounds made of some parameters: chance moves each round (Polyak 1990)."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._sums = [torch.zeros_like(each, dtype=torch.float64) for each in parameters]
        self._count = 0

    def add(self) -> None:
        """Take the parameters as they are now into the average."""
        self._count += 1
        for total, each in zip(self._sums, self._parameters, strict=True):
            total += each

    def put(self) -> None:
        """Set the parameters to the average, if there is one."""
        if self._count:
            for total, each in zip(self._sums, self._parameters, strict=True):
                each.copy_(total / self._count)


def _tiled(values: FloatArray, count: int) -> Tensor:
    return torch.from_numpy(np.tile(values, count).astype(np.float32))


def _short(steps: FloatArray) -> FloatArray:
    return np.asarray(np.clip(steps, -_LONGEST_STEP, _LONGEST_STEP))


def _ratio(dreamed: FloatArray, real: FloatArray) -> FloatArray:
    return np.maximum(dreamed, _IDLE) / np.maximum(real, _IDLE)


def recorded_moments(latents: Float32Array, returns: Float32Array) -> Moments:
    """Of recorded latents [T, Z] and returns [T]; the few changes across gaps count as others do."""
    rest = latents.astype(np.float64)
    change = np.sqrt((np.diff(rest, axis=0) ** 2).mean(axis=0))
    return Moments(rest.mean(axis=0), change, float(returns.mean()), float(returns.std()))


def _volatility_direction(latents: Float32Array, returns: Float32Array) -> FloatArray:
    """How latent dimensions [Z] follow the log volatility of the last bars (regression)."""
    total = np.cumsum(np.concatenate([[0.0], returns.astype(np.float64) ** 2]))
    window = min(_VOLATILITY_BARS, len(returns) - 1)
    log_volatility = 0.5 * np.log((total[window:] - total[:-window]) / window + 1e-6)
    rest = latents[window - 1 :].astype(np.float64)
    centred = log_volatility - log_volatility.mean()
    slope = ((rest - rest.mean(axis=0)) * centred[:, None]).mean(axis=0)
    return np.asarray(slope / max(float((centred**2).mean()), 1e-12))


def _autocorrelation(latents: Float32Array) -> FloatArray:
    """Of each column at lag one; 0 for a column that never moves."""
    centred = latents.astype(np.float64) - latents.mean(axis=0)
    variance = np.maximum((centred**2).mean(axis=0), 1e-12)
    return np.asarray(np.clip((centred[1:] * centred[:-1]).mean(axis=0) / variance, 0.0, 1.0))


@torch.no_grad()
def dreamed_moments(
    vae: VAE,
    mdn_rnn: MDNRNN,
    bank: WarmupBank,
    interval_ms: int,
    bars: int,
    generator: torch.Generator,
) -> Moments:
    """Of free dreams, in which nobody trades."""
    sums = torch.zeros(2, mdn_rnn.latent_size, dtype=torch.float64)
    returned = torch.zeros(2, dtype=torch.float64)
    for before, _, drawn in free_dreams(mdn_rnn, bank, interval_ms, bars, generator):
        returns = vae.decode(drawn)[:, 0].double()
        sums += torch.stack([drawn.double().mean(0), ((drawn - before).double() ** 2).mean(0)])
        returned += torch.stack([returns.mean(), (returns**2).mean()])
    first, changed = (sums / bars).numpy()
    mean, square = (returned / bars).tolist()
    return Moments(first, np.sqrt(changed), mean, float(np.sqrt(square - mean**2)))
