"""The small pretrained world model that ships with the package, and how it is made."""

from __future__ import annotations

from collections.abc import Sequence

from ...market.synthetic import synthetic_candles
from ..presets import AnyConfig
from ..world_model import WorldModel
from .callbacks import TrainingCallback
from .train import train_world_model

CANDLE_SEED = 0
TRAIN_SHARE, VALIDATION_SHARE = 0.70, 0.15
"""Of the synthetic market's bars; the rest was never seen, in training or selection."""


def build_default(
    config: AnyConfig | None = None, callbacks: Sequence[TrainingCallback] = ()
) -> WorldModel:
    """Train the default model on the synthetic market, one thread, the same numbers every time."""
    import torch

    torch.set_num_threads(1)
    candles = synthetic_candles(seed=CANDLE_SEED)
    train_end = int(TRAIN_SHARE * len(candles))
    validation_end = train_end + int(VALIDATION_SHARE * len(candles))
    world_model, _ = train_world_model(
        candles.rows(0, train_end),
        candles.rows(train_end, validation_end),
        config,
        seed=0,
        source=f"synthetic_candles(seed={CANDLE_SEED})",
        callbacks=callbacks,
    )
    return world_model
