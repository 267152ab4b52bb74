"""Models of Stable-Baselines3 that keep the unit of their rewards wherever they learn on."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gymnasium.vector import VectorEnv
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecEnvWrapper,
    VecNormalize,
    is_vecenv_wrapped,
)

from ..market.errors import ConfigError
from .registry import ALGORITHMS
from .sb3 import NativeVecEnv
from .standardised import ScaledRewards

if TYPE_CHECKING:
    _Base: Any = BaseAlgorithm
else:
    _Base = object


class KeepsScale(_Base):  # type: ignore[misc, unused-ignore]  # untyped in older releases
    """What is added to a class of Stable-Baselines3, so that no environment pays it in another unit.

    Attributes:
        reward_unit: What counts as a reward of 1, kept in the zip that ``save`` writes; None where
            rewards are taken as they come.
        learns: Whether it can: one that was loaded from its folder only acts.
    """

    reward_unit: float | None = None
    learns: bool = True

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """Learn in other lanes from now on, paid in the unit of those before.

        Lanes that nobody has seeded are seeded from the agent's seed and its steps.

        Args:
            env: By `make_sb3_env`, any other `VecEnv` or a Gymnasium environment, as many lanes as
                before and of the same spaces. Lanes that bring rewards to scale themselves, such as
                another agent's ``get_env()``, are taken as they are.
            force_reset: Start them over before learning goes on.

        Raises:
            ConfigError: The lanes are normalised, or are no environment that can be wrapped; or the
                agent was loaded from its folder.
        """
        if not self.learns:
            raise ConfigError(
                "this agent was loaded from its folder, to act; to go on learning make one on these "
                "lanes (make_sb3_agent) and give it the parameters: set_parameters('…/agent.zip')"
            )
        lanes = in_unit(env, self.reward_unit)
        super().set_env(lanes, force_reset=force_reset)
        native = _innermost(lanes)
        if self.seed is not None and isinstance(native, NativeVecEnv) and not native.is_seeded:
            native.seed(self.seed + self.num_timesteps)

    @classmethod
    def load(cls, path: Any, env: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Load what ``save`` wrote; an environment is taken as by `set_env`.

        Args:
            path: A file, or its name. It is unpickled, which runs what its author wrote.
            env: Where learning goes on; None where the model only acts.
            args: As Stable-Baselines3 takes them.
            kwargs: The same.
        """
        _refuse(env)
        model = super().load(path, env, *args, **kwargs)
        model.learns = True
        if env is not None:
            model.env = in_unit(model.env, model.reward_unit)
        return model


@cache
def keeping_scale(kind: type) -> Any:
    """A class of Stable-Baselines3 with `KeepsScale` before it, under its own name."""
    return type(
        kind.__name__, (KeepsScale, kind), {"__module__": __name__, "__doc__": kind.__doc__}
    )


def __getattr__(name: str) -> Any:
    """The classes by name, as pickle looks for them."""
    for algorithm in ALGORITHMS.values():
        if algorithm.kind == name:
            return keeping_scale(getattr(import_module(algorithm.library), name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def in_unit(env: Any, unit: float | None) -> Any:
    """An environment whose rewards come in a unit.

    Args:
        env: Whatever Stable-Baselines3 takes.
        unit: What counts as a reward of 1; None leaves the environment as it is.

    Raises:
        ConfigError: It cannot be wrapped.
    """
    _refuse(env)
    if unit is None:
        return env
    lanes = env if isinstance(env, VecEnv) else BaseAlgorithm._wrap_env(env)
    if is_vecenv_wrapped(lanes, VecNormalize):
        raise ConfigError(
            "the lanes are wrapped in VecNormalize, and the agent brings observations and rewards to "
            "scale by itself: give it the lanes alone"
        )
    return lanes if is_vecenv_wrapped(lanes, ScaledRewards) else ScaledRewards(lanes, unit)


def _refuse(env: Any) -> None:
    if isinstance(env, VectorEnv):
        raise ConfigError(
            f"{type(env).__name__} is a vector environment of Gymnasium, and Stable-Baselines3 has its "
            "own: expected lanes by make_sb3_env"
        )


def _innermost(env: Any) -> Any:
    while isinstance(env, VecEnvWrapper):
        env = env.venv
    return env
