"""The dream on a device that a world model needs."""

from __future__ import annotations

import torch

from ..engine.bar_engine import BarEngine
from ..engine.base import Engine
from ..engine.member_engine import MemberEngine
from ..engine.paper_engine import PaperEngine
from .bar_dream import BarDream
from .dream import DeviceDream
from .member_dream import MemberDream
from .paper_dream import PaperDream


def open_device_dream(engine: Engine, device: torch.device) -> DeviceDream:
    """A `BarDream` or `MemberDream` for an engine that draws bars, a `PaperDream` for latents.

    Args:
        engine: The same dream on the CPU.
        device: Where.
    """
    if isinstance(engine, MemberEngine):
        return MemberDream(engine, device)
    if isinstance(engine, BarEngine):
        return BarDream(engine, device)
    assert isinstance(engine, PaperEngine)
    return PaperDream(engine, device)
