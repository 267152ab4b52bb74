"""The small pretrained world model that ships with the package, and how it is made.

``python -m worldmodel_trading.models.default_model`` rebuilds it in place.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..market.synthetic import synthetic_candles
from .callbacks import ProgressCallback
from .config import WorldModelConfig
from .world_model import WorldModel, train_world_model

DEFAULT_FOLDER = Path(__file__).parent / "pretrained" / "default"
CANDLE_SEED = 0
TRAIN_SHARE, VALIDATION_SHARE = 0.70, 0.15
"""Of the synthetic market's bars; the rest was never seen, in training or selection."""


def build_default(config: WorldModelConfig | None = None) -> WorldModel:
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
        callbacks=[ProgressCallback()],
    )
    return world_model


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the default model into the package, or into the folder that is named."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    folder = Path(given[0]) if given else DEFAULT_FOLDER
    build_default().save_pretrained(folder)
    print(f"saved {folder}")


if __name__ == "__main__":
    main()
