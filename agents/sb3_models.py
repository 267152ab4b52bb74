"""Models of Stable-Baselines3 and sb3-contrib, from names and plain settings alone."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from ..market.errors import ConfigError
from ..market.extras import EXTRAS, require
from .registry import POLICY_SETTINGS, Algorithm, find_algorithm
from .sb3 import NativeVecEnv
from .sb3_scaled import in_unit, keeping_scale
from .standardised import Standardised, measure_scales, standardise


def model_class(algorithm: Algorithm) -> Any:
    """The algorithm's class, whose models keep the unit of their rewards.

    Raises:
        MissingPackageError: Its package is not installed.
    """
    if algorithm.library in EXTRAS:
        require(algorithm.library, f"the agent {algorithm.name}")
    return keeping_scale(getattr(import_module(algorithm.library), algorithm.kind))


def make_sb3_agent(name: str, lanes: NativeVecEnv, seed: int = 0, **settings: Any) -> Any:
    """A model of Stable-Baselines3 set up to learn from these lanes: call its ``learn``.

    ::

        agent = make_sb3_agent("ppo", make_sb3_env("WorldModelDream-v0", 64, horizon=256))
        agent.learn(1_000_000)

    Its settings are those that `train_agent` takes. It sees observations in deviations from their means,
    which it keeps with its parameters, and rewards in deviations of a bar's return, both measured
    on the lanes; it then predicts from observations as they come. Other lanes that ``set_env`` or
    ``load`` is given pay in the same unit (`KeepsScale`). PyTorch is kept to one thread from here on:
    of networks so small, several threads do nothing but wait for each other.

    Args:
        name: One of `ALGORITHMS`; ``dqn`` needs lanes with ``actions="discrete"``.
        lanes: By `make_sb3_env`.
        seed: Of networks, lanes and draws.
        settings: In the place of the algorithm's defaults, such as ``gamma=0.95``.

    Raises:
        ConfigError: There is no such algorithm, a setting is not its own, or the lanes are normalised
            already.
    """
    algorithm = find_algorithm(name)
    torch.set_num_threads(1)
    return learning_model(algorithm, algorithm.settle(settings), lanes, seed)


def learning_model(
    algorithm: Algorithm, settings: Mapping[str, Any], lanes: NativeVecEnv, seed: int
) -> Any:
    """A model on lanes whose observations and rewards are brought to scale; all settings are given."""
    scales = measure_scales(lanes, seed)
    model = build_model(algorithm, settings, in_unit(lanes, scales.bar), seed)
    model.reward_unit = scales.bar
    standardise(model.policy, scales)
    return model


def build_model(algorithm: Algorithm, settings: Mapping[str, Any], env: Any, seed: int) -> Any:
    """A model that has learned nothing yet.

    Args:
        algorithm: Which.
        settings: All of `Algorithm.settle`.
        env: A `VecEnv`.
        seed: Of the networks and of what is drawn while learning.

    Raises:
        ConfigError: A setting is none that the algorithm can work with.
    """
    given, policy = _split(settings)
    try:
        return model_class(algorithm)(
            algorithm.policy, env, seed=seed, device="cpu", policy_kwargs=policy, **given
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"{algorithm.name} refuses its settings: {error}") from error


def empty_model(
    algorithm: Algorithm,
    settings: Mapping[str, Any],
    observation_space: spaces.Box,
    action_space: spaces.Space[Any],
) -> Any:
    """A model without an environment, whose parameters are to be set: it can predict.

    Args:
        algorithm: Which.
        settings: All of `Algorithm.settle`, as it was trained with.
        observation_space: A lane's.
        action_space: A lane's.

    Raises:
        ConfigError: A setting is none that the algorithm can work with.
    """
    given, policy = _split(settings)
    if algorithm.keeps_bars:
        given["buffer_size"] = 1  # nothing is to be kept
    try:
        model = model_class(algorithm)(
            algorithm.policy,
            None,
            device="cpu",
            policy_kwargs=policy,
            _init_setup_model=False,
            **given,
        )
        model.observation_space, model.action_space = observation_space, action_space
        model.n_envs = 1
        if getattr(model, "target_entropy", None) == "auto":  # what it would ask an environment
            model.target_entropy = -1.0
        model._setup_model()
        model.learns = False
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"{algorithm.name} refuses its settings: {error}") from error
    return model


def _split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the constructor takes, and what its policy takes."""
    given = {name: value for name, value in settings.items() if name not in POLICY_SETTINGS}
    policy = {name: value for name, value in settings.items() if name in POLICY_SETTINGS}
    policy["features_extractor_class"] = Standardised
    noise = given.pop("action_noise", None)
    if noise:
        from stable_baselines3.common.noise import NormalActionNoise

        given["action_noise"] = NormalActionNoise(np.zeros(1), np.full(1, float(noise)))
    return given, policy
