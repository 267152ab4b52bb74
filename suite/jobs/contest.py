"""The comparison: every policy in the dream, on validation, and on the test range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worldmodel_trading.agents.linear import LinearController
from worldmodel_trading.agents.rules import Momentum, buy_and_hold, flat
from worldmodel_trading.config import RunConfig
from worldmodel_trading.envs.dream_lanes import ObservationKind
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv
from worldmodel_trading.evaluation.lanes import evaluate_lanes
from worldmodel_trading.evaluation.policy import Policy
from worldmodel_trading.evaluation.rollout import Evaluation, chain_episodes, run_episode
from worldmodel_trading.models.world_model import WorldModel
from worldmodel_trading.progress import Counter
from worldmodel_trading.split import Split

REPLAYS = ("validation", "test")


@dataclass(frozen=True)
class Entrant:
    """A policy, and what it looks at: ``"latent"`` or ``"features"``."""

    policy: Policy
    observation: ObservationKind


def entrants(controller: LinearController, world_model: WorldModel) -> dict[str, Entrant]:
    """The controller, and the rules that it has to beat."""
    momentum = Momentum(features=world_model.config.features)
    return {
        "controller": Entrant(controller, "latent"),
        "buy_and_hold": Entrant(buy_and_hold(), "features"),
        "flat": Entrant(flat(), "features"),
        "momentum": Entrant(momentum, "features"),
    }


def judge(
    config: RunConfig, split: Split, world_model: WorldModel, policies: Mapping[str, Entrant]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Put every policy through the dream and both replays.

    Returns:
        Performance and curves: ``{policy: {"dream" | "validation" | "test": …}}``.
    """
    performance: dict[str, Any] = {name: {} for name in policies}
    curves: dict[str, Any] = {name: {} for name in policies}
    years = split.candles.bars_per_year
    with Counter("evaluation", (1 + len(REPLAYS)) * len(policies), "run") as counter:
        for observation in ("latent", "features"):
            chosen = {n: e.policy for n, e in policies.items() if e.observation == observation}
            dream = _dream(config, world_model, observation)
            replays = {w: _replay(config, split, w, world_model, observation) for w in REPLAYS}
            for name, policy in chosen.items():
                measured, equity = evaluate_lanes(
                    dream, policy, bars_per_year=years, seed=config.seed
                )
                performance[name]["dream"] = measured.to_dict()
                curves[name]["dream"] = {"equity": equity}
                counter({})
                for world, replay in replays.items():
                    evaluation = _play(replay, policy, years)
                    performance[name][world] = evaluation.performance.to_dict()
                    curves[name][world] = evaluation.curves()
                    counter({})
    return performance, curves


def _dream(
    config: RunConfig, world_model: WorldModel, observation: ObservationKind
) -> DreamVectorEnv:
    return DreamVectorEnv(
        config.evaluation_dreams,
        world_model.recent(config.recent),
        horizon=config.horizon,
        observation=observation,
        funding=config.funding,
        **config.account_settings(),
    )


def _replay(
    config: RunConfig,
    split: Split,
    world: str,
    world_model: WorldModel,
    observation: ObservationKind,
) -> BybitReplayEnv:
    start, end = getattr(split, world)
    return BybitReplayEnv(
        split.candles,
        world_model if observation == "latent" else None,
        start,
        end,
        episode_length=None,
        random_start=False,
        funding=config.funding,
        unrecorded_funding_rate=config.unrecorded_funding_rate,
        **config.account_settings(),
    )


def _play(env: BybitReplayEnv, policy: Policy, bars_per_year: float) -> Evaluation:
    """One episode for each stretch without a gap, joined."""
    times = env.tape.candles.open_time_ms
    records = [
        run_episode(env, policy, options={"start": int(times[row])})
        for row in env.tape.starts(None)
    ]
    return chain_episodes(records, bars_per_year)
