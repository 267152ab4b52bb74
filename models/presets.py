"""Settings of every kind of world model, by the name of its preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from ..market.errors import ConfigError
from ..market.records import refuse_unknown
from .bars.config import MarketConfig
from .config import PaperConfig

AnyConfig = MarketConfig | PaperConfig
"""Settings of either kind of world model."""

Preset = Literal["market", "paper"]
PRESETS: dict[str, type[AnyConfig]] = {"market": MarketConfig, "paper": PaperConfig}
"""``market`` draws bars and hears no action; ``paper`` draws latents and hears it."""


def read_config(values: Mapping[str, Any]) -> AnyConfig:
    """Settings from plain values, of the kind that their preset names (default ``market``).

    Raises:
        ConfigError: A field is unknown or impossible.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"a world model's settings are {values!r}; expected a mapping")
    return _kind(values.get("preset", "market")).from_dict(values)


def default_config(interval: str, preset: str = "market", **settings: Any) -> AnyConfig:
    """The default settings of a preset for bars of an interval, some of them given.

    Raises:
        ConfigError: There is no such setting, or it is impossible.
    """
    kind = _kind(preset)
    refuse_unknown(settings, [one.name for one in fields(kind)], kind.__name__)
    return kind.for_interval(interval, **settings)


def _kind(preset: object) -> type[AnyConfig]:
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"preset is {preset!r}; expected one of {', '.join(PRESETS)}")
    return PRESETS[preset]
