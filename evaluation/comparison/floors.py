"""Rankings that need no dream of the world model: what its own has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...envs.recorded import RecordedMarket
from ...market.account.rules import BrokerConfig
from ...market.arrays import IntArray
from ...market.candles import Candles
from ...models.drift import RECORDED, ZERO, with_drift
from ...models.world_model import WorldModel
from ..baselines.bars import Bars
from ..baselines.bootstrap import BarBootstrap
from ..baselines.garch import GarchModel
from ..untrained import with_untrained_memory
from .pay import Pay
from .venues import Draw, Family, Rows, Seen, drawn, dreamed, pay_of

MINUS_COST, MEAN_EXPOSURE = "minus cost", "mean exposure"
TRAINING, LAST_QUARTER = "recorded training range", "its last quarter"
BLOCKS, GARCH, UNTRAINED = "block bootstrap", "GARCH", "untrained M"
_LAST = 0.25  # of the training range: the quarter of it that is nearest to what comes
_WEEK = 168


def training_rows(world_model: WorldModel, candles: Candles) -> Rows:
    """Rows of the bars that the world model was trained on."""
    edges = [world_model.provenance.train_start_ms, world_model.provenance.train_end_ms]
    first, last = np.searchsorted(candles.open_time_ms, edges)
    return int(first), int(last)


def recorded_floors(
    world_model: WorldModel, recorded: RecordedMarket, replay: Callable[[Rows], Pay]
) -> dict[str, Pay]:
    """What the training range paid and cost the same policies.

    ``minus cost`` promises each policy what it does not spend, ``mean exposure`` what it holds; the
    training range, and the last quarter of it, what they paid. Empty where the candles do not reach
    back into the training range.

    Args:
        world_model: Whose training range.
        recorded: The record, as seen through it.
        replay: What policies are paid in some rows of it.
    """
    first, last = training_rows(world_model, recorded.candles)
    quarter = int(last - _LAST * (last - first)), last
    if not np.count_nonzero(recorded.steps_left[slice(*quarter)] >= 1):
        return {}
    whole, late = replay((first, last)), replay(quarter)
    return {
        MINUS_COST: whole._replace(net=-whole.cost, gross=-whole.cost),
        MEAN_EXPOSURE: whole._replace(net=whole.exposure, gross=whole.exposure),
        TRAINING: whole,
        LAST_QUARTER: late,
    }


def dreamed_floors(
    world_model: WorldModel,
    seen: Seen,
    families: Sequence[Family],
    broker: BrokerConfig,
    *,
    seed: int,
    dreams: int,
    bars: int,
    drift: str | float = RECORDED,
) -> dict[str, Pay]:
    """What dreams pay that know less: of an M that was never trained, and of generators of bars.

    The generators are fitted on the training range, and left out where the candles do not hold it.

    Args:
        world_model: What the bars are seen through; its bank tells where M's dreams begin.
        seen: The record.
        families: The policies.
        broker: The account's rules.
        seed: Of the draws.
        dreams: How many.
        bars: Bars of each.
        drift: What a held position earns in all of them; see `with_drift`.
    """
    untrained = with_drift(
        with_untrained_memory(world_model, seed + world_model.provenance.seed), drift
    )
    own = world_model.provenance.seed
    rng = np.random.default_rng([seed, own, 0])
    floors = {UNTRAINED: pay_of(dreamed(untrained, dreams, bars, broker, rng), families, broker)}
    rows = training_rows(world_model, seen.latent.candles)
    if not seen.tradable(rows):
        return floors
    train = seen.latent.candles.rows(*rows)
    mean = _a_bar(drift, world_model)
    for number, (name, draw) in enumerate(GENERATORS.items(), 1):
        rng = np.random.default_rng([seed, own, number])
        paths = drawn(world_model, train, draw, dreams, bars, rng, mean)
        floors[name] = pay_of(paths, families, broker)
    return floors


def block_bootstrap(train: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
    """Recorded bars in blocks of a week on average."""
    made = BarBootstrap.fit(train)
    starts = np.asarray(train.open_time_ms[rows] + train.interval_ms)
    record = made.record.with_relative_volume(_WEEK)
    made = BarBootstrap(record, made.connected, made.interval_ms, made.block_bars)
    return made.bars(starts, bars, rng).with_volume_of(train, rows, _WEEK)


def garch_bars(train: Candles, rows: IntArray, bars: int, rng: np.random.Generator) -> Bars:
    """Returns of a GJR-GARCH-t in step with the clock, dressed as recorded bars that moved as much."""
    made = GarchModel.fit(train, (0, len(train))).bars(train, rows, bars, rng)
    record = Bars.of(train).with_relative_volume(_WEEK)
    return made.dressed_as(record, rng).with_volume_of(train, rows, _WEEK)


GENERATORS: Mapping[str, Draw] = {BLOCKS: block_bootstrap, GARCH: garch_bars}
"""What draws bars without a network, by name."""


def _a_bar(drift: str | float, world_model: WorldModel) -> float | None:
    """Mean simple return of a bar that a setting of `with_drift` asks for; None for the record's."""
    if drift == RECORDED:
        return None
    return (0.0 if drift == ZERO else float(drift)) / world_model.provenance.bars_per_year
