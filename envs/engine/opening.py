"""The engine that a world model's dreams need."""

from __future__ import annotations

from ...models.bar_world_model import BarWorldModel
from ...models.paper_world_model import PaperWorldModel
from ...models.world_model import WorldModel
from .bar_engine import BarEngine
from .base import Engine
from .member_engine import MemberEngine
from .paper_engine import PaperEngine


def open_engine(world_model: WorldModel, warmup: int | None = None) -> Engine:
    """A `BarEngine` for a world model that draws bars, a `PaperEngine` for one that draws latents.

    Args:
        world_model: The market that is dreamed.
        warmup: Recorded bars that M hears before the dream begins; None takes all.
    """
    if isinstance(world_model, BarWorldModel):
        kind = MemberEngine if world_model.others else BarEngine
        return kind(world_model, warmup)
    assert isinstance(world_model, PaperWorldModel)
    return PaperEngine(world_model, warmup)
