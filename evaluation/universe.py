"""What the runs of several symbols came to, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from .loss_tests import LossDifference
from .outcome import CONTROLLER

HOLDING = "buy_and_hold"


@dataclass(frozen=True)
class SymbolOutcome:
    """One symbol's run.

    Attributes:
        symbol: The instrument.
        bars: Of the whole record.
        test: Start and end of the test range, ISO times.
        nll: The world model's mean negative log-likelihood of the next return on it [nats].
        rival: The baseline with the lowest one.
        gap: The world model's loss minus the rival's [nats]; negative where the world model is better.
        dream_sharpe: Of the deployed controller in the dream.
        sharpe: Of each policy on the test range.
        growth: Annual log return of each policy on the test range.
        growth_range: Lowest and highest over the searches of the controller's.
    """

    symbol: str
    bars: int
    test: tuple[str, str]
    nll: float
    rival: str
    gap: LossDifference
    dream_sharpe: float
    sharpe: Mapping[str, float]
    growth: Mapping[str, float]
    growth_range: tuple[float, float]

    @classmethod
    def of(cls, results: Mapping[str, Any]) -> Self:
        """From what a run's ``results.json`` holds."""
        candles, model = results["candles"], results["world_model"]
        scores = {
            name: one
            for name, one in model["baselines"].items()
            if "test" in one["world_model_minus_this"]
        }
        rival = min(scores, key=lambda name: scores[name]["return_nll"]["test"])
        performance = results["performance"]
        searches = [
            one["performance"]["test"]["annual_log_return"]
            for one in results["controller"]["searches"]
        ]
        return cls(
            symbol=candles["symbol"],
            bars=candles["bars"],
            test=tuple(candles["test"]),
            nll=model["mdn_rnn"]["return_nll"]["test"],
            rival=rival,
            gap=LossDifference(**scores[rival]["world_model_minus_this"]["test"]),
            dream_sharpe=performance[CONTROLLER]["dream"]["sharpe"],
            sharpe={name: by["test"]["sharpe"] for name, by in performance.items()},
            growth={name: by["test"]["annual_log_return"] for name, by in performance.items()},
            growth_range=(min(searches), max(searches)),
        )

    @property
    def over_holding(self) -> float:
        """The controller's annual log return less that of holding, on the test range."""
        return self.growth[CONTROLLER] - self.growth[HOLDING]


@dataclass(frozen=True)
class UniverseOutcome:
    """All of them.

    Attributes:
        joint: Whether one world model learned all symbols.
        symbols: Each, in the order asked for.
    """

    joint: bool
    symbols: tuple[SymbolOutcome, ...]

    def better_forecasts(self) -> tuple[int, int]:
        """How many world models are better than their best rival, and how many worse, by 95%."""
        gaps = [one.gap for one in self.symbols]
        return sum(gap.high < 0.0 for gap in gaps), sum(gap.low > 0.0 for gap in gaps)

    def earning(self) -> int:
        """On how many symbols the deployed controller earned anything on the test range."""
        return sum(one.growth[CONTROLLER] > 0.0 for one in self.symbols)

    def beating_holding(self) -> int:
        """On how many it earned more than holding did."""
        return sum(one.over_holding > 0.0 for one in self.symbols)

    def over_holding(self) -> tuple[float, float, float]:
        """Median, lowest and highest over the symbols of what it earned beyond holding, a year."""
        values = [one.over_holding for one in self.symbols]
        return statistics.median(values), min(values), max(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        better, worse = self.better_forecasts()
        return {
            "joint": self.joint,
            "better_forecasts": better,
            "worse_forecasts": worse,
            "earning": self.earning(),
            "beating_holding": self.beating_holding(),
            "over_holding": list(self.over_holding()),
            "symbols": [asdict(one) for one in self.symbols],
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        return cls(told["joint"], tuple(_symbol(one) for one in told["symbols"]))


def _symbol(told: Mapping[str, Any]) -> SymbolOutcome:
    pairs = {name: tuple(told[name]) for name in ("test", "growth_range")}
    return SymbolOutcome(**{**told, **pairs, "gap": LossDifference(**told["gap"])})


def outcome_of(joint: bool, results: Sequence[Mapping[str, Any]]) -> UniverseOutcome:
    """From the ``results.json`` of every symbol's run."""
    return UniverseOutcome(joint, tuple(SymbolOutcome.of(one) for one in results))
