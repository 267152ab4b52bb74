"""What a stress test found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...market.arrays import FloatArray
from ..episodes import Episodes
from ..significance import Interval
from .events import Frequency
from .losses import QUANTILES, Losses, measure_losses, weighted_quantiles
from .scenarios import Scenario
from .splitting import Sampled

USUAL, WIDENED = "usual", "widened"
"""The two accounts: as it trades every day, and with costs and delays as they are in such hours."""


@dataclass(frozen=True, eq=False)
class ScenarioFacts:
    """A scenario, and how likely it is.

    Attributes:
        name: Of the scenario.
        condition: In words; None for dreams as they come.
        probability: Under the world model; None for dreams as they come.
        training: How often the training range met it.
        later: How often the record after the training range did.
        dreams: Paths that were dreamed for it.
        paths: Paths that meet it, and are traded.
        effective: Their effective number, 1 ÷ Σ w².
        ancestors: Distinct moments that they began from.
        saving: Plain dreams that would tell the probability as exactly, ÷ dreams.
        closes: Quantiles of close ÷ close before, at `QUANTILES`, bar by bar [Q, T + 1].
    """

    name: str
    condition: str | None
    probability: Interval | None
    training: Frequency | None
    later: Frequency | None
    dreams: int
    paths: int
    effective: float
    ancestors: int
    saving: float | None
    closes: FloatArray | None

    @classmethod
    def of(
        cls,
        name: str,
        scenario: Scenario | None,
        sampled: Sampled | None = None,
        training: Frequency | None = None,
        later: Frequency | None = None,
    ) -> ScenarioFacts:
        """Of a scenario, whose paths may be none where the condition was never met."""
        condition = None if sampled is None else str(sampled.condition)
        paths = 0 if scenario is None else len(scenario.weights)
        return cls(
            name=name,
            condition=condition,
            probability=None if sampled is None else sampled.probability,
            training=training,
            later=later,
            dreams=paths if sampled is None else sampled.lanes,
            paths=paths,
            effective=float(paths) if sampled is None else sampled.effective,
            ancestors=paths if sampled is None else sampled.ancestors,
            saving=None if sampled is None else sampled.saving,
            closes=None if scenario is None else close_quantiles(scenario),
        )


def close_quantiles(scenario: Scenario) -> FloatArray:
    """Quantiles of close ÷ close before the first bar, at `QUANTILES` [Q, T + 1]."""
    levels = np.array(QUANTILES)
    columns = scenario.closes.T
    return np.stack([weighted_quantiles(c, scenario.weights, levels) for c in columns], axis=1)


@dataclass(frozen=True)
class Replayed:
    """An agent on one window of the record.

    Attributes:
        window: What it is called.
        start: When its first bar opens [UTC].
        seen: Whether the bars lie in the training range, from which the world model learned, and agents.
        event: The named event that it is the worst window of; None for a day that is remembered.
        market_return: Simple return of the window.
        loss: Fraction of the equity at the start, by account.
        liquidated: Whether the account ended, by account.
        under_water: Share of bars below what equity once was, by account.
        equity: The usual account's way [T + 1].
    """

    window: str
    start: str
    seen: bool
    event: str | None
    market_return: float
    loss: dict[str, float]
    liquidated: dict[str, bool]
    under_water: dict[str, float]
    equity: FloatArray


@dataclass(frozen=True, eq=False)
class StressResults:
    """A stress test; `to_dict` is ``stress.json``.

    Attributes:
        world_model: Fingerprint.
        market: Symbol and interval.
        bars: T of every path.
        accounts: Settings of the two accounts, by name.
        config: How it was done.
        scenarios: By name.
        losses: By agent, scenario and account.
        windows: By agent.
    """

    world_model: str
    market: tuple[str, str]
    bars: int
    accounts: dict[str, dict[str, Any]]
    config: Mapping[str, Any]
    scenarios: dict[str, ScenarioFacts] = field(default_factory=dict)
    losses: dict[str, dict[str, dict[str, Losses]]] = field(default_factory=dict)
    windows: dict[str, list[Replayed]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, dataclasses and arrays that `write_results` takes."""
        return {
            "world_model": self.world_model,
            "symbol": self.market[0],
            "interval": self.market[1],
            "bars": self.bars,
            "quantiles": list(QUANTILES),
            "accounts": self.accounts,
            "config": dict(self.config),
            "scenarios": self.scenarios,
            "losses": self.losses,
            "windows": self.windows,
        }

    def add(self, agent: str, scenario: Scenario, account: str, lived: Episodes) -> None:
        """Measure an agent's accounts on a scenario."""
        by_account = self.losses.setdefault(agent, {}).setdefault(scenario.name, {})
        by_account[account] = measure_losses(lived, scenario.weights, scenario.group)
