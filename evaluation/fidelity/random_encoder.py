"""The control for V: an encoder that was never trained, and an M that learned from what it says.

What such a model forecasts and dreams as well as the trained one owes nothing to V's training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ...market.errors import ConfigError
from ...market.sources import open_candles
from ...models.bar_world_model import BarWorldModel
from ...models.training.bar_ground import BarGround, training_ranges
from ...models.training.bars import train_bar_networks
from ...models.training.callbacks import Callbacks, TrainingHistory
from ...models.training.loops import Session

if TYPE_CHECKING:
    from ...market.sources import CandleSource
    from ...models.world_model import WorldModel


def with_random_encoder(
    world_model: WorldModel,
    train: CandleSource,
    validation: CandleSource,
    *,
    seed: int,
    epochs: int,
) -> BarWorldModel:
    """The same market and settings, V's weights random, M trained on its latents.

    The random latents are standardised on the training range.

    Args:
        world_model: Of the ``market`` preset.
        train: Its training candles.
        validation: The candles after them.
        seed: Of the random weights, and of the training.
        epochs: Of each of M's stages, at most.

    Raises:
        ConfigError: The preset decodes the return from z, which a random decoder cannot.
    """
    if not isinstance(world_model, BarWorldModel):
        raise ConfigError(
            f"the preset is {world_model.config.preset!r}; a random encoder is no control where the "
            "return is decoded: expected 'market'"
        )
    config = world_model.config
    stages = ("forecast_epochs", "mdn_rnn_epochs", "head_epochs")
    shorter = {name: min(epochs, getattr(config, name)) for name in stages}
    train, validation = open_candles(train), open_candles(validation)
    ranges = training_ranges(train, validation, config)
    session = Session(
        replace(config, **shorter),
        seed,
        Callbacks(TrainingHistory(), ()),
        torch.device("cpu"),
    )
    ground = BarGround.of(ranges, config, world_model.scaler)
    networks = train_bar_networks(*ground.bars, session, random_encoder=True)
    return ground.world_model(*networks, world_model.provenance, config, session)
