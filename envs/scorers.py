"""What scores a population fastest: processes of this machine, or a device."""

from __future__ import annotations

import os

from ..models.bar_world_model import BarWorldModel
from ..models.devices import choose_device
from ..models.load import open_world_model
from ..models.world_model import WorldModel
from .device.scorer import DeviceDreams
from .population.scorers import DreamWorkers


def open_scorer(
    world_model: WorldModel | str | os.PathLike[str] = "default",
    device: str = "cpu",
    num_workers: int | None = None,
    warmup: int | None = None,
) -> DreamWorkers | DeviceDreams:
    """What scores fastest on a device; a context manager.

    Args:
        world_model: A `WorldModel`, the folder of one, or ``"default"``.
        device: ``"cpu"`` for the compiled engine; ``"cuda"``; ``"auto"`` for CUDA where there is one
            and it can dream the preset.
        num_workers: Processes on a CPU; see `DreamWorkers`. CUDA needs none.
        warmup: Recorded bars that M hears first; see `DreamEngine`.

    Raises:
        ConfigError: The device is not there or cannot dream this preset, or ``num_workers`` is no
            number of processes.
    """
    model = open_world_model(world_model)
    by_processes = device == "auto" and isinstance(model, BarWorldModel)
    if choose_device(device).type == "cuda" and not by_processes:
        return DeviceDreams(model, device, warmup)
    return DreamWorkers(model, num_workers, warmup)
