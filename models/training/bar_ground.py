"""A market's training and validation range, ready for V and M, and what becomes of them there."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from ...market.arrays import FloatArray, IntArray, spread
from ...market.candles import Candles
from ...market.clock import CALENDAR_CELLS, PLACES
from ...market.errors import TrainingError
from ...market.features import Features, Scaler, feature_chunks, features_of
from ...market.groups import first_known
from ...market.streamed_bars import bar_numbers, stream_memories
from ...market.streams import AVERAGE_VOLUME, StreamSpec
from ...market.times import format_time
from ..bar_world_model import BarWorldModel
from ..bars.config import MarketConfig
from ..bars.encoding import encode_record
from ..bars.networks import BarRNN, BarVAE
from ..bars.packed import BarNetwork
from ..feature_range import CompleteRows, FeatureRange, feature_range
from ..presets import AnyConfig
from ..provenance import BarBank, Provenance, library_versions
from .bar_ranges import BarRange, bar_range, column_changes
from .bars import temper_mean
from .loops import Session


@dataclass(frozen=True, eq=False)
class BarGround:
    """What a world model of bars learns of one market.

    Attributes:
        ranges: The training range, and the validation range with its context.
        scaler: Of the features.
        scale: The unit of log returns.
        bars: Both ranges as tensors, in these units.
        column_scale: Deviation of the dreamed columns' changes, standardised [J]; None of none.
    """

    ranges: tuple[FeatureRange, FeatureRange]
    scaler: Scaler
    scale: float
    bars: tuple[BarRange, BarRange]
    column_scale: FloatArray | None = None

    @classmethod
    def of(
        cls,
        ranges: tuple[FeatureRange, FeatureRange],
        config: MarketConfig,
        scaler: Scaler | None = None,
        scale: float | None = None,
    ) -> Self:
        """Prepare the ranges; scaler and unit are the training range's where they are not given."""
        spec, withheld = config.features, config.withheld_columns
        train = ranges[0].candles
        scaler = scaler or Scaler.of(train, spec)
        scale = scale or float(np.nanstd(bar_numbers(train)[:, 0]))
        first = len(spec.names) - len(spec.columns)
        dreamed = [first + i for i in config.dreamed]
        columns = _column_scale(train, spec, scaler, dreamed) if dreamed else None
        bars = [bar_range(source, scaler, scale, withheld, dreamed, columns) for source in ranges]
        return cls(ranges, scaler, scale, (bars[0], bars[1]), columns)

    def world_model(
        self,
        vae: BarVAE,
        mdn_rnn: BarRNN,
        provenance: Provenance,
        config: MarketConfig,
        session: Session,
    ) -> BarWorldModel:
        """The world model of this market: M's unit, trust in its mean, and the bank.

        Args:
            vae: V.
            mdn_rnn: M, changed in place.
            provenance: Of the world model.
            config: The world model's settings.
            session: The training's.
        """
        mdn_rnn.return_scale.fill_(self.scale)
        if self.column_scale is not None:
            mdn_rnn.column_scale.copy_(torch.from_numpy(self.column_scale))
        if config.temper_mean:
            temper_mean(vae, mdn_rnn, *self.bars, session)
        shown = self.scaler.without(config.withheld_columns)
        bank = self._bank(vae, mdn_rnn, shown, config)
        return BarWorldModel(config, provenance, shown, vae, mdn_rnn, bank)

    def _bank(self, vae: BarVAE, mdn_rnn: BarRNN, scaler: Scaler, config: MarketConfig) -> BarBank:
        candles, complete = self.ranges[0].candles, self.ranges[0].complete
        network = BarNetwork.of(vae, mdn_rnn, scaler, config)
        features = self.bars[0].features.numpy()
        z = np.empty((len(features), config.latent_size), dtype=np.float32)
        encode_record(network.parameters, network.sizes, features, z)
        last, rows = bank_rows(complete, config)
        memory = stream_memories(candles, config.features, last)
        return BarBank(
            z=z[rows],
            open_time_ms=candles.open_time_ms[last],
            close=candles.close[last],
            volume_level=memory[:, AVERAGE_VOLUME],
            memory=memory,
            features=features_of(candles, config.features, last),
            bars=bar_numbers(candles)[rows].astype(np.float32),
        )


def _column_scale(
    candles: Candles, spec: StreamSpec, scaler: Scaler, dreamed: list[int]
) -> FloatArray:
    """Root of the mean square of the changes that are any [J]; 1 where a column never changes."""
    values = np.concatenate([rows[:, dreamed] for _, rows in feature_chunks(candles, spec)])
    changes = column_changes(values, scaler.scale[dreamed])
    changes[(changes == 0.0) | ~np.isfinite(changes)] = np.nan
    some = np.isfinite(changes).any(axis=0)
    scale: FloatArray = np.ones(len(dreamed))
    scale[some] = np.sqrt(np.nanmean(changes[:, some] ** 2, axis=0))
    return scale


def bank_rows(complete: CompleteRows, config: AnyConfig) -> tuple[IntArray, IntArray]:
    """Last rows of segments spread evenly over the training range [S], and all of theirs [S, W]."""
    width = config.warmup_bars
    ends = [np.arange(start + width - 1, stop) for start, stop in complete.runs]
    possible = np.concatenate(ends)
    count = min(config.bank_segments, len(possible))
    last = possible[spread(count, len(possible))]
    return last, last[:, None] + np.arange(-width + 1, 1)


def of_symbol(mdn_rnn: BarRNN, number: int) -> BarRNN:
    """A copy of M for one of the symbols that it learned: what tells them apart goes into the calendar."""
    made, table = copy.deepcopy(mdn_rnn), mdn_rnn.calendar.data
    calendar = table[:CALENDAR_CELLS].clone()
    calendar[:PLACES] += table[CALENDAR_CELLS + number]
    made.calendar.data = calendar
    return made


def training_ranges(
    train: Candles, validation: Candles, config: AnyConfig, least_rows: int | None = None
) -> tuple[FeatureRange, FeatureRange]:
    """Training and validation range as features.

    Args:
        train: Training candles.
        validation: Candles after them.
        config: The settings.
        least_rows: Complete bars in a row that training needs; None is a chunk of M's memory.

    Raises:
        TrainingError: One is too short.
    """
    known = _first_known(train, config)
    train_range = feature_range(train, config.features)
    context = config.warmup_bars + 1
    validation_range = feature_range(validation, config.features, train, context)
    needed = least_rows or max(config.chunk_bars + 1, config.warmup_bars)
    if train_range.complete.longest_run < needed:
        raise TrainingError(
            f"the training range has {train_range.complete.longest_run} bars in a row with complete "
            f"features, after {config.features.warmup} bars of look-back; expected at least "
            f"{needed}: give a longer range, or shorter look-backs "
            f"({type(config).__name__}.for_interval({train.interval!r}) has "
            f"{type(config).for_interval(train.interval).features.warmup} bars) and chunk_bars{known}"
        )
    if len(validation_range.complete.complete_rows) < 2:
        raise TrainingError(
            f"the validation range has {len(validation_range.complete.complete_rows)} bars with complete "
            "features; expected at least 2: give a longer range"
        )
    return train_range, validation_range


def _first_known(train: Candles, config: AnyConfig) -> str:
    """When the columns that features need are first known, in words; empty where none are needed.

    Raises:
        TrainingError: One is never known in the training range.
    """
    columns = config.features.columns if isinstance(config, MarketConfig) else ()
    known = first_known(train, columns)
    for column in columns:
        if column.name not in known:
            raise TrainingError(
                f"the column {column.name} has no value between {format_time(int(train.open_time_ms[0]))} "
                f"and {format_time(int(train.open_time_ms[-1]))}: begin the training range where it does, "
                "or leave the feature out"
            )
    said = ", ".join(f"{name} from {format_time(when)}" for name, when in known.items())
    return f"; columns are known: {said}" if said else ""


def column_sources(train: Candles, spec: Features) -> dict[str, str]:
    """Of each column that features need: where it is from, and since when it is known."""
    columns = spec.columns if isinstance(spec, StreamSpec) else ()
    known = first_known(train, columns)
    return {
        name: f"{train.column_sources.get(name) or 'given'}, from {format_time(when)}"
        for name, when in known.items()
    }


def provenance_of(
    train: Candles,
    validation: Candles,
    seed: int,
    source: str,
    parent: str = "",
    together: dict[str, str] | None = None,
    spec: Features | None = None,
) -> Provenance:
    """What a world model of these candles says of itself."""
    step = train.interval_ms
    return Provenance(
        symbol=train.symbol,
        interval=train.interval,
        source=source,
        train_start_ms=int(train.open_time_ms[0]),
        train_end_ms=int(train.open_time_ms[-1]) + step,
        validation_start_ms=int(validation.open_time_ms[0]),
        validation_end_ms=int(validation.open_time_ms[-1]) + step,
        data_hash=train.data_hash(),
        seed=seed,
        versions=library_versions(),
        parent=parent,
        together=together or {},
        columns={} if spec is None else column_sources(train, spec),
    )
