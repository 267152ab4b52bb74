"""Agents, rules and functions judged side by side, in dreams and in replay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel_trading.agents.rules.known import RULES
from worldmodel_trading.entrants import Entrant, open_entrants
from worldmodel_trading.envs.spaces import ObservationKind
from worldmodel_trading.evaluation.performance import Performance
from worldmodel_trading.evaluation.policy import Sight, check_policy, sight
from worldmodel_trading.evaluation.report.comparison_tables import sight_notes
from worldmodel_trading.evaluation.report.text_table import VENUES, comparison_table
from worldmodel_trading.ground import Cuts, Recorded, open_recorded_ranges
from worldmodel_trading.market.errors import ConfigError
from worldmodel_trading.market.files.writer import whole_file, write_whole
from worldmodel_trading.market.records import AT_LEAST_ONE, FROM_ZERO, Record
from worldmodel_trading.market.synthetic import SYMBOL
from worldmodel_trading.output import job_folder, refuse_taken
from worldmodel_trading.playing import Markets, Played
from worldmodel_trading.progress import Counter, tell


@dataclass(frozen=True)
class EvaluateConfig(Record):
    """How agents are judged.

    Attributes:
        venues: Some of ``dream``, ``validation`` and ``test``.
        dreams: That measure.
        horizon: Bars of each.
        observation: What a ``module:callable`` looks at.
        trust: Unpickle bare zips.
        drift: What a held position earns in dreams.
        funding: What positions pay.
        account: Any setting of the account; empty is that of the agents' own training.
        seed: Of the dreams.
    """

    venues: tuple[str, ...] = VENUES
    dreams: int = 256
    horizon: int = 720
    observation: ObservationKind = "latent"
    trust: bool = False
    drift: str | float = "recorded"
    funding: str | float = "off"
    account: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    _bounds = {"dreams": AT_LEAST_ONE, "horizon": AT_LEAST_ONE, "seed": FROM_ZERO}  # noqa: RUF012
    _choices = {"observation": ("latent", "features")}  # noqa: RUF012

    def __post_init__(self) -> None:
        """Refuse a venue that is none."""
        super().__post_init__()
        for venue in self.venues:
            if venue not in VENUES:
                raise ConfigError(f"venue {venue!r} is none; expected some of {', '.join(VENUES)}")


def evaluate(
    agents: Sequence[str],
    config: EvaluateConfig,
    world_model: str,
    candles: Any,
    cuts: Cuts,
    out: str,
    overwrite: bool,
) -> dict[str, dict[str, Performance]]:
    """Judge agents, print the table, and write ``evaluation.json`` and ``curves.parquet``.

    Args:
        agents: Folders, zips, rules' names or ``module:callable``.
        config: How.
        world_model: Its folder, or ``default``.
        candles: The record; None is the embedded market.
        cuts: Where validation and test are.
        out: Folder for the two files.
        overwrite: Replace a job's results there.

    Returns:
        Performance by agent and venue.

    Raises:
        ConfigError: An agent cannot be found, or learned in another world model.
    """
    refuse_taken(out, "evaluate", overwrite=overwrite)
    recorded = open_recorded_ranges(world_model, candles, cuts)
    venues = _venues(config, recorded)
    entrants, account = open_entrants(
        agents, recorded, config.account, config.observation, trust=config.trust
    )
    for entrant in entrants.values():
        check_policy(entrant.policy, recorded.world_model.fingerprint)
    sights = _sights(entrants, recorded, venues)
    with job_folder(out, "evaluate", overwrite=overwrite) as emptied:
        judged = _judge(entrants, config, recorded, venues, account)
        _write(emptied(), judged, config, recorded, account, sights)
    measured = {
        name: {venue: found.performance for venue, found in by_venue.items()}
        for name, by_venue in judged.items()
    }
    tell(comparison_table(measured, venues))
    for note in sight_notes({name: {"seen": seen} for name, seen in sights.items()}):
        tell(note)
    return measured


def _sights(
    entrants: Mapping[str, Entrant], recorded: Recorded, venues: Sequence[str]
) -> dict[str, dict[str, Sight]]:
    """Whether each agent that is no rule has seen bars of the recorded venues, as it says itself."""
    ranges = {venue: recorded.ranges[venue] for venue in venues if venue in recorded.ranges}
    return {
        name: {venue: sight(one.policy, ends, name) for venue, ends in ranges.items()}
        for name, one in entrants.items()
        if name not in RULES
    }


def _venues(config: EvaluateConfig, recorded: Recorded) -> list[str]:
    """The venues that there are bars for."""
    missing = [name for name in config.venues if name != "dream" and name not in recorded.ranges]
    if missing and recorded.candles is None:
        raise ConfigError(
            f"the world model is of {recorded.world_model.provenance.symbol}, not of the embedded "
            f"market {SYMBOL}: give its bars with --candles, or say --venues dream"
        )
    if missing:
        raise ConfigError(
            f"the candles hold no bars of {' and '.join(missing)}: give the file that goes on, or "
            "leave it out of --venues"
        )
    return list(config.venues)


def _judge(
    entrants: Mapping[str, Entrant],
    config: EvaluateConfig,
    recorded: Recorded,
    venues: Sequence[str],
    account: Mapping[str, Any],
) -> dict[str, dict[str, Played]]:
    judged: dict[str, dict[str, Played]] = {}
    markets = Markets(
        recorded, config.dreams, config.horizon, config.drift, config.funding, account
    )
    with Counter("evaluation", len(entrants) * len(venues), "run") as counter:
        for name, entrant in entrants.items():
            judged[name] = {}
            for venue in venues:
                judged[name][venue] = markets.play(entrant, venue, config.seed)
                counter()
    return judged


def _write(
    folder: Path,
    judged: Mapping[str, Mapping[str, Played]],
    config: EvaluateConfig,
    recorded: Recorded,
    account: Mapping[str, Any],
    sights: Mapping[str, Mapping[str, Sight]],
) -> None:
    told = {
        "world_model": recorded.world_model.fingerprint,
        "candles": None if recorded.candles is None else recorded.candles.data_hash(),
        "account": dict(account),
        "dreams": config.dreams,
        "horizon": config.horizon,
        "drift": config.drift,
        "seed": config.seed,
        "seen": sights,
        "performance": {
            name: {venue: found.performance.to_dict() for venue, found in by_venue.items()}
            for name, by_venue in judged.items()
        },
    }
    with whole_file(folder / "curves.parquet") as temporary:
        _curves(judged).to_parquet(temporary, index=False)
    write_whole(folder / "evaluation.json", json.dumps(told, indent=2) + "\n")


def _curves(judged: Mapping[str, Mapping[str, Played]]) -> Any:
    """A row for each agent, venue and bar: time (none in dreams), equity, of dreams the mean."""
    import pandas as pd

    parts = []
    for name, by_venue in judged.items():
        for venue, found in by_venue.items():
            curve = found.curve
            several = curve.equity.ndim > 1
            equity = curve.equity.mean(axis=0) if several else curve.equity
            part = pd.DataFrame({"bar": np.arange(len(equity)), "equity": equity})
            part.insert(0, "agent", name)
            part.insert(1, "venue", venue)
            part["open_time_ms"] = pd.array(
                [None] * len(part) if curve.time_ms is None else curve.time_ms, dtype="Int64"
            )
            parts.append(part)
    return pd.concat(parts, ignore_index=True)
