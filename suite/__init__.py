"""The market, wrapped twice: replayed from recorded candles, and dreamed by a learned world model.

Importing this package registers ``WorldModelDream-v0`` and ``BybitReplay-v0`` with Gymnasium, and
``WorldModelDreamDiscrete-v0`` and ``BybitReplayDiscrete-v0``, whose actions are short, flat and
long. It imports neither torch nor pandas: those load when an environment is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from worldmodel_trading import terminal

if terminal.is_command():
    terminal.end_quietly_on_ctrl_c()

from worldmodel_trading.registration import register_environments

if TYPE_CHECKING:
    from worldmodel_trading.agents.linear import LinearController as LinearController
    from worldmodel_trading.market.candles import Candles as Candles
    from worldmodel_trading.market.sources import open_candles as open_candles
    from worldmodel_trading.models.world_model import WorldModel as WorldModel

_LAZY = {
    "Candles": "market.candles",
    "LinearController": "agents.linear",
    "WorldModel": "models.world_model",
    "open_candles": "market.sources",
}
__all__ = ["Candles", "LinearController", "WorldModel", "open_candles", "register_environments"]

register_environments()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("worldmodel-trading")
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, "__version__"])
