"""The environments' ids."""

from __future__ import annotations

import gymnasium

_ENVIRONMENTS = {
    "WorldModelDream-v0": (
        "worldmodel_trading.envs.dream:DreamEnv",
        "worldmodel_trading.envs.vector:DreamVectorEnv",
    ),
    "BybitReplay-v0": (
        "worldmodel_trading.envs.replay:BybitReplayEnv",
        "worldmodel_trading.envs.vector:ReplayVectorEnv",
    ),
}


def register_environments() -> None:
    """Register every id that is not registered yet.

    Entry points are text, so nothing heavy is imported before an environment is made.
    """
    for name, (entry_point, vector_entry_point) in _ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=entry_point, vector_entry_point=vector_entry_point)
