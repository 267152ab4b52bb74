"""Rolling forward: the world model trained anew as the test range goes on, for its forecasts alone.

Every so many bars V and M are trained on all bars up to there, of which as many as the run's
validation range has are the last, and validate; they forecast the bars until the next training. The
run's own world model forecasts the first of these stretches. HAR is fitted anew beside it: a rival
may learn from the same bars.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worldmodel_trading.config import RunConfig
from worldmodel_trading.evaluation.ageing import (
    HAR_T_REFITTED,
    REFITTED,
    bar_losses,
)
from worldmodel_trading.evaluation.baselines.har import HAR
from worldmodel_trading.evaluation.baselines.memoryless import of_each_bar
from worldmodel_trading.evaluation.baselines.student_t import Forecast
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.sources import source_name
from worldmodel_trading.market.times import format_time
from worldmodel_trading.models.training.train import train_world_model
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.progress import TrainingConsole, say
from worldmodel_trading.split import Split


def refuse_refits(config: RunConfig, split: Split) -> None:
    """Refuse stretches as long as the test range: nothing would be trained anew.

    Raises:
        ConfigError: They are.
    """
    bars = len(split.part("test"))
    if config.refit is not None and config.refit >= bars:
        raise ConfigError(
            f"refit is {config.refit} bars, and the test range has {bars}: give fewer, or no refit"
        )


def refitted_losses(
    config: RunConfig, split: Split, world_model: WorldModel
) -> dict[str, FloatArray]:
    """What forecasts lose that are trained anew as the test range goes on [T], by name.

    NaN before the test range. Each training has checkpoints of its own, and its world model is kept
    in the folder ``refits``.

    Args:
        config: The run's settings, ``refit`` among them.
        split: The recorded ranges.
        world_model: The run's own.
    """
    candles = split.candles
    returns = 100 * candles.log_returns()
    losses: dict[str, FloatArray] = {}
    first = candles.row_range(*split.test)[0]
    for number, (start, stop) in enumerate(_stretches(config, split)):
        known = candles.rows(0, stop)
        if start > first:
            world_model = _trained(config, split, number, start)
        made: dict[str, Forecast] = {
            REFITTED: of_each_bar(world_model.return_forecast(known)),
            HAR_T_REFITTED: HAR.fit(known, (0, start)).forecast(known),
        }
        for name, values in bar_losses(made, returns[:stop]).items():
            losses.setdefault(name, np.full(len(candles), np.nan))[start:stop] = values[start:]
    return losses


def _stretches(config: RunConfig, split: Split) -> Iterator[tuple[int, int]]:
    """First rows, and those after the last, of the test range's stretches."""
    assert config.refit is not None
    first, last = split.candles.row_range(*split.test)
    for start in range(first, last, config.refit):
        yield start, min(start + config.refit, last)


def _trained(config: RunConfig, split: Split, number: int, row: int) -> WorldModel:
    """A world model that knows the bars before a row, and no others."""
    candles = split.candles
    middle = row - len(split.part("validation"))
    say(f"  refit {number}: trained on all before {_day(candles, middle)}, "
        f"validated on those before {_day(candles, row)}")  # fmt: skip
    world_model, _ = train_world_model(
        candles.rows(0, middle),
        candles.rows(middle, row),
        config.training(candles.interval),
        seed=config.seed,
        source=source_name(config.candles),
        callbacks=[TrainingConsole()],
        checkpoint_dir=config.out_dir / "checkpoints" / f"refit-{number}",
        resume=config.resume,
        device=config.device,
    )
    world_model.save_pretrained(config.out_dir / "refits" / str(number))
    return world_model


def _day(candles: Candles, row: int) -> str:
    return format_time(int(candles.open_time_ms[row]))
