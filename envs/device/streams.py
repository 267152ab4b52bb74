"""Streamed features over lanes as tensors: `market.streams.advance` without its loops.

One operation serves all features of a form, over all lanes. The arithmetic is float64 throughout,
where the compiled one takes some logarithms in float32: the two agree to that.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...market import streams
from ...market.streams import (
    ABOVE,
    AVERAGE_VOLUME,
    BELOW,
    DRIFT,
    FEATURES,
    LAG,
    LEVEL,
    MEAN,
    NEXT_HOUR,
    NEXT_WEEKLY,
    NOW,
    PEAK,
    SCALE,
    SCALE_FLOOR,
    SKEW,
    THIS_HOUR,
    StreamSpec,
)

_AVERAGES = (SCALE, MEAN, DRIFT, SKEW)


class DeviceStreams:
    """What lanes remember of their bars, updated bar by bar.

    Args:
        spec: Which features.
        device: Where.
    """

    def __init__(self, spec: StreamSpec, device: torch.device) -> None:
        table = spec.table
        self._bars = [int(number) for number in table.bars]
        size = len(FEATURES)
        self._rates = torch.from_numpy(table.rates[:size].copy()).to(device)
        others = torch.from_numpy(table.rates[size:].copy())
        self._slow = [float(rate) for rate in others[:2]]
        self._seasons, self._weekly = others[2:-1].to(device), float(others[-1])
        self._spans = 2.0 / self._rates - 1.0
        kinds = {feature.form for feature in FEATURES}
        self._columns = {
            form: _numbers([i for i, f in enumerate(FEATURES) if f.form == form], device)
            for form in kinds
        }
        self._averaged = _numbers(
            [i for i, f in enumerate(FEATURES) if f.form in _AVERAGES], device
        )
        self._quantity = _numbers([feature.quantity for feature in FEATURES], device)
        self._which = _numbers([int(feature.span) for feature in FEATURES], device)
        self._of_season = _numbers([quantity for quantity, _ in streams._SEASONS], device)
        starts = range(streams._FIRST_HOUR, streams._FIRST_WEEKLY, streams._HOURS)
        self._season_starts = _numbers(list(starts), device)

    def advance(self, memory: Tensor, bars: Tensor, open_time_ms: Tensor) -> tuple[Tensor, Tensor]:
        """Let a bar of every lane enter.

        Args:
            memory: [L, S], float64; left as it is.
            bars: [L, 4], float64, columns `market.streams.BAR_NUMBERS`.
            open_time_ms: Of the bars [L], int64.

        Returns:
            What the lanes remember then [L, S], and the features of the bars [L, F], float64.
        """
        memory = memory.clone()
        count = memory[:, streams._COUNT].clone()
        slowest = (count + 1.0).reciprocal()
        log_range, level, reference, quantities = self._quantities(memory, bars, slowest)
        beyond = self._advance_seasons(memory, quantities, open_time_ms, count)
        newest = (count % streams._RING).long().unsqueeze(1)
        memory.scatter_(1, streams._FIRST_LAG + newest, log_range.unsqueeze(1))
        own = self._advance_own(memory[:, streams._FIRST_OWN :], bars[:, 0], quantities, slowest)
        memory[:, streams._FIRST_OWN :] = own
        memory[:, streams._COUNT] += 1.0

        out = torch.empty_like(own)
        self._write_averages(own, level, reference, out)
        self._write_extremes(own, reference.sqrt(), out)
        out[:, self._columns[NOW]] = quantities[:, self._quantity[self._columns[NOW]]]
        out[:, self._columns[THIS_HOUR]] = beyond[:, self._which[self._columns[THIS_HOUR]]]
        self._write_remembered(memory, level, newest, count, open_time_ms, out)
        return memory, out

    def _quantities(
        self, memory: Tensor, bars: Tensor, slowest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The bars' log range, level and square of the slow scale [L], and quantities [L, Q].

        The slow scale and the average volume move on in ``memory``.
        """
        change, upper, lower, volume = bars.unbind(1)
        whole, square = change.abs() + upper + lower, change * change
        variance = 0.5 * whole * whole - 0.38629436111989057 * square
        slow = memory[:, streams._REFERENCE]
        slow += slowest.clamp(min=self._slow[0]) * (variance - slow)
        reference = slow + streams._SQUARE_FLOOR
        level = 0.5 * reference.log()
        average = memory[:, AVERAGE_VOLUME]
        relative = relative_volume(volume, average)
        average += slowest.clamp(min=self._slow[1]) * (volume - average)
        log_range = 0.5 * (whole * whole + streams._SQUARE_FLOOR).log()
        share, ranged = (whole + SCALE_FLOOR).reciprocal(), log_range - level
        made = {
            streams.RETURN: change,
            streams.SQUARE: square,
            streams.GARMAN_KLASS: variance,
            streams.PARKINSON: 0.36067376022224085 * whole * whole,
            streams.DOWNSIDE: square.masked_fill(change >= 0.0, 0.0),
            streams.SIGNED_SQUARE: change * change.abs(),
            streams.SIZE: change.abs(),
            streams.VOLUME: relative,
            streams.UPPER: upper * share,
            streams.LOWER: lower * share,
            streams.RANGE: ranged,
            streams.FLAT: (change == 0.0).double(),
            streams.ROUGH: ranged * ranged,
        }
        quantities = torch.stack([made[number] for number in range(len(made))], dim=1)
        return log_range, level, reference, quantities

    def _advance_seasons(
        self, memory: Tensor, quantities: Tensor, open_time_ms: Tensor, count: Tensor
    ) -> Tensor:
        """Averages by hour move on; what the bars have beyond their hour's before it [L, seasons]."""
        hour, day, week, _ = self._bars
        now = (open_time_ms // streams._HOUR_MS) % streams._WEEK_HOURS
        at = self._season_starts + (now % streams._HOURS).unsqueeze(1)
        before, values = memory.gather(1, at), quantities[:, self._of_season]
        seen = (hour * ((count / day).floor() + 1.0)).reciprocal().unsqueeze(1)
        memory.scatter_(1, at, before + torch.maximum(self._seasons, seen) * (values - before))
        at = streams._FIRST_WEEKLY + now.unsqueeze(1)
        weekly, ranged = memory.gather(1, at), quantities[:, streams.RANGE : streams.RANGE + 1]
        seen = (hour * ((count / week).floor() + 1.0)).reciprocal().unsqueeze(1)
        memory.scatter_(1, at, weekly + seen.clamp(min=self._weekly) * (ranged - weekly))
        return values - before

    def _advance_own(
        self, own: Tensor, change: Tensor, quantities: Tensor, slowest: Tensor
    ) -> Tensor:
        """The features' own memories [L, F] after the bar."""
        own, entering = own.clone(), quantities[:, self._quantity]
        some = self._averaged
        rates = torch.maximum(self._rates[some], slowest.unsqueeze(1))
        own[:, some] += rates * (entering[:, some] - own[:, some])
        some = self._columns[PEAK]
        own[:, some] = torch.maximum(entering[:, some], own[:, some] * (1.0 - self._rates[some]))
        for form, moved in ((BELOW, -change), (ABOVE, change)):
            some = self._columns[form]
            kept = (own[:, some] + moved.unsqueeze(1)) * (1.0 - self._rates[some])
            own[:, some] = kept.clamp(min=0.0)
        return own

    def _write_averages(self, own: Tensor, level: Tensor, reference: Tensor, out: Tensor) -> None:
        square, scale = reference.unsqueeze(1), reference.sqrt().unsqueeze(1)
        out[:, self._columns[LEVEL]] = level.unsqueeze(1)
        out[:, self._columns[MEAN]] = own[:, self._columns[MEAN]]
        some = self._columns[SCALE]
        out[:, some] = 0.5 * ((own[:, some] + streams._SQUARE_FLOOR) / square).log()
        some = self._columns[DRIFT]
        out[:, some] = (own[:, some] * self._spans[some].sqrt() / scale).asinh()
        some = self._columns[SKEW]
        out[:, some] = (own[:, some] / square).asinh()

    def _write_extremes(self, own: Tensor, scale: Tensor, out: Tensor) -> None:
        some, scale = self._columns[PEAK], scale.unsqueeze(1)
        out[:, some] = ((own[:, some] + SCALE_FLOOR) / scale).log()
        for form in (BELOW, ABOVE):
            some = self._columns[form]
            out[:, some] = (own[:, some] / (scale * self._spans[some].sqrt())).asinh()

    def _write_remembered(
        self,
        memory: Tensor,
        level: Tensor,
        newest: Tensor,
        count: Tensor,
        open_time_ms: Tensor,
        out: Tensor,
    ) -> None:
        some = self._columns[LAG]
        lags = self._which[some].unsqueeze(0)
        known = lags * (count.unsqueeze(1) >= lags)
        at = streams._FIRST_LAG + (newest - known) % streams._RING
        out[:, some] = memory.gather(1, at) - level.unsqueeze(1)
        coming = ((open_time_ms + self._bars[3]) // streams._HOUR_MS) % streams._WEEK_HOURS
        some = self._columns[NEXT_HOUR]
        first = streams._FIRST_HOUR + self._which[some] * streams._HOURS
        out[:, some] = memory.gather(1, first + (coming % streams._HOURS).unsqueeze(1))
        some = self._columns[NEXT_WEEKLY]
        at = (streams._FIRST_WEEKLY + coming).unsqueeze(1).expand(-1, len(some))
        out[:, some] = memory.gather(1, at)


def relative_volume(volume: Tensor, average: Tensor) -> Tensor:
    """As `market.streams.relative_volume` [L]."""
    least = streams._VOLUME_FLOOR * average
    nothing = least <= 0.0
    total = (average + least).masked_fill(nothing, 1.0)
    ratio = ((volume + least) / total).masked_fill(nothing, 1.0)
    return ratio.log()


def volume_of(relative: Tensor, average: Tensor) -> Tensor:
    """As `market.streams.volume_of` [L]."""
    least = streams._VOLUME_FLOOR * average
    return (relative.exp() * (average + least) - least).clamp(min=0.0)


def _numbers(values: list[int], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.int64, device=device)
