"""What scores a population fastest: processes of this machine or of others, or a device."""

from __future__ import annotations

import os

from ..models.devices import choose_device
from ..models.world_model import WorldModel
from .device.scorer import DeviceDreams
from .population.crew import Workers
from .population.scorers import DreamWorkers


def open_scorer(
    world_model: WorldModel | str | os.PathLike[str] = "default",
    device: str = "cpu",
    num_workers: Workers = None,
    warmup: int | None = None,
) -> DreamWorkers | DeviceDreams:
    """What scores fastest on a device; a context manager.

    Args:
        world_model: A `WorldModel`, the folder of one, or ``"default"``.
        device: ``"cpu"`` for the compiled engine; ``"cuda"``; ``"auto"`` for CUDA where there is one.
        num_workers: Processes on a CPU, or a `Crew`; see `DreamWorkers`. CUDA needs none.
        warmup: Recorded bars that M hears first; None takes all that the bank holds.

    Raises:
        ConfigError: The device is not there, or ``num_workers`` is no number of processes.
    """
    if choose_device(device).type == "cuda":
        return DeviceDreams(world_model, device, warmup)
    return DreamWorkers(world_model, num_workers, warmup)
