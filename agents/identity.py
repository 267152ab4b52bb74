"""Which search it was: a hash of all that decides what a search finds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from ..envs.dream_funding import DreamFunding
from ..envs.population.scorers import Venue
from ..envs.recorded import RecordedMarket
from ..market.account.rules import BrokerConfig, flatten

_FUNDED_BARS = 10_000  # charges of so many bars tell the rates that a dream draws from


def search_identity(
    venue: Venue,
    config: Any,
    broker: BrokerConfig,
    seed: np.random.SeedSequence,
    funding: DreamFunding | None,
    validation: RecordedMarket | None,
) -> str:
    """SHA-256 of the dream with its members, drift and beginnings or of the recorded bars, and of the rest.

    Args:
        venue: What dreams, or plays recorded bars.
        config: How to search.
        broker: The account's rules.
        seed: Of the search.
        funding: What dreamed positions are charged.
        validation: What chooses.
    """
    world_model = venue.world_model
    members: Any = world_model.members
    facts = {
        "members": [one.fingerprint for one in members],
        "drifts": [float(one.drift) for one in members],
        "venue": [type(venue).__name__, venue.num_segments, getattr(venue, "warmup", None)],
        "config": asdict(config),
        "account": broker.view.account_observation,
        "seed": [seed.entropy, seed.spawn_key],
    }
    arrays = [world_model.bank.open_time_ms, world_model.bank.z, flatten(broker.compile())]
    if funding is not None and not funding.is_off:
        first, interval = world_model.provenance.train_start_ms, world_model.provenance.interval_ms
        times = first + interval * np.arange(_FUNDED_BARS)
        arrays.append(funding.charge(times, np.random.default_rng(0)))
    for recorded in (getattr(venue, "recorded", None), validation):
        if recorded is not None:
            arrays += [recorded.view, recorded.bars, recorded.steps_left]
    digest = hashlib.sha256(json.dumps(facts, default=str).encode())
    for values in arrays:
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
