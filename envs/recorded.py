"""The recorded market as arrays: what replay shows, and what each bar does to an account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..market.account.broker import replay_bars
from ..market.arrays import BoolArray, Float32Array, FloatArray, IntArray
from ..market.candles import Candles
from ..market.errors import ConfigError
from ..market.features import Features, feature_chunks, valid_rows
from ..market.settings import nearest, truth
from ..market.times import Time, format_time, to_ms
from .spaces import FEATURE_BOUND, LATENT_BOUND, observation_layout

if TYPE_CHECKING:
    from ..models.world_model import WorldModel


@dataclass(frozen=True, eq=False)
class RecordedMarket:
    """Candles made ready to be replayed; every array runs over the candles' rows [T].

    Attributes:
        candles: Where it comes from.
        view: What the policy sees of the market at each row [T, D − K], float32, inside the
            observation space; NaN where ``steps_left`` is -1.
        layout: Where each part of it lies in an observation.
        bars: What each row does to an account held through it [T, 8], columns `BAR_FIELDS`.
        steps_left: Steps that an episode starting at the row can take, at most; -1 where the row
            cannot be observed.
        delivery_row: Row of the bar with which the contract ended; None where it lives on, or the
            record ends before it.
        record: The candles with all that precedes them, which is history.
        first_row: Row of the record that the first row here is.
    """

    candles: Candles
    view: Float32Array
    layout: dict[str, slice]
    bars: FloatArray
    steps_left: IntArray
    delivery_row: int | None
    record: Candles
    first_row: int

    def starts(self, length: int | None) -> IntArray:
        """Rows from which ``length`` steps can be taken; for None, the first of each run.

        An episode that the contract's end cuts short is whole: it is the market that ended.

        Raises:
            ConfigError: There is none.
        """
        if length is None:
            observed = self.steps_left >= 1
            before = np.concatenate([[-1], self.steps_left[:-1]])
            rows = np.flatnonzero(observed & (before != self.steps_left + 1))
        else:
            ends = np.arange(len(self.steps_left)) + self.steps_left == self.delivery_row
            rows = np.flatnonzero((self.steps_left >= length) | (ends & (self.steps_left >= 1)))
        if not len(rows):
            longest = int(self.steps_left.max())
            raise ConfigError(
                f"no episode of {length or 1} steps fits: the longest stretch without a gap has "
                f"{max(longest, 0)} steps after its warm-up; give more candles or a shorter "
                "episode_length"
            )
        return rows

    def first_start(self, time: Time, length: int | None) -> int:
        """The first row at or after a time from which ``length`` steps (None: one) can be taken.

        Raises:
            ConfigError: There is none.
        """
        rows = self.starts(length) if length else np.flatnonzero(self.steps_left >= 1)
        index = int(np.searchsorted(self.candles.open_time_ms[rows], to_ms(time)))
        if index == len(rows):
            when = format_time(to_ms(time))
            raise ConfigError(f"no episode fits at or after {when}; the candles end too early")
        return int(rows[index])


def which_symbol(symbol: object, symbols: Sequence[str]) -> int:
    """The place of a symbol among others.

    Raises:
        ConfigError: It is none of them.
    """
    if symbol in symbols:
        return symbols.index(str(symbol))
    near = nearest(str(symbol), symbols)
    hint = "" if near is None else f"did you mean {near!r}? "
    raise ConfigError(f"symbol is {symbol!r}; {hint}expected one of {', '.join(symbols)}")


def check_random_start(random_start: bool) -> bool:
    """Whether starts are drawn, if that is said; raises `ConfigError`."""
    drawn = truth(random_start)
    if drawn is None:
        raise ConfigError(f"random_start is {random_start!r}; expected true or false")
    return drawn


def as_seen(features: FloatArray) -> Float32Array:
    """Raw features [..., F] inside the bounds of an observation."""
    return np.clip(features, -FEATURE_BOUND, FEATURE_BOUND).astype(np.float32)


def feature_record(
    candles: Candles,
    spec: Features,
    funding: FloatArray | None = None,
    rows: tuple[int, int] | None = None,
) -> RecordedMarket:
    """A record that shows raw features.

    Args:
        candles: T bars.
        spec: Which features.
        funding: Charged on positions held through bars [T].
        rows: The bars kept, those before them being history alone; None keeps all.
    """
    first, last = rows or (0, len(candles))
    view = np.empty((last - first, len(spec.names)), dtype=np.float32)
    valid = np.empty(last - first, dtype=np.bool_)
    for start, features in feature_chunks(candles, spec):
        there = slice(max(start, first), min(start + len(features), last))
        if there.start < there.stop:
            here = slice(there.start - first, there.stop - first)
            some = features[there.start - start : there.stop - start]
            view[here], valid[here] = as_seen(some), valid_rows(some)
    layout = observation_layout({"features": view.shape[1]})
    return _recorded(candles, view, layout, valid, funding, (first, last))


def latent_record(
    candles: Candles,
    world_model: WorldModel,
    funding: FloatArray | None = None,
    rows: tuple[int, int] | None = None,
) -> RecordedMarket:
    """A record that shows [z, h]; with the ``paper`` preset h is that of an agent that stays flat.

    Args:
        candles: T bars.
        world_model: What they are seen through.
        funding: Charged on positions held through bars [T].
        rows: The bars kept, those before them being history alone; None keeps all.
    """
    kept = rows or (0, len(candles))
    latents = world_model.latents(candles, slice(*kept))
    z = np.clip(latents.z, -LATENT_BOUND, LATENT_BOUND)
    view = np.concatenate([z, latents.h], axis=1).astype(np.float32)
    layout = observation_layout({"latent": z.shape[1], "hidden": latents.h.shape[1]})
    return _recorded(candles, view, layout, latents.valid, funding, kept)


def restrict(recorded: RecordedMarket, start: Time | None, end: Time | None) -> RecordedMarket:
    """The same record with episodes inside ``[start, end)`` only; what precedes it is warm-up."""
    first, last = recorded.candles.row_range(start, end)
    rows = np.arange(len(recorded.candles))
    inside = (rows >= first) & (rows < last)
    steps = np.where(inside, np.minimum(recorded.steps_left, last - 1 - rows), -1)
    return replace(recorded, steps_left=steps)


def _recorded(
    candles: Candles,
    view: Float32Array,
    layout: dict[str, slice],
    valid: BoolArray,
    funding: FloatArray | None,
    rows: tuple[int, int],
) -> RecordedMarket:
    kept = candles if rows == (0, len(candles)) else candles.rows(*rows)
    return RecordedMarket(
        candles=kept,
        view=view,
        layout=layout,
        bars=replay_bars(kept, 0.0 if funding is None else funding[slice(*rows)]),
        steps_left=_steps_left(kept, valid),
        delivery_row=kept.delivery_row,
        record=candles,
        first_row=rows[0],
    )


def _steps_left(candles: Candles, valid: BoolArray) -> IntArray:
    """Rows after t up to the next gap or end, the contract's too, where all of them are observable."""
    steps = np.full(len(candles), -1, dtype=np.int64)
    last = len(candles) - 1 if candles.delivery_row is None else candles.delivery_row
    for start, end in candles.segments():
        stop = min(end, last + 1)
        rows = np.arange(start, stop)
        steps[rows] = np.where(valid[rows], stop - 1 - rows, -1)
    return steps
