"""Every agent by name: algorithms that learn, with settings that learn here, rules, and others' packages.

Importing this loads no learning library, so that the command line can name them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from ..market.errors import ConfigError
from ..market.records import refuse_unknown
from ..market.settings import nearest

CMA_ES = "cma_es"


@dataclass(frozen=True)
class Algorithm:
    """An algorithm of Stable-Baselines3 or sb3-contrib, and how it is set up by default.

    Attributes:
        name: What it is called here.
        library: The package that has it.
        kind: Name of its class there.
        policy: Name of the policy that its class knows.
        steps: Bars to train on, all lanes together.
        settings: What its constructor takes, and `POLICY_SETTINGS`.
        keeps_bars: Whether it learns from a buffer of past bars (off-policy).
        actions: The actions that it can take.
    """

    name: str
    library: str
    kind: str
    policy: str = "MlpPolicy"
    steps: int = 1_000_000
    settings: Mapping[str, Any] = field(default_factory=dict)
    keeps_bars: bool = False
    actions: Literal["continuous", "discrete"] = "continuous"

    @property
    def title(self) -> str:
        """In a line of `listed`."""
        return f"{self.library} {self.kind}, {self.actions} actions"

    def settle(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings, with those given in the place of the defaults.

        Raises:
            ConfigError: One is not the algorithm's.
        """
        refuse_unknown(given, [*self.settings, *_ALSO[self.keeps_bars]], f"the agent {self.name!r}")
        return {**self.settings, **given}


POLICY_SETTINGS = ("net_arch", "log_std_init", "lstm_hidden_size", "enable_critic_lstm")
"""Settings that are the network's, not the algorithm's."""
_ALSO = {
    False: ("vf_coef", "max_grad_norm", "normalize_advantage", "target_kl", "clip_range"),
    True: ("tau", "max_grad_norm", "policy_delay", "exploration_initial_eps", "ent_coef"),
}

# How they were chosen: on 12 years of the synthetic market that no world model was trained on (seeds
# 201 to 212; the figures of docs/agents.md are of others), by the mean annual log return after costs
# of an agent trained in the shipped model's dreams. What mattered, in this order: exploring widely at
# first (a deviation of 1: with 0.2 the agent never learns that trading less pays; it loses two
# thirds), gamma near 0.9 (an edge lasts hours; 0.97 drowns it in the noise of what follows), large
# batches, a small network, rewards in deviations of a bar's return and inputs in their own.
_ON = {"learning_rate": 1e-3, "gamma": 0.9, "gae_lambda": 0.9, "ent_coef": 0.0, "net_arch": [32]}
_OFF = {
    "learning_rate": 1e-3,
    "gamma": 0.9,
    "buffer_size": 300_000,
    "batch_size": 1_024,
    "learning_starts": 10_000,
    "train_freq": 1,
    "gradient_steps": 1,
    "net_arch": [32],
}
_PPO = {**_ON, "log_std_init": 0.0, "n_steps": 128, "batch_size": 4_096, "n_epochs": 4}
ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {
        one.name: one
        for one in (
            Algorithm("ppo", "stable_baselines3", "PPO", settings=_PPO),
            Algorithm(
                "a2c",
                "stable_baselines3",
                "A2C",
                settings={**_ON, "log_std_init": 0.0, "n_steps": 16},
            ),
            Algorithm(
                "sac", "stable_baselines3", "SAC", steps=300_000, settings=_OFF, keeps_bars=True
            ),
            Algorithm(
                "td3",
                "stable_baselines3",
                "TD3",
                steps=300_000,
                settings={**_OFF, "action_noise": 0.5},
                keeps_bars=True,
            ),
            Algorithm(
                "dqn",
                "stable_baselines3",
                "DQN",
                steps=300_000,
                settings={
                    **_OFF,
                    "target_update_interval": 500,
                    "exploration_fraction": 0.5,
                    "exploration_final_eps": 0.05,
                },
                keeps_bars=True,
                actions="discrete",
            ),
            Algorithm(
                "recurrent_ppo",
                "sb3_contrib",
                "RecurrentPPO",
                policy="MlpLstmPolicy",
                steps=300_000,
                settings={**_PPO, "batch_size": 2_048, "lstm_hidden_size": 16},
            ),
            Algorithm("tqc", "sb3_contrib", "TQC", steps=300_000, settings=_OFF, keeps_bars=True),
        )
    }
)
LEARNED = (*ALGORITHMS, CMA_ES)
"""Names that `train` takes."""
OTHERS: Mapping[str, str] = MappingProxyType(
    {
        "torchrl": "GymEnv on the ids: examples/05_torchrl.py",
        "skrl": "wrap_env on the ids: examples/06_skrl.py",
        "rl_zoo3": "its command on the ids: examples/07_rl_zoo3.py",
        "sklearn": "a regressor as a rule: examples/08_scikit_learn_rule.py",
        "ray.rllib": "its algorithms on the ids: examples/10_rllib.py",
    }
)
"""Packages whose agents come by their own front doors, by import name, and through which."""
_TOLD_BY = {"ray.rllib": "tree"}  # Ray alone has its files, too, and not what they need


class Listed(NamedTuple):
    """A line of `listed`.

    Attributes:
        name: Of the agent or package.
        kind: ``learned``, ``rule`` or ``package``.
        about: What it is.
        installed: Whether it can be used now.
    """

    name: str
    kind: str
    about: str
    installed: bool


def find_algorithm(name: str) -> Algorithm:
    """An algorithm by name.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in ALGORITHMS:
        near = nearest(name, LEARNED)
        hint = f"did you mean {near!r}?" if near else f"expected one of {', '.join(LEARNED)}"
        raise ConfigError(f"there is no agent {name!r} to train; {hint}")
    return ALGORITHMS[name]


def listed() -> list[Listed]:
    """All agents: those that can be trained, rules, and packages that bring their own."""
    from .rules.known import RULES

    learned = [
        Listed(one.name, "learned", one.title, _is_there(one.library))
        for one in ALGORITHMS.values()
    ]
    search = Listed(CMA_ES, "learned", "a controller searched for in dreams", True)
    rules = [Listed(name, "rule", _first_line(make), True) for name, make in RULES.items()]
    others = [
        Listed(name, "package", about, _is_there(_TOLD_BY.get(name, name)))
        for name, about in OTHERS.items()
    ]
    return [*learned, search, *rules, *others]


def _first_line(make: object) -> str:
    return (make.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def _is_there(name: str) -> bool:
    return find_spec(name) is not None
