"""What a run came to, typed: what ``results.json`` holds, and what report and summary read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..models.machine import Machine
from ..models.quality import MDNRNNQuality, VAEQuality
from .ageing import Quarter
from .baselines.scores import BaselineScores
from .drift import DriftOutcome
from .performance import Performance
from .seeds import Figures, SeedRange
from .significance import SharpeEvidence

CONTROLLER = "controller"
"""The policy that the run has trained."""

ByVenue = Mapping[str, Performance]
"""How one policy did in the dream, on validation and on test."""


@dataclass(frozen=True)
class CandleFacts:
    """The recorded bars of a run.

    Attributes:
        source: Their file's name, or where else they come from; never a path of the machine.
        symbol: The instrument.
        interval: Bybit's code of the bar length.
        bars: How many.
        data_hash: SHA-256 of their content, see `Candles.data_hash`.
        train: Start and end of the training range, ISO times, the end exclusive.
        validation: The same of the validation range.
        test: The same of the test range.
    """

    source: str
    symbol: str
    interval: str
    bars: int
    data_hash: str
    train: tuple[str, str]
    validation: tuple[str, str]
    test: tuple[str, str]

    def ends(self, venue: str) -> tuple[str, str] | None:
        """Start and end of a recorded range; None for the dream."""
        ranges = {"train": self.train, "validation": self.validation, "test": self.test}
        return ranges.get(venue)


@dataclass(frozen=True)
class WorldModelOutcome:
    """How well V and M describe bars that they were not trained on.

    Attributes:
        preset: ``market`` or ``paper``.
        vae: V on the test range.
        mdn_rnn: M by range.
        baselines: How other forecasts of the next return score.
        ageing: What all of them lose, by calendar quarter after the training range.
    """

    preset: str
    vae: VAEQuality
    mdn_rnn: Mapping[str, MDNRNNQuality]
    baselines: Mapping[str, BaselineScores]
    ageing: tuple[Quarter, ...] = ()

    def return_nll(self) -> dict[str, float]:
        """M's mean negative log-likelihood of the next return [nats] by range."""
        return {name: quality.return_nll for name, quality in self.mdn_rnn.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "preset": self.preset,
            "vae": {**asdict(self.vae), "kl": float(sum(self.vae.kl))},
            "mdn_rnn": {
                "nll": {name: quality.nll for name, quality in self.mdn_rnn.items()},
                "return_nll": self.return_nll(),
            },
            "baselines": _mapped(self.baselines, BaselineScores.to_dict),
            "ageing": [quarter.to_dict() for quarter in self.ageing],
        }


@dataclass(frozen=True)
class SearchOutcome:
    """What one search found, and how it did.

    Attributes:
        validation: Score on validation that chose the controller among the generations; None
            where nothing validated.
        looks: How many candidates validation saw, beside the one that does nothing.
        generations: How many there were.
        evaluations: Candidates scored in the dream.
        performance: Of the controller, by venue.
        significance: Of its Sharpe ratios, by recorded range.
    """

    validation: float | None
    looks: int
    generations: int
    evaluations: int
    performance: ByVenue
    significance: Mapping[str, SharpeEvidence]

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class ControllerOutcome:
    """What several searches found; validation chose one of them to be deployed.

    Attributes:
        parameters: Numbers in a controller.
        dream_steps: Bars dreamed for all candidates of all searches.
        looks: How many controllers validation compared.
        deployed: Number of the search whose controller is deployed.
        searches: All of them.
    """

    parameters: int
    dream_steps: int
    looks: int
    deployed: int
    searches: tuple[SearchOutcome, ...]

    def performance(self) -> dict[str, SeedRange[Performance]]:
        """Every figure's median and range over the searches, by venue."""
        return _ranges([search.performance for search in self.searches])

    def significance(self) -> dict[str, SeedRange[SharpeEvidence]]:
        """The same of the evidence behind the Sharpe ratios, by recorded range."""
        return _ranges([search.significance for search in self.searches])

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "parameters": self.parameters,
            "generations": sum(search.generations for search in self.searches),
            "evaluations": sum(search.evaluations for search in self.searches),
            "dream_steps": self.dream_steps,
            "looks": self.looks,
            "deployed": self.deployed,
            "performance": _mapped(self.performance(), SeedRange.to_dict),
            "significance": _mapped(self.significance(), SeedRange.to_dict),
            "searches": [search.to_dict() for search in self.searches],
        }


@dataclass(frozen=True)
class RunResults:
    """What a run came to. Only ``performance`` must be there.

    Attributes:
        performance: Of each policy, by venue; of the controller, that of the deployed one.
        run_id: Names the run.
        seed: Of training, searches and dreams.
        versions: Of Python and the libraries that decide the numbers.
        machine: What the numbers were made on.
        config: The run's settings.
        candles: The recorded bars.
        world_model: How well V and M describe them.
        controller: What the searches found.
        drift: The drift that all rankings in the dream inherit.
        significance: Of each policy's Sharpe ratios, by recorded range.
        timings_s: Duration of each stage [s].
    """

    performance: Mapping[str, ByVenue]
    run_id: str | None = None
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Machine | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    candles: CandleFacts | None = None
    world_model: WorldModelOutcome | None = None
    controller: ControllerOutcome | None = None
    drift: DriftOutcome | None = None
    significance: Mapping[str, Mapping[str, SharpeEvidence]] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)

    def ranges(self, policy: str) -> dict[str, SeedRange[Performance]]:
        """A policy's figures over the searches, by venue; a rule was not searched for."""
        if policy == CONTROLLER and self.controller is not None:
            return self.controller.performance()
        return _ranges([self.performance[policy]])

    def evidence(self, policy: str) -> dict[str, SeedRange[SharpeEvidence]]:
        """The same of the evidence behind its Sharpe ratios, by recorded range."""
        if policy == CONTROLLER and self.controller is not None:
            return self.controller.significance()
        return _ranges([self.significance.get(policy, {})])

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; what is unknown is left out."""
        everything = {
            "run_id": self.run_id,
            "seed": self.seed,
            "versions": dict(self.versions),
            "machine": self.machine and self.machine.to_dict(),
            "config": dict(self.config),
            "candles": self.candles and asdict(self.candles),
            "world_model": self.world_model and self.world_model.to_dict(),
            "controller": self.controller and self.controller.to_dict(),
            "drift": self.drift and asdict(self.drift),
            "performance": _mapped(self.performance, lambda by: _mapped(by, asdict)),
            "significance": _mapped(self.significance, lambda by: _mapped(by, asdict)),
            "timings_s": dict(self.timings_s),
        }
        return {name: value for name, value in everything.items() if value not in (None, {})}


def _ranges(drawn: list[Mapping[str, Figures]]) -> dict[str, SeedRange[Figures]]:
    """The range of each venue's figures."""
    return {venue: SeedRange.of([by_venue[venue] for by_venue in drawn]) for venue in drawn[0]}


def _mapped(values: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: change(value) for name, value in values.items()}
