"""The dream of latents on a device: M's own PyTorch module stepped over lanes, and the bars it dreams."""

from __future__ import annotations

import copy
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from ...market.account.rules import BrokerConfig
from ...market.account.settlement import Bar
from ...market.arrays import IntArray
from ...models.mdn_rnn import State
from ..engine.paper_engine import PaperEngine
from .dream import DeviceDream, Market

_RETURN = 0  # column of the log return among the features


class _Lanes(NamedTuple):
    """What a lane of latents remembers besides z and h.

    Attributes:
        cell: c [L, H], float32.
        number: Of the bar that just closed, counted from 1970 on [L], int64.
        price: Its close [L], float64, quote currency.
        fill_range: Its decoded log(high / low) [L], float64; 0 where no rule looks inside bars.
        fill_volume: Its decoded volume [L], float64, likewise.
        volume_level: What volume is measured against [L], float64.
    """

    cell: Tensor
    number: Tensor
    price: Tensor
    fill_range: Tensor
    fill_volume: Tensor
    volume_level: Tensor


class PaperDream(DeviceDream):
    """Lanes of a world model that draws latents (``paper``); see `DeviceDream`.

    Args:
        engine: The same dream on the CPU.
        device: Where.
    """

    def __init__(self, engine: PaperEngine, device: torch.device) -> None:
        super().__init__(engine, device)
        world_model = engine.world_model
        self._engine = engine
        self._rnn = copy.deepcopy(world_model.mdn_rnn).to(device)
        self._vae = copy.deepcopy(world_model.vae).to(device)
        self._scale, self._mean = world_model.return_scaling
        self._inside = [
            (column, *_scaling(engine, column))
            for column in map(engine.config.features.names.index, ("range", "log_volume"))
        ]
        self._calendar = torch.from_numpy(engine.week_calendar()).to(device)  # [B, 4]

    def empty(self, lanes: int) -> Market:
        """Room for that many lanes."""
        config, device = self.config, self.device

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros((lanes, *shape), dtype=dtype, device=device)

        prices = (zeros(dtype=torch.float64) for _ in range(4))
        rest = _Lanes(zeros(config.hidden_size), zeros(dtype=torch.int64), *prices)
        return Market(zeros(config.latent_size), zeros(config.hidden_size), rest)

    def start(self, segments: IntArray, broker: BrokerConfig) -> Market:
        """The states after recorded warm-ups, one for each segment [L]; computed on the CPU."""
        state = self._engine.start(segments)
        numbers = state.open_time_ms // self._engine.interval_ms
        bank, nothing = self._engine.world_model.bank, np.zeros(len(segments))
        levels = (bank.close[segments], nothing, nothing, bank.volume_level[segments])
        parts = (state.z, state.h, state.c, numbers, *levels)
        latent, hidden, *rest = (torch.from_numpy(part).to(self.device) for part in parts)
        lanes = _Lanes(*rest)
        if broker.looks_inside_bars:
            lanes = self._seen_inside(latent, lanes)
        return Market(latent, hidden, lanes)

    def live(
        self,
        market: Market,
        noise: Tensor,
        actions: Tensor | None,
        funding_rate: Tensor,
        temperature: float,
        broker: BrokerConfig,
    ) -> tuple[Market, Bar]:
        """Dream one bar of every lane; see `DeviceDream.live`."""
        before = cast(_Lanes, market.others)
        state = self._advance(market, before, actions)
        latent = self._rnn.sample_next(state, noise[1], noise[3:].T, temperature)
        log_return = self._vae.decode(latent)[:, _RETURN].double() * self._scale + self._mean
        lanes = before._replace(cell=state.cell, number=before.number + 1)
        after, bar = self._bar(latent, lanes, log_return, funding_rate, broker)
        return Market(latent, state.hidden, after), bar

    def _bar(
        self,
        latent: Tensor,
        lanes: _Lanes,
        log_return: Tensor,
        funding_rate: Tensor,
        broker: BrokerConfig,
    ) -> tuple[_Lanes, Bar]:
        """What a dreamed bar does to an account, and the lanes with price, range and volume moved.

        See `DecodedBars`.
        """
        simple = log_return.expm1()
        high, low, after = simple.clamp(min=0.0), simple.clamp(max=0.0), lanes
        if broker.looks_inside_bars:
            body, after = log_return.abs(), self._seen_inside(latent, lanes)
            ranges = torch.maximum(after.fill_range, body)
            beyond = 0.5 * (ranges - body)  # what the range exceeds the body by, split evenly
            high = (log_return.clamp(min=0.0) + beyond).expm1()
            low = (log_return.clamp(max=0.0) - beyond).expm1()
            after = after._replace(fill_range=ranges)
        bar = Bar(
            simple_return=simple,
            simple_open=torch.zeros_like(simple),
            simple_high=high,
            simple_low=low,
            funding_rate=funding_rate,
            fill_range=lanes.fill_range,
            fill_price=lanes.price,
            fill_turnover=(lanes.fill_volume * lanes.price).clamp(min=1.0),
        )
        return after._replace(price=lanes.price * (1.0 + simple)), bar

    def _advance(self, market: Market, lanes: _Lanes, actions: Tensor | None) -> State:
        """The LSTM's step; on CUDA its non-linearities are one kernel."""
        row = (lanes.number + 1) % len(self._calendar)
        inputs = self._rnn.inputs(market.latent, self._calendar.index_select(0, row), actions)
        memory = [market.hidden, lanes.cell]
        hidden, cell = torch.lstm_cell(inputs, memory, *self._rnn.lstm.all_weights[0])
        return State(hidden, cell, market.latent)

    def _seen_inside(self, latent: Tensor, lanes: _Lanes) -> _Lanes:
        """The lanes with the newest bar's log(high / low) and volume decoded from their latents."""
        decoded = self._vae.decode(latent)
        ranges, log_volume = (
            decoded[:, column].double() * scale + mean for column, scale, mean in self._inside
        )
        volume = lanes.volume_level * log_volume.exp() - 1.0
        return lanes._replace(fill_range=ranges.clamp(min=0.0), fill_volume=volume.clamp(min=0.0))


def _scaling(engine: PaperEngine, column: int) -> tuple[float, float]:
    """Scale and mean that turn a standardised feature into the feature."""
    scaler = engine.world_model.scaler
    return float(scaler.scale[column]), float(scaler.mean[column])
