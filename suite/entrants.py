"""Who is judged: agents' folders, rules, and whatever a user names by ``module:callable``."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from worldmodel_trading.agents.folder import load_agent
from worldmodel_trading.agents.rules.known import RULES, make_rule
from worldmodel_trading.envs.spaces import ActionKind, ObservationKind
from worldmodel_trading.evaluation.policy import Policy, action_kind
from worldmodel_trading.ground import Recorded
from worldmodel_trading.market.arrays import Float32Array
from worldmodel_trading.market.errors import ConfigError

BESIDE = ("hold", "flat")
"""Rules that stand beside whoever is judged."""


class Entrant(NamedTuple):
    """Who is judged.

    Attributes:
        policy: What acts.
        observation: What it looks at.
        actions: What it takes.
    """

    policy: Policy
    observation: ObservationKind = "features"
    actions: ActionKind = "continuous"


class FromFunction:
    """A policy from a plain function of observations.

    Args:
        function: Takes observations [N, D], returns target weights [N] or [N, 1].

    Attributes:
        seen: As the function says; see `seen_ranges`.
        world_model_hash: Likewise; see `check_policy`.
    """

    def __init__(self, function: Callable[[Float32Array], Any]) -> None:
        self._function = function
        self.seen = getattr(function, "seen", None)
        self.world_model_hash = getattr(function, "world_model_hash", None)

    def predict(
        self,
        observation: Float32Array,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Float32Array, None]:
        """Weights [.., 1] for observations [.., D]."""
        rows = np.atleast_2d(observation)
        weights = np.asarray(self._function(rows), dtype=np.float32)
        if weights.size != len(rows):
            raise ConfigError(
                f"the function returned {weights.size} weights for {len(rows)} observations; expected "
                "one each"
            )
        return weights.reshape(*np.shape(observation)[:-1], 1), None


def find_entrant(name: str, observation: ObservationKind, *, trust: bool = False) -> Entrant:
    """An agent's folder or zip, or a ``module:callable``.

    Args:
        name: What the user says.
        observation: What a ``module:callable`` or a bare zip looks at.
        trust: Unpickle a bare zip.

    Raises:
        ConfigError: There is none.
    """
    if Path(name).exists():
        agent = load_agent(name, trust=trust)
        looks_at: ObservationKind = observation if agent.record is None else "latent"
        return Entrant(agent, looks_at, agent.actions)
    if ":" in name:
        policy = _called(name)
        return Entrant(policy, observation, action_kind(policy))
    raise ConfigError(
        f"there is no agent {name!r}; expected an agent's folder, module:callable, or a rule: "
        f"{', '.join(RULES)}"
    )


def open_entrants(
    agents: Sequence[str],
    recorded: Recorded,
    account: Mapping[str, Any],
    observation: ObservationKind,
    *,
    trust: bool = False,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[dict[str, Entrant], dict[str, Any]]:
    """Who is judged, by title, with `BESIDE` among them, and the account that all of them have.

    Args:
        agents: As the user names them.
        recorded: The world model and its record.
        account: Settings that were given; empty takes those of the agents' own training.
        observation: What a ``module:callable`` looks at.
        trust: Unpickle bare zips.
        settings: Of rules, by their names.

    Raises:
        ConfigError: One cannot be found, or settings are those of no rule that is judged.
    """
    given = settings or {}
    for name in given:
        if name not in RULES or name not in (*agents, *BESIDE):
            raise ConfigError(
                f"settings are given for {name!r}, which is no rule that is judged here: those are "
                f"{', '.join(agent for agent in (*agents, *BESIDE) if agent in RULES)}"
            )
    found = {n: find_entrant(n, observation, trust=trust) for n in agents if n not in RULES}
    records = {name: getattr(one.policy, "record", None) for name, one in found.items()}
    accounts = {name: each.account for name, each in records.items() if each is not None}
    shared = common_account(account, accounts)
    entrants = {
        title: found[name]
        if name in found
        else rule_entrant(name, recorded, shared, given.get(name))
        for name, title in titles_of([*agents, *BESIDE], RULES).items()
    }
    return entrants, shared


def rule_entrant(
    name: str,
    recorded: Recorded,
    account: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
) -> Entrant:
    """A rule, fitted, where it is, on the training range and no other bars.

    Args:
        name: One of `RULES`.
        recorded: The world model and its record.
        account: Settings of the account.
        settings: Of the rule, such as ``horizon``.

    Raises:
        ConfigError: A setting is not the rule's, or it lacks one, or bars to be fitted on.
    """
    model, training = recorded.world_model, None
    if recorded.candles is not None and "train" in recorded.ranges:
        training = recorded.candles.between(*recorded.ranges["train"])
    leverage, years = float(account.get("leverage", 1.0)), model.provenance.bars_per_year
    made = make_rule(name, training, model.config.features, leverage, years, **(settings or {}))
    return Entrant(made)


def _called(name: str) -> Policy:
    """What the user asked to be run: a policy, its class or factory, or a function of observations."""
    found = named_object(name)
    if inspect.isclass(found):
        found = found()
    if hasattr(found, "predict"):
        policy: Policy = found
        return policy
    if not callable(found):
        raise ConfigError(f"{name} is a {type(found).__name__}; expected a policy or a function")
    if inspect.signature(found).parameters:
        return FromFunction(found)
    made: Policy = found()
    return made


def named_object(name: str) -> Any:
    """What ``module:name`` names, found from the current folder; naming it runs the module.

    Raises:
        ConfigError: There is none.
    """
    module, _, wanted = name.partition(":")
    sys.path.insert(0, os.getcwd())  # as `python -m` would find it
    try:
        return getattr(importlib.import_module(module), wanted)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"there is no {name!r}: {error}; expected module:callable") from None
    finally:
        sys.path.remove(os.getcwd())


def titles_of(names: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """What each agent is called in tables: of a path the last part, or all of it where that is taken.

    Args:
        names: As the user says them.
        known: Names of rules and algorithms, which they keep whatever folders are called.
    """
    every = list(dict.fromkeys(names))
    titles = {name: name for name in every if name in known}
    for name in every:
        if name not in known:
            title = Path(name).name if Path(name).exists() else name
            titles[name] = title if title not in titles.values() else name
    return {name: titles[name] for name in every}


def common_account(
    given: Mapping[str, Any], accounts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The one account that all have: that which is given, or that of their training.

    Args:
        given: By the user; empty where nothing was.
        accounts: Of each trained agent's training, by name.

    Raises:
        ConfigError: They differ, and nothing was given.
    """
    if given:
        return dict(given)
    kinds = {json.dumps(dict(account), sort_keys=True) for account in accounts.values()}
    if len(kinds) > 1:
        raise ConfigError(
            f"{' and '.join(accounts)} were trained with different accounts: say with --account what "
            "all of them pay here"
        )
    return dict(json.loads(kinds.pop())) if kinds else {}
