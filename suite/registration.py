"""The environments' ids."""

from __future__ import annotations

import gymnasium

_DREAM = (
    "worldmodel_trading.envs.dream:DreamEnv",
    "worldmodel_trading.envs.vector:DreamVectorEnv",
)
_REPLAY = (
    "worldmodel_trading.envs.replay:BybitReplayEnv",
    "worldmodel_trading.envs.vector:ReplayVectorEnv",
)
_DISCRETE = {"actions": "discrete"}
_ENVIRONMENTS = {
    "WorldModelDream-v0": (*_DREAM, {}),
    "WorldModelDreamDiscrete-v0": (*_DREAM, _DISCRETE),
    "BybitReplay-v0": (*_REPLAY, {}),
    "BybitReplayDiscrete-v0": (*_REPLAY, _DISCRETE),
}
"""Entry points of one lane and of many, and what an id says beyond the defaults: many a tool takes
an id and nothing else, and many an algorithm discrete actions only."""


def register_environments() -> None:
    """Register every id that is not registered yet.

    Entry points are text, so nothing heavy is imported before an environment is made.
    """
    for name, (entry_point, vector_entry_point, kwargs) in _ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point=entry_point,
                vector_entry_point=vector_entry_point,
                kwargs=dict(kwargs),
            )
