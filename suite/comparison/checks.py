"""What a comparison refuses, before any work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worldmodel_trading.agents.registry import LEARNED
from worldmodel_trading.agents.rules.known import RULES, make_rule
from worldmodel_trading.agents.training import TrainConfig
from worldmodel_trading.comparison.cells import is_given, is_trained
from worldmodel_trading.comparison.config import TEST, CompareConfig
from worldmodel_trading.comparison.stages import Stages
from worldmodel_trading.entrants import common_account, find_entrant
from worldmodel_trading.evaluation.policy import seen_ranges
from worldmodel_trading.market.candles import Candles
from worldmodel_trading.market.errors import ConfigError, TrainingBarsError
from worldmodel_trading.market.features import Features
from worldmodel_trading.market.times import format_time


def refuse_unfit(
    agents: Sequence[str], config: CompareConfig, fingerprints: Collection[str] | None
) -> dict[str, Any]:
    """Refuse agents that cannot be, before any work; returns the account that all have."""
    accounts = {}
    for name in agents:
        if name in RULES:
            continue
        if is_trained(name):
            TrainConfig(agent=name, **config.own(name))
            continue
        if not is_given(name) and ":" not in name:
            raise ConfigError(
                f"there is no agent {name!r}; expected an agent's folder, module:callable, a rule "
                f"({', '.join(RULES)}), or one to be trained ({', '.join(LEARNED)})"
            )
        entrant = find_entrant(name, config.observation, trust=config.trust)
        learned = getattr(entrant.policy, "world_model_hash", None)
        if fingerprints is not None and learned and learned not in fingerprints:
            raise ConfigError(
                f"{name} was trained in the world model {learned[:12]}, which is none of those "
                "given: name its own with --world-model"
            )
        record = getattr(entrant.policy, "record", None)
        if record is not None:
            accounts[name] = record.account
    for name in config.settings:
        if name not in agents or not (is_trained(name) or name in RULES):
            raise ConfigError(
                f"there are settings of {name!r}, and no such rule or agent to be trained is compared"
            )
    return common_account(config.account, accounts)


def refuse_rules(
    agents: Sequence[str],
    config: CompareConfig,
    training: Candles | None,
    features: Features,
    account: Mapping[str, Any],
) -> None:
    """Refuse rules whose settings are not theirs, or that lack bars to be fitted on."""
    leverage = float(account.get("leverage", 1.0))
    year = None if training is None else training.bars_per_year
    for name in filter(RULES.__contains__, agents):
        make_rule(name, training, features, leverage, year or 1.0, **config.own(name))


def refuse_seen(agents: Sequence[str], config: CompareConfig, stages: Stages) -> None:
    """Refuse a test range that a world model or an agent has seen."""
    if config.allow_in_sample or TEST not in config.venues:
        return
    for stage in stages.by_name.values():
        if TEST in stage.ranges and stage.ranges[TEST][0] < stages.seen_until_ms:
            raise TrainingBarsError(
                f"the test range begins before {format_time(stages.seen_until_ms)}, up to where "
                "the world model was trained and chosen: begin later, or say --allow-in-sample, and "
                "every table will say so"
            )
    refuse_learned(agents, config, stages.windows)


def refuse_learned(
    agents: Sequence[str],
    config: CompareConfig,
    windows: Mapping[str, Mapping[str, tuple[int, int]]],
) -> None:
    """Refuse agents that say they were trained or chosen on bars of a test range.

    Args:
        agents: As the user named them.
        config: How.
        windows: Ranges of each window [ms UTC].
    """
    if config.allow_in_sample or TEST not in config.venues:
        return
    tests = [ranges[TEST] for ranges in windows.values() if TEST in ranges]
    for name in given_agents(agents):
        policy = find_entrant(name, config.observation, trust=config.trust).policy
        for what, (begin, end) in (seen_ranges(policy, name) or {}).items():
            if any(end > first and begin < last for first, last in tests):
                raise TrainingBarsError(
                    f"{name} has seen bars of the test range ({what}, to {format_time(end)}): begin it "
                    "later with --validation-end, or say --allow-in-sample, and every table will say so"
                )


def given_agents(agents: Sequence[str]) -> list[str]:
    """Those that somebody brings along: no rules, and nobody who is trained here."""
    return [name for name in agents if name not in RULES and not is_trained(name)]


def refuse_missing(config: CompareConfig, stages: Stages) -> None:
    """Refuse recorded ranges that the candles hold no bars of."""
    for stage in stages.by_name.values():
        lacking = [venue for venue in config.recorded if venue not in stage.ranges]
        if lacking:
            raise ConfigError(
                f"the candles hold no bars of {' and '.join(lacking)}: give the file that goes on with "
                "--candles, or leave it out of --venues"
            )
