"""Stable-Baselines3 on the native lanes: one array step for all of them, no Python loop over lanes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from ..envs.protocol import read_options
from ..envs.vector import TradingVectorEnv
from ..market.arrays import BoolArray, Float32Array
from ..market.errors import ActionError, ConfigError

Indices = int | Iterable[int] | None
Infos = list[dict[str, Any]]


def make_sb3_env(id: str, num_envs: int = 64, **kwargs: Any) -> NativeVecEnv:
    """Make the vector environment of Stable-Baselines3 over N native lanes.

    ::

        env = make_sb3_env("WorldModelDream-v0", 64, horizon=256)
        PPO("MlpPolicy", env, n_steps=32, batch_size=512).learn(100_000)

    Args:
        id: ``"WorldModelDream-v0"`` or ``"BybitReplay-v0"``.
        num_envs: N.
        kwargs: The environment's own arguments.

    Raises:
        ConfigError: The id names no environment of this package.
    """
    lanes = gym.spec(id.rpartition(":")[2]).vector_entry_point
    if not (isinstance(lanes, str) and lanes.startswith(TradingVectorEnv.__module__ + ":")):
        raise ConfigError(f"{id} has no native lanes; expected an environment of this package")
    env: Any = gym.make_vec(
        id,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        autoreset_mode=AutoresetMode.SAME_STEP,
        **kwargs,
    )
    return NativeVecEnv(env)


class NativeVecEnv(VecEnv):  # type: ignore[misc, unused-ignore]  # untyped in older releases
    """Lanes of a `TradingVectorEnv` as Stable-Baselines3's `VecEnv`.

    A lane that ends starts over in the same step: its info then holds ``terminal_observation``,
    ``TimeLimit.truncated`` (out of bars, not ruined) and what the environment says of the ended
    episode (``equity``, ``cost``, …). The infos of all other lanes are empty, because N
    dictionaries a step would cost more than N bars; the same numbers of all lanes lie as arrays in
    `last_info`.

    Args:
        native: Lanes in the ``SAME_STEP`` mode.

    Attributes:
        native: The lanes.
        last_info: The native info of the last reset or step, arrays [N] by name.

    Raises:
        ConfigError: The lanes reset themselves in another way.
    """

    def __init__(self, native: TradingVectorEnv) -> None:
        if native.autoreset_mode != AutoresetMode.SAME_STEP:
            raise ConfigError(
                f"the lanes' autoreset_mode is {native.autoreset_mode.name}; Stable-Baselines3 "
                "expects SAME_STEP"
            )
        self.native = native
        self.last_info: dict[str, Any] = {}
        self._seed: int | None = None
        self._given: dict[str, Any] = {}
        self._actions: NDArray[Any] | None = None
        super().__init__(
            native.num_envs, native.single_observation_space, native.single_action_space
        )

    @property
    def is_seeded(self) -> bool:
        """Whether the lanes' generator has been seeded, or is to be, or has begun by chance."""
        return self._seed is not None or self.native._np_random is not None

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed the one generator of all lanes at the next reset; None draws a seed.

        Returns:
            That seed, once for each lane.
        """
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._seed = seed
        return [seed] * self.num_envs

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Say what the next reset is told: options for all lanes, or a list of each lane's.

        Raises:
            ConfigError: An option that the lanes do not take, or a list of another length.
        """
        known = [name for name in self.native.reset_options if name != "reset_mask"]
        if not isinstance(options, list | tuple):
            self._given = read_options(options, *known)
            return
        if len(options) != self.num_envs:
            raise ConfigError(
                f"there are {len(options)} mappings of reset options; expected one for each of the "
                f"{self.num_envs} lanes"
            )
        lanes = [read_options(own, *known) for own in options]
        self._given = {name: [own.get(name) for own in lanes] for name in known}

    def reset(self) -> Float32Array:
        """Start all lanes over; observations [N, D]."""
        observations, self.last_info = self.native.reset(seed=self._seed, options=self._given)
        self._seed, self._given = None, {}
        self.reset_infos = _rows(self.last_info, range(self.num_envs))
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions [N, 1] (discrete: [N]) of the step that `step_wait` makes."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[Float32Array, Float32Array, BoolArray, Infos]:
        """Live one bar in every lane: observations [N, D], rewards [N], dones [N], infos."""
        if self._actions is None:
            raise ActionError("there are no actions: call step_async() before step_wait()")
        observations, rewards, terminated, truncated, info = self.native.step(self._actions)
        self._actions, self.last_info = None, info
        dones = terminated | truncated
        infos: Infos = [{} for _ in range(self.num_envs)]  # fresh: wrappers write into them
        if "final_obs" in info:
            lanes = np.flatnonzero(dones).tolist()
            ends = _rows(info["final_info"], lanes)
            for lane, end, begin in zip(lanes, ends, _rows(info, lanes), strict=True):
                end["terminal_observation"] = info["final_obs"][lane]
                end["TimeLimit.truncated"] = bool(truncated[lane])
                infos[lane] = end
                self.reset_infos[lane] = begin
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close the lanes."""
        self.native.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Nothing: lanes are not drawn."""
        return [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute that all lanes share, once for each lane; spaces are a single lane's."""
        single = {"observation_space": self.native.single_observation_space}
        single["action_space"] = self.native.single_action_space
        value = single[attr_name] if attr_name in single else getattr(self.native, attr_name)
        return [value for _ in self._lanes(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute of all lanes.

        Raises:
            ConfigError: Of some lanes only, which share what they have.
        """
        if len(set(self._lanes(indices))) != self.num_envs:
            raise ConfigError(
                f"{attr_name} is shared by all {self.num_envs} lanes; it cannot be set for some"
            )
        setattr(self.native, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: a lane is a row of arrays and has no methods.

        Raises:
            AttributeError: Always.
        """
        raise AttributeError(
            f"a native lane has no method {method_name!r}: lanes are rows of arrays; call the "
            "method of `native`, which moves all of them"
        )

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """False for each lane: nothing wraps a row of an array."""
        return [False for _ in self._lanes(indices)]

    def _lanes(self, indices: Indices) -> list[int]:
        return list(self._get_indices(indices))


def _rows(info: dict[str, Any], lanes: Iterable[int]) -> Infos:
    """The lanes' own entries of an info that is made of arrays."""
    columns = {name: values for name, values in info.items() if _is_column(name)}
    return [{name: values[lane].item() for name, values in columns.items()} for lane in lanes]


def _is_column(name: str) -> bool:
    return not name.startswith(("_", "final_"))
