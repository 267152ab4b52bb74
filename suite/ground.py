"""The recorded ranges that an agent may train on, be chosen by and be tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worldmodel_trading.agents.training import Ground
from worldmodel_trading.dates import read_times, refuse_outside
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, OtherMarketError, TrainingBarsError
from worldmodel_trading.market.features import candles_for
from worldmodel_trading.market.synthetic import SYMBOL
from worldmodel_trading.market.times import Time, format_time
from worldmodel_trading.models.load import open_world_model
from worldmodel_trading.models.world_model import WorldModel

_FEWEST = 2  # bars of a range: one is lived


@dataclass(frozen=True)
class Cuts:
    """Where the ranges are cut, as a person says; None is as the world model was trained.

    ::

        stress(["momentum"], "runs/btc/world_model", "BTCUSDT-60.csv", cuts=Cuts(validation_end="2024-01-01"))

    The training range is ``[start, train_end)``, the validation range goes on from the world model's
    own to ``validation_end``, and the test range from there to ``end``. Times are given as
    `BybitReplayEnv` takes them; one that lies outside the record is refused when that is opened.

    Attributes:
        start: First bar of the training range.
        train_end: Its end, exclusive; never later than the world model's.
        validation_end: End of the validation range, exclusive; the test range begins there.
        end: End of the test range, exclusive; None is that of the record.
    """

    start: Time | None = None
    train_end: Time | None = None
    validation_end: Time | None = None
    end: Time | None = None


@dataclass(frozen=True, eq=False)
class Recorded:
    """A world model, and what is recorded of its market.

    Attributes:
        world_model: The model.
        candles: The record; None where none was given of a market that is not embedded.
        ranges: ``train``, ``validation`` and ``test``, those there are bars of [ms UTC].
    """

    world_model: WorldModel
    candles: Candles | None
    ranges: dict[str, tuple[int, int]]

    def ground(self) -> Ground:
        """Where an agent is trained and chosen; the test range stays out of it."""
        ranges = self.ranges
        return Ground(self.world_model, self.candles, ranges.get("train"), ranges.get("validation"))


def open_recorded_ranges(
    world_model: Any, candles: Any = None, cuts: Cuts | None = None
) -> Recorded:
    """Open a world model and the record of its market, and cut it.

    Args:
        world_model: Anything `open_world_model` opens.
        candles: Anything `open_candles` opens; None is the embedded market where the world model is of
            it, and nothing where it is not.
        cuts: Where.

    Raises:
        OtherMarketError: The candles are of another interval or symbol.
        ConfigError: A time is outside the record, or out of its order.
        TrainingBarsError: The training range would reach into bars that choose.
    """
    cuts = cuts or Cuts()
    times = {
        "start": cuts.start,
        "train_end": cuts.train_end,
        "validation_end": cuts.validation_end,
        "end": cuts.end,
    }
    given = read_times(times)
    model = open_world_model(world_model)
    made = model.provenance
    if candles is None and made.symbol != SYMBOL:
        return Recorded(model, None, {})
    record = candles_for(model.config.features, candles)
    made.check_interval(record.interval)
    other = made.other_market(record.symbol)
    if other:
        raise OtherMarketError(
            f"{other}: give candles of {made.symbol}, or teach the world model that market (transfer)"
        )
    refuse_outside(record, times)
    if given.get("train_end", 0) > made.train_end_ms:
        raise TrainingBarsError(
            f"--train-end is later than {format_time(made.train_end_ms)}, where the world model's "
            "training range ends: what follows chooses and tests; leave it out, or train a world model "
            "on more"
        )
    edges = {
        "train": (
            given.get("start", made.train_start_ms),
            given.get("train_end", made.train_end_ms),
        ),
        "validation": (
            made.validation_start_ms,
            given.get("validation_end", made.validation_end_ms),
        ),
    }
    last = int(record.open_time_ms[-1]) + record.interval_ms
    edges["test"] = (edges["validation"][1], given.get("end", last))
    bars = {name: np.searchsorted(record.open_time_ms, ends) for name, ends in edges.items()}
    ranges = {name: edges[name] for name, (i, j) in bars.items() if j - i >= _FEWEST}
    if not ranges:
        raise ConfigError(
            f"the candles end before {format_time(made.train_start_ms)}, where the world model's "
            "training range begins: give candles of its market from then on"
        )
    return Recorded(model, record, ranges)
