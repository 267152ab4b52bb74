"""The comparison: every policy in the dream, on validation, and on the test range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np

from worldmodel_trading.agents.dream_search import Searches
from worldmodel_trading.agents.rules import Momentum, buy_and_hold, flat
from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.spaces import ObservationKind
from worldmodel_trading.envs.vector import DreamVectorEnv
from worldmodel_trading.evaluation.lanes import evaluate_lanes
from worldmodel_trading.evaluation.outcome import CONTROLLER
from worldmodel_trading.evaluation.performance import Performance
from worldmodel_trading.evaluation.policy import Policy
from worldmodel_trading.evaluation.rollout import Curve, play_through
from worldmodel_trading.evaluation.significance import SharpeEvidence, sharpe_evidence
from worldmodel_trading.market.arrays import FloatArray
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.progress import Counter
from worldmodel_trading.split import Split

REPLAYS = ("validation", "test")


@dataclass(frozen=True)
class Entrant:
    """A policy in the contest.

    Attributes:
        policy: What acts.
        observation: What it looks at.
        trials: How many candidates were compared on a range before it was chosen; 1 by default.
    """

    policy: Policy
    observation: ObservationKind
    trials: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Judged:
    """How one policy did.

    Attributes:
        performance: By venue.
        significance: Of its Sharpe ratios, by recorded range.
        curves: What the report draws, by venue.
    """

    performance: dict[str, Performance]
    significance: dict[str, SharpeEvidence]
    curves: dict[str, Curve]


@dataclass(frozen=True, eq=False)
class Contest:
    """How all did.

    Attributes:
        searches: The controller of each search.
        policies: By name: the deployed controller, and the rules that it has to beat.
    """

    searches: tuple[Judged, ...]
    policies: dict[str, Judged]

    def curves(self) -> dict[str, dict[str, Curve]]:
        """What the report draws: the policies, around the controller the range of all searches."""
        curves = {name: dict(judged.curves) for name, judged in self.policies.items()}
        if len(self.searches) > 1:
            for venue in REPLAYS:
                own = curves[CONTROLLER][venue]
                lines = [search.curves[venue].equity for search in self.searches]
                held = np.stack([_held(line, len(own.equity)) for line in lines])
                low, high = held.min(axis=0), held.max(axis=0)
                curves[CONTROLLER][venue] = replace(own, lowest=low, highest=high)
        return curves


def hold_contest(
    config: RunConfig, split: Split, dreamed: WorldModel, searches: Searches
) -> Contest:
    """Put the controllers, and the rules that they have to beat, through dream and replays.

    Args:
        config: The run's settings.
        split: The recorded ranges.
        dreamed: The world model, with the bank and the drift that dreams have.
        searches: Whose controllers.
    """
    trials = {"validation": searches.looks}
    controllers = [Entrant(one.controller, "latent", trials) for one in searches.trained]
    momentum = Momentum(features=dreamed.config.features)
    rules = {
        "buy_and_hold": Entrant(buy_and_hold(), "features"),
        "flat": Entrant(flat(), "features"),
        "momentum": Entrant(momentum, "features"),
    }
    judged = judge(config, split, dreamed, [*controllers, *rules.values()])
    found, others = judged[: len(controllers)], judged[len(controllers) :]
    policies = {CONTROLLER: found[searches.deployed], **dict(zip(rules, others, strict=True))}
    return Contest(tuple(found), policies)


def judge(
    config: RunConfig, split: Split, dreamed: WorldModel, entrants: Sequence[Entrant]
) -> list[Judged]:
    """Put every policy through the dream and both replays; what came of each, in their order."""
    judged = [Judged({}, {}, {}) for _ in entrants]
    years = split.candles.bars_per_year
    with Counter("evaluation", (1 + len(REPLAYS)) * len(entrants), "run") as counter:
        for observation in get_args(ObservationKind):
            chosen = [
                pair
                for pair in zip(entrants, judged, strict=True)
                if pair[0].observation == observation
            ]
            dream = _dream(config, dreamed, observation)
            replays = {
                venue: open_replay(config, split, venue, dreamed, observation) for venue in REPLAYS
            }
            for entrant, found in chosen:
                found.performance["dream"], equity = evaluate_lanes(
                    dream, entrant.policy, bars_per_year=years, seed=config.seed
                )
                found.curves["dream"] = Curve(equity)
                counter()
                for venue, replay in replays.items():
                    evaluation = play_through(replay, entrant.policy, years)
                    found.performance[venue] = evaluation.performance
                    found.curves[venue] = evaluation.curve()
                    counter()
                paths = {venue: curve.equity for venue, curve in found.curves.items()}
                found.significance.update(sharpe_evidence(paths, years, entrant.trials))
    return judged


def _held(equity: FloatArray, length: int) -> FloatArray:
    """An equity curve of a length; an account that ended early holds what was left."""
    return np.append(equity, np.full(max(0, length - len(equity)), equity[-1]))[:length]


def _dream(config: RunConfig, dreamed: WorldModel, observation: ObservationKind) -> DreamVectorEnv:
    return DreamVectorEnv(
        config.evaluation_dreams,
        dreamed,
        horizon=config.horizon,
        observation=observation,
        funding=config.funding,
        instrument=config.instrument,
        **config.account_settings(),
    )


def open_replay(
    config: RunConfig,
    split: Split,
    venue: str,
    world_model: WorldModel | None = None,
    observation: ObservationKind | None = None,
) -> BybitReplayEnv:
    """Replay of a recorded range, whole; a world model's view of it, or the raw features."""
    start, end = getattr(split, venue)
    return BybitReplayEnv(
        split.candles,
        world_model,
        start,
        end,
        episode_length=None,
        random_start=False,
        funding=config.funding,
        unrecorded_funding_rate=config.unrecorded_rate(),
        observation=observation,
        **config.account_settings(),
    )
