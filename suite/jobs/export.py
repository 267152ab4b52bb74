"""Episodes of any agent, in dreams or in replay, as data for offline learning."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym

from worldmodel_trading.agents.rules.known import RULES
from worldmodel_trading.entrants import Entrant, find_entrant, rule_entrant
from worldmodel_trading.envs.spaces import ObservationKind
from worldmodel_trading.evaluation.policy import check_policy
from worldmodel_trading.evaluation.transitions import (
    Transitions,
    check_minari,
    record_episodes,
    write_minari,
    write_transitions,
)
from worldmodel_trading.ground import Cuts, Recorded, open_recorded_ranges
from worldmodel_trading.market.errors import ConfigError, OutputError
from worldmodel_trading.market.files.writer import refuse_unwritable
from worldmodel_trading.market.records import AT_LEAST_ONE, FROM_ZERO, Record
from worldmodel_trading.progress import Counter, tell

_DREAM = "dream"
VENUES = (_DREAM, "train", "validation", "test")


@dataclass(frozen=True)
class ExportConfig(Record):
    """Which episodes.

    Attributes:
        venue: ``dream``, or replay of the range ``train``, ``validation`` or ``test``.
        episodes: How many.
        horizon: Bars of each.
        seed: Episode i is reset with seed + i.
        stochastic: Whether a learned policy draws its actions, instead of taking its mode.
        temperature: τ of dreams.
        drift: What a held position earns in dreams.
        funding: What positions pay.
        observation: What a ``module:callable`` looks at.
        trust: Unpickle a bare zip.
        account: Any setting of the account; empty is that of the agent's own training.
    """

    venue: str = _DREAM
    episodes: int = 100
    horizon: int = 720
    seed: int = 0
    stochastic: bool = False
    temperature: float = 1.0
    drift: str | float = "recorded"
    funding: str | float = "off"
    observation: ObservationKind = "latent"
    trust: bool = False
    account: Mapping[str, Any] = field(default_factory=dict)

    _bounds = {"episodes": AT_LEAST_ONE, "horizon": AT_LEAST_ONE, "seed": FROM_ZERO}  # noqa: RUF012
    _choices = {"venue": VENUES, "observation": ("latent", "features")}  # noqa: RUF012


def export(
    agent: str,
    config: ExportConfig,
    world_model: str = "default",
    candles: str | None = None,
    cuts: Cuts | None = None,
    *,
    out: str | None = None,
    minari: str | None = None,
    minari_folder: str | None = None,
    overwrite: bool = False,
) -> int:
    """Play episodes and write them to a Parquet file, to a data set of Minari, or to both.

    Args:
        agent: A folder, a zip, a rule's name or ``module:callable``.
        config: Which episodes.
        world_model: Its folder, or ``default``.
        candles: The record; None is the embedded market.
        cuts: Where its ranges are.
        out: The Parquet file.
        minari: Name of the data set, ``namespace/name-v0``.
        minari_folder: Where Minari's data sets are kept; None is Minari's own folder.
        overwrite: Let the file take another's place.

    Returns:
        How many bars were played.

    Raises:
        ConfigError: Nothing is to be written, or the agent or the range is not there.
        OutputError: Something is there already, or cannot be written.
    """
    _check_targets(out, minari, minari_folder, overwrite=overwrite)
    recorded = open_recorded_ranges(world_model, candles, cuts)
    entrant = _entrant(agent, config, recorded)
    check_policy(entrant.policy, recorded.world_model.fingerprint)
    env = _environment(entrant, config, recorded, world_model, candles)
    bars = 0

    def counted() -> Iterator[Transitions]:
        nonlocal bars
        deterministic = not config.stochastic
        with Counter("Playing", config.episodes, "episode") as done:
            for episode in record_episodes(
                env, entrant.policy, config.episodes, config.seed, deterministic
            ):
                bars += len(episode)
                yield episode
                done()

    about = {"algorithm_name": Path(agent).name}
    if out is None:
        write_minari(str(minari), counted(), env, minari_folder, **about)
    else:
        with write_transitions(out, counted()) as episodes:
            if minari is None:
                deque(episodes, maxlen=0)
            else:
                write_minari(minari, episodes, env, minari_folder, **about)
    tell(f"{config.episodes} episodes, {bars} bars, of {about['algorithm_name']} in {config.venue}")
    for what, where in (("Episodes", out), ("Minari", minari)):
        if where is not None:
            tell(f"{what}: {where}")
    return bars


def _check_targets(
    out: str | None, minari: str | None, minari_folder: str | None, *, overwrite: bool
) -> None:
    if out is None and minari is None:
        raise ConfigError(
            "there is nowhere to write to: name a .parquet file with --out, a data set with --minari"
        )
    if out is not None:
        if not out.lower().endswith(".parquet"):
            raise ConfigError(f"--out is {out!r}; expected a .parquet file")
        refuse_unwritable(Path(out).parent)
        if Path(out).exists() and not overwrite:
            raise OutputError(
                f"{out} is there already: name another with --out, or replace it with --overwrite"
            )
    if minari is not None:
        check_minari(minari, minari_folder)


def _entrant(agent: str, config: ExportConfig, recorded: Recorded) -> Entrant:
    if agent in RULES:
        return rule_entrant(agent, recorded, config.account)
    return find_entrant(agent, config.observation, trust=config.trust)


def _environment(
    entrant: Entrant,
    config: ExportConfig,
    recorded: Recorded,
    world_model: str,
    candles: str | None,
) -> Any:
    """The venue as `gymnasium.make` makes it, by names alone, so that its specification can be kept."""
    record = getattr(entrant.policy, "record", None)
    account = dict(config.account) or ({} if record is None else dict(record.account))
    shared: dict[str, Any] = {
        "world_model": world_model,
        "observation": entrant.observation,
        "actions": entrant.actions,
        "funding": config.funding,
        **account,
    }
    if config.venue == _DREAM:
        dreamed: dict[str, Any] = {
            "horizon": config.horizon,
            "temperature": config.temperature,
            "drift": config.drift,
        }
        return gym.make("worldmodel_trading:WorldModelDream-v0", **dreamed, **shared)
    if config.venue not in recorded.ranges:
        raise ConfigError(
            f"there are no bars of the range {config.venue}: give the world model's record with --candles, "
            f"or say --venue {_DREAM}"
        )
    start, end = recorded.ranges[config.venue]
    played: dict[str, Any] = {"start": start, "end": end, "episode_length": config.horizon}
    source = candles or "synthetic"
    return gym.make("worldmodel_trading:BybitReplay-v0", candles=source, **played, **shared)
