"""The control for V: an encoder that was never trained, and an M that learned from what it says.

What such a model forecasts and dreams as well as the trained one owes nothing to V's training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from ...market.errors import ConfigError
from ...market.sources import open_candles
from ...models.encoded import Encoded, encode_range, scaled_tensor
from ...models.feature_range import FeatureRange
from ...models.training.callbacks import Callbacks, TrainingHistory
from ...models.training.loops import Session
from ...models.training.train import train_memory, training_ranges
from ...models.vae import VAE, build_vae
from ...models.world_model import WorldModel

if TYPE_CHECKING:
    from ...market.sources import CandleSource

_KNOWN = -9.0  # log variance of a latent that is known: a random encoder's own says nothing


def with_random_encoder(
    world_model: WorldModel,
    train: CandleSource,
    validation: CandleSource,
    *,
    seed: int,
    epochs: int,
) -> WorldModel:
    """The same market and settings, V's weights random, M trained on its latents.

    The random latents are standardised on the training range, and known without noise. The first
    dimension carries the return as always, so that the forecast is of the same thing.

    Args:
        world_model: Of the ``market`` preset.
        train: Its training candles.
        validation: The candles after them.
        seed: Of the random weights, and of the training.
        epochs: Of M, at most.

    Raises:
        ConfigError: The preset decodes the return from z, which a random decoder cannot.
    """
    config = replace(world_model.config, mdn_rnn_epochs=epochs)
    if config.preset != "market":
        raise ConfigError(
            f"the preset is {config.preset!r}; a random encoder is no control where the return is "
            "decoded: expected 'market'"
        )
    train, validation = open_candles(train), open_candles(validation)
    ranges = training_ranges(train, validation, config)
    vae = _standardised(build_vae(config, seed), _features(world_model, ranges[0]), ranges[0])
    encoded: list[Encoded] = [
        encode_range(vae, _features(world_model, each), each) for each in ranges
    ]
    session = Session(config, seed, Callbacks(TrainingHistory(), ()), torch.device("cpu"))
    mdn_rnn, bank = train_memory(encoded[0], encoded[1], train, session)
    return WorldModel(
        world_model.config, world_model.provenance, world_model.scaler, vae, mdn_rnn, bank
    )


def _features(world_model: WorldModel, source: FeatureRange) -> torch.Tensor:
    return scaled_tensor(world_model.scaler.transform(source.features))


@torch.no_grad()
def _standardised(vae: VAE, scaled: torch.Tensor, source: FeatureRange) -> VAE:
    """Give the learned dimensions mean 0 and deviation 1 over the range, and no noise."""
    last = vae.encoder[-1]
    assert isinstance(last, nn.Linear)
    learned = vae.latent_size - vae.carried
    means = vae.encode(scaled[source.complete_rows]).mean[:, vae.carried :]
    deviation = means.std(0)
    last.weight[:learned] /= deviation[:, None]
    last.bias[:learned] = (last.bias[:learned] - means.mean(0)) / deviation
    last.weight[learned:] = 0.0
    last.bias[learned:] = _KNOWN
    return vae
