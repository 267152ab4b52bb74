"""One bar of one lane in a single compiled call: the account, and what the policy sees next.

Calling compiled code costs about 0.2 µs and 0.05 µs more for each array; the arithmetic of a bar
costs less than that.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..market.candles import FloatArray
from ..market.compiled import compiled
from ..market.settlement import SettledState, settle_row, settle_state
from .lane_kernels import step_lane
from .spaces import WEIGHT_BOUND

Float32Array = NDArray[np.float32]

FLOAT32 = np.dtype(np.float32)
"""A type that numpy need not look up each time an observation is made."""

Lived = tuple[float, float, float, float, float, float, bool]
"""Equity, weight, log growth, cost, turnover |Δw|, the bar's simple return, and whether the account
is terminated."""


@compiled
def account_of(
    held: float, simple_return: float, settled: SettledState, observation: Float32Array
) -> Lived:
    """What an environment tells of a settled bar; writes the weight, bounded, as the last number.

    Args:
        held: Weight before the bar's trade.
        simple_return: Of the bar.
        settled: By `settle_state`.
        observation: [D].
    """
    equity, weight, growth, executed, cost, _, _, _, _, ended = settled
    shown = WEIGHT_BOUND if weight > WEIGHT_BOUND else weight
    observation[-1] = -WEIGHT_BOUND if shown < -WEIGHT_BOUND else shown
    return equity, weight, growth, cost, abs(executed - held), simple_return, ended


@compiled
def live_bar(
    account: FloatArray, action: float, bars: FloatArray, row: int, observation: Float32Array
) -> Lived:
    """Settle a bar; the observation's market is written by somebody else.

    Args:
        account: State of a `ScalarAccount`, updated.
        action: Target weight that is filled now.
        bars: [T, 7], columns `BAR_FIELDS`.
        row: Which of them is lived; not checked.
        observation: [D]; its last number is written.
    """
    held = account[1]
    settled = settle_row(account, action, bars, row)
    return account_of(held, bars[row, 0], settled, observation)


@compiled
def live_recorded(
    account: FloatArray,
    action: float,
    bars: FloatArray,
    row: int,
    views: Float32Array,
    observation: Float32Array,
) -> Lived:
    """`live_bar`, with the market's part of the observation copied from ``views`` [T, D]."""
    for j in range(observation.shape[0] - 1):
        observation[j] = views[row, j]
    return live_bar(account, action, bars, row, observation)


@compiled
def live_dreamed(
    account: FloatArray,
    action: float,
    wide: Float32Array,
    latent: Float32Array,
    calendar: Float32Array,
    numbers: FloatArray,
    noise: Float32Array,
    step: int,
    temperature: float,
    open_time_ms: int,
    price: float,
    memory: Float32Array,
    observation: Float32Array,
) -> tuple[Lived, float]:
    """Dream a bar of which only the return is known, settle it, and look at [z, h].

    Args:
        account: State of a `ScalarAccount`, updated.
        action: Target weight that is filled now.
        wide: And the three that follow: a `LaneModel`.
        latent: z's mixture.
        calendar: Of a week's bars.
        numbers: Sizes and scales.
        noise: Of S steps [3 + Z, S].
        step: Which of them.
        temperature: τ.
        open_time_ms: Of the bar that is dreamed.
        price: Close of the bar before.
        memory: The lane's, see `LaneModel`; updated.
        observation: [D], written.

    Returns:
        What is told of the account, and the bar's close.
    """
    log_return = step_lane(
        wide,
        latent,
        calendar,
        numbers,
        noise,
        step,
        np.float32(temperature),
        open_time_ms,
        memory,
    )
    simple = math.expm1(log_return)  # as `market.settlement.plain_bars` does
    held = account[1]
    settled = settle_state(
        account, action, simple, 0.0, max(simple, 0.0), min(simple, 0.0), 0.0, 0.0, price
    )
    latents, hidden = int(numbers[1]), int(numbers[2])
    z = memory[wide.shape[1] + latent.shape[1] + hidden :]
    h = z[latents + calendar.shape[1] :]
    for d in range(latents):
        observation[d] = z[d]
    for j in range(hidden):
        observation[latents + j] = h[j]
    return account_of(held, simple, settled, observation), price * (1.0 + simple)
