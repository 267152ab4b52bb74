"""The dream of bars on a device: V's and M's own PyTorch modules stepped over lanes."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from ...market.account.rules import BrokerConfig
from ...market.account.settlement import Bar
from ...market.arrays import FloatArray, IntArray
from ...market.clock import _STANDARD_HOURS, PLACES, SUMMER_TIME
from ...market.errors import ConfigError
from ...market.intervals import INTERVALS_MS
from ...market.streams import AVERAGE_VOLUME, FEATURES
from ...models.bars.networks import (
    FEATURE_LIMIT,
    BarRNN,
    BarVAE,
    mean_log_scale,
    return_parts,
    wick_parts,
)
from ...models.bars.packed import BarLanes
from ...models.mixture import Mixture, sample_mixture
from ..engine.bar_engine import BarEngine
from .dream import DeviceDream, Market
from .grid import closed_on_grid, nearest_on_grid, wicks_on_grid
from .streams import DeviceStreams, volume_of

_HOUR_MS, _DAY_MS = INTERVALS_MS["60"], INTERVALS_MS["D"]
_LEVEL = [feature.name for feature in FEATURES].index("level")
_VOLUME_LIMIT = 6.0  # of the relative log volume
_FARTHEST = 100.0  # of a return or wick, in deviations of the training range


class BarRest(NamedTuple):
    """What a lane of bars remembers besides z and h: the others of its `Market`.

    Attributes:
        cell: c [L, H], float32.
        features: Of the newest bar, standardised and clipped [L, F], float32.
        memory: What the features remember [L, S], float64.
        open_time_ms: Of the bar that just closed [L], int64.
        bar: It, columns `market.streams.BAR_NUMBERS` [L, 4], float64.
        price: Its close [L], float64, quote currency.
    """

    cell: Tensor
    features: Tensor
    memory: Tensor
    open_time_ms: Tensor
    bar: Tensor
    price: Tensor


class BarDream(DeviceDream):
    """Lanes of a world model that draws bars (``market``); see `DeviceDream`.

    Args:
        engine: The same dream on the CPU.
        device: Where.
    """

    def __init__(self, engine: BarEngine, device: torch.device) -> None:
        more = engine.config.features.more
        if more:
            raise ConfigError(
                f"a rollout on a device knows the features of one bar's own numbers, and this world model "
                f"sees {', '.join(more)} besides: dream it on the CPU"
            )
        super().__init__(engine, device)
        world_model = engine.world_model
        self._engine = engine
        self._vae: BarVAE = copy.deepcopy(world_model.vae).to(device)
        self._rnn: BarRNN = copy.deepcopy(world_model.mdn_rnn).to(device)
        self._scale = float(world_model.mdn_rnn.return_scale)
        self._correction = [float(value) for value in world_model.mdn_rnn.calibration]
        self._noise = [float(value) for value in world_model.mdn_rnn.noise_calibration]
        scaler = world_model.scaler
        self._mean = torch.from_numpy(np.array(scaler.mean)).to(device)
        self._by_scale = torch.from_numpy(1.0 / scaler.scale).to(device)
        self._tick = world_model.tick_size
        self._streams = DeviceStreams(self.config.features, device)
        self._summer = torch.from_numpy(SUMMER_TIME.copy()).to(device)

    def empty(self, lanes: int) -> Market:
        """Room for that many lanes."""
        config, device = self.config, self.device

        def zeros(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.zeros((lanes, *shape), dtype=dtype, device=device)

        rest = BarRest(
            zeros(config.hidden_size, dtype=torch.float32),
            zeros(len(FEATURES), dtype=torch.float32),
            zeros(config.features.memory_size),
            zeros(dtype=torch.int64),
            zeros(4),
            zeros(),
        )
        latent = zeros(config.latent_size, dtype=torch.float32)
        return Market(latent, torch.zeros_like(rest.cell), rest)

    def start(self, segments: IntArray, broker: BrokerConfig) -> Market:
        """The states after recorded warm-ups, one for each segment [L]; computed on the CPU."""
        price, _ = self._engine.levels(segments)
        return self.placed(self._engine.start(segments).lanes, price)

    def placed(self, lanes: BarLanes, price: FloatArray) -> Market:
        """Lanes of the engine's at given closes [L]."""
        rest = (lanes.c, lanes.features, lanes.memory, lanes.open_time_ms, lanes.drawn, price)
        return Market(
            self._there(lanes.z),
            self._there(lanes.h),
            BarRest(*(self._there(part) for part in rest)),
        )

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
        drawn = self.draw(market, noise, temperature)
        bar = self.settled(market, drawn, funding_rate)
        return self.see(market, drawn), bar

    def settled(self, market: Market, drawn: Tensor, funding_rate: Tensor) -> Bar:
        """What bars [L, 4] do to accounts, in the lanes that they were drawn in."""
        before = cast(BarRest, market.others)
        change, upper, lower, _ = drawn.unbind(1)
        simple = change.expm1()
        return Bar(
            simple_return=simple,
            simple_open=torch.zeros_like(simple),
            simple_high=(change.clamp(min=0.0) + upper).expm1(),
            simple_low=(change.clamp(max=0.0) - lower).expm1(),
            funding_rate=funding_rate,
            fill_range=before.bar[:, 0].abs() + before.bar[:, 1] + before.bar[:, 2],
            fill_price=before.price,
            fill_turnover=(before.bar[:, 3] * before.price).clamp(min=1.0),
        )

    def draw(self, market: Market, noise: Tensor, temperature: float) -> Tensor:
        """The next bars [L, 4], float64; see `models.bars`."""
        lanes = cast(BarRest, market.others)
        rnn, features = self._rnn, lanes.features
        shift, of_volume, pull, middle = self._correction
        calendars = self._told(lanes.open_time_ms)
        trunk = rnn.trunk(market.latent[:, : rnn.forecast_size], calendars, market.hidden)
        returns = rnn.return_mixture(trunk, shift + pull * (middle - features[:, _LEVEL]))
        units = sample_mixture(returns, noise[0], noise[4].unsqueeze(1), temperature)[:, 0]
        change, close = self._closed(lanes.price, units.clamp(-_FARTHEST, _FARTHEST))
        log_scale = mean_log_scale(returns)
        parts, made = return_parts((change / self._scale).float(), log_scale), [change]
        for row, side in enumerate(("upper", "lower"), start=1):
            wick = self._wick(
                side, trunk, parts, noise[row], noise[4 + row], log_scale, temperature
            )
            made.append(self._reached(side, lanes.price, close, wick))
            wick, height = made[-1], torch.stack(made).abs().sum(0)
            told = wick_parts(
                (wick / self._scale).float(), (height / self._scale).float(), log_scale
            )
            parts = torch.cat([parts, told], dim=-1)
        mixture = _widened(rnn.volume_mixture(trunk, features, calendars, parts), self._noise[2])
        relative = sample_mixture(mixture, noise[3], noise[7].unsqueeze(1), temperature)[:, 0]
        relative = (relative + of_volume).clamp(-_VOLUME_LIMIT, _VOLUME_LIMIT).double()
        volume = volume_of(relative, lanes.memory[:, AVERAGE_VOLUME])
        return torch.stack([*made, volume], dim=1)

    def _closed(self, before: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        """Log returns and closes [L], float64, of drawn returns."""
        if self._tick > 0.0:
            return closed_on_grid(before, units, self._scale, self._tick)
        change = units.double() * self._scale
        return change, before * (1.0 + change.expm1())

    def _reached(self, side: str, before: Tensor, close: Tensor, units: Tensor) -> Tensor:
        """Wicks [L], float64, of drawn ones."""
        if self._tick > 0.0:
            return wicks_on_grid(side, before, close, units, self._scale, self._tick)
        return units.double() * self._scale

    def _wick(
        self,
        side: str,
        trunk: Tensor,
        parts: Tensor,
        uniforms: Tensor,
        normals: Tensor,
        log_scale: Tensor,
        temperature: float,
    ) -> Tensor:
        """A wick in deviations of the training range [L]: exactly 0 by its own chance."""
        logit, mixture = self._rnn.wick(side, trunk, parts)
        sure = (logit > 0.0).float()
        none = torch.sigmoid(logit / temperature) if temperature > 0.0 else sure
        rest = (uniforms - none) / (1.0 - none).clamp(min=1e-12)
        mixture = _widened(mixture, self._noise[side == "lower"])
        units = sample_mixture(mixture, rest, normals.unsqueeze(1), temperature)[:, 0]
        wick = (units + log_scale).exp().clamp(max=_FARTHEST)
        return wick.masked_fill(uniforms < none, 0.0)

    def see(self, market: Market, drawn: Tensor) -> Market:
        """The lanes once bars [L, 4] have closed: features, V, M's memory."""
        before = cast(BarRest, market.others)
        price = before.price * (1.0 + drawn[:, 0].expm1())
        if self._tick > 0.0:  # to the last bit: a bar that closes where it began is a flat one
            price = nearest_on_grid(price, self._tick)
        rnn, times = self._rnn, before.open_time_ms + self._engine.interval_ms
        memory, raw = self._streams.advance(before.memory, drawn, times)
        features = (raw - self._mean) * self._by_scale
        features = features.clamp(-FEATURE_LIMIT, FEATURE_LIMIT).float()
        latent = self._vae.encode(features).mean
        inputs = torch.cat([latent[:, : rnn.forecast_size], self._told(times)], dim=1)
        states = [market.hidden, before.cell]
        hidden, cell = torch.lstm_cell(inputs, states, *rnn.lstm.all_weights[0])
        return Market(latent, hidden, BarRest(cell, features, memory, times, drawn, price))

    def _told(self, open_time_ms: Tensor) -> Tensor:
        """What M is told of the calendar of the bars after those [L, C]; see `market.clock`."""
        coming, bar_ms = open_time_ms + self._engine.interval_ms, self._engine.interval_ms
        weekday = (coming // _DAY_MS + 3) % 7
        elsewhere = torch.zeros_like(coming)
        if bar_ms > _DAY_MS:
            here = elsewhere
        elif bar_ms == _DAY_MS:
            here = weekday
        else:
            hour = (coming // _HOUR_MS) % 24
            here = hour + 24 * (weekday >= 5)
            summer = torch.searchsorted(self._summer, coming, right=True) % 2
            elsewhere = (hour - _STANDARD_HOURS + summer) % 24
        table = self._rnn.calendar
        return table.index_select(0, here) + table.index_select(0, PLACES + elsewhere)

    def _there(self, part: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(part)).to(self.device)


def _widened(mixture: Mixture, shift: float) -> Mixture:
    """A mixture with so much added to every log σ."""
    return mixture._replace(log_sigmas=mixture.log_sigmas + shift)
