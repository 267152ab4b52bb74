"""One policy through one venue: dreams of a world model, or replay of a recorded range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from worldmodel_trading.entrants import Entrant
from worldmodel_trading.envs.replay import BybitReplayEnv
from worldmodel_trading.envs.vector import DreamVectorEnv
from worldmodel_trading.evaluation.comparison.measured import Measured, measure_policy
from worldmodel_trading.evaluation.comparison.results import DREAM
from worldmodel_trading.evaluation.lanes import run_lanes
from worldmodel_trading.evaluation.performance import Performance
from worldmodel_trading.evaluation.rollout import Curve, play_through
from worldmodel_trading.ground import Recorded


class Played(NamedTuple):
    """What came of a policy in a venue.

    Attributes:
        measured: How the account did, what it paid and risked.
        curve: Its equity, bar by bar; of every dream in the dream.
    """

    measured: Measured
    curve: Curve

    @property
    def performance(self) -> Performance:
        """How the account did."""
        return self.measured.performance


@dataclass(frozen=True, eq=False)
class Markets:
    """Where policies are played, and what they pay there.

    Attributes:
        recorded: The world model and its recorded ranges.
        dreams: How many dreams measure.
        horizon: Bars of each.
        drift: What a held position earns in dreams.
        funding: What positions pay.
        account: Any setting of the account.
    """

    recorded: Recorded
    dreams: int = 256
    horizon: int = 720
    drift: str | float = "recorded"
    funding: str | float = "off"
    account: Mapping[str, Any] = field(default_factory=dict)

    def play(self, entrant: Entrant, venue: str, seed: int = 0, temperature: float = 1.0) -> Played:
        """Put a policy through a venue.

        Args:
            entrant: Who.
            venue: ``dream``, or the name of a recorded range.
            seed: Of the dreams.
            temperature: τ of the dreams.
        """
        years = self.recorded.world_model.provenance.bars_per_year
        shared: dict[str, Any] = {
            "world_model": self.recorded.world_model,
            "observation": entrant.observation,
            "actions": entrant.actions,
            "funding": self.funding,
            **self.account,
        }
        if venue == DREAM:
            dreamed: dict[str, Any] = {
                "horizon": self.horizon,
                "temperature": temperature,
                "drift": self.drift,
            }
            lanes = DreamVectorEnv(self.dreams, **dreamed, **shared)
            episodes = run_lanes(lanes, entrant.policy, seed=seed)
            return Played(measure_policy(episodes, years), Curve(episodes.equity))
        start, end = self.recorded.ranges[venue]
        replay = BybitReplayEnv(
            self.recorded.candles,
            start=start,
            end=end,
            episode_length=None,
            random_start=False,
            **shared,
        )
        found = play_through(replay, entrant.policy, years)
        measured = measure_policy(found.episodes, years, replay.recorded.candles)
        return Played(measured, found.curve())
