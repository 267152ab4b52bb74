"""The dream on a device: M's own PyTorch module stepped over lanes, and the bars it dreams.

`DreamEngine` computes the same in compiled kernels on a CPU; the two agree to rounding. Nothing
here looks at a tensor's values, so that a CUDA graph can hold any number of steps.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...market.account.rules import BrokerConfig
from ...market.account.settlement import Bar
from ...market.arrays import IntArray
from ...models.mdn_rnn import State
from ..engine.engine import DreamEngine

_RETURN = 0  # column of the log return among the features


class Market(NamedTuple):
    """Where each of L lanes of a dream is.

    Attributes:
        latent: z [L, Z], float32.
        hidden: h [L, H], float32; with the ``market`` preset z has entered it.
        cell: c [L, H], float32.
        number: Of the bar that just closed, counted from 1970 on [L], int64.
        price: Its close [L], float64, quote currency.
        fill_range: Its decoded log(high / low) [L], float64; 0 where no rule looks inside bars.
        fill_volume: Its decoded volume [L], float64, likewise.
        volume_level: What volume is measured against [L], float64.
    """

    latent: Tensor
    hidden: Tensor
    cell: Tensor
    number: Tensor
    price: Tensor
    fill_range: Tensor
    fill_volume: Tensor
    volume_level: Tensor

    def put(self, other: Market) -> None:
        """Overwrite every lane; the tensors stay where they are."""
        for mine, theirs in zip(self, other, strict=True):
            mine.copy_(theirs)


class DeviceDream:
    """Steps lanes through a world model whose weights lie on a device.

    Args:
        engine: The same dream on the CPU, which knows the states that dreams begin from.
        device: Where.

    Attributes:
        device: Where.
        config: The world model's.
    """

    def __init__(self, engine: DreamEngine, device: torch.device) -> None:
        world_model = engine.world_model
        self.device = device
        self.config = world_model.config
        self._paper = self.config.preset == "paper"
        self._engine = engine
        self._rnn = copy.deepcopy(world_model.mdn_rnn).to(device)
        self._vae = copy.deepcopy(world_model.vae).to(device)
        self._scale, self._mean = _scaling(engine, _RETURN)
        self._inside = [
            (column, *_scaling(engine, column))
            for column in map(engine.config.features.names.index, ("range", "log_volume"))
        ]
        self._calendar = torch.from_numpy(engine.week_calendar()).to(device)  # [B, 4]

    def empty(self, lanes: int) -> Market:
        """Room for that many lanes."""
        config, device = self.config, self.device

        def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        return Market(
            zeros(lanes, config.latent_size, dtype=torch.float32),
            zeros(lanes, config.hidden_size, dtype=torch.float32),
            zeros(lanes, config.hidden_size, dtype=torch.float32),
            zeros(lanes, dtype=torch.int64),
            *(zeros(lanes, dtype=torch.float64) for _ in range(4)),
        )

    def start(self, segments: IntArray, broker: BrokerConfig) -> Market:
        """The states after recorded warm-ups, one for each segment [L]; computed on the CPU."""
        state = self._engine.start(segments)
        numbers = state.open_time_ms // self._engine.interval_ms
        bank, nothing = self._engine.world_model.bank, np.zeros(len(segments))
        levels = (bank.close[segments], nothing, nothing, bank.volume_level[segments])
        parts = (state.z, state.h, state.c, numbers, *levels)
        market = Market(*(torch.from_numpy(part).to(self.device) for part in parts))
        return self._seen_inside(market) if broker.looks_inside_bars else market

    def step(
        self,
        market: Market,
        noise: Tensor,
        actions: Tensor | None,
        temperature: float,
    ) -> tuple[Market, Tensor]:
        """Dream one bar of every lane; see `DreamEngine.step`.

        Args:
            market: Where the lanes are; left as it is.
            noise: [3 + Z, L], float32; see `Noise`.
            actions: Targets [L, 1], float32, which the ``paper`` preset hears.
            temperature: τ.

        Returns:
            Where they are then, price and range not yet moved, and the log returns [L], float64.
        """
        if self._paper:
            market = self._advance(market, actions)
        state = State(market.hidden, market.cell, market.latent)
        latent = self._rnn.sample_next(state, noise[1], noise[3:].T, temperature)
        scaled = self._vae.decode(latent)[:, _RETURN]
        market = market._replace(latent=latent, number=market.number + 1)
        if not self._paper:
            market = self._advance(market, None)
        return market, scaled.double() * self._scale + self._mean

    def bar(
        self, market: Market, log_return: Tensor, funding_rate: Tensor, broker: BrokerConfig
    ) -> tuple[Market, Bar]:
        """What the bar that `step` dreamed does to an account; see `DreamBars`.

        Args:
            market: After the step.
            log_return: Of the bar [L].
            funding_rate: Charged on a position held through it [L].
            broker: The account's rules.

        Returns:
            The lanes with price, range and volume moved, and the bar, its columns [L].
        """
        simple = log_return.expm1()
        high, low, after = simple.clamp(min=0.0), simple.clamp(max=0.0), market
        if broker.looks_inside_bars:
            body, after = log_return.abs(), self._seen_inside(market)
            ranges = torch.maximum(after.fill_range, body)
            beyond = 0.5 * (ranges - body)  # what the range exceeds the body by, split evenly
            high = (log_return.clamp(min=0.0) + beyond).expm1()
            low = (log_return.clamp(max=0.0) - beyond).expm1()
            after = after._replace(fill_range=ranges)
        turnover = (market.fill_volume * market.price).clamp(min=1.0)
        bar = Bar(
            simple_return=simple,
            simple_open=torch.zeros_like(simple),
            simple_high=high,
            simple_low=low,
            funding_rate=funding_rate,
            fill_range=market.fill_range,
            fill_price=market.price,
            fill_turnover=turnover,
        )
        return after._replace(price=market.price * (1.0 + simple)), bar

    def _advance(self, market: Market, actions: Tensor | None) -> Market:
        """The LSTM's step; on CUDA its non-linearities are one kernel."""
        row = (market.number + 1) % len(self._calendar)
        inputs = self._rnn.inputs(market.latent, self._calendar.index_select(0, row), actions)
        memory = [market.hidden, market.cell]
        hidden, cell = torch.lstm_cell(inputs, memory, *self._rnn.lstm.all_weights[0])
        return market._replace(hidden=hidden, cell=cell)

    def _seen_inside(self, market: Market) -> Market:
        """The lanes with the newest bar's log(high / low) and volume decoded from their latents."""
        decoded = self._vae.decode(market.latent)
        ranges, log_volume = (
            decoded[:, column].double() * scale + mean for column, scale, mean in self._inside
        )
        volume = market.volume_level * log_volume.exp() - 1.0
        return market._replace(fill_range=ranges.clamp(min=0.0), fill_volume=volume.clamp(min=0.0))


def _scaling(engine: DreamEngine, column: int) -> tuple[float, float]:
    """Scale and mean that turn a standardised feature into the feature."""
    scaler = engine.world_model.scaler
    return float(scaler.scale[column]), float(scaler.mean[column])
