"""World models whose networks were never trained: what a claim about the trained ones must beat."""

from __future__ import annotations

from typing import Any

from ..models.bars.config import MarketConfig
from ..models.bars.networks import build_bar_networks
from ..models.mdn_rnn import build_mdn_rnn
from ..models.vae import build_vae
from ..models.world_model import WorldModel


def with_untrained_memory(world_model: WorldModel, seed: int) -> WorldModel:
    """The same V with an M of random weights."""
    kind = type(world_model)
    return kind(
        world_model.config,
        world_model.provenance,
        world_model.scaler,
        world_model.vae,
        random_networks(world_model, seed)[1],
        world_model.bank,
    )


def random_networks(world_model: WorldModel, seed: int) -> tuple[Any, Any]:
    """V and M of the world model's kind with weights that were never trained."""
    config: Any = world_model.config
    if isinstance(config, MarketConfig):
        vae, mdn_rnn = build_bar_networks(config, seed)
        scale: Any = world_model.mdn_rnn.return_scale
        mdn_rnn.return_scale.copy_(scale)
        return vae, mdn_rnn
    return build_vae(config, seed), build_mdn_rnn(config, seed)
