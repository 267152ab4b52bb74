"""What every dream on a device can do: lanes of a market as tensors, stepped from injected noise.

The engines compute the same in compiled kernels on a CPU; the two agree to rounding. Nothing here
looks at a tensor's values, so that a CUDA graph can hold any number of steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...market.account.rules import BrokerConfig
from ...market.account.settlement import Bar
from ...market.arrays import IntArray
from ..engine.base import Engine


class Market(NamedTuple):
    """Where each of L lanes of a dream is, as far as every preset has it.

    Attributes:
        latent: z [L, Z], float32.
        hidden: h [L, H], float32.
        others: What else a preset remembers of its lanes, each [L, ...].
    """

    latent: Tensor
    hidden: Tensor
    others: tuple[Tensor, ...]

    def put(self, other: Market) -> None:
        """Overwrite every lane; the tensors stay where they are."""
        self.latent.copy_(other.latent)
        self.hidden.copy_(other.hidden)
        for mine, theirs in zip(self.others, other.others, strict=True):
            mine.copy_(theirs)


class DeviceDream(ABC):
    """Steps lanes through a world model whose weights lie on a device.

    Args:
        engine: The same dream on the CPU, which knows the states that dreams begin from.
        device: Where.

    Attributes:
        device: Where.
        config: The world model's.
        noise_rows: Random numbers of a lane's step.
    """

    def __init__(self, engine: Engine, device: torch.device) -> None:
        self.device = device
        self.config: Any = engine.config
        self.noise_rows = engine.noise_rows

    @abstractmethod
    def empty(self, lanes: int) -> Market:
        """Room for that many lanes."""

    @abstractmethod
    def start(self, segments: IntArray, broker: BrokerConfig) -> Market:
        """The states after recorded warm-ups, one for each segment [L]; computed on the CPU."""

    @abstractmethod
    def live(
        self,
        market: Market,
        noise: Tensor,
        actions: Tensor | None,
        funding_rate: Tensor,
        temperature: float,
        broker: BrokerConfig,
    ) -> tuple[Market, Bar]:
        """Dream one bar of every lane; see `Engine.step`.

        Args:
            market: Where the lanes are; left as it is.
            noise: The engine's table [R, L], float32.
            actions: Targets [L, 1], float32, where the market hears them.
            funding_rate: Charged on a position held through the bar [L].
            temperature: τ.
            broker: The account's rules.

        Returns:
            Where the lanes are then, and what the bar does to accounts, its columns [L].
        """
