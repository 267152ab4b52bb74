"""What regimes are found in: stretches of bars, as M hears them and as they were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...market.arrays import Float32Array, FloatArray, IntArray
from ...market.errors import ConfigError
from ...market.features import candles_for, valid_rows
from ...market.streamed_bars import bar_numbers
from ...market.streams import SCALE_FLOOR
from ...market.times import format_time
from ..feature_range import complete_runs
from ..provenance import BarBank
from ..states import segment_times

if TYPE_CHECKING:
    from ...market.candles import Candles
    from ...market.sources import CandleSource
    from ..world_model import WorldModel

_FEWEST = 500  # bars that regimes can be told in


class Stretch(NamedTuple):
    """T bars in a row.

    Attributes:
        heard: What M hears of each [T, Z'].
        open_time_ms: Open times [T].
        size: Logarithm of the log price that each bar covers, from the close before it [T].
        log_return: Of each bar [T].
    """

    heard: Float32Array
    open_time_ms: IntArray
    size: FloatArray
    log_return: FloatArray


def observe(world_model: WorldModel, candles: CandleSource = None) -> list[Stretch]:
    """The training range's bars.

    Args:
        world_model: Whose training range.
        candles: A record of it, of which later bars are left out; None takes the bank's segments, which
            ``market`` recorded as bars; of ``paper`` the bars' sizes are what V decodes.

    Raises:
        ConfigError: The record holds too little of the training range.
    """
    if candles is None:
        return _of_bank(world_model)
    record, made = candles_for(world_model.config.features, candles), world_model.provenance
    inside = (record.open_time_ms >= made.train_start_ms) & (
        record.open_time_ms < made.train_end_ms
    )
    found = [
        cut(stretch, inside[start:stop]) for start, stop, stretch in stretches(world_model, record)
    ]
    bars = sum(len(stretch.size) for stretch in found)
    if bars < _FEWEST:
        raise ConfigError(
            f"the candles hold {bars} complete bars of the world model's training range, which begins "
            f"{format_time(made.train_start_ms)} and ends {format_time(made.train_end_ms)}; regimes are "
            f"found there and need {_FEWEST}: give the record that the world model was trained on"
        )
    return [stretch for stretch in found if len(stretch.size) > 1]


def stretches(world_model: WorldModel, candles: Candles) -> list[tuple[int, int, Stretch]]:
    """Every stretch of complete bars without a gap, and its first row and the row after its last."""
    features = world_model.features(candles)
    numbers = bar_numbers(candles)
    size = sizes(numbers)
    found = []
    for start, stop in complete_runs(valid_rows(features), candles):
        rows = slice(start, stop)
        heard = world_model.heard(world_model.encode(features[rows]))
        times = candles.open_time_ms[rows]
        found.append((start, stop, Stretch(heard, times, size[rows], numbers[rows, 0])))
    return found


def sizes(numbers: FloatArray) -> FloatArray:
    """Size of bars [..., 4], columns `market.streams.BAR_NUMBERS` [...]."""
    covered = np.abs(numbers[..., 0]) + numbers[..., 1] + numbers[..., 2]
    return np.asarray(np.log(covered + SCALE_FLOOR))


def cut(stretch: Stretch, inside: np.ndarray) -> Stretch:
    """The bars of a stretch [T] that are inside."""
    return Stretch(*(part[inside] for part in stretch))


def _of_bank(world_model: WorldModel) -> list[Stretch]:
    bank = world_model.bank
    heard, times = world_model.heard(bank.z), segment_times(world_model)
    if isinstance(bank, BarBank):
        numbers = bank.bars.astype(np.float64)
        size, log_return = sizes(numbers), numbers[..., 0]
    else:
        names = world_model.config.features.names
        seen = world_model.decode(bank.z)
        size = np.log(np.maximum(seen[..., names.index("range")], 0.0) + SCALE_FLOOR)
        log_return = seen[..., names.index("log_return")]
    return [Stretch(*parts) for parts in zip(heard, times, size, log_return, strict=True)]
