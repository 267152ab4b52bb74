"""Records made ready to be replayed, from anything that candles and a world model are opened from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..market.errors import ConfigError
from ..market.features import FeatureSpec, candles_for
from ..market.sources import funding_per_bar, open_funding
from ..market.times import Time
from .recorded import RecordedMarket, feature_record, latent_record, restrict
from .spaces import ObservationKind, check_observation
from .trace import PAST_BARS

if TYPE_CHECKING:
    from ..market.sources import CandleSource, FundingSource
    from ..models.world_model import WorldModel
    from .recorded_state import RecordedState


def open_recorded(
    candles: CandleSource,
    world_model: WorldModel | str | os.PathLike[str] | None,
    start: Time | None = None,
    end: Time | None = None,
    funding: FundingSource = None,
    unrecorded_funding_rate: float = 0.0,
    observation: ObservationKind | None = None,
) -> RecordedMarket:
    """Candles from anywhere, seen raw or through a world model, ready to be replayed.

    Args:
        candles: Anything `open_candles` opens.
        world_model: What they are seen through: a `WorldModel`, the folder of one, ``"default"``, or
            None for raw features.
        start: Episodes stay in ``[start, end)``; what precedes it serves as history.
        end: See start.
        funding: Charged on positions, anything `open_funding` opens.
        unrecorded_funding_rate: Charged at instants that were due and are not recorded, a fraction of
            the notional.
        observation: ``"latent"`` or ``"features"``; None is ``"latent"`` where there is a model.

    Raises:
        ConfigError: Latents are to be seen without a world model.
    """
    shown = check_observation(observation or ("latent" if world_model is not None else "features"))
    if shown == "latent" and world_model is None:
        raise ConfigError("observation is 'latent'; expected a world_model to see through, too")
    model = opened(world_model)
    record = candles_for(None if model is None else model.config.features, candles, funding)
    charged = funding_per_bar(open_funding(funding), record, unrecorded_funding_rate)
    first, last = record.row_range(start, end)
    kept = max(0, first - PAST_BARS), last
    if model is None or shown == "features":
        spec = FeatureSpec.for_interval(record.interval) if model is None else model.config.features
        recorded = feature_record(record, spec, charged, kept)
    else:
        recorded = latent_record(record, model, charged, kept)
    return recorded if start is None and end is None else restrict(recorded, start, end)


def opened(world_model: WorldModel | str | os.PathLike[str] | None) -> WorldModel | None:
    """The world model of that name, if there is to be one; replay without one needs no torch."""
    if world_model is None:
        return None
    from ..models.load import open_world_model

    return open_world_model(world_model)


def open_recorded_state(
    recorded: RecordedMarket, world_model: WorldModel | None, num_lanes: int
) -> RecordedState | None:
    """What M remembers beside the record, where it depends on the actions: the ``paper`` preset."""
    if world_model is None or "hidden" not in recorded.layout:
        return None
    if world_model.config.preset != "paper":
        return None
    from .recorded_state import RecordedState

    return RecordedState(world_model, recorded, num_lanes)


def count_training_bars(recorded: RecordedMarket, world_model: WorldModel) -> int:
    """How many of the observable bars lie in the world model's training range."""
    made, times = world_model.provenance, recorded.candles.open_time_ms
    if made.other_market(recorded.candles.symbol):
        return 0
    trained = (times >= made.train_start_ms) & (times < made.train_end_ms)
    return int((trained & (recorded.steps_left >= 0)).sum())
