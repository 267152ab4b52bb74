"""A world model whose dreams are streams of exact bars: the ``market`` preset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor, nn

from ..market.arrays import Float32Array, FloatArray, IntArray
from ..market.clock import calendar_cells
from ..market.features import Scaler, candles_for, feature_chunks
from ..market.numerics.float32 import noise_from_bits
from ..market.streamed_bars import bar_numbers, stream_memories
from ..market.streams import relative_volume_slope
from ..market.ticks import tick_of
from .bars.config import MarketConfig
from .bars.encoding import encode_record, standardise
from .bars.networks import FEATURE_LIMIT, BarRNN, BarVAE
from .bars.packed import NORMALS, UNIFORMS, BarLanes, BarNetwork
from .forecast import ReturnForecast
from .forward import CompiledLSTM, array
from .provenance import BarBank, Provenance
from .storage import Member, Parts
from .world_model import WorldModel

if TYPE_CHECKING:
    from ..market.candles import Candles
    from ..market.sources import CandleSource


_SEEN = (-FEATURE_LIMIT, FEATURE_LIMIT)


class BarWorldModel(WorldModel):
    """V tells what the features of a bar amount to; M draws the next bar; see `WorldModel`.

    What is random in the next z is exactly the bar's four numbers, drawn one after the other; the
    rest follows from them, by the features.
    """

    config: MarketConfig
    vae: BarVAE
    mdn_rnn: BarRNN
    bank: BarBank

    def __init__(
        self,
        config: MarketConfig,
        provenance: Provenance,
        scaler: Scaler,
        vae: BarVAE,
        mdn_rnn: BarRNN,
        bank: BarBank,
        others: Sequence[BarWorldModel] = (),
    ) -> None:
        super().__init__(config, provenance, scaler, vae, mdn_rnn, bank)
        self.others = tuple(others)
        if mdn_rnn.tick_size is None:  # a bank cut down later would tell less of it
            mdn_rnn.tick_size = tick_of(bank.close)

    def _parts(self) -> Parts:
        others = (Member(one.vae, one.mdn_rnn, one.bank.z) for one in self.others)
        return super()._parts()._replace(others=tuple(others))

    @classmethod
    def _of_parts(cls, parts: Parts) -> Self:
        made = super()._of_parts(parts)
        made.others = tuple(
            cls(
                made.config,
                made.provenance,
                made.scaler,
                one.vae,
                one.mdn_rnn,
                replace(made.bank, z=one.z),
            )
            for one in parts.others
        )
        return made

    @property
    def members(self) -> tuple[BarWorldModel, ...]:
        """All that were trained on the market: this one, whose z and h are shown, and the others."""
        return (self, *self.others)

    @property
    def num_segments(self) -> int:
        """Where dreams begin: segment s of member m has the index m·S + s."""
        return len(self.members) * len(self.bank)

    def recent(self, share: float) -> Self:
        """The same world model, whose dreams begin late; see `WorldModel.recent`."""
        made = super().recent(share)
        made.others = tuple(other.recent(share) for other in self.others)
        return made

    @property
    def tick_size(self) -> float:
        """The grid that dreamed prices lie on [quote currency]; 0 where the record has none."""
        return self.mdn_rnn.tick_size or 0.0

    @property
    def drift(self) -> float:
        """Added to every return's mean, in units of M's `return_scale`; see `models.drift`."""
        return self.mdn_rnn.drift

    def remembering(self, mdn_rnn: BarRNN) -> BarWorldModel:
        """The same world model with another M, which remembers as this one does; by itself."""
        parts = (self.config, self.provenance, self.scaler, self.vae, mdn_rnn, self.bank)
        made = BarWorldModel(*parts)
        made._runs = self._runs
        return made

    @cached_property
    def network(self) -> BarNetwork:
        """V and M as compiled code."""
        parts = (self.vae, self.mdn_rnn, self.scaler, self.config)
        return BarNetwork.of(*parts, self.tick_size)

    @cached_property
    def compiled_vae(self) -> Any:
        """V for use: the same bits for a bar wherever and in whatever company it is computed."""
        return _Coder(self)

    @cached_property
    def compiled_memory(self) -> CompiledLSTM:
        """M's LSTM, which hears the first numbers of z."""
        return CompiledLSTM.of(self.mdn_rnn)

    def remembered(self, z: Float32Array, next_open_time_ms: IntArray) -> Float32Array:
        """The state h after each latent [N, T, H], from zeros; see `WorldModel.remembered`."""
        return self.compiled_memory.run(self.heard(z), self.calendars(next_open_time_ms))

    def warmed(
        self, z: Float32Array, last_open_time_ms: IntArray
    ) -> tuple[Float32Array, Float32Array]:
        """The states h and c [N, H] after recorded latents [N, W, Z], from zeros."""
        step = self.provenance.interval_ms
        back = step * np.arange(1 - z.shape[1], 1)
        times = np.asarray(last_open_time_ms)[:, None] + back + step
        return self.compiled_memory.final(self.heard(z), self.calendars(times))

    def calendars(self, open_time_ms: IntArray) -> Float32Array:
        """What M is told of the calendar of bars that open then [..., C]."""
        cells = calendar_cells(open_time_ms, self.provenance.interval)
        table = self.network.calendar
        told: Float32Array = table[cells[..., 0]] + table[cells[..., 1]]
        return told

    def heard(self, z: Float32Array) -> Float32Array:
        """What M hears of latents [..., Z]: the numbers that forecast."""
        return np.ascontiguousarray(z[..., : self.config.forecast_size])

    def return_mixture(
        self, after: Tensor, z: Tensor, next_open_time_ms: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and sigmas [T, K], percent, from hidden states after z entered."""
        calendars = torch.from_numpy(self.calendars(next_open_time_ms))
        percent = 100.0 * float(self.mdn_rnn.return_scale)
        with torch.no_grad():
            trunk = self.mdn_rnn.trunk(z[..., : self.config.forecast_size], calendars, after)
            mixture = self.mdn_rnn.return_mixture(trunk)
            weights = torch.softmax(mixture.logits.double(), dim=-1)
        sigmas = mixture.log_sigmas[..., 0].double().exp()
        means = mixture.means[..., 0].double()
        return weights.numpy(), means.numpy() * percent, sigmas.numpy() * percent

    def return_forecast(
        self, candles: CandleSource, rows: tuple[int, int] | None = None
    ) -> ReturnForecast:
        """The predictive mixture of the log return from t to t+1, percent; members are pooled."""
        candles = candles_for(self.config.features, candles)
        made = [super().return_forecast(candles, rows)]
        made += [other.return_forecast(candles, rows) for other in self.others]
        if len(made) == 1:
            return made[0]
        weights, means, sigmas = (
            np.concatenate([getattr(one, part) for one in made], axis=1)
            for part in ("weights", "means", "sigmas")
        )
        return ReturnForecast(weights / len(made), means, sigmas, made[0].open_time_ms)

    def bar_log_prob(
        self, candles: CandleSource, rows: tuple[int, int] | None = None
    ) -> FloatArray:
        """Log density of the bar after each [T], nats; NaN where there is none, or no forecast.

        Of the log return in percent, the logarithms of both wicks and of the volume; a wick of
        exactly 0 counts with its probability, and a bar without volume has no density. Members are
        pooled.

        Args:
            candles: Anything `open_candles` opens; see `features`.
            rows: First row of which it is wanted, and the row after the last; None are all.
        """
        whole: FloatArray = self.bar_log_prob_parts(candles, rows).sum(axis=1)
        return whole

    def bar_log_prob_parts(
        self, candles: CandleSource, rows: tuple[int, int] | None = None
    ) -> FloatArray:
        """`bar_log_prob` as the sum of its parts [T, 4]: return, upper wick, lower wick, volume.

        Each given what the model knows and the parts before it; see there.
        """
        candles = candles_for(self.config.features, candles)
        wanted = rows or (0, len(candles))
        joint = [np.cumsum(one._own_bar_log_prob(candles, wanted), axis=1) for one in self.members]
        pooled: FloatArray = logsumexp(joint, axis=0) - np.log(len(joint))
        return np.diff(pooled, axis=1, prepend=0.0)

    def _own_bar_log_prob(self, candles: Candles, wanted: tuple[int, int]) -> FloatArray:
        """The parts of the density [n, 4] after the rows wanted, by this member alone."""
        first, last = wanted
        latents, bars = self.latents(candles, slice(*wanted)), self._bars_after(candles)[first:last]
        known = latents.valid & np.isfinite(bars).all(axis=1)
        out = np.full(bars.shape, np.nan)
        for start, features in feature_chunks(candles, self.config.features):
            some = slice(max(start - first, 0), max(start + len(features) - first, 0))
            rows = some.start + np.flatnonzero(known[some])
            seen = np.clip(self.scaler.transform(features[rows + first - start]), *_SEEN)
            told = self.calendars(candles.open_time_ms[rows + first] + candles.interval_ms)
            parts = (self.heard(latents.z[rows]), told, latents.h[rows], seen, bars[rows])
            out[rows] = self._densities(*parts)
        out[:, 0] -= np.log(100.0 * float(self.mdn_rnn.return_scale))
        out[:, 3] += np.log(relative_volume_slope(bars[:, 3]))
        return out

    @torch.no_grad()
    def _densities(self, *parts: NDArray[Any]) -> FloatArray:
        """Log densities [N, 4] by what M hears, calendars, states, features, and the bars that came."""
        z, told, hidden, seen, came = (torch.from_numpy(part.astype(np.float32)) for part in parts)
        trunk = self.mdn_rnn.trunk(z, told, hidden)
        densities = self.mdn_rnn.bar_log_prob(trunk, seen, told, came)
        found: FloatArray = torch.stack(list(densities), dim=-1).double().numpy()
        return found

    def _bars_after(self, candles: Candles) -> FloatArray:
        """The bar after each, in M's units [T, 4]; NaN where there is none, or without volume."""
        came, bars = bar_numbers(candles)[1:], np.full((len(candles), 4), np.nan)
        column = self.config.features.names.index("volume")
        for first, features in feature_chunks(candles, self.config.features):
            rows = slice(max(first - 1, 0), first + len(features) - 1)
            bars[rows, 3] = features[max(1 - first, 0) :, column]
        bars[:-1, :3] = came[:, :3] / float(self.mdn_rnn.return_scale)
        bars[:-1][came[:, 3] == 0.0] = np.nan
        return bars


class _Coder:
    """V of bars, compiled: features to z and, for whoever asks what z still knows, back."""

    def __init__(self, world_model: BarWorldModel) -> None:
        self._network = world_model.network
        self._size = world_model.config.latent_size
        first, last = (m for m in world_model.vae.decoder if isinstance(m, nn.Linear))
        self._decoder = [array(p).astype(np.float64) for m in (first, last) for p in m.parameters()]

    def encode(self, scaled: Float32Array) -> Float32Array:
        """Means [N, Z] of standardised features [N, F]; NaN where those are."""
        rows = np.clip(scaled, -FEATURE_LIMIT, FEATURE_LIMIT)
        z = np.empty((len(rows), self._size), dtype=np.float32)
        encode_record(self._network.parameters, self._network.sizes, rows, z)
        z[np.isnan(scaled).any(axis=1)] = np.nan
        return z

    def decode(self, latent: Float32Array) -> Float32Array:
        """Expected standardised features [N, F] of latents [N, Z]."""
        kernel, bias, out, shift = self._decoder
        inner = latent @ kernel.T + bias
        inner = inner / (1.0 + np.exp(-inner))
        decoded: Float32Array = (inner @ out.T + shift).astype(np.float32)
        return decoded


def start_lanes(world_model: BarWorldModel, warmup: int | None = None) -> BarLanes:
    """One lane after each of the bank's segments.

    Args:
        world_model: Whose bank.
        warmup: Bars of the segments that M hears; None takes all.
    """
    bank, config = world_model.bank, world_model.config
    lanes = BarLanes.empty(len(bank), config)
    heard = np.ascontiguousarray(bank.z[:, -(warmup or bank.z.shape[1]) :])
    lanes.h[:], lanes.c[:] = world_model.warmed(heard, bank.open_time_ms)
    lanes.z[:] = bank.z[:, -1]
    lanes.raw[:], lanes.memory[:], lanes.drawn[:, :4] = bank.features, bank.memory, bank.bars[:, -1]
    lanes.open_time_ms[:], lanes.close[:] = bank.open_time_ms, bank.close
    see(world_model, lanes)
    return lanes


def lanes_after(
    world_model: BarWorldModel, candles: Candles, rows: IntArray, warmup: int | None = None
) -> BarLanes:
    """One lane at the close of each of some recorded bars.

    Args:
        world_model: Whose features, V and M.
        candles: The record.
        rows: Of the newest bars [N]; their warm-ups, with complete features, are before them.
        warmup: Bars that M hears up to each; None takes as many as the bank's segments have.
    """
    config, heard = world_model.config, warmup or world_model.bank.z.shape[1]
    features = world_model.features(candles)[rows[:, np.newaxis] + np.arange(1 - heard, 1)]
    latents, last = world_model.encode(features), candles.open_time_ms[rows]
    lanes = BarLanes.empty(len(rows), config)
    lanes.z[:], lanes.raw[:] = latents[:, -1], features[:, -1]
    lanes.h[:], lanes.c[:] = world_model.warmed(latents, last)
    lanes.memory[:] = stream_memories(candles, config.features, rows)
    lanes.drawn[:, :4] = bar_numbers(candles)[rows]
    lanes.open_time_ms[:], lanes.close[:] = last, candles.close[rows]
    see(world_model, lanes)
    return lanes


def see(world_model: BarWorldModel, lanes: BarLanes) -> None:
    """Standardise the raw features that the lanes hold; the candles' columns go on from there."""
    columns = lanes.drawn.shape[1] - 4
    lanes.drawn[:, 4:] = lanes.raw[:, lanes.raw.shape[1] - columns :]
    for raw, seen in zip(lanes.raw, lanes.features, strict=True):
        standardise(raw, world_model.network.moments, seen)


def chosen(lanes: BarLanes, which: IntArray) -> BarLanes:
    """Copies of some lanes."""
    parts: Any = (np.ascontiguousarray(part[which]) for part in lanes)
    return BarLanes(*parts)


def side_by_side(parts: Sequence[BarLanes]) -> BarLanes:
    """Lanes of several states as one."""
    columns: Any = zip(*parts, strict=True)
    return BarLanes(*(np.concatenate(column) for column in columns))


def noise_rows(config: MarketConfig) -> int:
    """Random numbers of a lane's step: 8, and those of the dreamed columns, an even number of pairs."""
    pairs = len(config.dreamed)
    return UNIFORMS + NORMALS + 2 * (pairs + pairs % 2)


def draw_bar_noise(
    rng: np.random.Generator, num_lanes: int, steps: int, rows: int = UNIFORMS + NORMALS
) -> Float32Array:
    """The noise of several steps of N lanes [steps, R, N]: four uniforms, then four normals.

    The same as drawn step by step.

    Args:
        rng: Draws it.
        num_lanes: N.
        steps: How many.
        rows: R, see `noise_rows`: further uniforms and normals follow, as many of both.
    """
    size = rows // 2 * num_lanes
    bits = rng.bit_generator.random_raw(steps * size).view(np.uint32).reshape(steps, -1)
    noise: Float32Array = np.empty((steps, rows * num_lanes), dtype=np.float32)
    noise_from_bits(bits, noise[:, :size], noise[:, size:])
    drawn = noise.reshape(steps, rows, num_lanes)
    return drawn if rows == UNIFORMS + NORMALS else np.ascontiguousarray(drawn[:, _order(rows)])


def _order(rows: int) -> list[int]:
    """Where R/2 uniforms and as many normals are, the four of the bar before the others."""
    half = rows // 2
    bar = [*range(UNIFORMS), *range(half, half + NORMALS)]
    return [*bar, *(row for row in range(rows) if row not in bar)]
