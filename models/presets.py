"""Settings of every kind of world model, by the name of its preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .bars.config import BarModelConfig
from .config import WorldModelConfig

AnyConfig = WorldModelConfig | BarModelConfig
"""Settings of either kind of world model."""


def read_config(values: Mapping[str, Any]) -> AnyConfig:
    """Settings from plain values, of the kind that their preset names.

    Raises:
        ConfigError: A field is unknown or impossible.
    """
    bars = isinstance(values, Mapping) and values.get("preset") == BarModelConfig.preset
    return BarModelConfig.from_dict(values) if bars else WorldModelConfig.from_dict(values)


def default_config(interval: str, preset: str = "market", **settings: Any) -> AnyConfig:
    """The default settings of a preset for bars of an interval, some of them given."""
    if preset == BarModelConfig.preset:
        return BarModelConfig.for_interval(interval, **settings)
    return WorldModelConfig.for_interval(interval, preset=preset, **settings)
