"""Groups of features beside those of one bar's own numbers, and how each goes on in a dream.

| group | of what | in a dream |
|---|---|---|
| ``volume_profile`` | where the last day's volume traded | recomputed: the bars determine it |
| ``funding`` | last settled rate, time between instants, time to the next | dreamed or held; held; counted down |
| ``column:NAME`` | a column of the candles (`market.series`, or a file's) | dreamed or held |

A group is written ``NAME:setting=value:…``, such as ``column:book_imbalance:lag=0:transform=log``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .arrays import FloatArray, IntArray
from .candles import Candles
from .errors import ConfigError, FeatureError
from .numerics.compiled import compiled
from .series import FUNDING_DUE, FUNDING_HOURS, FUNDING_RATE
from .settings import nearest

CANDLES, PROFILE, FUNDING, COLUMN = "candles", "volume_profile", "funding", "column"
PROFILE_NAMES = ("profile_distance", "profile_above")
"""Distance of the close from the last day's point of control, above it positive: asinh of it in units of
the market's slow scale over a day; and the share of the day's volume that traded above the close."""

HELD, DREAMED, CLOCK = "held", "dreamed", "clock"
TRANSFORMS = ("none", "log", "change", "log_change", "zscore")
"""Of a column x: itself; log x; its change since the bar before; that of log x; x less its exponential
average of a week of hours, ÷ its deviation around it."""

_MOST_LAG = 10_000
_SLOTS, _BINS = 24, 24
_ZSCORE_SPAN = 168.0
PROFILE_MEMORY = 3 * _SLOTS
"""Numbers that the profile remembers: low and high of each hour, from the newest close, and volume."""

_LOG, _CHANGE, _LOG_CHANGE, _ZSCORE = range(1, 5)
_RING = 5  # where a column's lagged values begin in its memory


@dataclass(frozen=True)
class Column:
    """A column of candles as a feature.

    Attributes:
        name: The candles' column.
        lag: Bars that its value is used late: row t sees the column of bar t − lag.
        transform: One of `TRANSFORMS`.
        dream: ``"held"`` stays at its value where a dream begins; ``"dreamed"`` is drawn by M;
            ``"clock"`` counts down, and begins anew at the value of the column before it.
    """

    name: str
    lag: int = 1
    transform: str = "none"
    dream: str = DREAMED

    def __post_init__(self) -> None:
        if not 0 <= self.lag <= _MOST_LAG:
            raise ConfigError(f"lag of {self.name} is {self.lag}; expected 0 … {_MOST_LAG:,} bars")
        for name, known in (("transform", TRANSFORMS), ("dream", (HELD, DREAMED, CLOCK))):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} of {self.name} is {getattr(self, name)!r}; expected one of "
                    f"{', '.join(known)}"
                )

    @property
    def feature(self) -> str:
        """The feature's name."""
        return f"{COLUMN}_{self.name}"

    def __str__(self) -> str:
        late = f", {self.lag} bars late" if self.lag else ""
        made = "" if self.transform == "none" else f", {self.transform}"
        how = {CLOCK: "counted down", DREAMED: "dreamed by M", HELD: "held where a dream begins"}
        return f"{self.name}{made}{late}: {how[self.dream]}"


def read_groups(given: Iterable[str] | str) -> tuple[str, ...]:
    """The groups as they are written, without the candles' own, which are always there.

    Raises:
        ConfigError: One is unknown or impossible, or there twice.
    """
    texts = given.split(",") if isinstance(given, str) else list(given)
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"features are {given!r}; expected names of groups")
    groups = tuple(text.strip() for text in texts if text.strip() not in ("", CANDLES))
    names = [column.feature for column in columns_of(groups)]
    names += [group for group in groups if group == PROFILE]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"features name {', '.join(repeated)} twice; say each once")
    return groups


def columns_of(groups: Iterable[str]) -> tuple[Column, ...]:
    """The columns that groups are made of, in order."""
    return tuple(column for group in groups for column in _columns(group))


def _columns(group: str) -> tuple[Column, ...]:
    name, *settings = group.split(":")
    if name == PROFILE and not settings:
        return ()
    if name == FUNDING:
        made = _settings(group, settings, ("dream",))
        return (
            Column(FUNDING_RATE, 0, "none", str(made.get("dream", DREAMED))),
            Column(FUNDING_HOURS, 0, "none", HELD),
            Column(FUNDING_DUE, 0, "none", CLOCK),
        )
    if name == COLUMN and settings and settings[0]:
        made = _settings(group, settings[1:], ("lag", "transform", "dream"))
        if made.get("dream") == CLOCK:
            raise ConfigError(f"{group}: dream is clock; expected held or dreamed")
        lag = made.get("lag", "1")
        if not lag.isdecimal():
            raise ConfigError(f"{group}: lag is {lag!r}; expected a number of bars, 0 or more")
        return (
            Column(
                settings[0], int(lag), made.get("transform", "none"), made.get("dream", DREAMED)
            ),
        )
    near = nearest(name, (PROFILE, FUNDING, COLUMN))
    hint = f"did you mean {near!r}? " if near and near != name else ""
    raise ConfigError(
        f"features name {group!r}; {hint}expected {CANDLES}, {PROFILE}, {FUNDING} or "
        f"{COLUMN}:NAME, with settings as in column:book_imbalance:lag=0:transform=log:dream=held"
    )


def _settings(group: str, given: list[str], known: tuple[str, ...]) -> dict[str, str]:
    made: dict[str, str] = {}
    for text in given:
        name, is_set, value = text.partition("=")
        if not is_set or name not in known or name in made:
            raise ConfigError(f"{group}: {text!r} is no setting; expected {', '.join(known)}=…")
        made[name] = value
    return made


class ColumnStream:
    """Columns of candles as features, bar by bar of one stretch without a gap; the batch likewise.

    Args:
        columns: Which.
        span: Bars of a span that is so many of hourly bars: that of the averages.
    """

    def __init__(self, columns: tuple[Column, ...], span: Callable[[float], float]) -> None:
        self._columns = columns
        self._rate = 2.0 / (1.0 + max(2.0, span(_ZSCORE_SPAN)))
        self._memories = [np.zeros(_RING + column.lag) for column in columns]
        for memory in self._memories:
            memory[4] = np.nan

    def update(self, candles: Candles) -> FloatArray:
        """Append bars [T]; their features [T, D], NaN where unknown.

        Raises:
            FeatureError: A column is missing, or a logarithm is asked of what is not positive.
        """
        out = np.empty((len(candles), len(self._columns)))
        for i, (column, memory) in enumerate(zip(self._columns, self._memories, strict=True)):
            kind, values = TRANSFORMS.index(column.transform), _known(candles, column)
            made = np.empty(len(values))
            transform_along(kind, self._rate, column.lag, values, memory, made)
            out[:, i] = made
        return out


def _known(candles: Candles, column: Column) -> FloatArray:
    if column.name not in candles.columns:
        raise FeatureError(
            f"the features need the column {column.name} of the candles, which "
            f"{candles.symbol} {candles.interval} has not: read it with "
            f"open_candles(file, columns=[{column.name!r}]), or attach it with with_series or "
            "with_funding"
        )
    values = candles.columns[column.name]
    if "log" in column.transform and (values <= 0.0).any():
        row = int(np.argmax(values <= 0.0))
        raise FeatureError(
            f"{column.transform} of {column.name}: row {row} is {values[row]}; expected positive numbers"
        )
    return values


@compiled
def transform_along(
    kind: int, rate: float, lag: int, values: FloatArray, memory: FloatArray, out: FloatArray
) -> None:
    """Transform values [T] one after the other, each from those up to it, and give them late.

    Args:
        kind: Index among `TRANSFORMS`.
        rate: Weight of the newest in the averages of ``zscore``.
        lag: Bars late.
        values: [T]; NaN is unknown.
        memory: Bars so far; values known so far; mean, variance; the value before; the last ``lag``
            results [5 + lag], updated.
        out: [T], written.
    """
    for t in range(len(values)):
        x = values[t]
        if kind in (_LOG, _LOG_CHANGE):
            x = math.log(x)
        result = x
        if kind in (_CHANGE, _LOG_CHANGE):
            result = x - memory[4]
        elif kind == _ZSCORE and not math.isnan(x):
            memory[1] += 1.0
            newest = max(rate, 1.0 / memory[1])
            away = x - memory[2]
            memory[2] += newest * away
            left = x - memory[2]
            memory[3] += newest * (away * left - memory[3])
            result = left / math.sqrt(memory[3]) if memory[3] > 0.0 else 0.0
        memory[4] = x
        count = int(memory[0])
        if lag > 0:
            place = _RING + count % lag
            out[t] = memory[place] if count >= lag else math.nan
            memory[place] = result
        else:
            out[t] = result
        memory[0] = count + 1.0


@compiled
def advance_profile(
    hour_bars: int,
    log_return: float,
    upper: float,
    lower: float,
    volume: float,
    count: int,
    scale: float,
    memory: FloatArray,
    out: FloatArray,
) -> None:
    """Let a bar enter the last day's volume profile, and write `PROFILE_NAMES`.

    The day is 24 slots of an hour, or of a bar where bars are longer. Each slot's volume is spread
    evenly from its low to its high; the point of control is the middle of the fullest of 24 bins.

    Args:
        hour_bars: Bars of an hour, at least 1.
        log_return: And the three that follow: the bar, see `market.streams.BAR_NUMBERS`.
        upper: ≥ 0.
        lower: ≥ 0.
        volume: ≥ 0.
        count: Bars before it.
        scale: The market's slow scale [log return per bar].
        memory: Lows, highs and volumes of the slots [72], prices as logs from the newest close.
        out: [2], written.
    """
    for j in range(2 * _SLOTS):
        memory[j] -= log_return
    high, low = max(0.0, -log_return) + upper, min(0.0, -log_return) - lower
    slot = (count // hour_bars) % _SLOTS
    if count % hour_bars == 0:
        memory[slot], memory[_SLOTS + slot], memory[2 * _SLOTS + slot] = low, high, volume
    else:
        memory[slot] = min(memory[slot], low)
        memory[_SLOTS + slot] = max(memory[_SLOTS + slot], high)
        memory[2 * _SLOTS + slot] += volume
    filled = min(_SLOTS, count // hour_bars + 1)
    bottom, top, total, above = memory[0], memory[_SLOTS], 0.0, 0.0
    for j in range(filled):
        low, high, traded = memory[j], memory[_SLOTS + j], memory[2 * _SLOTS + j]
        bottom, top = min(bottom, low), max(top, high)
        share = high / (high - low) if high > low else 0.5
        total += traded
        above += traded * min(max(share, 0.0), 1.0)
    out[0], out[1] = 0.0, 0.5
    if total > 0.0 and top > bottom:
        distance = -_control(memory, filled, bottom, (top - bottom) / _BINS)
        out[0] = math.asinh(distance / (scale * math.sqrt(float(_SLOTS * hour_bars))))
        out[1] = above / total


@compiled
def _control(memory: FloatArray, filled: int, bottom: float, width: float) -> float:
    """The middle of the fullest bin, from the newest close; the lowest of bins as full."""
    steps = np.zeros(_BINS + 1)
    for j in range(filled):
        first = min(max(int((memory[j] - bottom) / width), 0), _BINS - 1)
        last = min(max(int((memory[_SLOTS + j] - bottom) / width), first), _BINS - 1)
        amount = memory[2 * _SLOTS + j] / (last - first + 1)
        steps[first] += amount
        steps[last + 1] -= amount
    fullest, most, level = 0, -1.0, 0.0
    for j in range(_BINS):
        level += steps[j]
        if level > most:
            fullest, most = j, level
    return bottom + (fullest + 0.5) * width


def first_known(candles: Candles, columns: Iterable[Column]) -> dict[str, int]:
    """Open time of the first bar at which each column is known [ms UTC]; absent where at none."""
    known: dict[str, int] = {}
    for column in columns:
        rows: IntArray = np.flatnonzero(np.isfinite(_known(candles, column)))
        if len(rows):
            known[column.name] = int(candles.open_time_ms[rows[0]])
    return known
