"""Streamed features: what a few hundred numbers a market, updated in place, know of its past.

A bar is four numbers: its log return, its upper and lower wick beyond the body, and its volume. From
them alone, and from the clock, every feature follows in O(1) a bar: exponential averages instead of
windows, averages by hour of the day and of the week, decaying extremes. One compiled function,
`advance`, updates them, for a record, a live stream and a dream alike: the same bars from the same
start give the same bits.

Nothing depends on the level of prices or volume: scales are measured against the slow scale of the
market, which alone tells its level (column ``level``), and volume against its own average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .arrays import Float32Array, FloatArray, IntArray
from .groups import (
    PROFILE,
    PROFILE_MEMORY,
    PROFILE_NAMES,
    Column,
    advance_profile,
    columns_of,
    read_groups,
)
from .intervals import INTERVALS_MS, interval_ms
from .numerics.compiled import compiled
from .numerics.float32 import fast_log
from .series import FUNDING_DUE, FUNDING_HOURS

BAR_NUMBERS = ("log_return", "upper_wick", "lower_wick", "volume")
"""What a bar is made of: close-to-close log return; log(high ÷ upper end of the body) and log(lower
end of the body ÷ low), where the body reaches from the last close to this one; base volume."""

SCALE_FLOOR = 1e-5
"""Log return per bar below which a scale is not told from none: keeps logarithms finite."""

_SQUARE_FLOOR = SCALE_FLOOR * SCALE_FLOOR

# What enters a feature: columns of a bar's quantities, in the order in which `advance` makes them.
RETURN, SQUARE, GARMAN_KLASS, PARKINSON, DOWNSIDE, SIGNED_SQUARE, SIZE = range(7)
VOLUME, UPPER, LOWER, RANGE, FLAT, ROUGH = range(7, 13)
_QUANTITIES = 13

# How it becomes one. With m the average (of a span), e^L the slow scale of the market:
LEVEL = 0  # L itself
SCALE = 1  # ½ log m − L, of squares
MEAN = 2  # m
DRIFT = 3  # asinh(m √span ÷ e^L)
SKEW = 4  # asinh(m ÷ e^2L), of signed squares
PEAK = 5  # log of the decaying maximum − L
BELOW = 6  # asinh(distance below the decaying high ÷ (e^L √span))
ABOVE = 7  # asinh(distance above the decaying low ÷ (e^L √span))
NOW = 8  # the quantity of this bar
LAG = 9  # the quantity RANGE of the bar ``span`` bars ago, against today's L
NEXT_HOUR = 10  # its average at the next bar's hour of the day
NEXT_WEEKLY = 11  # its average at the next bar's hour of the week
THIS_HOUR = 12  # the quantity less its average at this bar's hour of the day

_REFERENCE_SPAN = 162.0
_VOLUME_SPAN = 168.0
_VOLUME_FLOOR = 1e-3  # of the average volume: keeps the logarithm of no volume finite
_RING = 24
_HOURS, _WEEK_HOURS = 24, 168
_HOUR_MS = INTERVALS_MS["60"]
_SEASONS = (  # quantity, days of memory: averages by hour of the day
    (RANGE, 20.0),
    (RANGE, 5.0),
    (VOLUME, 20.0),
)
_WEEKLY_SPAN = 6.0  # weeks of memory of the hour of the week
_SEEN_WEEKS = 20  # then every average of an hour weighs its newest more than a plain mean would
SPACE = _QUANTITIES + len(_SEASONS)
"""Numbers of a bar that `advance` notes: its quantities, and what they are beyond their hour's."""

# Where things lie in a memory.
_COUNT, _REFERENCE, AVERAGE_VOLUME = range(3)
_FIRST_LAG = 3
_FIRST_HOUR = _FIRST_LAG + _RING
_FIRST_WEEKLY = _FIRST_HOUR + len(_SEASONS) * _HOURS
_FIRST_OWN = _FIRST_WEEKLY + _WEEK_HOURS

_FRACTION = {**dict.fromkeys(("120", "240", "360", "720"), 0.5), "D": 0.18, "W": 0.08}
_WARMUP = 336
_SHORTEST_SPAN, _LONGEST_SPAN = 2.0, 336.0  # of averages, in hourly bars


class Feature(NamedTuple):
    """One streamed feature.

    Attributes:
        name: Its column.
        form: How it is made, one of the forms above.
        quantity: Of what.
        span: Bars of memory (the average's weight of a bar is 2 ÷ (1 + span)), the lag, or which of
            the seasons.
    """

    name: str
    form: int
    quantity: int = RETURN
    span: float = 1.0


def _over(name: str, form: int, quantity: int, *spans: int) -> list[Feature]:
    return [Feature(f"{name}_{span}", form, quantity, span) for span in spans]


FEATURES: tuple[Feature, ...] = (
    Feature("return", DRIFT, RETURN, 1),
    Feature("range", NOW, RANGE),
    Feature("volume", NOW, VOLUME),
    Feature("upper_wick", NOW, UPPER),
    Feature("lower_wick", NOW, LOWER),
    Feature("level", LEVEL),
    *_over("garman_klass", SCALE, GARMAN_KLASS, 2, 4, 8, 16, 32, 64, 336),
    *_over("parkinson", SCALE, PARKINSON, 3, 12, 48),
    *_over("volatility", SCALE, SQUARE, 3, 6, 12, 24, 72, 168),
    *_over("downside", SCALE, DOWNSIDE, 24, 168),
    *_over("skew", SKEW, SIGNED_SQUARE, 6, 24, 168),
    *_over("momentum", DRIFT, RETURN, 3, 6, 24, 168),
    *_over("peak", PEAK, SIZE, 24, 168),
    *_over("drawdown", BELOW, RETURN, 24, 168),
    *_over("rally", ABOVE, RETURN, 24, 168),
    *_over("range_lag", LAG, RANGE, 1, 2, 3, 22, 23),
    *_over("volume", MEAN, VOLUME, 3, 12, 48),
    *_over("upper_wick", MEAN, UPPER, 6, 24),
    *_over("lower_wick", MEAN, LOWER, 6, 24),
    *_over("flat", MEAN, FLAT, 24),
    *_over("roughness", MEAN, ROUGH, 24, 168),
    Feature("next_hour_range", NEXT_HOUR, RANGE, 0),
    Feature("next_hour_range_fast", NEXT_HOUR, RANGE, 1),
    Feature("next_hour_volume", NEXT_HOUR, VOLUME, 2),
    Feature("next_weekly_range", NEXT_WEEKLY, RANGE),
    Feature("range_for_hour", THIS_HOUR, RANGE, 0),
    Feature("volume_for_hour", THIS_HOUR, VOLUME, 2),
)
"""All there are. To add one, add a row; a new form is one more loop under `advance`."""


OWN_MEMORY = _FIRST_OWN + len(FEATURES)
"""Numbers that these features remember; what a volume profile remembers follows."""

OTHER_RATES = 2 + len(_SEASONS) + 1
"""Of the reference, of volume, of the seasons and of the hour of the week."""


class Table(NamedTuple):
    """What of the features depends on the length of the bars, as compiled code reads it."""

    rates: FloatArray
    """2 ÷ (1 + span): of the features, of the reference, of volume, the seasons, the week [F + 6]."""
    units: FloatArray
    """What an average is multiplied by before its logarithm or asinh, ÷ e^L and ÷ e^2L [2, F]."""
    bars: IntArray
    """Of an hour, of a day and of a week, at least 1 each; and the bar's length [ms]: [4]."""


@dataclass(frozen=True)
class StreamSpec:
    """Which features are streamed, and how long they remember.

    Attributes:
        interval: Bybit's code of the bar length. Spans are told in hourly bars, from 2 to 336. Of
            shorter bars they reach as evenly from 2 bars to two weeks; longer ones have shorter
            spans: half of them up to half a day, 0.18 a day, 0.08 a week.
        more: Groups of features behind these, see `market.groups`.

    Raises:
        CandleError: The interval is unknown.
        ConfigError: A group is.
    """

    interval: str = "60"
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        interval_ms(self.interval)
        object.__setattr__(self, "more", read_groups(self.more))

    @classmethod
    def for_interval(cls, interval: str) -> StreamSpec:
        """The features of bars of an interval."""
        return cls(interval)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        profile = PROFILE_NAMES if PROFILE in self.more else ()
        columns = tuple(column.feature for column in self.columns)
        return (*(feature.name for feature in FEATURES), *profile, *columns)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """D columns of the candles that are features, the last ones."""
        return columns_of(self.more)

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that candles must have."""
        return tuple(column.name for column in self.columns)

    @property
    def warmup(self) -> int:
        """Bars before a row whose features count: two weeks of hours, one week of shorter bars."""
        if self._per_hour > 1:
            return max(_WARMUP, _WEEK_HOURS * self._per_hour)
        return max(2, round(_WARMUP * self._fraction))

    @property
    def settled(self) -> int:
        """Bars before a row after which older ones hardly matter: the week has been seen eight times."""
        return 4 * max(2, round(_WARMUP * self._fraction)) * self._per_hour

    @property
    def may_rest(self) -> tuple[str, ...]:
        """Columns that never change in some markets: where no close is the one before."""
        flat = (feature.name for feature in FEATURES if feature.quantity == FLAT)
        return (*flat, *(c.feature for c in self.columns if c.name in (FUNDING_HOURS, FUNDING_DUE)))

    @property
    def memory_size(self) -> int:
        """S, numbers that a market's features remember."""
        return OWN_MEMORY + (PROFILE_MEMORY if PROFILE in self.more else 0)

    @property
    def _fraction(self) -> float:
        return _FRACTION.get(self.interval, 1.0)

    @property
    def _per_hour(self) -> int:
        """Bars of an hour, at least 1."""
        return max(1, _HOUR_MS // interval_ms(self.interval))

    def span(self, hourly: float) -> float:
        """Bars of a span that is so many of hourly bars.

        Spans of shorter bars lie as far apart on a logarithmic scale that ends where time, not the
        number of bars, has it end.
        """
        longest = _LONGEST_SPAN / _SHORTEST_SPAN
        stretch = math.log(longest * self._per_hour) / math.log(longest)
        if hourly <= _SHORTEST_SPAN or stretch == 1.0:
            return hourly * self._fraction
        return float(_SHORTEST_SPAN * (hourly / _SHORTEST_SPAN) ** stretch)

    @cached_property
    def table(self) -> Table:
        """For compiled code."""
        bar_ms = interval_ms(self.interval)
        hour, day, week = (max(1, n * _HOUR_MS // bar_ms) for n in (1, _HOURS, _WEEK_HOURS))
        spans = np.array(
            [
                max(1.0, self.span(f.span)) if f.form in _SPANNED and f.span > 1 else f.span
                for f in FEATURES
            ]
        )
        slow = [max(2.0, self.span(s)) for s in (_REFERENCE_SPAN, _VOLUME_SPAN)]
        seasons = [days * hour for _, days in _SEASONS] + [_WEEKLY_SPAN * hour]
        rates = np.concatenate([spans, slow, seasons])
        units = np.zeros((2, len(FEATURES)))
        units[0, _of(PEAK)] = 1.0
        units[0, _of(DRIFT)] = np.sqrt(spans[_of(DRIFT)])
        units[0, _of(BELOW, ABOVE)] = 1.0 / np.sqrt(spans[_of(BELOW, ABOVE)])
        units[1, _of(SCALE, SKEW)] = 1.0
        return Table(2.0 / (1.0 + rates), units, np.array([hour, day, week, bar_ms]))


def _of(*forms: int) -> IntArray:
    """The columns of features of those forms."""
    return np.array([i for i, f in enumerate(FEATURES) if f.form in forms], dtype=np.int64)


# The features' table, which compiled code has in it: loops of a length that is known, without a
# choice in them, become vector instructions.
_SPANNED = (SCALE, MEAN, DRIFT, SKEW, PEAK, BELOW, ABOVE)
_SIZE = len(FEATURES)
_QUANTITY: IntArray = np.array([feature.quantity for feature in FEATURES])
_AVERAGES: FloatArray = np.array([float(f.form in (SCALE, MEAN, DRIFT, SKEW)) for f in FEATURES])
_FLOORS: FloatArray = np.array(
    [{SCALE: _SQUARE_FLOOR, PEAK: SCALE_FLOOR}.get(f.form, 0.0) for f in FEATURES]
)
_GAINS: Float32Array = np.array([0.5 if f.form == SCALE else 1.0 for f in FEATURES], np.float32)
_SIGNED: Float32Array = np.array(
    [float(f.form not in (SCALE, PEAK)) for f in FEATURES], np.float32
)  # asinh instead of log
_PEAKS, _LOWS, _HIGHS = _of(PEAK), _of(BELOW), _of(ABOVE)
_LEVELS, _MEANS, _NOWS, _LAGS = _of(LEVEL), _of(MEAN), _of(NOW), _of(LAG)
_NEXT_HOURS, _NEXT_WEEKLIES, _THIS_HOURS = _of(NEXT_HOUR), _of(NEXT_WEEKLY), _of(THIS_HOUR)
_WHICH: IntArray = np.array([int(feature.span) for feature in FEATURES])  # lag or season
_TABLED = [i for i, f in enumerate(FEATURES) if f.form in _SPANNED and f.form != MEAN]
_LOGGED = min(_SIZE, (max(_TABLED) // 8 + 1) * 8)  # columns, whole vectors of them
_SEASON_QUANTITY: IntArray = np.array([quantity for quantity, _ in _SEASONS])
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@compiled
def advance(
    rates: FloatArray,
    units: FloatArray,
    bars: IntArray,
    log_return: float,
    upper: float,
    lower: float,
    volume: float,
    open_time_ms: int,
    memory: FloatArray,
    space: FloatArray,
    arguments: Float32Array,
    out: FloatArray,
) -> None:
    """Let one bar enter a memory, and write the features of its close.

    An average that has seen n bars gives the newest a weight of at least 1/n: it begins as a plain
    mean. Variances of a bar from its high, low and close: Parkinson (1980), Garman & Klass (1980).

    Args:
        rates: And the two that follow: a `Table`.
        units: [2, F].
        bars: [4].
        log_return: And the three that follow: the bar, see `BAR_NUMBERS`.
        upper: ≥ 0.
        lower: ≥ 0.
        volume: ≥ 0.
        open_time_ms: Of the bar.
        memory: [S], updated; zeros before the first bar.
        space: Overwritten [`SPACE`].
        arguments: Overwritten [F].
        out: [F], written.
    """
    count = int(memory[_COUNT])
    slowest = 1.0 / (count + 1.0)
    whole = abs(log_return) + upper + lower
    square = log_return * log_return
    variance = 0.5 * whole * whole - 0.38629436111989057 * square
    rate = max(rates[_SIZE], slowest)
    memory[_REFERENCE] += rate * (variance - memory[_REFERENCE])
    reference = memory[_REFERENCE] + _SQUARE_FLOOR
    level = 0.5 * float(fast_log(np.float32(reference)))
    by_square = 1.0 / reference
    by_scale = math.sqrt(by_square)
    log_range = 0.5 * float(fast_log(np.float32(whole * whole + _SQUARE_FLOOR)))
    share = 1.0 / (whole + SCALE_FLOOR)

    space[RETURN], space[SIZE], space[SQUARE] = log_return, abs(log_return), square
    space[GARMAN_KLASS], space[PARKINSON] = variance, 0.36067376022224085 * whole * whole
    space[DOWNSIDE] = square if log_return < 0.0 else 0.0
    space[SIGNED_SQUARE] = log_return * abs(log_return)
    space[VOLUME] = relative_volume(volume, memory[AVERAGE_VOLUME])
    rate = max(rates[_SIZE + 1], slowest)
    memory[AVERAGE_VOLUME] += rate * (volume - memory[AVERAGE_VOLUME])
    space[UPPER], space[LOWER] = upper * share, lower * share
    space[RANGE] = log_range - level
    space[ROUGH] = space[RANGE] * space[RANGE]
    space[FLAT] = 1.0 if log_return == 0.0 else 0.0

    hour = (open_time_ms // _HOUR_MS) % _WEEK_HOURS
    _advance_seasons(rates, bars, count, hour, memory, space)
    memory[_FIRST_LAG + count % _RING] = log_range
    _advance_averages(rates, slowest, memory, space)
    _advance_extremes(rates, memory, space)
    _write_logs(units, by_scale, by_square, memory, arguments, out)
    _write_others(level, count, open_time_ms + bars[3], memory, space, out)
    memory[_COUNT] = count + 1.0


@compiled
def _advance_averages(
    rates: FloatArray, slowest: float, memory: FloatArray, space: FloatArray
) -> None:
    """Let a bar's quantities enter the features' own averages; other places stay as they are."""
    for f in range(_SIZE):
        rate = _AVERAGES[f] * max(rates[f], slowest)
        memory[_FIRST_OWN + f] += rate * (space[_QUANTITY[f]] - memory[_FIRST_OWN + f])


@compiled
def _advance_extremes(rates: FloatArray, memory: FloatArray, space: FloatArray) -> None:
    """Decaying maxima, and distances from a high or low that the market slowly forgets."""
    for f in _PEAKS:
        memory[_FIRST_OWN + f] = max(space[_QUANTITY[f]], memory[_FIRST_OWN + f] * (1.0 - rates[f]))
    for f in _LOWS:
        memory[_FIRST_OWN + f] = max(
            0.0, (memory[_FIRST_OWN + f] - space[RETURN]) * (1.0 - rates[f])
        )
    for f in _HIGHS:
        memory[_FIRST_OWN + f] = max(
            0.0, (memory[_FIRST_OWN + f] + space[RETURN]) * (1.0 - rates[f])
        )


@compiled
def _write_logs(
    units: FloatArray,
    by_scale: float,
    by_square: float,
    memory: FloatArray,
    arguments: Float32Array,
    out: FloatArray,
) -> None:
    """Write the features that are a logarithm or an asinh; of other columns, what means nothing."""
    for f in range(_LOGGED):
        unit = units[0, f] * by_scale + units[1, f] * by_square
        arguments[f] = (memory[_FIRST_OWN + f] + _FLOORS[f]) * unit
    for f in range(_LOGGED):
        x = arguments[f]
        size = abs(x)
        size += _SIGNED[f] * np.sqrt(size * size + _ONE)
        value = fast_log(size) * _GAINS[f]
        arguments[f] = value if x >= _ZERO else -value
    for f in range(_LOGGED):
        out[f] = arguments[f]


@compiled
def _write_others(
    level: float, count: int, next_ms: int, memory: FloatArray, space: FloatArray, out: FloatArray
) -> None:
    """Write the features that are remembered or noted as they are."""
    for f in _LEVELS:
        out[f] = level
    for f in _MEANS:
        out[f] = memory[_FIRST_OWN + f]
    for f in _NOWS:
        out[f] = space[_QUANTITY[f]]
    newest = count % _RING
    for f in _LAGS:
        known = _WHICH[f] if count >= _WHICH[f] else 0
        then = newest - known
        out[f] = memory[_FIRST_LAG + (then if then >= 0 else then + _RING)] - level
    coming = (next_ms // _HOUR_MS) % _WEEK_HOURS
    of_day = _FIRST_HOUR + coming % _HOURS
    for f in _NEXT_HOURS:
        out[f] = memory[of_day + _WHICH[f] * _HOURS]
    for f in _NEXT_WEEKLIES:
        out[f] = memory[_FIRST_WEEKLY + coming]
    for f in _THIS_HOURS:
        out[f] = space[_QUANTITIES + _WHICH[f]]


@compiled
def _advance_seasons(
    rates: FloatArray, bars: IntArray, count: int, hour: int, memory: FloatArray, space: FloatArray
) -> None:
    """Averages by hour; what this bar has beyond its hour's goes behind the quantities."""
    # as often as the hour was seen, at first; divisions that a long memory is spared
    begins = count < _SEEN_WEEKS * bars[2]
    of_day = 1.0 / (bars[0] * (count // bars[1] + 1.0)) if begins else 0.0
    of_week = 1.0 / (bars[0] * (count // bars[2] + 1.0)) if begins else 0.0
    for s in range(len(_SEASON_QUANTITY)):
        at = _FIRST_HOUR + s * _HOURS + hour % _HOURS
        surprise = space[_SEASON_QUANTITY[s]] - memory[at]
        space[_QUANTITIES + s] = surprise
        memory[at] += max(rates[_SIZE + 2 + s], of_day) * surprise
    at = _FIRST_WEEKLY + hour
    rate = max(rates[_SIZE + 2 + len(_SEASON_QUANTITY)], of_week)
    memory[at] += rate * (space[RANGE] - memory[at])


@compiled
def relative_volume(volume: float, average: float) -> float:
    """Log volume against the average before it, finite for none: log((v + ε a) ÷ ((1 + ε) a))."""
    least = _VOLUME_FLOOR * average
    if least <= 0.0:
        return 0.0
    return math.log((volume + least) / (average + least))


def relative_volume_slope(relative: FloatArray) -> FloatArray:
    """Derivative of `relative_volume` [...] by log volume, given its value; of no volume, 0.

    A density of log volume is that of the relative one times it.
    """
    slope: FloatArray = 1.0 - _VOLUME_FLOOR / (1.0 + _VOLUME_FLOOR) * np.exp(-relative)
    return slope


@compiled
def volume_of(relative: float, average: float) -> float:
    """The volume of a relative one: the inverse of `relative_volume`, 0 or more."""
    least = _VOLUME_FLOOR * average
    return max(0.0, math.exp(relative) * (average + least) - least)


@compiled
def advance_along(
    rates: FloatArray,
    units: FloatArray,
    bars: IntArray,
    numbers: FloatArray,
    open_time_ms: IntArray,
    memory: FloatArray,
    out: FloatArray,
) -> None:
    """`advance` along bars without a gap [T, 4], which open then [T], into rows ``out`` [T, F]."""
    space, arguments = np.empty(SPACE), np.empty(_SIZE, np.float32)
    for t in range(numbers.shape[0]):
        advance(
            rates,
            units,
            bars,
            numbers[t, 0],
            numbers[t, 1],
            numbers[t, 2],
            numbers[t, 3],
            open_time_ms[t],
            memory,
            space,
            arguments,
            out[t],
        )
        if memory.shape[0] > OWN_MEMORY:
            advance_more(
                bars, numbers[t, 0], numbers[t, 1], numbers[t, 2], numbers[t, 3], memory, out[t]
            )


@compiled
def advance_more(
    bars: IntArray,
    log_return: float,
    upper: float,
    lower: float,
    volume: float,
    memory: FloatArray,
    out: FloatArray,
) -> None:
    """Let the bar that `advance` has let in enter the volume profile too, and write its features.

    Args:
        bars: Of a `Table`.
        log_return: And the three that follow: the bar.
        upper: ≥ 0.
        lower: ≥ 0.
        volume: ≥ 0.
        memory: [S], updated.
        out: [F], two of them written.
    """
    scale = math.sqrt(memory[_REFERENCE] + _SQUARE_FLOOR)
    count, own = int(memory[_COUNT]) - 1, memory[OWN_MEMORY:]
    more = out[_SIZE : _SIZE + 2]
    advance_profile(bars[0], log_return, upper, lower, volume, count, scale, own, more)
