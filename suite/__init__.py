"""The market, wrapped twice: replayed from recorded candles, and dreamed by a learned world model.

Importing this package registers ``WorldModelDream-v0`` and ``BybitReplay-v0`` with Gymnasium, and
``WorldModelDreamDiscrete-v0`` and ``BybitReplayDiscrete-v0``, whose actions are short, flat and
long. It imports neither torch nor pandas: those load when an environment is made, or a name of this
face is first used. The names stand in ``__init__.pyi``, here and in each room. And it keeps PyTorch
to one thread in processes that are forked from then on (`worldmodel_trading.forking`).
"""

from __future__ import annotations

import lazy_loader

from worldmodel_trading import terminal

if terminal.is_command():
    terminal.collect_rarely()
    terminal.end_quietly_on_ctrl_c()

from worldmodel_trading.forking import keep_children_to_one_thread
from worldmodel_trading.registration import register_environments

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_environments()
keep_children_to_one_thread()
