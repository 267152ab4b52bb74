"""Free dreams of latents by M's own module: what calibration and the drift are measured on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..market.arrays import Float32Array, IntArray
from ..market.features import calendar
from .mdn_rnn import MDNRNN, State, warmup_inputs
from .provenance import WarmupBank

_LANES = 256


class Drawn(NamedTuple):
    """A bar of N dreams.

    Attributes:
        before: The latents that entered [N, Z].
        state: Of M after them.
        latent: Drawn from it [N, Z].
    """

    before: Tensor
    state: State
    latent: Tensor


def free_dreams(
    mdn_rnn: MDNRNN, bank: WarmupBank, interval_ms: int, bars: int, generator: torch.Generator
) -> Iterator[Drawn]:
    """Dream from every segment of the bank, 256 lanes or more, in which nobody trades.

    Args:
        mdn_rnn: M.
        bank: Where dreams begin.
        interval_ms: Length of a bar.
        bars: Length of a dream.
        generator: Of the noise.
    """
    lanes = np.resize(np.arange(len(bank)), max(_LANES, len(bank)))
    times, latent = bank.open_time_ms[lanes], torch.from_numpy(bank.z[lanes, -1])
    state = _warm_state(mdn_rnn, bank.z[lanes], times, interval_ms)
    for _ in range(bars):
        times = times + interval_ms
        state = mdn_rnn.advance(latent, torch.from_numpy(calendar(times)), None, state)
        uniforms = torch.rand(len(lanes), generator=generator)
        normals = torch.randn(len(lanes), mdn_rnn.latent_size, generator=generator)
        drawn = mdn_rnn.sample_next(state, uniforms, normals)
        yield Drawn(latent, state, drawn)
        latent = drawn


def _warm_state(
    mdn_rnn: MDNRNN,
    latents: Float32Array,
    last_open_time_ms: IntArray,
    interval_ms: int,
) -> State:
    """The state after recorded latents [N, W, Z], from zeros; see `WorldModel.warm_up`."""
    inputs, waves = warmup_inputs(latents, last_open_time_ms, interval_ms)
    if not inputs.shape[1]:
        return mdn_rnn.initial_state(len(latents))
    state: State = mdn_rnn(torch.from_numpy(inputs), torch.from_numpy(waves))[1]
    return state
