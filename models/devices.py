"""Where PyTorch computes: on the CPU, or on a CUDA device."""

from __future__ import annotations

import torch

from ..market.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device called ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA where there is one.

    Raises:
        ConfigError: An unknown name, or CUDA where PyTorch finds none.
    """
    if name not in ("cpu", "cuda", "auto"):
        raise ConfigError(f"device is {name!r}; expected cpu, cuda or auto")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("device is 'cuda', but this torch finds no CUDA device: use cpu or auto")
    if name == "cpu" or not available:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())
