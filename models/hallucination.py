"""Hallucinated markets: whole candles that a world model dreams, as many paths as are asked for.

Path i draws its noise, and from which segment of the bank it begins, from a generator of its own,
seeded by (seed, i); lanes have the same bits in any company. So a path has the same bits however many
are asked for, and whichever are dreamed beside it. Paths are dreamed some at a time and cut to candles
one at a time: memory is bounded, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ..market.candles import Candles
from ..market.drawn import drawn_candles
from ..market.errors import CandleError, ConfigError, FeatureError
from ..market.features import candles_for, valid_rows
from ..market.records import AT_LEAST_ONE, FROM_ZERO, POSITIVE, TEMPERATURES, Record
from ..market.synthetic import SYMBOL
from ..market.ticks import on_grid
from ..market.times import LAST_MS, Time, format_time, to_ms
from .bar_world_model import (
    BarWorldModel,
    chosen,
    draw_bar_noise,
    lanes_after,
    noise_rows,
    start_lanes,
)
from .bars.dreaming import dream_bars
from .bars.packed import BarLanes
from .drift import with_drift
from .ood import OODMeter
from .regimes.opening import RegimeSource, open_regimes
from .world_model import WorldModel

if TYPE_CHECKING:
    from ..market.sources import CandleSource

_BARS_AT_ONCE = 1 << 18  # of all paths dreamed together: 8 MB of noise, and as much of bars
_FINEST = 1e-3  # of a price: a tick that is more of it would shape the returns


@dataclass(frozen=True)
class Hallucination(Record):
    """What is to be dreamed.

    Attributes:
        paths: How many.
        bars: Of each.
        temperature: τ: above 1 the paths are wilder than the market, 0 always takes the likeliest bar.
        seed: The same seed, the same paths.
        start_price: Where the first bars open, quote currency; None is the close that they follow.
        start_time: When the first bars open; None is after the bar that they follow.
        drift: What a held position earns; see `with_drift`.
    """

    paths: int
    bars: int
    temperature: float = 1.0
    seed: int = 0
    start_price: float | None = None
    start_time: Time | None = None
    drift: str | float = "recorded"

    _bounds = {  # noqa: RUF012
        "paths": AT_LEAST_ONE,
        "bars": AT_LEAST_ONE,
        "temperature": TEMPERATURES,
        "seed": FROM_ZERO,
        "start_price": POSITIVE,
    }


class Block(NamedTuple):
    """Some of the paths, as they were drawn.

    Attributes:
        first: Number of the first.
        open_time_ms: Of their bars [N, T].
        bars: Themselves [N, T, 4], columns `market.streams.BAR_NUMBERS`.
        start_price: The closes before them [N].
        tick: The grid of each path's prices [N]; 0 for none.
        ood: The meter's reading after each bar [N, T]; None where nobody asked.
    """

    first: int
    open_time_ms: IntArray
    bars: FloatArray
    start_price: FloatArray
    tick: FloatArray
    ood: FloatArray | None


class Hallucinations:
    """The paths of a world model that draws bars; every iteration dreams them anew, the same.

    Args:
        world_model: What dreams.
        settings: How many, how long, how.
        candles: The record that the paths go on from; None lets each begin in the model's own bank.
        at: The moment in it at which they begin: the bars that have closed by then are known. None is
            its end.
        segments: Of the bank's, those to begin from [S]; None is all.
        ood: Whether to read the out-of-distribution meter.

    Attributes:
        known: The recorded bars before the paths; None where they begin in the bank.

    Raises:
        ConfigError: The model hears actions, or a setting is impossible.
        FeatureError: There are too few bars without a gap before the moment.
    """

    def __init__(
        self,
        world_model: WorldModel,
        settings: Hallucination,
        candles: CandleSource = None,
        at: Time | None = None,
        *,
        segments: IntArray | None = None,
        ood: bool = False,
    ) -> None:
        if not isinstance(world_model, BarWorldModel):
            raise ConfigError(
                f"a world model of the preset {world_model.config.preset} hears what an account does and "
                "draws no whole bars, so it has no market to write down: take one of the preset market"
            )
        if segments is not None and not (candles is None and at is None):
            raise ConfigError(
                "paths begin in segments of the bank, such as those of a regime, or at a moment of a "
                "record, which is in whatever regime it is: say one of the two"
            )
        self.world_model = world_model
        self.settings = settings
        self.known: Candles | None = None
        if candles is not None or at is not None:
            self.known = known_at(world_model, candles, at)
        dreamer = with_drift(world_model, settings.drift)
        assert isinstance(dreamer, BarWorldModel)
        self._members = dreamer.members
        self._segments = _chosen_segments(world_model, segments)
        self._meter = OODMeter.fit(world_model) if ood else None
        self._starts = tuple(self._lanes(member) for member in self._members)
        _refuse_late(self._starts, settings.bars, world_model.provenance.interval_ms)

    def __len__(self) -> int:
        return self.settings.paths

    def __iter__(self) -> Iterator[Candles]:
        for block in self.blocks():
            for number in range(len(block.bars)):
                yield self.cut(block, number)

    def cut(self, block: Block, number: int) -> Candles:
        """One path of a block as candles."""
        made = self.world_model.provenance
        try:
            return drawn_candles(
                block.open_time_ms[number],
                block.bars[number],
                float(block.start_price[number]),
                symbol=made.symbol,
                interval=made.interval,
                tick=float(block.tick[number]),
            )
        except CandleError as error:  # at a high temperature, prices without a float64
            raise CandleError(f"path {block.first + number}: {error}") from None

    def blocks(self, most: int | None = None) -> Iterator[Block]:
        """The paths, so many at a time.

        Args:
            most: Paths of a block; None is as many as have 262,144 bars.
        """
        size = most or max(1, _BARS_AT_ONCE // self.settings.bars)
        for first in range(0, self.settings.paths, size):
            yield self._dream(first, min(first + size, self.settings.paths))

    def _lanes(self, member: BarWorldModel) -> BarLanes:
        """Where a member's paths may begin, at the price and time that were asked for."""
        if self.known is None:
            lanes = start_lanes(member)
        else:
            lanes = lanes_after(member, self.known, np.array([len(self.known) - 1]))
        asked, tick = self.settings, self.world_model.tick_size
        if asked.start_price is not None:
            lanes.close[:] = asked.start_price
        fine = self._keeps_grid(lanes)
        if tick > 0.0:
            lanes.close[fine] = on_grid(lanes.close[fine], tick)
        if asked.start_time is not None:
            lanes.open_time_ms[:] = _on_clock(asked.start_time, member.provenance.interval_ms)
        return lanes

    def _dream(self, first: int, stop: int) -> Block:
        """Paths ``first`` up to, not including, ``stop``."""
        asked, step = self.settings, self.world_model.provenance.interval_ms
        numbers = np.arange(first, stop)
        rows = noise_rows(self.world_model.config)
        noise = np.empty((asked.bars, rows, len(numbers)), dtype=np.float32)
        member, row = (np.empty(len(numbers), dtype=np.int64) for _ in range(2))
        for lane, number in enumerate(numbers):
            rng = np.random.default_rng(
                np.random.SeedSequence(asked.seed, spawn_key=(int(number),))
            )
            member[lane], row[lane] = self._origin(int(number), rng.random())
            noise[:, :, lane] = draw_bar_noise(rng, 1, asked.bars, rows)[:, :, 0]
        bars = np.empty((len(numbers), asked.bars, 4))
        ood = None if self._meter is None else np.empty(bars.shape[:2])
        price, tick, last = np.empty(len(numbers)), np.empty(len(numbers)), np.empty_like(row)
        for which in range(len(self._members)):
            own = np.flatnonzero(member == which)
            lanes = chosen(self._starts[which], row[own])
            price[own], last[own] = lanes.close, lanes.open_time_ms
            tick[own] = self._free_from_grid(lanes)
            self._follow(which, lanes, np.ascontiguousarray(noise[:, :, own]), own, bars, ood)
        times = last[:, None] + step * np.arange(1, asked.bars + 1)
        return Block(first, times, bars, price, tick, ood)

    def _origin(self, path: int, place: float) -> tuple[int, int]:
        """Which member draws a path, and from which of its starts."""
        if self.known is not None:
            return path % len(self._members), 0
        segment = self._segments[int(place * len(self._segments))]
        return int(segment) // len(self.world_model.bank), int(segment) % len(self.world_model.bank)

    def _free_from_grid(self, lanes: BarLanes) -> FloatArray:
        """The grid of each lane's prices [N]; lanes at prices too low for it are told of none."""
        fine = self._keeps_grid(lanes)
        lanes.close[~fine] = 0.0
        return np.where(fine, self.world_model.tick_size, 0.0)

    def _keeps_grid(self, lanes: BarLanes) -> BoolArray:
        """Lanes [N] at recorded prices, or at prices that were asked for and are high enough."""
        asked = self.settings.start_price is not None
        return (lanes.close * _FINEST >= self.world_model.tick_size) | (not asked)

    def _follow(
        self,
        which: int,
        lanes: BarLanes,
        noise: Float32Array,
        own: IntArray,
        bars: FloatArray,
        ood: FloatArray | None,
    ) -> None:
        """Let a member dream its lanes; writes their bars and readings."""
        network, tau = self._members[which].network, np.float32(self.settings.temperature)
        for t in range(self.settings.bars if len(own) else 0):
            dream_bars(*lanes, *network, noise[t], 0, tau, False)
            bars[own, t] = lanes.drawn[:, :4]
            if self._meter is not None and ood is not None:
                ood[own, t] = self._meter.read(np.concatenate([lanes.z, lanes.h], axis=1))


def segments_in(
    world_model: WorldModel, regime: str | None, regimes: RegimeSource = True
) -> IntArray | None:
    """Segments of the bank at whose end the market was in a regime; None where none is asked for.

    Args:
        world_model: Whose bank.
        regime: By its name.
        regimes: Anything `open_regimes` opens.

    Raises:
        ConfigError: There is no such regime.
    """
    found = None if regime is None else open_regimes(regimes, world_model)
    return None if regime is None or found is None else found.segments(world_model, regime)


def known_at(world_model: BarWorldModel, candles: CandleSource, at: Time | None = None) -> Candles:
    """The bars of a record that have closed by a moment, enough of them to dream on from.

    Args:
        world_model: What is to dream.
        candles: Anything `open_candles` opens; None is the embedded market, of a model of it.
        at: The moment; None is the record's end.

    Raises:
        ConfigError: The record does not reach the moment, or there is none.
        FeatureError: There are too few bars without a gap before it.
    """
    if candles is None and world_model.provenance.symbol != SYMBOL:
        raise ConfigError(
            f"the paths are to begin at {at}, and there is no record of "
            f"{world_model.provenance.symbol} to stand in: give its candles"
        )
    record = candles_for(world_model.config.features, candles)
    known, step = record, record.interval_ms
    if at is not None:
        moment = to_ms(at)
        stop = int(np.searchsorted(record.open_time_ms, moment - step, side="right"))
        ended = int(record.open_time_ms[max(stop, 1) - 1]) + step
        if not stop or not ended <= moment < ended + step:
            raise ConfigError(
                f"no recorded bar ends at {format_time(moment)}: {record!r}; expected a moment inside "
                "the record, and none in a gap"
            )
        known = record.rows(0, stop)
    _refuse_short(world_model, known)
    return known


def _refuse_short(world_model: BarWorldModel, known: Candles) -> None:
    heard, warmup = world_model.bank.z.shape[1], world_model.config.features.warmup
    features = world_model.features(known)[-heard:]
    if len(features) < heard or not valid_rows(features).all():
        raise FeatureError(
            f"paths need {heard + warmup} bars in a row before they begin; there are {len(known)} "
            f"bars up to {format_time(int(known.open_time_ms[-1]))}, or a gap among the last: begin later"
        )


def _chosen_segments(world_model: BarWorldModel, segments: IntArray | None) -> IntArray:
    count = world_model.num_segments
    if segments is None:
        return np.arange(count)
    some = np.asarray(segments, dtype=np.int64)
    if not len(some) or some.min() < 0 or some.max() >= count:
        raise ConfigError(
            f"segments are {segments!r}; expected some of the {count} of the world model's bank"
        )
    return some


def _on_clock(start: Time, step: int) -> int:
    """Open time of the bar before one that opens then [ms UTC]."""
    opens = to_ms(start)
    if opens % step:
        raise ConfigError(
            f"start_time is {format_time(opens)}; expected the open time of a bar: a multiple of "
            f"{step // 60_000} minutes"
        )
    return opens - step


def _refuse_late(starts: tuple[BarLanes, ...], bars: int, step: int) -> None:
    latest = max(int(lanes.open_time_ms.max()) for lanes in starts)
    if latest + bars * step > LAST_MS:
        raise ConfigError(
            f"bars is {bars}; a path of so many from {format_time(latest + step)} on ends after 2100, "
            "where candles end: dream fewer, or begin earlier with start_time"
        )
