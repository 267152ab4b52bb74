"""Scores of policies of any kind, that are asked for each action, on paths that no action moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...market.account.population import SCORE_FIELDS, LaneSums
from ...market.account.rules import BrokerConfig
from ...market.arrays import Float32Array, FloatArray
from .scoring import MarketPaths, Scores


def score_policies(
    paths: MarketPaths,
    policies: Sequence[Any],
    broker: BrokerConfig,
    *,
    sees_features: bool = False,
) -> Scores:
    """Trade C policies along N shared paths of T bars.

    A policy whose ``market_alone`` is true looks at nothing but the market's part of an observation,
    and is asked once for all bars; any other is asked bar by bar, with its account and its state.

    Args:
        paths: The paths.
        policies: Objects with Stable-Baselines3's ``predict``.
        broker: The account's rules.
        sees_features: Whether they see raw features, or else [z, h].

    Raises:
        ValueError: The paths carry no features.
    """
    view = paths.features if sees_features else paths.view
    if view is None:
        raise ValueError("the paths carry no features")
    count, num_bars = paths.bars.shape[:2]
    book = LaneSums(len(policies) * count, broker)
    alone = [i for i, policy in enumerate(policies) if getattr(policy, "market_alone", False)]
    ahead = _chosen_ahead([policies[i] for i in alone], view, book.seen.shape[1])
    asked = {i: _BarByBar(policies[i], view) for i in range(len(policies)) if i not in alone}
    actions, seen = np.empty((len(policies), count)), book.seen.reshape(len(policies), count, -1)
    for t in range(num_bars):
        actions[alone] = ahead[t]
        for i, policy in asked.items():
            actions[i] = policy.act(t, seen[i])
        book.step(actions.ravel(), np.tile(paths.bars[:, t], (len(policies), 1)))
    totals = book.totals().reshape(len(SCORE_FIELDS), len(policies), count)
    return Scores(*[*totals, np.zeros((len(policies), count))])


def _chosen_ahead(policies: Sequence[Any], view: Float32Array, account_size: int) -> FloatArray:
    """Actions [T, A, N] of A policies that look at the market alone, each for all bars at once."""
    if not policies:
        return np.empty((view.shape[1], 0, len(view)))
    unseen = np.zeros((*view.shape[:2], account_size), dtype=np.float32)
    observations = np.concatenate([view, unseen], axis=2)
    chosen = [policy.predict(observations, deterministic=True)[0] for policy in policies]
    return np.stack([_actions(one).reshape(view.shape[:2]).T for one in chosen], axis=1)


class _BarByBar:
    """The actions of a policy that may look at its account, and remember."""

    def __init__(self, policy: Any, view: Float32Array) -> None:
        self._policy, self._view = policy, view
        self._state: Any = None

    def act(self, bar: int, account: Float32Array) -> FloatArray:
        observation = np.concatenate([self._view[:, bar], account], axis=1)
        begins = np.full(len(account), bar == 0)
        chosen, self._state = self._policy.predict(
            observation, state=self._state, episode_start=begins, deterministic=True
        )
        return _actions(chosen).reshape(len(account))


def _actions(chosen: Any) -> FloatArray:
    return np.clip(np.asarray(chosen, dtype=np.float64), -1.0, 1.0)
