"""What the job ``regimes`` came to: what its page and its text are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...market.arrays import FloatArray, IntArray
from ...models.regimes.regimes import Regimes
from .outcomes import Explained
from .periods import Periods

ByRegime = list[Periods]


@dataclass(frozen=True, eq=False)
class RegimeResults:
    """Regimes, and what happened in them.

    Attributes:
        regimes: As they were found.
        symbol: The instrument.
        interval: Bybit's code of the bars.
        time_ms: Open times of the bars of the record that something is known of [T].
        close: Their closes [T].
        labels: Their regimes, filtered [T].
        latent_map: The first two principal components of z [T, 2].
        seen_until_ms: End of the training range.
        market: What the market did in each, by recorded range.
        agents: What each agent's account did in each, on the range ``venue``.
        venue: Where the agents were played.
        explained: What is explained of the next day after the training range, by what is known at the
            close; empty where the record holds too little of it.
    """

    regimes: Regimes
    symbol: str
    interval: str
    time_ms: IntArray
    close: FloatArray
    labels: IntArray
    latent_map: FloatArray
    seen_until_ms: int
    market: Mapping[str, ByRegime]
    agents: Mapping[str, ByRegime]
    venue: str
    explained: Mapping[str, Explained]

    def to_dict(self) -> dict[str, Any]:
        """What ``periods.json`` holds."""
        names = self.regimes.names
        return {
            "world_model": self.regimes.world_model_hash,
            "symbol": self.symbol,
            "interval": self.interval,
            "regimes": list(names),
            "market": {venue: _by_name(names, found) for venue, found in self.market.items()},
            "venue": self.venue,
            "agents": {agent: _by_name(names, found) for agent, found in self.agents.items()},
            "explained": {name: each.to_dict() for name, each in self.explained.items()},
        }


def _by_name(names: tuple[str, ...], found: ByRegime) -> dict[str, dict[str, object]]:
    return {name: each.to_dict() for name, each in zip(names, found, strict=True)}
